"""Every query that the API makes is served by an index: the plans, read from the database.

The commands are recorded as they go to the database, and then explained by it.  The embedded
database's explain tells less than it does: of several conditions that no one index covers, it walks
the index of the first that has one and checks the others, and explains that as a scan.  So there
such a filter is explained condition by condition, and `test_one_condition_is_enough_for_an_index`
shows that this is what it does.  It has no index for a range of ``_id``, by which Mongo reads the
pages of a list without any filter; that plan can be seen on Mongo alone.
"""

from collections.abc import Iterator, Mapping
from itertools import chain, combinations
from typing import Any

import pytest
from bson import MinKey
from pymongo import MongoClient
from pymongo.monitoring import CommandListener, CommandStartedEvent

from api.app import build_app
from api.endpoints.jobs import JOBS
from api.endpoints.nodes import NODES
from api.lists.listing import Kind
from ingest.accounts.users import add_user
from ingest.database.store import Document, Store
from tests.api.support.client import Answer, Client, following
from tests.api.support.examples import NOW, job_document, node_document
from tests.support.documented import BELUGA_NODE, MILA_JOB

WHOLE_COLLECTIONS: tuple[Document, ...] = (
    {},
    {"_id": {"$gte": "jobs/", "$lte": "users"}},
    {"_id": {"$gte": "nodes/", "$lte": "users"}},
)
"""Filters that ask for all there is: a list without any, and the marks of all clusters."""


class Recorder(CommandListener):
    """Keeps the queries among the commands that are sent."""

    def __init__(self) -> None:
        self.queries: dict[str, tuple[str, Document]] = {}

    def started(self, event: CommandStartedEvent) -> None:
        """A command is on its way."""
        command = event.command
        if event.command_name == "find":
            query = {key: command[key] for key in ("filter", "sort", "limit") if key in command}
            self._keep(command["find"], query)
        elif event.command_name == "aggregate":
            self._keep(command["aggregate"], {"filter": command["pipeline"][0]["$match"]})
        elif event.command_name == "update":
            for update in command["updates"]:
                self._keep(command["update"], {"filter": update["q"]})

    def succeeded(self, event: Any) -> None:
        """Of no interest."""

    def failed(self, event: Any) -> None:
        """Of no interest."""

    def _keep(self, collection: str, query: Document) -> None:
        self.queries.setdefault(f"{collection} {_shape(query)}", (collection, query))


def _shape(value: Any) -> Any:
    """*value* without what changes from one request to the next."""
    if isinstance(value, Mapping):
        return {key: _shape(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_shape(member) for member in value[:2]]
    return type(value).__name__


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def client(store: Store, mongo_uri: str, recorder: Recorder) -> Iterator[Client]:
    """A client of an API whose commands are recorded."""
    _, token = add_user(store, "mila12@mila.example", "milauser12")
    jobs = (
        {**MILA_JOB, "job_id": str(n), "name": f"n{n % 2}", "submit_time": time}
        for n, time in enumerate(2 * ["Unknown", MILA_JOB["submit_time"]])
    )
    store.jobs.insert_many(job_document(each, 5) for each in jobs)
    store.nodes.insert_many(node_document({**BELUGA_NODE, "name": f"n{n}"}) for n in range(3))
    with MongoClient[Document](mongo_uri, event_listeners=[recorder]) as recorded:
        app = build_app(Store(recorded[store.database.name]), clock=lambda: NOW)
        yield Client(app, {"Authorization": f"Bearer {token}"})


SEEDS_ARGUMENTS = {
    "jobs/list": {"cluster_name": "mila", "user": "milauser12", "time": "60"},
    "nodes/list": {"cluster_name": "beluga"},
}


OTHER_VALUES = {"gone": "false"}
NOT_TOGETHER = {"ended_since": "2021-11-14T11:00:00Z", "ended_before": "2021-11-14T12:00:00Z"}
"""Filters that do not go with ``time``."""


def arguments_of(path: str, kind: Kind) -> Iterator[dict[str, str]]:
    """Every filter alone with one value and with two, any two filters, and all together."""
    alone = [
        each.name for each in kind.filters if not each.beside and each.name not in NOT_TOGETHER
    ]
    one = dict.fromkeys(alone, "1") | OTHER_VALUES | SEEDS_ARGUMENTS[path]
    several = [each.name for each in kind.filters if each.takes_several]
    yield {}
    yield one
    for name in one:
        yield {name: one[name]}
        if name in several:
            yield {name: "1,2"}
    for first, second in combinations(one, 2):
        yield {first: one[first], second: one[second]}
    yield {**one, **dict.fromkeys(several, "1,2")}
    if path == "jobs/list":
        yield from ({name: value} for name, value in NOT_TOGETHER.items())
        yield {**NOT_TOGETHER, "sort": "finished_at", "limit": "2"}
        yield {**NOT_TOGETHER, "cluster_name": "mila"}
        yield {"user.KEY": "1", "user": "milauser12"}
        yield from ({"job_id": name} for name in ("4_3", "4_[1-8]", "26+1"))
        yield {"gone": "true"}


def ask_everything(client: Client, path: str, kind: Kind) -> None:
    for arguments in arguments_of(path, kind):
        assert client.get(path, **arguments).status == 200
        if "limit" not in arguments:
            assert client.get(path, count="true", **arguments).status == 200
    for sort in ["", *chain(kind.sort_keys, (f"-{key}" for key in kind.sort_keys))]:
        for arguments in ({}, SEEDS_ARGUMENTS[path], {"partition": "1"}):
            order = {"sort": sort} if sort else {}
            page: Answer | None = client.get(path, **arguments, **order, limit="1")
            while page is not None:
                assert page.status == 200
                page = following(client, path, page)


def indexes(store: Store, collection: str, query: Document) -> set[str]:
    """The indexes by which the database finds what *query* asks for; ``COLLSCAN`` for none."""
    conditions = query["filter"]
    if set(conditions) == {"_id"} and _is_embedded(store):
        return {"_id_"}
    found = _explained(store, collection, query)
    if "COLLSCAN" in found and len(conditions) > 1 and _is_embedded(store):
        alone = [
            _explained(store, collection, {"filter": {path: conditions[path]}})
            for path in conditions
        ]
        found = next((each for each in alone if "COLLSCAN" not in each), found)
    return found


def _explained(store: Store, collection: str, query: Document) -> set[str]:
    plan = store.database.command("explain", {"find": collection, **query})
    return set(_names(plan["queryPlanner"]["winningPlan"]))


def _names(stage: Mapping[str, Any]) -> Iterator[str]:
    if stage.get("stage") == "COLLSCAN":
        yield "COLLSCAN"
    if "indexName" in stage:
        yield stage["indexName"]
    if stage.get("stage") == "IDHACK":
        yield "_id_"
    for key in ("inputStage", "queryPlan"):
        if key in stage:
            yield from _names(stage[key])
    for each in stage.get("inputStages", ()):
        yield from _names(each)


def _is_embedded(store: Store) -> bool:
    return "secantus" in str(store.database.client.server_info()).lower()


def test_every_query_is_served_by_an_index(
    client: Client, store: Store, recorder: Recorder
) -> None:
    ask_everything(client, "jobs/list", JOBS)
    ask_everything(client, "nodes/list", NODES)
    for name in ("4_3", "4_[1-8]", "26+1"):
        assert client.get("jobs/one", job_id=name, cluster_name="mila").status == 200
    for arguments in ({"job_id": "1"}, {"job_id": "1", "cluster_name": "mila"}):
        assert client.get("jobs/one", **arguments).status == 200
        client.put("jobs/user_dict_update", **arguments, update_pairs={"a": 1})
    for arguments in ({"name": "n1"}, {"name": "n1", "cluster_name": "beluga"}):
        assert client.get("nodes/one", **arguments).status == 200

    assert len(recorder.queries) > 150
    table = {shape: indexes(store, *query) for shape, query in recorder.queries.items()}
    scanned = [
        shape
        for shape, (_, query) in recorder.queries.items()
        if "COLLSCAN" in table[shape] and query["filter"] not in WHOLE_COLLECTIONS
    ]
    assert scanned == []


def test_a_query_without_an_index_is_seen(store: Store) -> None:
    store.jobs.insert_one(job_document(dict(MILA_JOB)))

    for wanted in ({"slurm.uid": "1"}, {"slurm.uid": "1", "slurm.work_dir": "/"}):
        assert indexes(store, "jobs", {"filter": wanted}) == {"COLLSCAN"}
    assert indexes(store, "jobs", {"filter": {"slurm.uid": "1", "slurm.name": "a"}}) == {
        "slurm.name_1__id_1"
    }


def test_one_condition_is_enough_for_an_index(store: Store) -> None:
    """Every database leaves out what a sparse index does not hold, when it goes by that index."""
    found = store.database["sparse"]
    found.insert_many([{"a": 1}, {"a": 1, "b": 1}])
    wanted = {"b": {"$gte": MinKey()}, "a": 1}
    assert len(list(found.find(wanted))) == 2

    found.create_index("b", sparse=True)

    assert len(list(found.find(wanted).hint("b_1"))) == 1
    if _is_embedded(store):
        assert len(list(found.find(wanted))) == 1
