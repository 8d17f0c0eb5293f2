"""When rounds run: clusters whose rounds last as long as a test wants them to."""

import logging
import queue
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any

import pytest
from pymongo.errors import ServerSelectionTimeoutError

from config import ClusterSettings, SshSettings
from ingest.slurm.kinds import JOBS, NODES, Kind
from ingest.sync.sync_rounds import RoundCounts
from scraper.cluster_round import ClusterScraper, RoundReport
from scraper.schedule import Schedule, first_run
from scraper.ssh.errors import Unreachable
from tests.system.daemons import wait_until

HOUR = 3600.0
PATIENCE = 20.0
"""Seconds after which what a test waits for counts as never happening."""


class FakeLease:
    def __init__(self) -> None:
        self.seconds = 0.2
        self.kept = threading.Semaphore(0)

    def keep(self) -> bool:
        self.kept.release()
        return True


class FakeScrapeLog:
    def __init__(self) -> None:
        self.requested = False
        self.next: dict[str, datetime] = {}
        """When the next round of each kind begins, as was written last."""

    def succeeded(self, *_: Any) -> None:
        pass

    def failed(self, *_: Any) -> None:
        pass

    def next_attempts(self, moments: dict[str, datetime]) -> None:
        self.next = moments

    def is_requested(self) -> bool:
        requested, self.requested = self.requested, False
        return requested


class FakeScraper(ClusterScraper):
    """A cluster whose rounds only note that they began, wait while the gate is shut, and end."""

    longest_pause = 0.0
    stretch = 1

    def __init__(self, name: str, jobs_interval: float, nodes_interval: float) -> None:
        self.cluster = ClusterSettings(
            name=name,
            timezone="America/Montreal",
            username_field="mila_cluster_username",
            ssh=SshSettings(host="nowhere"),
        ).model_copy(  # shorter than a configuration may have them
            update={"jobs_interval": jobs_interval, "nodes_interval": nodes_interval}
        )
        self.lease: Any = FakeLease()
        self.scrapes: Any = FakeScrapeLog()
        self.gate = threading.Event()
        self.gate.set()
        self.fails = 0
        """How many of the next rounds fail."""
        self.began: queue.Queue[str] = queue.Queue()
        """The kinds of the rounds that began and that nobody asked for yet."""
        self.events: list[str] = []
        self.overlaps = 0
        self._busy = threading.Lock()

    def round(self, kind: Kind) -> RoundReport:
        if not self._busy.acquire(blocking=False):
            self.overlaps += 1
            raise AssertionError("two rounds at once")
        with_luck = self.fails == 0
        self.fails = max(0, self.fails - 1)
        self.events.append(f"{kind.plural} begin")
        self.began.put(kind.plural)
        self.gate.wait()
        self.events.append(f"{kind.plural} end")
        self._busy.release()
        if not with_luck:
            raise Unreachable(self.cluster.name, "a test")
        return RoundReport(RoundCounts(), 0, 0.0)

    def close(self) -> None:
        with self._busy:
            self.events.append("closed")

    def abandon(self) -> None:
        self.events.append("abandoned")
        self.gate.set()

    def next_round(self) -> str:
        """The kind of the next round, once it has begun."""
        return self.began.get(timeout=PATIENCE)


@contextmanager
def running(*scrapers: FakeScraper) -> Iterator[Schedule]:
    schedule = Schedule(list(scrapers))
    schedule.start()
    try:
        yield schedule
    finally:
        for scraper in scrapers:
            scraper.gate.set()
        schedule.stop()


def test_the_first_rounds_of_all_clusters_come_at_once() -> None:
    scrapers = [FakeScraper(name, HOUR, HOUR) for name in ("mila", "beluga", "narval")]
    with running(*scrapers):
        for scraper in scrapers:
            assert {scraper.next_round(), scraper.next_round()} == {"nodes", "jobs"}
    assert all(scraper.began.empty() for scraper in scrapers)


@pytest.mark.parametrize(
    ("jobs_interval", "nodes_interval", "often"), [(0.05, HOUR, "jobs"), (HOUR, 0.05, "nodes")]
)
def test_jobs_and_nodes_have_intervals_of_their_own(
    jobs_interval: float, nodes_interval: float, often: str
) -> None:
    scraper = FakeScraper("mila", jobs_interval, nodes_interval)
    with running(scraper):
        assert {scraper.next_round(), scraper.next_round()} == {"nodes", "jobs"}
        assert [scraper.next_round() for _ in range(5)] == [often] * 5


def test_a_cluster_that_hangs_delays_no_other_and_is_asked_once_at_a_time() -> None:
    hung, well = FakeScraper("hung", 0.05, 0.05), FakeScraper("well", 0.05, HOUR)
    hung.gate.clear()
    with running(hung, well):
        hung.next_round()
        for _ in range(20):  # many of the hung one's rounds are due meanwhile
            well.next_round()
        assert hung.began.empty()
        hung.gate.set()
        assert {hung.next_round() for _ in range(6)} == {"jobs", "nodes"}
    assert hung.overlaps == well.overlaps == 0


def test_a_round_that_was_due_during_another_one_follows_it() -> None:
    hung, well = FakeScraper("hung", HOUR, HOUR), FakeScraper("well", 0.05, HOUR)
    hung.gate.clear()
    with running(hung, well):
        first = hung.next_round()
        for _ in range(20):
            well.next_round()
        hung.gate.set()
        assert {first, hung.next_round()} == {"jobs", "nodes"}
        for _ in range(5):
            well.next_round()
        assert hung.began.empty()


def test_leases_are_kept_while_a_cluster_hangs() -> None:
    hung = FakeScraper("hung", 0.05, 0.05)
    hung.gate.clear()
    with running(hung):
        hung.next_round()
        for _ in range(5):
            assert hung.lease.kept.acquire(timeout=PATIENCE)
        assert hung.began.empty()


def test_stopping_lets_the_round_in_hand_finish_and_drops_those_that_wait() -> None:
    scraper = FakeScraper("mila", 0.05, 0.05)
    scraper.gate.clear()
    schedule = Schedule([scraper])
    schedule.start()
    kind = scraper.next_round()  # the other kind waits behind it

    def stop() -> None:
        schedule.stop()
        scraper.events.append("stopped")

    stopper = threading.Thread(target=stop)
    stopper.start()
    assert schedule._stopping.wait(PATIENCE)
    scraper.gate.set()
    stopper.join(PATIENCE)
    assert scraper.events == [f"{kind} begin", f"{kind} end", "closed", "stopped"]


def test_no_thread_is_left_after_stopping() -> None:
    threads = set(threading.enumerate())
    scraper = FakeScraper("mila", 0.05, HOUR)
    with running(scraper):
        scraper.next_round()
    assert set(threading.enumerate()) <= threads


def test_a_cluster_that_failed_is_asked_again() -> None:
    scraper = FakeScraper("mila", 0.05, 0.05)
    scraper.fails = 3
    with running(scraper):
        for _ in range(6):
            scraper.next_round()
    assert scraper.overlaps == 0


def failing() -> FakeScraper:
    """A cluster whose first two rounds fail, so that it is left alone for more than an hour."""
    scraper = FakeScraper("mila", HOUR, HOUR)
    scraper.longest_pause = 1.5 * HOUR
    scraper.fails = 1000
    return scraper


def test_the_log_says_when_a_cluster_that_failed_is_asked_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "scraper.schedule")
    scraper = failing()
    began = datetime.now(timezone.utc)

    def said() -> list[logging.LogRecord]:
        return [event for event in caplog.records if event.getMessage().startswith("next try at 2")]

    with running(scraper):
        wait_until(lambda: len(said()) == 2, "both rounds have failed")
    assert [vars(event)["cluster"] for event in said()] == ["mila", "mila"]
    assert scraper.scrapes.next.keys() == {"jobs", "nodes"}
    for moment in scraper.scrapes.next.values():  # the hour's next round is left out
        assert timedelta() <= moment - began - timedelta(hours=2) < timedelta(minutes=5)


def test_a_round_that_is_asked_for_ends_the_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scraper.schedule.REQUEST_SECONDS", 0.05)
    scraper = failing()
    with running(scraper):
        assert {scraper.next_round(), scraper.next_round()} == {"nodes", "jobs"}
        assert scraper.began.empty()
        scraper.scrapes.requested = True
        assert scraper.next_round() == "jobs"


def test_a_cluster_that_is_not_paused_is_left_to_its_intervals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("scraper.schedule.REQUEST_SECONDS", 0.05)
    scraper, other = FakeScraper("mila", HOUR, HOUR), FakeScraper("beluga", 0.05, HOUR)
    scraper.scrapes.requested = True
    with running(scraper, other):
        assert {scraper.next_round(), scraper.next_round()} == {"nodes", "jobs"}
        for _ in range(20):
            other.next_round()
        assert scraper.began.empty()
    assert scraper.scrapes.requested


@pytest.mark.parametrize(
    ("earliest", "first"), [(-100, 0), (0, 0), (1, 60), (60, 60), (61, 120), (150, 180)]
)
def test_the_first_run_after_a_pause(earliest: float, first: float) -> None:
    planned = datetime(2026, 11, 29, 20, 0, tzinfo=timezone.utc)
    assert first_run(
        planned, timedelta(seconds=60), planned + timedelta(seconds=earliest)
    ) == planned + timedelta(seconds=first)


def test_a_schedule_that_does_its_work_is_not_stuck() -> None:
    scraper = FakeScraper("mila", 0.05, HOUR)
    with running(scraper) as schedule:
        for _ in range(3):
            scraper.next_round()
            assert schedule.stuck() is None


def test_a_round_far_over_its_limit_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scraper.schedule.OVERRUN_SECONDS", -600.0)  # all of round_timeout's
    scraper = FakeScraper("mila", HOUR, HOUR)
    scraper.gate.clear()
    with running(scraper) as schedule:
        scraper.next_round()
        assert re.fullmatch("mila: a round runs for [0-9]+ s", schedule.stuck() or "")
        scraper.gate.set()
        scraper.next_round()


def test_a_scheduler_that_starts_nothing_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scraper.schedule.SILENT_SECONDS", 0.0)
    with running() as schedule:
        assert "the scheduler has started nothing for 0 s" in (schedule.stuck() or "")


@pytest.mark.parametrize("jump", [timedelta(days=-400), timedelta(minutes=30)])
def test_a_clock_that_jumps_stops_no_rounds_for_good(
    monkeypatch: pytest.MonkeyPatch, jump: timedelta
) -> None:
    """Set forward, they go on; set back, APScheduler waits, and the watchdog is told."""

    class Jumped:
        """Of the class, only what APScheduler asks for the time."""

        @staticmethod
        def now(zone: tzinfo) -> datetime:
            return datetime.now(zone) + jump

    monkeypatch.setattr("scraper.schedule._BEAT_SECONDS", 0.05)
    monkeypatch.setattr("scraper.schedule.SILENT_SECONDS", 0.5)
    scraper = FakeScraper("mila", 0.05, HOUR)
    with running(scraper) as schedule:
        scraper.next_round()
        monkeypatch.setattr("apscheduler.schedulers.base.datetime", Jumped)
        if jump > timedelta():
            for _ in range(3):
                scraper.next_round()
            return
        gives_up = time.monotonic() + PATIENCE
        while schedule.stuck() is None:
            assert time.monotonic() < gives_up
            time.sleep(0.05)
        assert "the scheduler has started nothing" in (schedule.stuck() or "")


def test_a_round_that_does_not_finish_is_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scraper.schedule.FINISH_SECONDS", 0.05)
    scraper, other = FakeScraper("mila", HOUR, HOUR), FakeScraper("beluga", HOUR, HOUR)
    scraper.gate.clear()
    schedule = Schedule([scraper, other])
    schedule.start()
    kind = scraper.next_round()
    other.next_round()
    other.next_round()
    assert schedule.stop()
    assert scraper.events == [f"{kind} begin", "abandoned", f"{kind} end", "closed"]
    assert "abandoned" not in other.events


def test_a_round_that_hangs_for_good_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scraper.schedule.FINISH_SECONDS", 0.05)
    monkeypatch.setattr("scraper.schedule.ABANDON_SECONDS", 0.05)
    monkeypatch.setattr(FakeScraper, "abandon", lambda _: None)
    scraper = FakeScraper("mila", HOUR, HOUR)
    scraper.gate.clear()
    schedule = Schedule([scraper])
    schedule.start()
    scraper.next_round()
    assert not schedule.stop()
    scraper.gate.set()


def test_a_lease_that_can_not_be_let_go_keeps_nobody_from_stopping() -> None:
    class Failing(FakeScraper):
        def close(self) -> None:
            raise ServerSelectionTimeoutError("no primary")

    scraper = Failing("mila", HOUR, HOUR)
    with running(scraper) as schedule:
        scraper.next_round()
        scraper.next_round()
        new = FakeScraper("mila", HOUR, HOUR)
        schedule.change([new])
        new.next_round()


def test_a_replaced_cluster_begins_when_the_old_one_is_closed() -> None:
    events: list[str] = []
    old, new = FakeScraper("mila", 0.05, 0.05), FakeScraper("mila", HOUR, HOUR)
    old.events = new.events = events
    old.gate.clear()
    with running(old) as schedule:
        kind = old.next_round()
        schedule.change([new])
        assert schedule.scrapers == [new]
        old.gate.set()
        first = new.next_round()
        assert events[:4] == [f"{kind} begin", f"{kind} end", "closed", f"{first} begin"]


def test_a_cluster_that_is_let_go_while_it_waits_for_its_turn_never_runs() -> None:
    old, between, new = (FakeScraper("mila", HOUR, HOUR) for _ in range(3))
    other = FakeScraper("beluga", 0.05, HOUR)
    old.gate.clear()
    with running(old, other) as schedule:
        old.next_round()
        schedule.change([between, other])
        schedule.change([other])
        schedule.change([new, other])
        old.gate.set()
        new.next_round()
        new.next_round()
        assert between.began.empty()
        assert old.began.empty()
        assert other.events.count("closed") == 0
    assert new.events[-1] == "closed"


@pytest.mark.parametrize(
    ("stretch", "ago", "early"),
    [(1, 1.0, False), (2, 60.0, True), (2, 120.0, False), (3, 120.0, True), (3, 180.0, False)],
)
def test_a_slurmctld_that_is_overloaded_gets_fewer_rounds(
    stretch: int, ago: float, early: bool
) -> None:
    scraper = FakeScraper("mila", 60.0, HOUR)
    scraper.stretch = stretch
    schedule = Schedule([scraper])
    assert not schedule._is_early(scraper, JOBS)
    schedule._started[scraper, "jobs"] = time.monotonic() - ago
    assert schedule._is_early(scraper, JOBS) == early
    assert not schedule._is_early(scraper, NODES)
