"""gzip, for those who ask for it."""

import gzip
from collections.abc import Iterator

import pytest

from api.http.gzip import LEAST_BYTES, compressed
from api.http.request import Response
from ingest.database.store import Store
from tests.api.support.client import Client
from tests.api.support.examples import job_document
from tests.support.documented import MILA_JOB

TEXT = b"0123456789" * LEAST_BYTES


def encoded(accept: str | None, body: bytes | Iterator[bytes]) -> tuple[str | None, bytes]:
    answer = compressed(Response(body), accept or "")
    whole = answer.body if isinstance(answer.body, bytes) else b"".join(answer.body)
    return answer.header("Content-Encoding"), whole


@pytest.mark.parametrize(
    "accept",
    [
        "gzip", "GZIP", "x-gzip", "deflate, gzip;q=1.0, *;q=0.5", "*", "br;q=1, gzip;q=0.1",
        "gzip;q=0.5, identity;q=0.5", "identity;q=0, *;q=0.1", " gzip ; q=0.001", "gzip,",
    ],
)  # fmt: skip
def test_asked_for(accept: str) -> None:
    for body in (TEXT, iter([TEXT[:5], TEXT[5:]])):
        coding, content = encoded(accept, body)
        assert coding == "gzip"
        assert gzip.decompress(content) == TEXT


@pytest.mark.parametrize(
    "accept",
    [
        None, "", "identity", "br", "gzip;q=0", "*;q=0", "gzip;q=0, *;q=1", "gzipped",
        "gzip;q=0.5, identity", "identity;q=0.9, gzip;q=0.8", "gzip;q=x", "gzip;q=2", "gzip;p=1",
        "gzip;q=-1", "gzip;q=nan",
    ],
)  # fmt: skip
def test_not_asked_for(accept: str | None) -> None:
    for body in (TEXT, iter([TEXT])):
        assert encoded(accept, body) == (None, TEXT)


def test_what_is_tiny_stays() -> None:
    tiny = TEXT[: LEAST_BYTES - 1]
    for body in (tiny, iter([tiny[:7], b"", tiny[7:]]), b"", iter(())):
        coding, content = encoded("gzip", body)
        assert (coding, content) in ((None, tiny), (None, b""))


def test_chunks_are_read_as_they_are_needed() -> None:
    read = []

    def body() -> Iterator[bytes]:
        for number in range(1000):
            read.append(number)
            yield TEXT

    answer = compressed(Response(body()), "gzip")
    assert read == [0]
    assert isinstance(answer.body, Iterator)
    next(answer.body)
    assert len(read) == 1
    for _ in range(500):
        next(answer.body)
    assert len(read) <= 501


def test_through_the_api(client: Client, store: Store) -> None:
    store.jobs.insert_many(job_document({**MILA_JOB, "job_id": str(n)}) for n in range(700))
    asking = Client(client.app, {**client.headers, "Accept-Encoding": "gzip"})

    plain, zipped = client.get("jobs/list"), asking.get("jobs/list")

    assert gzip.decompress(zipped.body) == plain.body
    assert zipped.header("Content-Encoding") == "gzip"
    assert zipped.header("ETag") == plain.header("ETag")
    for answer in (plain, zipped, asking.get("jobs/one", job_id="none")):
        assert answer.header("Vary") == "Authorization, Accept-Encoding"
    etag = {"If-None-Match": str(plain.header("ETag"))}
    again = Client(client.app, {**asking.headers, **etag}).get("jobs/list")
    assert (again.status, again.body, again.header("Content-Encoding")) == (304, b"", None)
    assert again.header("Vary") == plain.header("Vary")
    head = asking.call("HEAD", "jobs/list")
    assert (head.status, head.body) == (200, b"")
