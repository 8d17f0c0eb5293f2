"""Find the program ``secantusd-py``, run it with safe options, and ask whether it works.

The option ``--sync-on-commit`` matters most: with it, every acknowledged write is still there after
kill -9 of the program.  Without it, some writes were lost in a trial.
"""

import contextlib
import os
import secrets
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from clockwork.embedded.folder import CREDENTIALS, EmbeddedError, EmbeddedFolder
from clockwork.processes.child import Child, ProcessSpec

HOST = "127.0.0.1"
PROGRAM = "secantusd-py"
USER = "clockwork"
CONNECTIONS = 24
"""Connections of one process; a request that finds all of them in use waits."""
STOP_SECONDS = 10.0
"""Seconds to end after SIGTERM; a clean stop with 20,000 jobs takes less than a second."""

_AUTHENTICATION_FAILED = 18
_INTERNAL_ERROR = 1
# The program's own default.  With a quarter of it, it was seen to stand still for minutes, busy
# making room, when some 30,000 jobs had been written.
_CACHE = "1G"
# Nobody reads the database's log of changes; left alone it keeps the last 100,000 documents.
_CHANGES_KEPT = "1000"


class EmbeddedUnavailable(EmbeddedError):
    """The embedded database is not installed on this machine."""


@dataclass(frozen=True)
class Address:
    """Where the program listens, and the password that it asks for; None for no password."""

    port: int
    password: str | None = field(default=None, repr=False)

    @property
    def uri(self) -> str:
        """The URI for pymongo, with the password."""
        if self.password is None:
            return f"mongodb://{HOST}:{self.port}/?directConnection=true"
        return (
            f"mongodb://{USER}:{self.password}@{HOST}:{self.port}/"
            "?authSource=admin&authMechanism=SCRAM-SHA-256&directConnection=true"
            f"&maxPoolSize={CONNECTIONS}"
        )


def find_program() -> Path:
    """Return the program beside this interpreter, else on PATH. Raises `EmbeddedUnavailable`."""
    beside = Path(sys.prefix) / "bin" / PROGRAM
    if os.access(beside, os.X_OK):
        return beside
    on_path = shutil.which(PROGRAM)
    if on_path is not None:
        return Path(on_path).absolute()
    raise EmbeddedUnavailable(
        f"there is no Mongo URI, and the embedded database is not installed: no {PROGRAM} in "
        f"{beside.parent} nor on PATH. Give the URI of a Mongo (mongo.uri or mongo.uri_file in the "
        "configuration, or CLOCKWORK_MONGO_URI), or install clockwork-slurm[embedded], which "
        "exists for Python 3.10 to 3.13 on common platforms (this is Python "
        f"{sys.version_info.major}.{sys.version_info.minor} on {sys.platform})"
    )


def free_port() -> int:
    """Return a free port below the ports that the system gives to outgoing connections.

    A client's connection could take one of the latter while the database restarts.  Raises
    `EmbeddedError` if no port is free.
    """
    for _ in range(1000):
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise EmbeddedError(f"no free port on {HOST} from 20000 to 31999; give one as embedded.port")


def process(
    program: Path,
    folder: EmbeddedFolder,
    files: Path,
    address: Address,
    started: Callable[[int], None],
) -> ProcessSpec:
    """Return how to run *program* on its *files* in *folder*, listening at *address*.

    *started* is called with the process id at every start.
    """
    # Without a configuration file of its own the program looks for one in several places.
    configuration = folder.write_text("secantusd.toml", "# All options are arguments.\n")
    argv = [
        *(str(program), "--config", str(configuration)),
        *("--host", HOST, "--port", str(address.port), "--storage-path", str(files)),
        *("--sync-on-commit", "--cache-size", _CACHE, "--oplog-max-entries", _CHANGES_KEPT),
        *("--log-level", "WARNING"),
    ]
    return ProcessSpec(
        name="database",
        argv=argv if address.password is None else [*argv, "--auth"],
        env=_environment(),
        ready=lambda: answers(address),
        broken=lambda: is_broken(address),
        stop_seconds=STOP_SECONDS,
        nudge=lambda: _knock(address),
        log=folder.log,
        started=started,
    )


def _environment() -> dict[str, str]:
    # Without the service's secrets, and without the variables that change how the program keeps
    # its files: one of them, meant for its own tests, makes it forget about durability.
    left_out = ("CLOCKWORK_", "SECANTUS_")
    return {name: value for name, value in os.environ.items() if not name.startswith(left_out)}


def run(spec: ProcessSpec) -> Child:
    """Start the program and wait until it answers. Raises `ChildFailed` and `EmbeddedError`."""
    child = Child(spec)
    try:
        child.wait_until_ready()
    except BaseException:
        child.kill()
        raise
    return child


@contextlib.contextmanager
def running(spec: ProcessSpec) -> Iterator[None]:
    """`run` the program until the end of the ``with``."""
    child = run(spec)
    try:
        yield
    finally:
        child.stop()


def client(address: Address, seconds: float = 10.0) -> MongoClient[dict[str, Any]]:
    """Return a client that gives up after *seconds*."""
    limit = int(seconds * 1000)
    return MongoClient(address.uri, serverSelectionTimeoutMS=limit, timeoutMS=limit)


def answers(address: Address) -> bool:
    """Return whether the program answers there. Raises `EmbeddedError` for a wrong password."""
    if not _knock(address):  # the client would try for seconds
        return False
    try:
        with client(address, seconds=2.0) as connected:
            connected.admin.command("ping")
    except ConnectionFailure:
        return False
    except OperationFailure as error:
        if error.code != _AUTHENTICATION_FAILED:
            return False
        raise EmbeddedError(
            f"the embedded database on port {address.port} refuses the password in {CREDENTIALS}; "
            "that file and the database's files don't belong together"
        ) from error
    return True


def is_broken(address: Address) -> bool:
    """Return whether the program runs but can't read its files, as after a full disk.

    The program does not end by itself then.  A program that is slow, or does not answer, is not
    broken.
    """
    try:
        with client(address, seconds=5.0) as connected:
            connected.admin["system.users"].find_one({}, {"_id": 1})
    except OperationFailure as error:
        return error.code == _INTERNAL_ERROR
    except PyMongoError:
        return False
    return False


def _knock(address: Address) -> bool:
    """Make a connection and close it. Return whether something listens.

    A program that ends waits two seconds for its listening thread, unless somebody connects.  A
    connection at the very moment of SIGTERM can make the program miss the signal, so this function
    is called later.
    """
    try:
        socket.create_connection((HOST, address.port), timeout=1).close()
    except OSError:
        return False
    return True
