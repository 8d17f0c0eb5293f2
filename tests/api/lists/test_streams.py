"""Lists of many documents go through the process without filling it."""

import tracemalloc
import uuid
from collections.abc import Iterator
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest

from api.app import build_app
from api.schema.endpoint import BASE
from ingest.accounts.users import add_user
from ingest.database.store import Store, connect
from tests.api.support.examples import job_document
from tests.mongo import leave
from tests.support.documented import MILA_JOB

FEW, MANY = 1000, 4500
WAYS = [
    (arguments, coding)
    for arguments in ("", "format=ndjson", "fields=slurm.job_id,cw")
    for coding in ("identity", "gzip")
]


@pytest.fixture
def bare_store(mongo_uri: str) -> Iterator[Store]:
    """A store without indexes, which is filled quickly."""
    store = connect(mongo_uri, f"clockwork_test_{uuid.uuid4().hex[:12]}")
    yield store
    leave(store)


def sent_and_held(app: Any, token: str, arguments: str, coding: str) -> tuple[int, int]:
    """The bytes of a list that went out, and the most that were held at once."""
    environ = {
        "PATH_INFO": BASE + "jobs/list",
        "QUERY_STRING": arguments,
        "HTTP_AUTHORIZATION": f"Bearer {token}",
        "HTTP_ACCEPT_ENCODING": coding,
    }
    setup_testing_defaults(environ)
    tracemalloc.start()
    try:
        sent = sum(len(chunk) for chunk in app(environ, lambda *_: None))
        return sent, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_list(bare_store: Store) -> None:
    _, token = add_user(bare_store, "mila12@mila.example", "milauser12")
    app = build_app(bare_store)

    def fill_and_ask(first: int, last: int) -> list[tuple[int, int]]:
        bare_store.jobs.insert_many(
            job_document({**MILA_JOB, "job_id": str(number)}) for number in range(first, last)
        )
        return [sent_and_held(app, token, *way) for way in WAYS]

    few, many = fill_and_ask(0, FEW), fill_and_ask(FEW, MANY)

    for (sent_few, held_for_few), (sent_many, held_for_many) in zip(few, many, strict=True):
        assert sent_many > 4 * sent_few
        assert held_for_many < 1.5 * held_for_few
