"""A slow database holds one thread of the server: the others get what there is, or 503, at once."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from http.client import HTTPConnection
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import NetworkTimeout
from pymongo.monitoring import CommandListener, CommandStartedEvent

from api.app import build_app
from api.http.problems import Problem
from api.schema.endpoint import BASE
from api.stats.ttl_cache import TtlCache
from config.settings import ApiSettings
from ingest.accounts.users import add_user
from ingest.database.store import Document, Store
from tests.api.support.client import Client
from tests.api.support.clusters import CLUSTERS, Clock
from tests.api.support.serving import ask, served
from tests.support.ports import LOOPBACK, free_port

TTL = timedelta(seconds=10)
SECONDS = 60
"""How long a test waits for what must happen."""


class Source:
    """Makes the numbers 1, 2, 3; waits while it is held, and fails while it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None
        self.running = threading.Event()
        self.let_go = threading.Event()
        self.let_go.set()

    def __call__(self) -> int:
        self.asked += 1
        self.running.set()
        assert self.let_go.wait(SECONDS)
        if self.error is not None:
            raise self.error
        return self.asked

    @contextmanager
    def held(self, cache: TtlCache[int]) -> Iterator[Any]:
        """A thread makes the value, and waits until the block ends; yields its future."""
        self.running.clear()
        self.let_go.clear()
        with ThreadPoolExecutor(1) as thread:
            making = thread.submit(cache.value)
            try:
                assert self.running.wait(SECONDS)
                yield making
            finally:
                self.let_go.set()


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(source: Source, clock: Clock) -> TtlCache[int]:
    return TtlCache(source, TTL, clock)


def test_a_value_is_kept_and_made_anew(cache: TtlCache[int], clock: Clock) -> None:
    assert [cache.value(), cache.value()] == [1, 1]
    clock.now += TTL - timedelta(microseconds=1)
    assert cache.value() == 1
    clock.now += timedelta(microseconds=1)
    assert [cache.value(), cache.value()] == [2, 2]


def test_a_clock_that_was_set_back(cache: TtlCache[int], clock: Clock) -> None:
    assert cache.value() == 1
    clock.now -= timedelta(seconds=1)
    assert cache.value() == 2


def test_while_the_first_value_is_made_others_are_told_to_come_again(
    cache: TtlCache[int], source: Source
) -> None:
    with source.held(cache) as making:
        for _ in range(20):
            with pytest.raises(Problem) as refused:
                cache.value()
            assert refused.value.status == 503
            assert dict(refused.value.headers) == {"Retry-After": "5"}

    assert making.result() == cache.value() == 1
    assert source.asked == 1


def test_while_a_value_is_made_anew_others_get_the_old_one(
    cache: TtlCache[int], source: Source, clock: Clock
) -> None:
    assert cache.value() == 1
    clock.now += 100 * TTL
    with source.held(cache) as making:
        assert [cache.value() for _ in range(20)] == [1] * 20

    assert making.result() == cache.value() == 2
    assert source.asked == 2


def test_a_failure_is_kept_as_long_as_a_value(
    cache: TtlCache[int], source: Source, clock: Clock
) -> None:
    source.error = NetworkTimeout("too many jobs")
    for _ in range(20):
        with pytest.raises(NetworkTimeout, match="too many jobs"):
            cache.value()
    assert source.asked == 1

    clock.now += TTL
    source.error = None
    with source.held(cache) as making, pytest.raises(NetworkTimeout):
        cache.value()
    assert making.result() == cache.value() == 2


def test_a_failure_takes_the_place_of_an_old_value(
    cache: TtlCache[int], source: Source, clock: Clock
) -> None:
    assert cache.value() == 1
    clock.now += TTL
    source.error = NetworkTimeout("too many jobs")
    with source.held(cache) as making:
        assert cache.value() == 1
    with pytest.raises(NetworkTimeout):
        making.result()
    with pytest.raises(NetworkTimeout):
        cache.value()


def test_a_failure_that_took_long_is_kept_from_its_end(clock: Clock) -> None:
    asked = []

    def slow() -> int:
        asked.append(1)
        clock.now += TTL
        raise NetworkTimeout("too many jobs")

    cache: TtlCache[int] = TtlCache(slow, TTL, clock)
    for _ in range(5):
        with pytest.raises(NetworkTimeout):
            cache.value()
    assert len(asked) == 1


# --- through the server ---------------------------------------------------------------------------


class Holding(CommandListener):
    """Holds up the counting of jobs, as a database does that has very many."""

    def __init__(self) -> None:
        self.counting = threading.Event()
        self.let_go = threading.Event()

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name == "aggregate":
            self.counting.set()
            assert self.let_go.wait(SECONDS)

    def succeeded(self, event: Any) -> None:
        """Nothing to do."""

    def failed(self, event: Any) -> None:
        """Nothing to do."""


def test_many_who_ask_for_slow_figures_leave_the_probes_alone(store: Store, mongo_uri: str) -> None:
    threads = 2
    settings = ApiSettings(port=free_port(), threads=threads)
    holding = Holding()
    _, token = add_user(store, "dashboard@mila.example")
    with MongoClient[Document](mongo_uri, event_listeners=[holding]) as held:
        app = build_app(Store(held[store.database.name]), clusters=CLUSTERS, settings=settings)
        client = Client(app, {"Authorization": f"Bearer {token}"})
        with served(app, settings) as port, ThreadPoolExecutor(1) as first:
            try:
                slow = first.submit(ask, port, client, "GET", "clusters/list")
                assert holding.counting.wait(SECONDS)
                for _ in range(5 * threads):
                    response, content = ask(port, client, "GET", "clusters/list")
                    assert response.status == 503
                    assert response.headers["Retry-After"] == "5"
                    assert b"being counted" in content
                assert status(port, "/metrics", client) == 503
                assert status(port, "/healthz", client) == 200
                assert status(port, "/readyz", client) == 200
                assert status(port, f"{BASE}nodes/list", client) == 200
            finally:
                holding.let_go.set()
            assert slow.result()[0].status == 200
            assert ask(port, client, "GET", "clusters/list")[0].status == 200


def status(port: int, path: str, client: Client) -> int:
    connection = HTTPConnection(LOOPBACK, port, timeout=SECONDS)
    connection.request("GET", path, headers=dict(client.headers))
    found = connection.getresponse().status
    connection.close()
    return found
