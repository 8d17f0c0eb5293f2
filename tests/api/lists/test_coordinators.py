"""jobs_visible = "own": who coordinates accounts of Slurm sees their jobs, and no others."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.monitoring import CommandListener, CommandStartedEvent

from api.app import build_app
from config import ApiSettings
from ingest.accounts.users import AccountError, add_user, list_users
from ingest.database.store import Document, Store
from tests.api.support.client import Answer, Client, following
from tests.api.support.examples import NOW, job_document
from tests.ingest.sync.outputs import Clock
from tests.ingest.sync.sealed_outputs import Rounds, one
from tests.support.documented import BELUGA_JOB, MILA_JOB

EMAIL = "carol@mila.example"
ACCOUNT = str(BELUGA_JOB["account"])
OWN, COORDINATED = "7", str(BELUGA_JOB["job_id"])
HIDDEN = str(MILA_JOB["job_id"])


def client_of(store: Store, token: str) -> Client:
    app = build_app(store, lambda: NOW, settings=ApiSettings(jobs_visible="own"))
    return Client(app, {"Authorization": f"Bearer {token}"})


@pytest.fixture
def coordinator(filled: Store) -> Client:
    """Carol coordinates the account of the job on beluga, and has a job of another account."""
    _, token = add_user(filled, EMAIL, "carol", coordinates=[ACCOUNT, "unused"])
    own = {**MILA_JOB, "job_id": OWN, "mila_cluster_username": "carol", "account": "other"}
    filled.jobs.insert_one(job_document(own))
    # A name that looks like the account's is nobody's.
    for number, account in enumerate((f"{ACCOUNT}x", ACCOUNT.upper(), f" {ACCOUNT}", None)):
        slurm = {**MILA_JOB, "job_id": f"90{number}", "account": account}
        filled.jobs.insert_one(job_document(slurm))
    return client_of(filled, token)


def ids(answer: Any) -> set[str]:
    return {job["slurm"]["job_id"] for job in answer.json}


def test_lists_and_counts(coordinator: Client) -> None:
    get = coordinator.get
    assert ids(get("jobs/list")) == {OWN, COORDINATED}
    assert ids(get("jobs/list", time="60")) == {OWN, COORDINATED}
    assert ids(get("jobs/list", account=ACCOUNT)) == {COORDINATED}
    assert ids(get("jobs/list", account="mila")) == set()
    assert ids(get("jobs/list", account="other")) == {OWN}
    assert ids(get("jobs/list", user="carol")) == {OWN}
    assert ids(get("jobs/list", user="ccuser01")) == {COORDINATED}
    assert ids(get("jobs/list", job_id=f"{OWN},{COORDINATED},{HIDDEN},900")) == {OWN, COORDINATED}
    assert get("jobs/list", count="true").json == {"count": 2}
    assert get("jobs/list", count="true", cluster_name="mila").json == {"count": 1}
    first = get("jobs/list", limit="1", sort="-submit_time")
    second = following(coordinator, "jobs/list", first)
    assert second is not None
    assert ids(first) | ids(second) == {OWN, COORDINATED}
    assert following(coordinator, "jobs/list", second) is None
    lines = get("jobs/list", format="csv", fields="slurm.job_id").body.split()
    assert {line.decode().strip('"') for line in lines[1:]} == {OWN, COORDINATED}
    counted = {each["name"]: each["unfinished_jobs"] for each in get("clusters/list").json}
    assert counted.get("mila", {}) in ({}, {"RUNNING": 1})
    for arguments in (
        *({"user": "milauser12"}, {"name": "somejobname_942640"}, {"node": "cn-b005"}),
        *(
            {"partition": "fun_partition"},
            {"job_state": "RUNNING"},
            {"ended_since": "2020-01-01T00:00:00Z"},
        ),
        *({"sort": "name", "limit": "9"}, {"cluster_name": "mila", "time": "9999"}),
    ):
        answer = get("jobs/list", **arguments)
        assert (answer.status, b"milauser12" in answer.body) == (200, False), arguments


class Filters(CommandListener):
    """Keeps the filters by which jobs are looked for."""

    def __init__(self) -> None:
        self.found: list[Document] = []

    def started(self, event: CommandStartedEvent) -> None:
        command = event.command
        if command.get("find") == "jobs":
            self.found.append(command["filter"])
        elif command.get("aggregate") == "jobs":
            self.found.append(command["pipeline"][0]["$match"])

    def succeeded(self, event: Any) -> None:
        """Nothing to note."""

    def failed(self, event: Any) -> None:
        """Nothing to note."""


@dataclass(frozen=True)
class Busy:
    """The API for a coordinator of two accounts, among many jobs."""

    client: Client
    seen: set[str]
    """The ``_id`` of each job that the coordinator may see."""
    filters: Filters
    is_embedded: bool
    """Whether the database is the embedded one. MongoDB finds an index for each part of an $or."""


@pytest.fixture
def busy(store: Store, mongo_uri: str) -> Iterator[Busy]:
    dice = Random(7)  # noqa: S311
    owners, accounts = ("carol", "dave", None), ("physics", "biology", "chemistry", "x", None)
    seen, jobs = set(), []
    for number in range(300):
        owner, account = dice.choice(owners), dice.choice(accounts)
        times = {"submit_time": f"2021-11-{dice.randint(1, 14):02}T00:00:00-05:00"}
        job = job_document(
            {
                **MILA_JOB,
                **(times if dice.randint(0, 1) else {"submit_time": "Unknown"}),
                "job_id": str(number),
                "name": dice.choice("abc"),
                "account": account,
                "cluster_name": dice.choice(["mila", "beluga"]),
                "mila_cluster_username": owner,
            },
            dice.choice([None, 5, dice.randint(0, 9000)]),
        )
        jobs.append(job)
        if owner == "carol" or account in ("physics", "biology"):
            seen.add(str(job["_id"]))
    store.jobs.insert_many(jobs)
    _, token = add_user(store, EMAIL, "carol", coordinates=["physics", "biology"])
    filters = Filters()
    with MongoClient[Document](mongo_uri, event_listeners=[filters]) as client:
        heard = client_of(Store(client[store.database.name]), token)
        yield Busy(heard, seen, filters, store.is_embedded)


def key_of(job: Document) -> str:
    return f"{job['slurm']['cluster_name']}/{job['slurm']['job_id']}"


@pytest.mark.parametrize("limit", ["50", ""])
def test_each_job_is_listed_once_and_in_order(busy: Busy, limit: str) -> None:
    for sort in ("", "name", "-name", "-submit_time", "finished_at"):
        all_pages(busy, sort, limit)
    count = busy.client.get("jobs/list", count="true").json["count"]
    assert count == len(busy.seen)


def all_pages(busy: Busy, sort: str, limit: str) -> None:
    given = {name: value for name, value in (("sort", sort), ("limit", limit)) if value}
    listed: list[Document] = []
    page: Answer | None = busy.client.get("jobs/list", **given)
    while page is not None:
        listed += page.json
        page = following(busy.client, "jobs/list", page) if limit else None
    assert [key_of(each) for each in listed] == [*dict.fromkeys(map(key_of, listed))]
    assert {key_of(each) for each in listed} == busy.seen
    if sort.strip("-") in ("", "name"):
        keys = [(each["slurm"]["name"] if sort else "", key_of(each)) for each in listed]
        assert keys == sorted(keys, reverse=sort.startswith("-"))


def test_every_query_of_a_coordinator_begins_with_what_an_index_finds(busy: Busy) -> None:
    for arguments in (
        *({}, {"count": "true"}, {"limit": "7"}, {"limit": "7", "sort": "-submit_time"}),
        *({"job_state": "RUNNING"}, {"limit": "1000", "user": "carol"}, {"account": "physics"}),
        *({"account": "physics,chemistry"}, {"account": "x", "limit": "7", "sort": "-submit_time"}),
    ):
        busy.filters.found.clear()
        assert busy.client.get("jobs/list", **arguments).status == 200
        assert busy.filters.found
        for each in busy.filters.found if busy.is_embedded else ():
            assert not {"$or", "$and", "$nor"} & each.keys(), (arguments, each)


def test_another_account_is_looked_for_among_the_own_jobs_alone(busy: Busy) -> None:
    both = busy.client.get("jobs/list", account="chemistry,physics").json
    assert {each["slurm"]["account"] for each in both} == {"chemistry", "physics"}
    busy.filters.found.clear()
    others = busy.client.get("jobs/list", account="chemistry").json
    assert {each["slurm"]["mila_cluster_username"] for each in others} == {"carol"}
    if busy.is_embedded:
        [found] = busy.filters.found
        assert "cw.filters.owner" in found


def test_one_job(coordinator: Client, filled: Store) -> None:
    former = job_document({**MILA_JOB, "job_id": COORDINATED, "cluster_name": "beluga"})
    filled.former_jobs.insert_one({**former, "_id": "beluga/820432/1"})
    for path in ("jobs/one", "jobs/history", "jobs/why", "jobs/user_props/get"):
        assert coordinator.get(path, job_id=HIDDEN).json == {}
        assert coordinator.get(path, job_id="903").json == {}
    assert coordinator.get("jobs/one", job_id=COORDINATED).json["slurm"] == BELUGA_JOB
    assert coordinator.get("jobs/why", job_id=COORDINATED).json["job_state"] == "PENDING"
    assert coordinator.get("jobs/history", job_id=COORDINATED).json["former_jobs"] == []
    pairs = {"a": 1}
    written = coordinator.put("jobs/user_dict_update", job_id=OWN, update_pairs=pairs)
    assert written.json == pairs
    for job_id, status in [(COORDINATED, 403), (HIDDEN, 404)]:
        refused = coordinator.put("jobs/user_dict_update", job_id=job_id, update_pairs=pairs)
        assert refused.status == status
    assert filled.jobs.count_documents({"user": pairs}) == 1
    assert coordinator.get("/metrics").status == 403


def test_a_coordinator_s_accounts_are_changed(coordinator: Client, filled: Store) -> None:
    """What is not given stays; the change holds from the next request."""
    facts = coordinator.get("whoami").json
    assert (facts["sees"], facts["coordinates"], facts["role"]) == (
        "accounts",
        [ACCOUNT, "unused"],
        "user",
    )
    tag = str(coordinator.get("jobs/list", limit="9").header("ETag"))
    add_user(filled, EMAIL, role="user")
    assert ids(coordinator.get("jobs/list")) == {OWN, COORDINATED}
    add_user(filled, EMAIL, coordinates=["mila"])
    known = Client(coordinator.app, {**coordinator.headers, "If-None-Match": tag})
    assert ids(known.get("jobs/list", limit="9")) == {OWN, HIDDEN}
    add_user(filled, EMAIL, coordinates=[])
    assert ids(coordinator.get("jobs/list")) == {OWN}
    facts = coordinator.get("whoami").json
    assert (facts["sees"], facts["coordinates"]) == ("own", [])
    for bad in ([""], ["a b"], ["a\n"], ["x" * 129], [str(number) for number in range(101)]):
        with pytest.raises(AccountError, match="of Slurm"):
            add_user(filled, EMAIL, coordinates=bad)
    assert list_users(filled)[0].coordinates == ()


def test_the_feed(store: Store) -> None:
    """A job that goes to another account is gone; of other accounts, nothing is told."""
    _, token = add_user(store, EMAIL, "carol", coordinates=["physics"])
    client = client_of(store, token)
    rounds = Rounds(store, Clock())

    def take(**accounts: str) -> None:
        rounds.take(
            *(
                one(key[1:]).replace("Account=def-pomme", f"Account={name}")
                for key, name in accounts.items()
            )
        )

    cursors = [client.get("jobs/changes").json["cursor"]]

    def news() -> tuple[set[str], set[str]]:
        found = client.get("jobs/changes", cursor=cursors[-1]).json
        cursors.append(found["cursor"])
        changed = {each["slurm"]["job_id"] for each in found["changed"]}
        return changed, {each["job_id"] for each in found["gone"]}

    take(j1="physics", j2="chemistry", j3="physics")
    assert news() == ({"1", "3"}, set())
    take(j1="chemistry", j2="chemistry", j3="physics")
    assert news() == (set(), {"1"})
    take(j1="biology", j2="physics", j3="physics")
    assert news() == ({"2"}, set())
    rounds.sync.forget()  # as after a restart
    take(j1="biology", j2="physics", j3="biology")
    assert news() == (set(), {"3"})

    add_user(store, EMAIL, coordinates=["physics", "biology"])
    refused = client.get("jobs/changes", cursor=cursors[-1])
    assert refused.status == 410, json.dumps(refused.json)
