"""The daemons bring old documents up to date at their start; other commands leave them alone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from clockwork.daemons.migration import start_migration, warn_of_size
from config.load import MONGO_URI_VARIABLE
from ingest.database.search_fields import VERSION
from ingest.database.store import Store, connect
from tests.support.ports import free_port
from tests.system.daemons import wait_until

OUTDATED = {"cw.filters.version": None}


@pytest.fixture
def command(store: Store, mongo_uri: str, tmp_path: Path) -> list[str]:
    """The start of a command line, for a database with a job of an earlier release."""
    store.jobs.insert_one(
        {
            "_id": "mila/1",
            "slurm": {"job_id": "1", "cluster_name": "mila", "job_state": "FAILED"},
            "cw": {"filters": {"owner": ""}},
            "user": {},
        }
    )
    path = tmp_path / "clockwork.toml"
    path.write_text(
        f'[mongo]\nuri = "{mongo_uri}"\ndatabase = "{store.database.name}"\n'
        f"[api]\nport = {free_port()}\n"
        '[clusters.mila]\ntimezone = "America/Montreal"\nusername_field = "mila_cluster_username"\n'
        '[clusters.mila.ssh]\nhost = "nowhere.invalid"\n'
    )
    path.chmod(0o600)
    return [sys.executable, "-m", "clockwork", "--config", str(path)]


@pytest.mark.parametrize("daemon", ["serve", "scrape"])
def test_a_daemon_migrates_at_its_start(store: Store, command: list[str], daemon: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != MONGO_URI_VARIABLE}
    with subprocess.Popen([*command, daemon], env=environment) as process:
        try:
            wait_until(lambda: store.jobs.count_documents(OUTDATED) == 0, "the job is migrated")
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
    job = store.jobs.find_one()
    assert job is not None
    assert job["cw"]["filters"]["version"] == VERSION
    assert job["cw"]["filters"]["states"] == ["FAILED"]


def test_another_command_does_not(store: Store, command: list[str]) -> None:
    for words in (["user", "list"], ["user", "add", "alice@example.org"]):
        subprocess.run([*command, *words], check=True, capture_output=True)
    assert store.jobs.count_documents(OUTDATED) == 1


def test_a_database_that_fails_is_told_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    away = connect(f"mongodb://127.0.0.1:{free_port()}/?serverSelectionTimeoutMS=100", "x")
    away.database.client.close()
    start_migration(away)
    wait_until(lambda: "migration failed" in caplog.text, "the failure is logged")


def test_too_many_jobs_for_the_embedded_database_are_told(
    store: Store,
    command: list[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start_migration(store)
    wait_until(lambda: store.jobs.count_documents(OUTDATED) == 0, "the job is migrated")
    assert store.too_many_jobs() is None
    monkeypatch.setattr("ingest.database.store.MOST_EMBEDDED_JOBS", 0)
    warn_of_size(store)
    told = "the embedded database holds 1 jobs, and is made for up to 0"
    assert (told in caplog.text) == store.is_embedded  # MongoDB holds as many as the disk does
