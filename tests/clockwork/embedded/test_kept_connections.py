"""Somebody without the password who takes all connections of the embedded database."""

import os
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from clockwork.embedded.kept_connections import keep_connections
from clockwork.embedded.secantus import CONNECTIONS
from clockwork.embedded.strangers import MOST_CONNECTIONS
from ingest.database.store import Store, connect
from tests.mongo import secantus
from tests.system.daemons import wait_until

NOBODY = 65534
FLOOD = """
import resource, socket, sys
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 4096), most))
host, port = sys.argv[1:]
held = [socket.create_connection((host, int(port))) for _ in range(1000)]
print("there", flush=True)
sys.stdin.read()
"""


@contextmanager
def flood(uri: str, user: int | None = None, host: str = "127.0.0.1") -> Iterator[None]:
    """Hold 1000 connections without a password, as the *user* with this id or as this one."""
    port = uri.rstrip("/").rpartition(":")[2]
    with subprocess.Popen(
        ["/usr/bin/env", "python3", "-c", FLOOD, host, port],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        user=user,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"there\n"
            yield
        finally:
            process.kill()


def is_refused(uri: str) -> bool:
    with MongoClient[dict[str, int]](uri, serverSelectionTimeoutMS=1000) as client:
        try:
            client.admin.command("ping")
        except PyMongoError:
            return True
        return False


def connections(store: Store) -> int:
    return int(store.database.client.admin.command("serverStatus")["connections"]["current"])


@pytest.fixture
def uri(tmp_path: Path) -> Iterator[str]:
    with secantus(tmp_path) as uri:
        yield uri


@pytest.fixture
def store(uri: str) -> Iterator[Store]:
    """A store of a daemon, which keeps its connections."""
    store = connect(f"{uri}?maxPoolSize={CONNECTIONS}", "clockwork")
    stopped = threading.Event()
    keep_connections(store, stopped)
    wait_until(lambda: connections(store) >= CONNECTIONS, "the connections are open")
    yield store
    stopped.set()
    store.database.client.close()


def test_a_daemon_goes_on_with_the_connections_that_it_has(store: Store, uri: str) -> None:
    store.jobs.insert_one({"_id": "mila/1"})
    with flood(uri):
        wait_until(lambda: is_refused(uri), "nobody else can connect")
        with ThreadPoolExecutor(3 * CONNECTIONS) as threads:
            found = threads.map(lambda _: store.jobs.find_one(), range(20 * CONNECTIONS))
            assert all(job == {"_id": "mila/1"} for job in found)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize("host", ["127.0.0.1", "::ffff:127.0.0.1"])
def test_strangers_keep_nobody_out(
    store: Store, uri: str, host: str, caplog: pytest.LogCaptureFixture
) -> None:
    few = MOST_CONNECTIONS + 2 * CONNECTIONS
    with flood(uri, NOBODY, host):
        wait_until(lambda: connections(store) < few, "most of the strangers are gone")
        wait_until(lambda: not is_refused(uri), "a new client can connect")
        wait_until(lambda: "of other users of this machine" in caplog.text, "the log says so")


def test_another_mongo_is_left_alone(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = connect(uri, "clockwork")
    monkeypatch.setitem(vars(store), "is_embedded", False)
    keep_connections(store)
    wait_until(
        lambda: "connections" not in {each.name for each in threading.enumerate()},
        "the thread has ended",
    )
    assert connections(store) < CONNECTIONS
    store.database.client.close()
