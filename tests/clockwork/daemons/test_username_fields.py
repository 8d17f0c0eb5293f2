"""The scraper gives jobs the username field of their cluster's settings at its start."""

import pytest

from clockwork.daemons.username_fields import start_adoption
from ingest.database.store import Store, connect
from tests.ingest.sync.outputs import cluster
from tests.support.ports import free_port
from tests.system.daemons import wait_until

MILA = [cluster(username_field="username")]


def test_jobs_get_the_field_of_the_settings(store: Store) -> None:
    slurm = {"job_id": "1", "cluster_name": "mila", "mila_cluster_username": "alice"}
    store.jobs.insert_one({"_id": "mila/1", "slurm": slurm, "cw": {}, "user": {}})
    start_adoption(store, MILA)
    wait_until(lambda: store.jobs.find_one({"slurm.username": "alice"}) is not None, "it has it")


def test_a_database_that_fails_is_told_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    away = connect(f"mongodb://127.0.0.1:{free_port()}/?serverSelectionTimeoutMS=100", "x")
    away.database.client.close()
    start_adoption(away, MILA)
    wait_until(lambda: "username fields could not be compared" in caplog.text, "it is logged")
