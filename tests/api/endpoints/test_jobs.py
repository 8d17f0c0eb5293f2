"""``jobs/list`` and ``jobs/one``."""

from itertools import pairwise
from typing import Any

import pytest

from api.lists.prefetch import DOCUMENTS_PER_BATCH
from ingest.accounts.users import add_user
from ingest.database.store import Store
from tests.api.support.client import Client
from tests.api.support.examples import job_document
from tests.support.documented import BELUGA_JOB, MILA_JOB


def job_ids(jobs: list[dict[str, Any]]) -> list[str]:
    return [job["slurm"]["job_id"] for job in jobs]


def insert_job(store: Store, job_id: str, **given: Any) -> None:
    slurm = {**MILA_JOB, "job_id": job_id}
    store.jobs.insert_one(job_document(slurm | given.pop("slurm", {}), **given))


def test_list_answers_the_example_of_the_manual(client: Client) -> None:
    answer = client.get("jobs/list", cluster_name="beluga")

    assert answer.status == 200
    assert answer.header("Content-Type") == "application/json"
    [job] = answer.json
    assert list(job) == ["slurm", "cw", "user"]
    assert job["slurm"] == BELUGA_JOB
    assert job["user"] == {}
    names = {
        "cc_account_username": "ccuser01",
        "mila_cluster_username": None,
        "mila_email_username": None,
    }
    assert job["cw"].items() >= names.items()


def test_one_answers_the_example_of_the_manual(client: Client) -> None:
    answer = client.get("jobs/one", job_id="233874", cluster_name="mila")

    assert answer.status == 200
    assert list(answer.json) == ["slurm", "cw", "user"]
    assert answer.json["slurm"] == MILA_JOB
    assert answer.json["cw"]["mila_email_username"] == "mila12@mila.example"


def test_dates_of_the_bookkeeping_are_iso_8601_in_utc(client: Client) -> None:
    cw = client.get("jobs/one", job_id="233874").json["cw"]

    assert cw["first_seen"] == "2021-11-14T12:00:00Z"
    assert cw["finished_at"] is None


def test_list_of_nothing_is_an_empty_list(client: Client, store: Store) -> None:
    store.jobs.delete_many({})

    answer = client.get("jobs/list")

    assert (answer.status, answer.body) == (200, b"[]")


@pytest.mark.parametrize(
    "count",
    [1, DOCUMENTS_PER_BATCH - 1, DOCUMENTS_PER_BATCH, DOCUMENTS_PER_BATCH + 1, 1000],
)
def test_list_gives_every_job_once_in_one_order(client: Client, store: Store, count: int) -> None:
    store.jobs.delete_many({})
    store.jobs.insert_many(
        job_document({**MILA_JOB, "job_id": str(number)}) for number in range(count)
    )

    listed = job_ids(client.get("jobs/list").json)

    assert sorted(listed, key=int) == [str(number) for number in range(count)]
    assert all(before < after for before, after in pairwise(listed))


@pytest.mark.parametrize("name", ["milauser12", "ccuser12", "mila12@mila.example"])
def test_list_of_a_user_by_each_of_the_three_names(client: Client, name: str) -> None:
    assert job_ids(client.get("jobs/list", user=name).json) == ["233874"]


def test_list_of_a_name_that_no_account_bears(client: Client) -> None:
    assert job_ids(client.get("jobs/list", user="ccuser01").json) == ["820432"]
    assert client.get("jobs/list", user="stranger").json == []
    assert client.get("jobs/list", user="milauser").json == []


@pytest.mark.parametrize("name", ["time", "relative_time"])
def test_time_leaves_out_what_finished_earlier(client: Client, store: Store, name: str) -> None:
    insert_job(store, "1", finished_ago=3599)
    insert_job(store, "2", finished_ago=3600)
    insert_job(store, "3", finished_ago=3601)
    insert_job(store, "4", finished_ago=None)

    listed = job_ids(client.get("jobs/list", cluster_name="mila", **{name: "3600"}).json)

    assert listed == ["1", "2", "233874", "4"]


def test_time_of_zero_and_of_ages(client: Client, store: Store) -> None:
    insert_job(store, "1", finished_ago=10)

    assert "1" not in job_ids(client.get("jobs/list", time="0").json)
    assert "1" in job_ids(client.get("jobs/list", time="9" * 18).json)


@pytest.mark.parametrize(
    "seconds", ["", "-1", "+1", " 1", "1 ", "1.0", "1e3", "0x10", "1_0", "abc", "٣", "9" * 19]
)
def test_time_that_is_no_number_of_seconds(client: Client, seconds: str) -> None:
    answer = client.get("jobs/list", time=seconds)

    assert answer.status == 400
    assert "time" in answer.json["detail"]


def test_time_under_both_its_names(client: Client) -> None:
    assert client.get("jobs/list", time="1", relative_time="1").status == 400


def test_conditions_hold_together(client: Client, store: Store) -> None:
    other = {"mila_cluster_username": "other"}
    insert_job(store, "1", finished_ago=10)
    insert_job(store, "2", finished_ago=100)
    insert_job(store, "3", finished_ago=10, slurm=other)
    insert_job(store, "4", finished_ago=10, slurm={"cluster_name": "cedar"})

    answer = client.get("jobs/list", user="milauser12", time="50", cluster_name="mila")

    assert job_ids(answer.json) == ["1", "233874"]


def test_an_operator_in_an_argument_is_a_plain_string(client: Client) -> None:
    for injected in ('{"$ne": null}', "$ne", "cw.mila_cluster_username", ".*"):
        assert client.get("jobs/list", user=injected).json == []
        assert client.get("jobs/list", cluster_name=injected).json == []
        assert client.get("jobs/one", job_id=injected).json == {}
    assert client.call("GET", "jobs/list", "user[$ne]=x").status == 400
    assert client.call("GET", "jobs/list", "user%5B%24ne%5D=x").status == 400


def test_a_mistyped_argument_is_refused_with_the_names_of_the_known(client: Client) -> None:
    answer = client.get("jobs/list", usr="milauser12")

    assert answer.status == 400
    assert "'usr'" in answer.json["detail"]
    for known in ("cluster_name", "job_state", "time", "user"):
        assert f", {known}" in answer.json["detail"]


def test_one_without_a_job_id(client: Client) -> None:
    for query in ("", "cluster_name=mila", "job_id="):
        answer = client.call("GET", "jobs/one", query)
        assert answer.status == 400
        assert "job_id" in answer.json["detail"]


def test_one_of_no_job_is_an_empty_object(client: Client) -> None:
    assert client.get("jobs/one", job_id="1").json == {}
    assert client.get("jobs/one", job_id="233874", cluster_name="beluga").json == {}


def test_one_of_several_names_the_clusters(client: Client, store: Store) -> None:
    insert_job(store, "820432")

    answer = client.get("jobs/one", job_id="820432")

    assert answer.status == 500
    assert "beluga, mila" in answer.json["detail"]
    one = client.get("jobs/one", job_id="820432", cluster_name="mila")
    assert one.json["slurm"]["cluster_name"] == "mila"


def test_an_account_added_later_sees_its_older_jobs(client: Client, store: Store) -> None:
    assert client.get("jobs/list", user="first@mila.example").json == []

    add_user(store, "first@mila.example", cc_account_username="ccuser01")

    assert job_ids(client.get("jobs/list", user="first@mila.example").json) == ["820432"]


def test_head_is_get_without_the_body(client: Client) -> None:
    for path, query in [("jobs/list", ""), ("jobs/one", "job_id=233874")]:
        head, get = client.call("HEAD", path, query), client.call("GET", path, query)
        assert (head.status, head.body) == (200, b"")
        assert head.header("Content-Length") == get.header("Content-Length")
