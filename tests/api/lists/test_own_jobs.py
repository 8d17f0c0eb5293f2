"""jobs_visible = "own": every query finds its jobs by an index, and no header tells of others'."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pymongo import MongoClient, UpdateOne
from pymongo.monitoring import CommandListener

from api.app import build_app
from config import ApiSettings
from ingest.accounts.users import add_user
from ingest.database.change_tokens import NOTHING, bulk_write
from ingest.database.migrations import migrate
from ingest.database.search_fields import job_search_fields
from ingest.database.store import Document, Store
from tests.api.support.client import Client
from tests.api.support.examples import NOW, job_document
from tests.support.documented import BELUGA_JOB, MILA_JOB

COMMANDS = ("find", "aggregate")
OWNER = "cw.filters.owner"
REQUESTS: list[tuple[str, dict[str, str]]] = [
    ("jobs/list", {}),
    ("jobs/list", {"time": "3600"}),
    ("jobs/list", {"cluster_name": "mila", "time": "3600"}),
    ("jobs/list", {"user": "milauser12", "time": "3600"}),
    ("jobs/list", {"count": "true", "job_state": "RUNNING"}),
    ("jobs/list", {"name": "a", "node": "cn-b005", "partition": "main"}),
    ("jobs/list", {"account": "mila", "limit": "2"}),
    ("jobs/list", {"sort": "-submit_time", "limit": "2"}),
    ("jobs/list", {"sort": "name", "time": "60", "limit": "2"}),
    ("jobs/list", {"array_job_id": "4"}),
    ("jobs/one", {"job_id": "233874"}),
    ("jobs/history", {"job_id": "233874"}),
    ("clusters/list", {}),
]


class Commands(CommandListener):
    """What was asked of the jobs."""

    def __init__(self) -> None:
        self.seen: list[Document] = []

    def started(self, event: Any) -> None:
        if event.command_name in COMMANDS:
            command = dict(event.command)
            if command[event.command_name] in ("jobs", "former_jobs"):
                self.seen.append(command)

    def succeeded(self, event: Any) -> None:
        """Nothing to note."""

    def failed(self, event: Any) -> None:
        """Nothing to note."""


@dataclass(frozen=True)
class Own:
    """The API for a user who bears a name on both clusters and sees their own jobs alone."""

    store: Store
    client: Client
    commands: Commands


@pytest.fixture
def own(filled: Store, mongo_uri: str) -> Iterator[Own]:
    commands = Commands()
    heard: MongoClient[Document] = MongoClient(mongo_uri, event_listeners=[commands])
    store = Store(heard[filled.database.name])
    _, token = add_user(filled, "both@mila.example", "milauser12", "ccuser12")
    app = build_app(store, lambda: NOW, settings=ApiSettings(jobs_visible="own"))
    yield Own(filled, Client(app, {"Authorization": f"Bearer {token}"}), commands)
    heard.close()


def stages(plan: Any) -> Iterator[str]:
    """The names of all stages of a plan."""
    if isinstance(plan, dict):
        if isinstance(plan.get("stage"), str):
            yield plan["stage"]
        for part in plan.values():
            yield from stages(part)
    elif isinstance(plan, list):
        for part in plan:
            yield from stages(part)


def filter_of(command: Document) -> Document:
    if "aggregate" in command:
        return dict(command["pipeline"][0]["$match"])
    return dict(command["filter"])


def test_every_query_for_own_jobs_begins_with_what_an_index_finds(own: Own) -> None:
    """The embedded database takes the index of a filter's first condition, if that has one; its
    own word on how it would find documents is right for a single condition alone."""
    for path, arguments in REQUESTS:
        own.commands.seen.clear()
        assert own.client.get(path, **arguments).status == 200
        asked = [each for each in own.commands.seen if OWNER in filter_of(each)]
        assert asked, path
        for command in asked:
            found = filter_of(command)
            assert not {"$or", "$and", "$nor"} & found.keys()
            first = next(iter(found))
            # An id stands for one job of each cluster at most.
            one = path in ("jobs/one", "jobs/history")
            assert first == ("slurm.job_id" if one else OWNER), (path, arguments, found)
            collection = own.store.database[command.get("find") or command["aggregate"]]
            plan = collection.find({first: found[first]}).explain()["queryPlanner"]
            used = set(stages(plan["winningPlan"]))
            assert "COLLSCAN" not in used, (path, arguments, plan)


def test_a_count_costs_the_same_whosever_name_it_is_for(own: Own) -> None:
    """The database goes through the user's own jobs, whatever others have under that name."""
    bobs = ({**BELUGA_JOB, "job_id": str(n), "name": "merger"} for n in range(100, 200))
    own.store.jobs.insert_many(job_document(each) for each in bobs)
    examined = []
    for arguments in (
        *({"name": "merger"}, {"name": "nobody's"}, {"user": "ccuser01"}, {"user": "x"}),
        *({"node": "n"}, {"array_job_id": "7"}, {"job_state": "PENDING"}),
    ):
        own.commands.seen.clear()
        assert own.client.get("jobs/list", count="true", **arguments).json == {"count": 0}
        [command] = own.commands.seen
        conditions = filter_of(command)
        first = {OWNER: conditions[OWNER]}
        assert next(iter(conditions)) == OWNER
        examined.append(own.store.jobs.count_documents(first))

    assert examined == [1] * len(examined)


def test_other_users_activity_is_in_no_header(own: Own) -> None:
    def headers() -> list[Any]:
        return [own.client.get(path, **arguments).headers for path, arguments in REQUESTS]

    before = headers()
    own.store.jobs.insert_one(job_document({**BELUGA_JOB, "job_id": "77"}, finished_ago=1800))
    operation = UpdateOne({"_id": "beluga/77"}, {"$set": {"slurm.job_state": "FAILED"}})
    bulk_write(own.store, own.store.jobs, [operation], {"beluga": NOTHING, "mila": NOTHING})

    assert headers() == before


def test_own_pages_and_numbers_have_tags_and_own_streams_none(own: Own) -> None:
    assert own.client.get("jobs/list").header("ETag") is None
    assert own.client.get("jobs/list").header("Cache-Control") == "private, no-cache"
    for number, arguments in enumerate(({"limit": "5"}, {"count": "true"})):
        tag = str(own.client.get("jobs/list", **arguments).header("ETag"))
        again = Client(own.client.app, {**own.client.headers, "If-None-Match": tag})
        assert again.get("jobs/list", **arguments).status == 304
        own.store.jobs.insert_one(job_document({**MILA_JOB, "job_id": str(number)}))
        assert again.get("jobs/list", **arguments).status == 200


def test_former_jobs_of_others_are_not_there_whatever_wrote_them(own: Own) -> None:
    for number, name in enumerate(("someone", "milauser12", "someone")):
        former = job_document({**MILA_JOB, "mila_cluster_username": name})
        del former["cw"]["filters"]  # as an earlier release kept it
        own.store.former_jobs.insert_one({**former, "_id": f"mila/233874/{number}"})
    assert own.client.get("jobs/history", job_id="233874").json["former_jobs"] == []

    assert migrate(own.store) == 3
    [found] = own.client.get("jobs/history", job_id="233874").json["former_jobs"]
    assert found["slurm"]["mila_cluster_username"] == "milauser12"
    assert "filters" not in found["cw"]


def test_a_name_that_only_the_accounts_give_makes_nobody_an_owner(own: Own) -> None:
    """A job shows its owner's three names; the one that Slurm gave alone makes it theirs."""
    slurm = {**BELUGA_JOB, "job_id": "5", "cc_account_username": "x"}
    own.store.jobs.insert_one(job_document(slurm, mila_cluster_username="milauser12"))

    assert job_search_fields(slurm, (), None)["owner"] == "cc_account_username/x"
    assert own.client.get("jobs/one", job_id="5").json == {}
    assert own.client.get("jobs/list", user="milauser12", count="true").json == {"count": 1}
