"""What happens while a receiver fails is told when it is back, whoever is killed meanwhile."""

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from clockwork.webhooks import sender as sending
from clockwork.webhooks.call import CallFailed
from clockwork.webhooks.sender import Sender
from clockwork.webhooks.senders import Senders
from config import load_settings
from ingest.database.changes import read_heads
from ingest.webhooks.state import WebhookState, forget, read_state, seconds_behind
from tests.clockwork.webhooks.receiver import status
from tests.clockwork.webhooks.world import World
from tests.clockwork.webhooks.writing import NOW, job_document, node_document, put
from tests.support.ports import LOOPBACK

STARTED = {"start_time": "2026-11-24T12:10:00+00:00"}


def state_of(world: World) -> WebhookState:
    state = read_state(world.store, "ops")
    assert state is not None
    return state


def fail(sender: Sender) -> None:
    with pytest.raises(CallFailed) as error:
        sender.send()
    sender.note_failure(error.value)


def send_all(sender: Sender) -> None:
    while sender.send():
        pass


def test_a_job_that_starts_and_ends_while_the_receiver_fails(world: World) -> None:
    sender = world.sender(events=("started", "ended"))
    world.receiver.answers = [status(503)]
    for state in ("PENDING", "RUNNING", "COMPLETED"):
        put(world.store, job_document("1", state, **STARTED))
        sender.send(may_call=False)
    assert world.receiver.calls == []
    fail(sender)
    world.receiver.answers = [status(200)]
    send_all(sender)
    first, second = world.receiver.calls
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert [
        (each["event"], each["job"]["slurm"]["job_state"]) for each in second.json["events"]
    ] == [("started", "RUNNING"), ("ended", "COMPLETED")]
    assert (state_of(world).delivered, state_of(world).failed) == (2, 1)
    assert world.store.webhook_outbox.count_documents({}) == 0
    send_all(sender)
    assert len(world.receiver.calls) == 2


def test_a_start_alone_is_told_after_the_end(world: World) -> None:
    sender = world.sender(events=("started",))
    world.receiver.answers = [status(503)]
    put(world.store, job_document("1", "RUNNING", **STARTED))
    fail(sender)
    put(world.store, job_document("1", **STARTED))
    fail(sender)
    world.receiver.answers = [status(200)]
    send_all(sender)
    assert world.told() == [("started", "1")] * 3
    assert len({each["id"] for each in world.receiver.events}) == 1


def test_both_ends_of_a_requeued_job_are_told(world: World) -> None:
    sender = world.sender()
    world.receiver.answers = [status(503)]
    again = {"restarts": 1, "submit_time": "2026-11-24T12:10:00+00:00"}
    for state, more in (("NODE_FAIL", {}), ("PENDING", again), ("FAILED", again)):
        put(world.store, job_document("1", state, **more))
        fail(sender)
    world.receiver.answers = [status(200)]
    del world.receiver.calls[:]
    send_all(sender)
    told = [each["job"]["slurm"]["job_state"] for each in world.receiver.events]
    assert told == ["NODE_FAIL", "FAILED"]


def test_a_node_that_is_down_and_back_while_the_receiver_fails(world: World) -> None:
    sender = world.sender("nodes", ("down", "in_service"))
    world.receiver.answers = [status(503)]
    for state in ("DOWN", "IDLE+DRAIN", "IDLE"):
        put(world.store, node_document("cn", state))
        fail(sender)
    world.receiver.answers = [status(200)]
    del world.receiver.calls[:]
    world.now += timedelta(days=2)
    send_all(sender)
    assert world.told() == [("down", "cn"), ("in_service", "cn")]


def test_events_of_jobs_wait_a_day(world: World, caplog: pytest.LogCaptureFixture) -> None:
    sender = world.sender()
    world.receiver.answers = [status(503)]
    late = {"end_time": (NOW + timedelta(hours=2)).isoformat()}
    put(world.store, job_document("1"), job_document("2", **late))
    put(world.store, job_document("3"), job_document("4", **late), job_document("5"))
    fail(sender)
    world.receiver.answers = [status(200)]
    del world.receiver.calls[:]
    world.now += timedelta(days=1, hours=1)
    send_all(sender)
    assert world.told() == [("ended", "2"), ("ended", "4")]
    assert "dropped 3 events that are more than a day old" in caplog.text
    assert (state_of(world).delivered, state_of(world).dropped) == (2, 3)
    assert world.store.webhook_outbox.count_documents({}) == 0


def test_only_so_many_events_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "MOST_WAITING", 2)
    sender = world.sender()
    world.receiver.answers = [status(503)]
    put(world.store, *map(job_document, "12"))
    fail(sender)
    put(world.store, *map(job_document, "34"))
    fail(sender)
    assert world.store.webhook_outbox.count_documents({}) == 2
    world.receiver.answers = [status(200)]
    del world.receiver.calls[:]
    send_all(sender)
    assert world.told() == [("ended", each) for each in "1234"]


def test_all_jobs_are_looked_through_in_parts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "MOST_WAITING", 2)
    monkeypatch.setattr(sending, "_MOST_DOCUMENTS", 2)
    sender = world.sender()
    put(world.store, *map(job_document, "12345"))
    world.store.changes.delete_many({})
    sender.send(may_call=False)
    assert world.store.webhook_outbox.count_documents({}) == 2
    send_all(sender)
    assert sorted(world.told()) == [("ended", each) for each in "12345"]


def test_how_far_a_webhook_is_behind(world: World) -> None:
    def behind() -> float:
        heads = read_heads(world.store, None, "jobs", None)
        return seconds_behind(world.store, heads, state_of(world), world.now)

    sender = world.sender()
    assert behind() == 0
    put(world.store, job_document("1"))
    sender.send(may_call=False)
    world.now += timedelta(minutes=20)
    assert behind() == 1200
    send_all(sender)
    assert behind() == 0


def test_what_waits_is_deleted_with_the_webhook(world: World) -> None:
    sender = world.sender()
    put(world.store, job_document("1"))
    sender.send(may_call=False)
    send_all(world.sender("nodes", ("down",)))
    assert world.store.webhook_outbox.count_documents({}) == 0
    put(world.store, node_document("cn", "DOWN"))
    world.sender("nodes", ("down",)).send(may_call=False)
    assert world.store.webhook_outbox.count_documents({}) == 1
    assert forget(world.store, "ops")
    assert world.store.webhook_outbox.count_documents({}) == 0
    assert world.receiver.calls == []


def configured(world: World, folder: Path) -> Path:
    """A configuration of the webhook of a sender that ran for the first time, and stopped."""
    path = folder / "clockwork.toml"
    path.write_text(
        f"[scraper]\nlease = 5\n[webhooks]\nallowed_hosts = ['{LOOPBACK}']\n"
        f"[webhooks.targets.ops]\nurl = '{world.receiver.url}'\nkind = 'jobs'\n"
        "events = ['started', 'ended']\n"
    )
    world.now = datetime.now(timezone.utc)
    world.sender(events=("started", "ended"))
    world.release()
    return path


def wait_until(holds: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 300
    while not holds():
        assert time.monotonic() < ends_at
        time.sleep(0.05)


def run_a_job(world: World) -> None:
    """Let a job start and end, each as soon as the change before was noticed."""
    now = datetime.now(timezone.utc).isoformat()
    put(world.store, job_document("1", "RUNNING", start_time=now))
    wait_until(lambda: state_of(world).noticed == 1)
    put(world.store, job_document("1", start_time=now, end_time=now))
    wait_until(lambda: state_of(world).noticed == 2)


def test_changes_are_noticed_between_two_calls(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clockwork.webhooks.senders.POLL_SECONDS", 0.05)
    monkeypatch.setattr("clockwork.webhooks.senders.FIRST_PAUSE_SECONDS", 3600.0)
    monkeypatch.setattr("clockwork.webhooks.senders.LONGEST_PAUSE_SECONDS", 3600.0)
    settings = load_settings(configured(world, tmp_path), {})
    world.receiver.answers = [status(503)]
    senders = Senders(world.store, settings)
    senders.start()
    run_a_job(world)
    assert len(world.receiver.calls) == 1
    world.receiver.answers = [status(200)]
    senders.change(settings)
    assert world.receiver.came.acquire(timeout=300)
    assert world.receiver.came.acquire(timeout=300)
    senders.stop()
    assert [each["event"] for each in world.receiver.calls[1].json["events"]] == [
        "started",
        "ended",
    ]


def test_what_waits_survives_a_kill(world: World, mongo_uri: str, tmp_path: Path) -> None:
    path = configured(world, tmp_path)
    words = ["-m", "tests.clockwork.webhooks.part", str(path), mongo_uri, world.store.database.name]
    world.receiver.answers = [status(503)]
    with subprocess.Popen([sys.executable, *words]) as first:
        try:
            run_a_job(world)
        finally:
            first.kill()
    world.receiver.answers = [status(200)]
    before = len(world.receiver.calls)
    with subprocess.Popen([sys.executable, *words]) as second:
        try:
            wait_until(lambda: state_of(world).delivered == 2)
        finally:
            second.kill()
    told = [each for call in world.receiver.calls[before:] for each in call.json["events"]]
    assert [each["event"] for each in told][:2] == ["started", "ended"]
