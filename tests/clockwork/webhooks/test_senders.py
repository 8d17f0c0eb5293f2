"""The threads of the webhooks: they follow the configuration, and stop."""

import threading
from datetime import datetime, timezone
from pathlib import Path

import pytest

from clockwork.webhooks.call import CallFailed
from clockwork.webhooks.sender import Sender
from clockwork.webhooks.senders import Senders, webhooks_of
from config import ConfigurationError, Settings, load_settings
from ingest.database.leases import LeaseLost
from ingest.webhooks.state import read_state
from tests.clockwork.webhooks.receiver import status
from tests.clockwork.webhooks.world import World
from tests.clockwork.webhooks.writing import job_document, put
from tests.support.ports import LOOPBACK


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clockwork.webhooks.senders.POLL_SECONDS", 0.05)
    monkeypatch.setattr("clockwork.webhooks.senders.FIRST_PAUSE_SECONDS", 0.05)


def settings(world: World, folder: Path, more: str = "") -> Settings:
    path = folder / "clockwork.toml"
    path.write_text(
        f"[webhooks]\nallowed_hosts = ['{LOOPBACK}']\n[webhooks.targets.ops]\n"
        f"url = '{world.receiver.url}'\nkind = 'jobs'\nevents = ['ended']\n{more}"
    )
    return load_settings(path, {})


def test_the_log_names_a_cluster_that_is_not_in_the_configuration(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    named = settings(world, tmp_path, "filter = { cluster_name = 'mlia' }\n")
    assert [each.settings.name for each in webhooks_of(named)] == ["ops"]
    assert [record.getMessage() for record in caplog.records] == [
        "webhook ops: its filter names the cluster 'mlia', which is not in [clusters] here. "
        "If no other scraper has that cluster, correct cluster_name"
    ]


def test_they_follow_the_configuration(world: World, tmp_path: Path) -> None:
    world.now = datetime.now(timezone.utc)
    world.sender()
    world.release()
    now = datetime.now(timezone.utc).isoformat()
    world.receiver.answers = [status(500), status(200)]
    senders = Senders(world.store, settings(world, tmp_path))
    senders.start()
    put(world.store, job_document("1", end_time=now))
    for _ in range(2):
        assert world.receiver.came.acquire(timeout=300)
    senders.change(settings(world, tmp_path, "filter = { job_state = 'FAILED' }\n"))
    put(world.store, job_document("2", end_time=now), job_document("3", "FAILED", end_time=now))
    assert world.receiver.came.acquire(timeout=300)
    with pytest.raises(ConfigurationError, match=r"targets\.ops\.filter: job_state must be"):
        senders.change(settings(world, tmp_path, "filter = { job_state = ',' }\n"))
    put(world.store, job_document("4", "FAILED", end_time=now))
    assert world.receiver.came.acquire(timeout=300)
    senders.stop()
    assert [id for _, id in world.told()] == ["1", "1", "3", "4"]
    state = read_state(world.store, "ops")
    assert state is not None
    assert state.failed == 1
    assert not [each for each in threading.enumerate() if each.name == "webhook ops"]
    assert world.store.leases.find_one({"_id": "/webhooks/ops"}) is None


def test_a_lease_that_is_lost_while_a_call_fails_is_no_defect(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def lost(_sender: Sender, _error: CallFailed) -> None:
        raise LeaseLost("another daemon calls ops now")

    monkeypatch.setattr(Sender, "note_failure", lost)
    world.sender()
    world.release()
    world.receiver.answers = [status(500), status(200)]
    senders = Senders(world.store, settings(world, tmp_path))
    senders.start()
    put(world.store, job_document("1", end_time=datetime.now(timezone.utc).isoformat()))
    for _ in range(2):
        assert world.receiver.came.acquire(timeout=300)
    senders.stop()
    assert not [record for record in caplog.records if record.exc_info]
