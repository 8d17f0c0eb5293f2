"""The database of the tests: one process for the session, one database for each test.

Where several processes run the tests (``make test``), each has a database process of its own, and
the tests of one file stay together.

With $CLOCKWORK_TEST_MONGO_URI the tests run against that Mongo instead, also in several processes.

Tests with a mark of `tests.system.machine.READY` run on machines that have, or can be given, what
they need.

Every write that the product sends in a test is one that a sharded cluster takes (`tests.routing`).
"""

import logging
import os
import signal
import threading
import uuid
from collections.abc import Iterator
from weakref import WeakSet

import hypothesis
import pytest
from pymongo import monitoring

from ingest.database.store import Store, connect
from tests.mongo import GIVEN_URI, drop_the_rest, leave, secantus
from tests.routing import WriteReader
from tests.system import machine

hypothesis.settings.register_profile("clockwork", deadline=None)  # machines may be loaded
hypothesis.settings.register_profile("fast", deadline=None, max_examples=10)  # make test-fast
hypothesis.settings.load_profile("clockwork")

_writes = WriteReader()
monitoring.register(_writes)


def pytest_configure() -> None:
    """Let Ctrl-C end what the tests start, where the tests run in the background and ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


REAL_PARTS = {
    *("mongo_uri", "home", "chromium_browser", "secantus", "served", "socket", "subprocess"),
}
"""Fixtures and imported names that start a database, SSH servers, a browser or another program."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need no other program."""
    for item in items:
        if isinstance(item, pytest.Function):
            used = {*item.fixturenames, *vars(item.module)}
            if used.isdisjoint(REAL_PARTS):
                item.add_marker("pure")


_REASONS = pytest.StashKey[dict[str, str | None]]()
"""Why the tests with a mark are skipped; None if they run."""
_BROKEN = pytest.StashKey[dict[str, str]]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Prepare the machine, once, before the first test's time limit begins to run."""
    reasons = session.config.stash[_REASONS] = {}
    broken = session.config.stash[_BROKEN] = {}
    if session.config.option.collectonly:
        return
    marks = {mark.name for item in session.items for mark in item.iter_markers()}
    for mark in marks & machine.READY.keys():
        try:
            reasons[mark] = machine.READY[mark]()
        except machine.InstallError as error:
            broken[mark] = str(error)


_EARLIER_THREADS = pytest.StashKey[WeakSet[threading.Thread]]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test with the machine's reason; fail it when making the machine ready broke."""
    item.stash[_EARLIER_THREADS] = WeakSet(threading.enumerate())
    item.stash[_EARLIER_THREADS].discard(threading.current_thread())
    for mark in (mark.name for mark in item.iter_markers()):
        if error := item.config.stash[_BROKEN].get(mark):
            pytest.fail(f"The packages of the {mark} tests could not be installed. {error}", False)
        if reason := item.config.stash[_REASONS].get(mark):
            pytest.skip(reason)


@pytest.fixture(scope="session")
def mongo_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a Mongo that the tests may fill."""
    given = os.environ.get(GIVEN_URI)
    if given:
        yield given
        drop_the_rest(given)
        return
    with secantus(tmp_path_factory.mktemp("mongo")) as uri:
        yield uri


@pytest.fixture
def store(mongo_uri: str) -> Iterator[Store]:
    """An empty store with its indexes, in a database of its own."""
    store = connect(mongo_uri, f"clockwork_test_{uuid.uuid4().hex[:12]}")
    store.ensure_indexes()
    yield store
    leave(store)


@pytest.fixture
def caplog(
    caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> Iterator[pytest.LogCaptureFixture]:
    """What is logged in a test, but for the servers that earlier tests started and share."""
    earlier = request.node.stash[_EARLIER_THREADS]

    def is_of_this_test(_record: logging.LogRecord) -> bool:
        return threading.current_thread() not in earlier

    caplog.handler.addFilter(is_of_this_test)
    yield caplog
    caplog.handler.removeFilter(is_of_this_test)


@pytest.fixture(autouse=True)
def every_write_can_be_routed() -> Iterator[None]:
    """Fail a test in which the product sent a write that mongos would refuse."""
    _writes.refused.clear()
    yield
    assert _writes.refused == []
