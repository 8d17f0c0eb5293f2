"""Pages of every order and of many filters are a plain sort, and cost what a page costs."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from random import Random
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.monitoring import CommandListener

from api.app import build_app
from api.endpoints.jobs import JOBS
from api.endpoints.nodes import NODES
from ingest.accounts.users import add_user
from ingest.database import embedded_pages
from ingest.database.store import Document, Store, connect
from tests.api.support.client import Answer, Client, following
from tests.api.support.examples import NOW, job_document, node_document
from tests.mongo import leave
from tests.support.documented import MILA_JOB, MILA_NODE

JOBS_STORED = 250
ORDERS = ["", *(sign + key for key in JOBS.sort_keys for sign in ("", "-"))]
FILTERS = [
    {},
    {"cluster_name": "mila"},
    {"job_state": "RUNNING"},
    {"time": "3600"},
    {"time": "3600", "partition": "main"},
    {"job_state": "FAILED", "account": "rare"},
    {"user": "milauser12"},
    {"ended_since": "2021-11-01T00:00:00Z", "ended_before": "2021-11-14T11:00:00Z"},
]


class Finds(CommandListener):
    """The queries for jobs that were sent."""

    def __init__(self) -> None:
        self.seen: list[Document] = []

    def started(self, event: Any) -> None:
        if event.command_name == "find" and event.command["find"] == "jobs":
            self.seen.append(dict(event.command["filter"]))

    def succeeded(self, event: Any) -> None:
        """Nothing to note."""

    def failed(self, event: Any) -> None:
        """Nothing to note."""


def random_job(number: int, random: Random) -> Document:
    state = random.choices(["RUNNING", "COMPLETED", "FAILED"], [4, 5, 1])[0]
    ago = None if state == "RUNNING" else random.choice([60.0, 7200.0, random.random() * 1e6])
    submitted = NOW - timedelta(seconds=random.choice([600, random.randrange(10**6)]))
    slurm = {
        **MILA_JOB,
        "job_id": str(number * random.choice([1, 10])),
        "cluster_name": random.choice(["mila", "mila-2", "beluga"]),
        "name": random.choice(["train", "train\t2", "train-2", f"run {random.randrange(100)}"]),
        "job_state": state,
        "partition": random.choice(["main", "long", "long,main"]),
        "account": random.choices(["usual", "rare"], [50, 1])[0],
        "submit_time": "Unknown" if random.random() < 0.1 else submitted.isoformat(),
    }
    return job_document(slurm, ago)


@dataclass(frozen=True)
class Filled:
    """The API over random jobs and nodes, many of which are bounds; no test changes them."""

    store: Store
    client: Client
    finds: Finds


@pytest.fixture(scope="module")
def filled(mongo_uri: str) -> Iterator[Filled]:
    store = connect(mongo_uri, f"clockwork_test_{uuid.uuid4().hex[:12]}")
    store.ensure_indexes()
    random = Random(7)  # noqa: S311
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(embedded_pages, "SPACING", 8)
        jobs = (random_job(number, random) for number in range(1, JOBS_STORED + 1))
        store.jobs.insert_many({each["_id"]: each for each in jobs}.values())
        store.nodes.insert_many(
            node_document({**MILA_NODE, "name": f"n{n}", "cluster_name": name, "state": state})
            for n, (name, state) in product(range(15), product(("mila", "beluga"), "AB"))
            if (n + ord(state)) % 2
        )
        _, token = add_user(store, "a@mila.example", "milauser12")
        finds = Finds()
        with MongoClient[Document](mongo_uri, event_listeners=[finds]) as heard:
            app = build_app(Store(heard[store.database.name]), clock=lambda: NOW)
            yield Filled(store, Client(app, {"Authorization": f"Bearer {token}"}), finds)
    leave(store)


def ids(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return [f"{each['slurm']['cluster_name']}/{each['slurm']['job_id']}" for each in answer.json]


def check_pages(client: Client, path: str, limit: int, **arguments: str) -> None:
    """Check that the pages of a list are the whole list, cut."""
    whole = client.get(path, **arguments)
    assert whole.status == 200, whole.body
    page: Answer | None = client.get(path, **arguments, limit=str(limit))
    read: list[Any] = []
    while page is not None:
        assert page.status == 200, page.body
        read += page.json
        page = following(client, path, page)
    assert read == whole.json, arguments


@pytest.mark.parametrize("wanted", FILTERS)
def test_pages_are_the_whole_list_cut(filled: Filled, wanted: dict[str, str]) -> None:
    for sort in ORDERS:
        order = {"sort": sort} if sort else {}
        check_pages(filled.client, "jobs/list", 45, fields="slurm.job_id", **wanted, **order)


def test_pages_of_nodes_are_the_whole_list_cut(filled: Filled) -> None:
    for sort in ("", *NODES.sort_keys, *(f"-{key}" for key in NODES.sort_keys)):
        for wanted in ({}, {"state": "A"}, {"cluster_name": "mila"}):
            order = {"sort": sort} if sort else {}
            check_pages(filled.client, "nodes/list", 7, **wanted, **order)


@pytest.mark.parametrize(
    ("sort", "wanted"),
    [
        *product(ORDERS, [{}]),
        *product(["finished_at", "-finished_at"], [{"cluster_name": "mila"}, {"time": "3600"}]),
        *product(
            ["submit_time", "-submit_time"],
            [{"cluster_name": "mila"}, {"partition": "main"}, {"user": "milauser12"}],
        ),
    ],
)
def test_a_page_reads_few_documents_of_the_embedded_database(
    filled: Filled, sort: str, wanted: dict[str, str]
) -> None:
    if not filled.store.is_embedded:
        pytest.skip("MongoDB reads in the order of an index")
    order = {"sort": sort} if sort else {}
    filled.finds.seen.clear()
    page: Answer | None = filled.client.get("jobs/list", limit="3", **wanted, **order)
    for _ in range(4):
        parts = [each for each in filled.finds.seen if "cw.filters.bound" not in each]
        assert sum(examined(filled.store, each) for each in parts) < JOBS_STORED / 3, parts
        filled.finds.seen.clear()
        assert page is not None
        page = following(filled.client, "jobs/list", page)


def examined(store: Store, conditions: Document) -> int:
    """How many documents the embedded database reads for a filter: what an index finds for the
    whole filter, or else for its first condition that has an index; for "greater", also what is
    equal."""
    assert not any(path.startswith("$") for path in conditions)
    widened = {path: _with_equal(condition) for path, condition in conditions.items()}
    alone = [{path: condition} for path, condition in widened.items()]
    for part in (widened, *alone):
        plan = store.jobs.find(part).explain()["queryPlanner"]["winningPlan"]
        if "IXSCAN" in str(plan):
            return store.jobs.count_documents(part)
    raise AssertionError(f"no index for {conditions}")


def _with_equal(condition: Any) -> Any:
    if not isinstance(condition, dict):
        return condition
    return {"$gte" if name == "$gt" else name: value for name, value in condition.items()}
