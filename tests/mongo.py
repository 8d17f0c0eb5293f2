"""A real database process for the tests: the embedded one, on a free port."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pymongo
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from ingest.database.store import Document, Store

GIVEN_URI = "CLOCKWORK_TEST_MONGO_URI"
"""The variable that names a Mongo in which the tests run."""

_LISTENING = b"listening on "
_SECONDS_TO_STOP = 30
_SECONDS_TO_DROP = 5

_not_dropped: set[str] = set()
"""Databases that a transaction of a killed process kept from being dropped."""


@contextmanager
def secantus(path: Path, *options: str) -> Iterator[str]:
    """Run the embedded database with its files in *path*; yields its URI, ends it afterwards.

    *options* are arguments of its command beside those that it needs here.

    Raises RuntimeError, with what the process said, when it does not start.
    """
    path.mkdir(parents=True, exist_ok=True)
    command = [
        str(Path(sys.prefix) / "bin" / "secantusd-py"),
        *("--host", "127.0.0.1", "--port", "0"),
        *("--storage-path", str(path / "files")),
        *options,
    ]
    # The process looks for a configuration file in its working folder: this one has none.
    with subprocess.Popen(
        command, cwd=path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        try:
            address = _address(process.stdout)
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield f"mongodb://{address}/"
        finally:
            process.terminate()
            try:
                process.wait(_SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                process.kill()


def leave(store: Store) -> None:
    """Close the connections of a test's *store*, and drop its database in a Mongo that was given.

    A process that the test killed may have left a transaction open, which holds other writes up.
    In our own Mongo it is ended here.  In a Mongo that was given, other tests have transactions
    too: there it ends by Mongo's own limit, and `drop_the_rest` drops the database.
    """
    client = store.database.client
    if GIVEN_URI in os.environ:
        try:
            with pymongo.timeout(_SECONDS_TO_DROP):
                client.drop_database(store.database.name)
        except PyMongoError:
            _not_dropped.add(store.database.name)
    else:
        # Our own Mongo ends with the tests, and dropping takes it longer than filling does.
        client.admin.command("killAllSessions", [])
    client.close()


def drop_the_rest(uri: str) -> None:
    """Drop the databases of this process's tests that could not be dropped before."""
    with MongoClient[Document](uri) as client:
        while _not_dropped:
            client.drop_database(_not_dropped.pop())


def _address(output: IO[bytes]) -> str:
    said = b""
    for line in output:
        said += line
        _, found, address = line.partition(_LISTENING)
        if found:
            return address.strip().decode("ascii")
    raise RuntimeError(f"the embedded database did not start: {said.decode(errors='replace')}")
