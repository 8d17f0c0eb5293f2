"""The API at a site whose username field is ``username``, and the owner under one name."""

from dataclasses import replace

import pytest

from api.app import build_app
from config import ApiSettings
from ingest.accounts.users import add_user
from ingest.database.store import Store
from tests.api.support.client import Client
from tests.api.support.examples import NOW, job_document
from tests.support.documented import MILA_JOB

EMAIL = "alice@site.example"
SLURM = {key: each for key, each in MILA_JOB.items() if key != "mila_cluster_username"}
ALICE = {**SLURM, "job_id": "1", "cluster_name": "site", "username": "alice"}
BOB = {**SLURM, "job_id": "2", "cluster_name": "site", "username": "bob"}
ONE = {"job_id": "1", "cluster_name": "site"}


@pytest.fixture
def alice(filled: Store) -> Client:
    """A client of alice, who has a job on a cluster with plain usernames; bob has another."""
    jobs = [
        job_document(ALICE, username="alice", mila_email_username=EMAIL),
        job_document(BOB, username="bob"),
    ]
    for job in jobs:
        job["cw"]["history"] = []
    filled.jobs.insert_many(jobs)
    # The same name under another field is another person.
    add_user(filled, "other@mila.example", "alice", "alice")
    _, token = add_user(filled, EMAIL, username="alice")
    return Client(build_app(filled, lambda: NOW), {"Authorization": f"Bearer {token}"})


@pytest.fixture
def own(alice: Client, filled: Store) -> Client:
    """The same client, where users see their own jobs alone."""
    return replace(
        alice, app=build_app(filled, lambda: NOW, settings=ApiSettings(jobs_visible="own"))
    )


def ids(client: Client, **arguments: str) -> list[str]:
    return [job["slurm"]["job_id"] for job in client.get("jobs/list", **arguments).json]


def test_a_job_by_each_name_of_its_user(alice: Client, own: Client) -> None:
    for client in (alice, own):
        for user in ("alice", EMAIL, "me"):
            assert ids(client, user=user) == ["1"]
            assert client.get("jobs/list", user=user, count="true").json == {"count": 1}
    assert ids(alice, user="bob") == ["2"]
    assert ids(own, user="bob") == []


def test_own_jobs_alone(own: Client) -> None:
    assert ids(own) == ["1"]
    assert own.get("jobs/one", **ONE).json["slurm"] == ALICE
    assert own.get("jobs/history", **ONE).json["job_id"] == "1"
    assert own.get("jobs/why", **ONE).json["job_state"] == "RUNNING"
    for path in ("jobs/one", "jobs/history", "jobs/why", "jobs/user_props/get"):
        assert own.get(path, **ONE | {"job_id": "2"}).json == {} or path.endswith("get"), path
    counted = {each["name"]: each["unfinished_jobs"] for each in own.get("clusters/list").json}
    assert counted.get("site", 1) == 1


def test_only_the_owner_writes_the_user_dict(alice: Client) -> None:
    put = alice.put
    assert put("jobs/user_dict_update", **ONE, update_pairs={"a": 1}).json == {"a": 1}
    assert alice.get("jobs/user_props/get", **ONE).json == {"a": 1}
    assert put("jobs/user_dict_update", **ONE | {"job_id": "2"}, update_pairs={}).status == 403
    # The example's job is of another cluster's milauser12.
    assert put("jobs/user_dict_update", job_id="233874", update_pairs={"a": 1}).status == 403


def test_whoami(alice: Client) -> None:
    found = alice.get("whoami").json
    assert (found["username"], found["mila_cluster_username"]) == ("alice", None)


def test_the_owner_has_one_name_on_every_cluster(alice: Client) -> None:
    found = alice.get("jobs/list", fields="slurm.job_id,cw.owner").json
    owners = {job["slurm"]["job_id"]: job["cw"] for job in found}
    names = {"1": "alice", "2": "bob", "233874": "milauser12", "820432": "ccuser01"}
    assert owners == {job_id: {"owner": name} for job_id, name in names.items()}
    for fields in ("cw.owner", "slurm,cw.owner", "cw,cw.owner,user", "cw.owner,slurm.username"):
        for job in (
            alice.get("jobs/one", **ONE, fields=fields).json,
            alice.get("jobs/list", user="alice", fields=fields).json[0],
        ):
            assert job["cw"]["owner"] == "alice", fields
            assert job.get("slurm", {}).get("username", "alice") == "alice"
            assert job.keys() == {each.partition(".")[0] for each in fields.split(",")}
    csv = alice.get("jobs/list", user="alice", format="csv", fields="slurm.job_id,cw.owner").body
    assert csv.splitlines()[1:] == [b'"1","alice"']
    assert b'"cw.owner"' in alice.get("jobs/list", format="csv").body.splitlines()[0]


def test_documents_are_as_before_where_nobody_asks(alice: Client) -> None:
    for job_id in ("233874", "820432"):
        cw = alice.get("jobs/one", job_id=job_id).json["cw"]
        assert not {"owner", "username"} & cw.keys()
    cw = alice.get("jobs/one", **ONE).json["cw"]
    assert "owner" not in cw
    assert {key: each for key, each in cw.items() if key.endswith("username")} == {
        "cc_account_username": None,
        "mila_cluster_username": None,
        "mila_email_username": EMAIL,
        "username": "alice",
    }


def test_a_job_that_slurm_gives_no_name(alice: Client, filled: Store) -> None:
    filled.jobs.insert_one(job_document({**SLURM, "job_id": "3", "cluster_name": "site"}))
    assert alice.get("jobs/one", job_id="3", fields="cw.owner").json == {"cw": {"owner": None}}


def test_what_is_no_field_of_a_job(alice: Client) -> None:
    answer = alice.get("jobs/one", **ONE, fields="cw.filters")
    assert answer.status == 400
    assert "cw.filters" in answer.json["detail"]
