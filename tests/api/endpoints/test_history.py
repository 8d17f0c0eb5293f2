"""jobs/history: the states of a job as the ingest keeps them, and the former jobs of its id."""

import json
from datetime import timedelta

import pytest

from api.lists import queries
from config import ClusterSettings, SshSettings
from ingest.clusters.accounting import take_accounted
from ingest.database.store import Store
from ingest.slurm.keys import JOB
from ingest.slurm.kinds import JOBS
from ingest.sync.sync_rounds import SyncRounds
from tests.api.support.client import Client
from tests.api.support.clusters import Clock
from tests.api.support.examples import job_document
from tests.api.support.problems import assert_problem
from tests.ingest.programs.accounted import CLUSTER, accounted
from tests.ingest.reading.attacks import job
from tests.support.documented import BELUGA_JOB
from tests.support.reading import read_lazily

ALICE, BOB = "alice(1001)", "bob(1002)"
SUBMITTED = "2026-11-23T15:13:41-05:00"


class Scrapes:
    """Rounds of the cluster mila, a minute apart."""

    def __init__(self, store: Store) -> None:
        self.clock = Clock()
        mila = ClusterSettings(
            name="mila",
            timezone="America/Montreal",
            username_field="mila_cluster_username",
            ssh=SshSettings(host="nowhere"),
        )
        self.intake = SyncRounds(store, mila, JOBS, volatile_interval=900, clock=self.clock)

    def show(self, *records: str) -> None:
        text = "".join(records) or "No jobs in the system\n"
        self.intake.take_in(read_lazily([text.encode()], JOB))
        self.clock.now += timedelta(minutes=1)


@pytest.fixture
def scrapes(store: Store) -> Scrapes:
    return Scrapes(store)


def test_the_states_of_a_job(client: Client, scrapes: Scrapes) -> None:
    for state in ("PENDING", "PENDING", "RUNNING", "COMPLETING"):
        scrapes.show(job("7", ALICE, sealed=False, state=state))
    answer = client.get("jobs/history", job_id="7")

    assert answer.status == 200
    assert answer.json == {
        "job_id": "7",
        "cluster_name": "mila",
        "first_seen": "2026-11-24T12:00:00Z",
        "finished_at": None,
        "vanished": None,
        "history": [
            {"state": "PENDING", "seen": "2026-11-24T12:00:00Z"},
            {"state": "RUNNING", "seen": "2026-11-24T12:02:00Z"},
            {"state": "COMPLETING", "seen": "2026-11-24T12:03:00Z"},
        ],
        "accounting": None,
        "former_jobs": [],
    }


def test_an_end_that_accounting_told(client: Client, scrapes: Scrapes, store: Store) -> None:
    scrapes.show(job("7", ALICE, sealed=False))
    scrapes.show()
    end = accounted(
        state="FAILED",
        exit_code="1:0",
        submit_time=SUBMITTED,
        start_time=SUBMITTED,
        end_time="2026-11-24T07:00:30-05:00",
    )
    take_accounted(store, CLUSTER, [end], scrapes.intake.bulk_write)
    found = client.get("jobs/history", job_id="7", cluster_name="mila").json

    assert found["vanished"] == "2026-11-24T12:01:00Z"
    assert found["finished_at"] == "2026-11-24T12:00:30Z"
    assert found["accounting"] == {
        "job_state": "FAILED",
        "exit_code": "1:0",
        "submit_time": SUBMITTED,
        "start_time": SUBMITTED,
        "end_time": "2026-11-24T07:00:30-05:00",
    }


def test_former_jobs_of_an_id(client: Client, scrapes: Scrapes) -> None:
    old = job("7", ALICE, sealed=False).replace("2026-11-23T20", "2026-11-21T20")
    scrapes.show(old, job("70", ALICE, sealed=False), job("8", ALICE, sealed=False))
    scrapes.show(job("7", BOB, sealed=False).replace("2026-11-23T20", "2026-11-22T20"))
    scrapes.show(job("7", ALICE, sealed=False), job("70", BOB, sealed=False))
    found = client.get("jobs/history", job_id="7").json
    former = found["former_jobs"]

    assert [each["slurm"]["mila_cluster_username"] for each in former] == ["bob", "alice"]
    assert all(each.keys() == {"slurm", "cw", "user"} for each in former)
    assert all(each["slurm"]["job_id"] == "7" for each in former)
    assert not any("filters" in each["cw"] for each in former)
    assert [len(each["cw"]["history"]) for each in former] == [1, 1]
    assert found["first_seen"] == "2026-11-24T12:02:00Z"


def test_jobs_of_other_lists_have_no_history_in_them(client: Client, scrapes: Scrapes) -> None:
    scrapes.show(job("7", ALICE, sealed=False))

    assert "history" not in client.get("jobs/one", job_id="7").json["cw"]


def test_the_rules_of_jobs_one(client: Client, store: Store) -> None:
    assert client.get("jobs/history", job_id="1").json == {}
    assert client.get("jobs/history", job_id="820432", cluster_name="mila").json == {}
    for arguments in ({}, {"job_id": ""}, {"job_id": "1", "user": "x"}, {"cluster_name": "mila"}):
        assert_problem(client.get("jobs/history", **arguments), 400)

    store.jobs.insert_one(job_document({**BELUGA_JOB, "cluster_name": "cedar"}))
    answer = client.get("jobs/history", job_id="820432")
    assert_problem(answer, 500)
    assert "beluga, cedar" in answer.json["detail"]
    found = client.get("jobs/history", job_id="820432", cluster_name="cedar").json
    assert found["cluster_name"] == "cedar"
    assert found["history"] == []  # a document of before there was one


def test_former_jobs_are_found_by_an_index(store: Store) -> None:
    found = store.former_jobs.find(queries.job("7", "mila"))

    assert '"IXSCAN"' in json.dumps(found.explain(), default=str)
