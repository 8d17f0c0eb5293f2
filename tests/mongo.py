"""A real database process for the tests: the embedded one, on a free port."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ingest.database.store import Store

GIVEN_URI = "CLOCKWORK_TEST_MONGO_URI"
"""The variable that names a Mongo in which the tests run."""

_LISTENING = b"listening on "
_SECONDS_TO_STOP = 30


@contextmanager
def secantus(path: Path) -> Iterator[str]:
    """Run the embedded database with its files in *path*; yields its URI, ends it afterwards.

    Raises RuntimeError, with what the process said, when it does not start.
    """
    path.mkdir(parents=True, exist_ok=True)
    command = [
        str(Path(sys.prefix) / "bin" / "secantusd-py"),
        *("--host", "127.0.0.1", "--port", "0"),
        *("--storage-path", str(path / "files")),
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

    Our own Mongo ends with the tests, and dropping takes it longer than filling does.
    """
    # A process that the test killed may have left a transaction open, and that holds others up.
    store.database.client.admin.command("killAllSessions", [])
    if GIVEN_URI in os.environ:
        store.database.client.drop_database(store.database.name)
    store.database.client.close()


def _address(output: IO[bytes]) -> str:
    said = b""
    for line in output:
        said += line
        _, found, address = line.partition(_LISTENING)
        if found:
            return address.strip().decode("ascii")
    raise RuntimeError(f"the embedded database did not start: {said.decode(errors='replace')}")
