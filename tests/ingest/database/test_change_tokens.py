"""Writes in transactions: all or none, and again where the server undid them. Reading tokens."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from pymongo import InsertOne
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure

from ingest.database.change_tokens import NOTHING, SeenTokens, bulk_write, scrape_token
from ingest.database.embedded_quirks import TRIES
from ingest.database.store import Store
from ingest.database.transactions import in_transaction

UNDONE = OperationFailure("internal server error", 1, {"ok": 0.0, "code": 1})
"""What the embedded database says of a commit that met others' writes."""


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[Exception | None]:
    """What the next commits meet, the last one first: an error, before which all is undone."""
    ahead: list[Exception | None] = []
    commit = ClientSession.commit_transaction

    def commit_or_fail(session: ClientSession) -> None:
        error = ahead.pop() if ahead else None
        if error is None:
            commit(session)
            return
        session.abort_transaction()
        raise error

    monkeypatch.setattr(ClientSession, "commit_transaction", commit_or_fail)
    return ahead


def add(store: Store, number: int) -> None:
    bulk_write(store, store.jobs, [InsertOne({"_id": f"mila/{number}"})], {"mila": NOTHING})


def test_a_commit_that_was_undone_is_tried_again(
    store: Store, commits: list[Exception | None]
) -> None:
    commits += [UNDONE] * (TRIES - 1)
    add(store, 1)
    assert not commits
    assert [job["_id"] for job in store.jobs.find()] == ["mila/1"]
    assert store.change_tokens.count_documents({"_id": scrape_token("jobs", "mila")}) == 1


def test_one_that_is_undone_every_time_is_an_error_and_nothing_is_written(
    store: Store, commits: list[Exception | None]
) -> None:
    commits += [UNDONE] * TRIES
    with pytest.raises(OperationFailure, match="internal server error"):
        add(store, 1)
    assert not commits
    assert store.jobs.count_documents({}) == store.change_tokens.count_documents({}) == 0


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(DuplicateKeyError("E11000", 11000, {"ok": 0.0, "code": 11000}), id="one"),
        pytest.param(
            BulkWriteError(
                {"writeErrors": [{"index": 0, "code": 11000, "op": {"q": {}, "u": {}}}]}
            ),
            id="many",
        ),
    ],
)
def test_a_write_that_met_another_writer_of_its_document_is_tried_again(
    store: Store, error: OperationFailure
) -> None:
    ahead = [error] * (TRIES - 1)

    def write(session: ClientSession) -> str:
        store.jobs.insert_one({"_id": "mila/1"}, session=session)
        if ahead:
            raise ahead.pop()
        return "written"

    assert in_transaction(store, write) == "written"
    assert [job["_id"] for job in store.jobs.find()] == ["mila/1"]


def test_an_insert_that_finds_its_key_is_not_tried_again(store: Store) -> None:
    tries = []

    def write(session: ClientSession) -> None:
        tries.append(session)
        store.jobs.bulk_write([InsertOne({"_id": "mila/1"})], session=session)

    in_transaction(store, write)
    with pytest.raises(BulkWriteError):
        in_transaction(store, write)
    assert len(tries) == 2


def test_another_error_of_a_commit_is_not_tried_again(
    store: Store, commits: list[Exception | None]
) -> None:
    commits += [None, OperationFailure("not authorized", 13)]
    with pytest.raises(OperationFailure, match="not authorized"):
        add(store, 1)
    assert commits == [None]
    assert store.jobs.count_documents({}) == 0


def test_what_a_write_itself_raises_is_raised_once(store: Store) -> None:
    calls = []

    def write(session: ClientSession) -> None:
        calls.append(session)
        store.jobs.insert_one({"_id": "mila/1"}, session=session)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        in_transaction(store, write)
    assert len(calls) == 1
    add(store, 2)
    with pytest.raises(BulkWriteError):
        add(store, 2)
    assert [job["_id"] for job in store.jobs.find()] == ["mila/2"]


@pytest.mark.parametrize("is_shared", [False, True])
def test_a_slow_query_of_one_request_holds_up_no_other(
    store: Store, monkeypatch: pytest.MonkeyPatch, *, is_shared: bool
) -> None:
    """Where two threads ask for the same tokens, both go by those that came first."""
    add(store, 1)
    asks, goes_on = Event(), Event()
    find = Collection.find

    def find_slowly(self: Collection[Any], *arguments: Any, **keys: Any) -> Any:
        if not asks.is_set():
            asks.set()
            assert goes_on.wait(300)
        return find(self, *arguments, **keys)

    monkeypatch.setattr(Collection, "find", find_slowly)
    with ThreadPoolExecutor(2) as requests:
        slow = SeenTokens(store, "jobs", "mila")
        other = slow if is_shared else SeenTokens(store, "jobs", "mila")
        first = requests.submit(slow.listed, "jobs", "mila")
        assert asks.wait(300)
        try:
            second = requests.submit(other.listed, "jobs", "mila").result(300)
            store.jobs.delete_one({"_id": "mila/1"})
            add(store, 2)
        finally:
            goes_on.set()
        assert (first.result(300) == second) is is_shared
