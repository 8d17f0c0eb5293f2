"""The retention in the scraper daemon: when it is due, and that it follows the settings."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from clockwork.daemons.daily_retention import DailyRetention, next_run
from config import RetentionSettings, Settings
from ingest.database.store import Store
from tests.ingest.retention.jobs import NOW, job

BEFORE = datetime(2026, 11, 24, 3, 14, 59, tzinfo=timezone.utc)
PATIENCE = 20.0


@pytest.mark.parametrize(
    ("at", "now", "expected"),
    [
        ("03:15", BEFORE, "2026-11-24T03:15"),
        ("03:15", BEFORE + timedelta(seconds=1), "2026-11-25T03:15"),
        ("00:00", BEFORE, "2026-11-25T00:00"),
        ("23:59", BEFORE, "2026-11-24T23:59"),
        ("03:15", BEFORE.astimezone(timezone(timedelta(hours=-5))), "2026-11-24T03:15"),
    ],
)
def test_the_next_run(at: str, now: datetime, expected: str) -> None:
    assert next_run(at, now) == datetime.fromisoformat(expected + ":00+00:00")


class Clock:
    """A clock that stands still, and tells how often it was looked at."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.looks = threading.Semaphore(0)

    def __call__(self) -> datetime:
        self.looks.release()
        return self.now

    def looked_at(self, times: int) -> bool:
        while self.looks.acquire(blocking=False):
            pass
        return all(self.looks.acquire(timeout=PATIENCE) for _ in range(times))


@contextmanager
def running(daily: DailyRetention) -> Iterator[None]:
    daily.start()
    try:
        yield
    finally:
        daily.stop()


def wait_for(store: Store, there: Callable[[int], bool]) -> None:
    deadline = threading.Event()
    timer = threading.Timer(PATIENCE, deadline.set)
    timer.start()
    try:
        while not there(store.jobs.count_documents({})):
            assert not deadline.is_set()
    finally:
        timer.cancel()


def test_every_day_at_its_time_as_the_newest_settings_say(store: Store, tmp_path: Path) -> None:
    clock = Clock(BEFORE)
    off = Settings()
    on = Settings(retention=RetentionSettings(after_days=90, archive=tmp_path / "archive"))
    store.jobs.insert_one(job("1"))
    daily = DailyRetention(store, off, clock, look_seconds=0.01)
    with running(daily):
        clock.now = NOW
        assert clock.looked_at(3)
        assert store.jobs.count_documents({}) == 1, "by default all stays"
        daily.change(on)
        assert clock.looked_at(3)
        assert store.jobs.count_documents({}) == 1, "its time was before the change"
        clock.now += timedelta(days=1)
        wait_for(store, lambda count: count == 0)
        store.jobs.insert_one(job("2"))
        assert clock.looked_at(3)
        assert store.jobs.count_documents({}) == 1, "once a day"
        clock.now += timedelta(days=1)
        wait_for(store, lambda count: count == 0)
    assert len(list((tmp_path / "archive").iterdir())) == 2


def test_a_clock_that_is_set_back_puts_it_off_by_a_day_at_most(
    store: Store, tmp_path: Path
) -> None:
    clock = Clock(BEFORE + timedelta(days=400))
    settings = Settings(retention=RetentionSettings(after_days=90, archive=tmp_path / "archive"))
    store.jobs.insert_one(job("1"))
    with running(DailyRetention(store, settings, clock, look_seconds=0.01)):
        clock.now = BEFORE
        assert clock.looked_at(3)
        assert store.jobs.count_documents({}) == 1
        clock.now = NOW
        wait_for(store, lambda count: count == 0)


def test_a_run_that_fails_is_tried_again_the_next_day(store: Store, tmp_path: Path) -> None:
    clock = Clock(BEFORE)
    folder = tmp_path / "disk" / "archive"
    settings = Settings(retention=RetentionSettings(after_days=90, archive=folder))
    store.jobs.insert_one(job("1"))
    with running(DailyRetention(store, settings, clock, look_seconds=0.01)):
        clock.now = NOW
        assert clock.looked_at(3)
        assert store.jobs.count_documents({}) == 1
        folder.parent.mkdir()
        clock.now += timedelta(days=1)
        wait_for(store, lambda count: count == 0)
