"""Many clients of the real server write into one job at once, while scrapes write it too."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest

from config import ClusterSettings, SshSettings
from ingest.database.leases import Lease
from ingest.database.store import Store
from ingest.slurm.keys import JOB
from ingest.slurm.kinds import JOBS
from ingest.sync.sync_rounds import SyncRounds
from tests.api.support.client import Client
from tests.api.support.serving import ask, served
from tests.ingest.reading.attacks import job
from tests.support.reading import read_lazily

CLIENTS = 50
STATES = ("PENDING", "RUNNING", "COMPLETED")


class Scrapes:
    """Rounds of one cluster that go on in a thread, each with another state of the job."""

    def __init__(self, store: Store) -> None:
        cluster = ClusterSettings(
            name="mila",
            timezone="America/Montreal",
            username_field="mila_cluster_username",
            ssh=SshSettings(host="nowhere"),
        )
        lease = Lease(store, "mila", 30)
        assert lease.keep()
        self._intake = SyncRounds(
            store, cluster, JOBS, volatile_interval=900, bulk_write=lease.bulk_write
        )
        self.rounds = 0
        self._stopping = threading.Event()

    def one(self) -> None:
        """A round."""
        text = job("1", "milauser12(10012)", sealed=False, state=STATES[self.rounds % len(STATES)])
        self._intake.take_in(read_lazily([text.encode()], JOB))
        self.rounds += 1

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Rounds until the block ends."""

        def run() -> None:
            while not self._stopping.wait(0.02):
                self.one()

        with ThreadPoolExecutor(1) as threads:
            running = threads.submit(run)
            try:
                yield
            finally:
                self._stopping.set()
                running.result()


@pytest.fixture
def scrapes(client: Client, store: Store) -> Scrapes:
    scrapes = Scrapes(store)
    scrapes.one()
    return scrapes


def put_all(client: Client, scrapes: Scrapes, updates: list[dict[str, Any]]) -> list[Any]:
    """The user dicts that all these updates answer, from a client each, all at once."""
    together = threading.Barrier(len(updates))
    with served(client.app) as port, scrapes.going_on():

        def put(pairs: dict[str, Any]) -> Any:
            together.wait()
            body = json.dumps({"job_id": "1", "cluster_name": "mila", "update_pairs": pairs})
            response, content = ask(
                port,
                client,
                "PUT",
                "jobs/user_dict_update",
                body,
                **{"Content-Type": "application/json"},
            )
            assert response.status == 200, content
            return json.loads(content)

        with ThreadPoolExecutor(len(updates)) as threads:
            return list(threads.map(put, updates))


def the_job(store: Store) -> dict[str, Any]:
    found = store.jobs.find_one({"_id": "mila/1"})
    assert found is not None
    return found


def check_untouched_by_each_other(store: Store, scrapes: Scrapes) -> None:
    found = the_job(store)
    assert scrapes.rounds > 1
    assert found["slurm"]["job_state"] == STATES[(scrapes.rounds - 1) % len(STATES)]
    assert found["cw"]["history"][-1]["state"] == found["slurm"]["job_state"]


def test_different_keys_are_all_kept(client: Client, store: Store, scrapes: Scrapes) -> None:
    updates = [{f"key{number}": {"from": number}} for number in range(CLIENTS)]

    answers = put_all(client, scrapes, updates)

    everything = {key: value for update in updates for key, value in update.items()}
    assert the_job(store)["user"] == everything
    for update, answer in zip(updates, answers, strict=True):
        assert answer.items() >= update.items()
        assert everything.items() >= answer.items()
    # One after another: each answer has what the ones before it had.
    answers.sort(key=len)
    assert [len(answer) for answer in answers] == list(range(1, CLIENTS + 1))
    for before, after in pairwise(answers):
        assert after.items() >= before.items()
    check_untouched_by_each_other(store, scrapes)


def test_of_one_key_the_last_value_stands_whole(
    client: Client, store: Store, scrapes: Scrapes
) -> None:
    updates = [
        {"key": {f"from{number}": [number] * 50}, "also": number} for number in range(CLIENTS)
    ]

    answers = put_all(client, scrapes, updates)

    assert answers == updates
    assert the_job(store)["user"] in updates
    check_untouched_by_each_other(store, scrapes)
