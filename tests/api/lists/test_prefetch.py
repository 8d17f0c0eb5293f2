"""Batches are fetched ahead by a thread. It ends when they do, with the cursor, however that is."""

import threading
import time
from collections.abc import Iterator
from itertools import chain
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from bson import Int64
from pymongo.collection import Collection
from pymongo.cursor import RawBatchCursor
from pymongo.errors import CursorNotFound, OperationFailure

from api.lists.prefetch import BATCHES_AHEAD, DOCUMENTS_PER_BATCH, in_batches
from api.schema.endpoint import BASE
from ingest.database.store import Document, Store
from tests.api.support.client import Client
from tests.api.support.examples import job_document
from tests.support.documented import MILA_JOB

MANY = 10 + BATCHES_AHEAD
"""Batches, more than are fetched before the first is looked at."""


@pytest.fixture
def numbers(store: Store) -> Collection[Document]:
    """A collection of so many batches of two."""
    store.database["numbers"].insert_many({"_id": number} for number in range(2 * MANY))
    return store.database["numbers"]


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """Whatever happens in a test, all threads that fetch have ended by then."""
    assert fetching_threads() == []
    yield
    assert fetching_threads() == []


def fetching_threads() -> list[str]:
    names = (thread.name for thread in threading.enumerate())
    return [name for name in names if name.startswith("clockwork-batches")]


def find(numbers: Collection[Document], most: int = 0) -> RawBatchCursor[Document]:
    cursor: RawBatchCursor[Document] = numbers.find_raw_batches({}, limit=most)
    cursor.sort("_id").batch_size(2)
    return cursor


def ids(batches: Iterator[list[Document]]) -> list[int]:
    return [document["_id"] for document in chain.from_iterable(batches)]


def is_open(numbers: Collection[Document], cursor_id: int) -> bool:
    """Whether the database still keeps the cursor; asking takes a batch of it."""
    try:
        numbers.database.command({"getMore": Int64(cursor_id), "collection": numbers.name})
    except OperationFailure:
        return False
    return True


@pytest.mark.parametrize("most", [0, 1, 2, 3, 4, 5, 2 * MANY - 1, 2 * MANY])
def test_all_documents_in_order(numbers: Collection[Document], most: int) -> None:
    cursor = find(numbers, most)

    assert ids(in_batches(cursor)) == list(range(most or 2 * MANY))
    assert not cursor.alive


def test_nothing_is_found(store: Store) -> None:
    assert ids(in_batches(store.jobs.find_raw_batches({}))) == []


def test_one_batch_needs_no_thread(numbers: Collection[Document]) -> None:
    batches = in_batches(numbers.find_raw_batches({}).batch_size(2 * MANY + 1))

    assert len(next(batches)) == 2 * MANY
    assert fetching_threads() == []
    assert list(batches) == []


def test_the_next_ones_come_while_one_is_worked_on(numbers: Collection[Document]) -> None:
    cursor = find(numbers)
    batches = in_batches(cursor)

    assert next(batches) == [{"_id": 0}, {"_id": 1}]
    for _ in range(1000):
        if cursor.retrieved == 1 + BATCHES_AHEAD:
            break
        time.sleep(0.01)
    assert cursor.retrieved == 1 + BATCHES_AHEAD
    batches.close()  # type: ignore[attr-defined]


def test_who_goes_away_leaves_neither_thread_nor_cursor(numbers: Collection[Document]) -> None:
    cursor = find(numbers)
    batches = in_batches(cursor)
    next(batches)
    cursor_id = cursor.cursor_id
    assert cursor_id

    batches.close()  # type: ignore[attr-defined]

    assert not cursor.alive
    assert not is_open(numbers, cursor_id)


def test_a_batch_that_fails_is_raised_behind_those_before_it(numbers: Collection[Document]) -> None:
    cursor = find(numbers)
    batches = in_batches(cursor)
    found = next(batches)
    numbers.database.command({"killCursors": numbers.name, "cursors": [cursor.cursor_id]})

    with pytest.raises(CursorNotFound):
        found.extend(chain.from_iterable(batches))

    assert len(found) <= 2 * (1 + BATCHES_AHEAD)
    assert [document["_id"] for document in found] == list(range(len(found)))
    assert fetching_threads() == []


@pytest.mark.parametrize("coding", ["identity", "gzip"])
@pytest.mark.parametrize("arguments", ["", "format=ndjson", "fields=slurm"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_client_that_goes_away_in_the_middle_of_a_list(
    client: Client, filled: Store, method: str, arguments: str, coding: str
) -> None:
    filled.jobs.insert_many(
        job_document({**MILA_JOB, "job_id": f"9{number:04}"})
        for number in range(2 * DOCUMENTS_PER_BATCH)
    )
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": BASE + "jobs/list",
        "QUERY_STRING": arguments,
        "HTTP_AUTHORIZATION": client.headers["Authorization"],
        "HTTP_ACCEPT_ENCODING": coding,
    }
    setup_testing_defaults(environ)

    chunks = client.app(environ, lambda *_: None)
    if method == "GET":
        assert next(iter(chunks))
        assert len(fetching_threads()) == 1
    if hasattr(chunks, "close"):
        chunks.close()
    del chunks

    assert fetching_threads() == []
