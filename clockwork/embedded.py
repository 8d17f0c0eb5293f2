"""The embedded database: SecantusDB as a process of its own, for a service without a Mongo URI.

The database is a program, ``secantusd-py``, that is started and spoken to over Mongo's protocol on
127.0.0.1; it is never imported.  It asks for a password (SCRAM-SHA-256), which the first start
makes and keeps in the database's folder (`clockwork.embedded_folder`), and it has every write on
disk before it acknowledges it, so that a kill -9 at any time loses nothing that was acknowledged.

One process holds the folder and runs the database; others on the machine that run as the same user
find there where it listens::

    with EmbeddedDatabase(settings) as database:              # clockwork up
        database.claim()
        Supervisor([database.process(), ...]).run()

    with EmbeddedDatabase.attach_or_start(settings) as database:    # any other command
        connect(database.uri, ...)
"""

import contextlib
import logging
import os
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from pymongo import MongoClient
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from clockwork.child import Child, ChildFailed, ProcessSpec
from clockwork.embedded_folder import EmbeddedError, EmbeddedFolder, FolderBusy
from clockwork.process_identity import end_process, identity
from config import EmbeddedSettings

__all__ = ["EmbeddedDatabase", "EmbeddedError", "EmbeddedUnavailable", "FolderBusy"]

HOST = "127.0.0.1"
PROGRAM = "secantusd-py"
STOP_SECONDS = 20.0
"""After SIGTERM; a clean stop of 20,000 documents takes less than a second."""
ATTACH_SECONDS = 60.0
"""How long `EmbeddedDatabase.attach_or_start` waits for a database that another process starts."""

_CACHE = "256M"
# Nobody reads the database's log of changes; its default length is 100,000 changes.
_CHANGES_KEPT = "1000"
_USER = "clockwork"
_CREDENTIALS = "credentials.json"
_RUNNING = "running.json"

_POLL_SECONDS = 0.1

logger = logging.getLogger(__name__)


class EmbeddedUnavailable(EmbeddedError):
    """There is no embedded database on this machine."""


class EmbeddedDatabase:
    """The database in the folder of *settings*. Nothing happens until `start` or `claim`.

    A context manager: its end is `stop`.
    """

    def __init__(self, settings: EmbeddedSettings) -> None:
        self._settings = settings
        self._folder: EmbeddedFolder | None = None
        self._program = Path()
        self._port = 0
        self._password: str | None = None
        self._child: Child | None = None

    @classmethod
    def attach_or_start(cls, settings: EmbeddedSettings) -> "EmbeddedDatabase":
        """The database that another process runs in this folder; started here when none does.

        One that is started here ends with this process; one that is not is left alone by `stop`.
        Raises `EmbeddedError` and its kinds.
        """
        database = cls(settings)
        deadline = time.monotonic() + ATTACH_SECONDS
        while True:
            try:
                database.start()
            except FolderBusy:
                if not database._attach():
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(_POLL_SECONDS)
                    continue
            return database

    @property
    def uri(self) -> str:
        """The URI for pymongo, with the password. Raises `EmbeddedError` before `start`."""
        if self._password is None:
            raise EmbeddedError("the embedded database is not started")
        return _uri(self._port, self._password)

    def claim(self) -> None:
        """Take the folder, make it ready at the first start, and settle the port and password.

        Raises `EmbeddedUnavailable`, `FolderRefused`, `FolderBusy` and, when the first start goes
        wrong, `EmbeddedError`.
        """
        self._program = _find_program()
        folder = EmbeddedFolder(self._settings.path.absolute())
        folder.lock()
        self._folder = folder
        try:
            with _in_words(folder.path):
                self._end_orphan(folder)
                if not folder.files.exists():
                    self._first_start(folder)
                self._port = self._settings.port or _free_port()
                self._password = _password(folder)
        except BaseException:
            self.stop()
            raise

    def process(self) -> ProcessSpec:
        """How to run the database, for a supervisor; between `claim` and `stop`.

        Every run has the same port and password, so that clients find a restarted one again.
        """
        if self._folder is None:
            raise EmbeddedError("the embedded database's folder is not claimed")
        folder = self._folder

        def note(pid: int) -> None:
            running = {"port": self._port, "pid": pid, "identity": identity(pid)}
            folder.write(_RUNNING, running)

        return self._spec(folder, folder.files, self.uri, started=note)

    def start(self) -> None:
        """`claim` the folder and run the database; returns when it answers.

        To be called in the main thread (`clockwork.die_with_parent`).  Raises what `claim` raises,
        and `EmbeddedError` with the end of the database's own log when it does not come up.
        """
        self.claim()
        try:
            with _in_words(self._settings.path):
                self._child = _run(self.process())
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the database that `start` started and let the folder go; to be repeated freely."""
        if self._child is not None:
            self._child.stop()
            self._child = None
        if self._folder is not None:
            self._folder.remove(_RUNNING)
            self._folder.unlock()
            self._folder = None
        self._password = None

    def __enter__(self) -> "EmbeddedDatabase":
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _attach(self) -> bool:
        """Use the database that the folder's holder runs; False when it does not answer (yet)."""
        folder = EmbeddedFolder(self._settings.path.absolute())
        running = folder.read(_RUNNING)
        if running is None:
            return False
        port, password = running.get("port"), _password(folder)
        if not isinstance(port, int) or not _answers(_uri(port, password)):
            return False
        self._port, self._password = port, password
        return True

    def _end_orphan(self, folder: EmbeddedFolder) -> None:
        """End the database that a killed holder of the folder has left behind."""
        running = folder.read(_RUNNING)
        if running is None:
            return
        pid, known_as = running.get("pid"), running.get("identity")
        if isinstance(pid, int) and isinstance(known_as, str) and identity(pid) == known_as:
            logger.warning("ending the embedded database that an earlier run left (pid %d)", pid)
            if not end_process(pid, known_as, STOP_SECONDS):
                raise EmbeddedError(
                    f"the embedded database that an earlier run left in {folder.path} does not "
                    f"end: process {pid}"
                )
        folder.remove(_RUNNING)

    def _first_start(self, folder: EmbeddedFolder) -> None:
        """Make the database's files with one user in them, and note its password.

        A user can only be made while the database asks for no password.  It does so on files that
        are empty, for a second, and they are only taken when nobody else has written to them.
        """
        credentials = {"user": _USER, "password": secrets.token_urlsafe(32)}
        new = folder.path / "files.new"
        shutil.rmtree(new, ignore_errors=True)  # of a first start that was cut short
        port = _free_port()
        open_uri, uri = _uri(port), _uri(port, credentials["password"])
        with _running(self._spec(folder, new, open_uri, auth=False)), _client(open_uri) as client:
            client.admin.command("createUser", _USER, pwd=credentials["password"], roles=["root"])
        with _running(self._spec(folder, new, uri)), _client(uri) as client:
            names = {user["_id"] for user in client.admin["system.users"].find()}
            names.update(client.list_database_names())
        if names - {"admin", "config", "local"} != {f"admin.{_USER}"}:
            raise EmbeddedError(
                "another program of this machine wrote to the new embedded database before it had "
                f"its password (found {', '.join(sorted(names))}): nothing is kept, start again"
            )
        folder.write(_CREDENTIALS, credentials)
        new.rename(folder.files)
        folder.sync()

    def _spec(
        self,
        folder: EmbeddedFolder,
        files: Path,
        uri: str,
        *,
        auth: bool = True,
        started: Callable[[int], None] | None = None,
    ) -> ProcessSpec:
        port = urlsplit(uri).port
        # Without a configuration file of its own the program looks for one in several places.
        configuration = folder.write_text("secantusd.toml", "# All options are arguments.\n")
        argv = [
            *(str(self._program), "--config", str(configuration)),
            *("--host", HOST, "--port", str(port), "--storage-path", str(files)),
            *("--sync-on-commit", "--cache-size", _CACHE, "--oplog-max-entries", _CHANGES_KEPT),
            *("--log-level", "WARNING"),
        ]
        return ProcessSpec(
            name="database",
            argv=[*argv, "--auth"] if auth else argv,
            env=_environment(),
            ready=lambda: _answers(uri),
            stop_seconds=STOP_SECONDS,
            log=folder.log,
            started=started,
        )


def _find_program() -> Path:
    beside = Path(sys.prefix) / "bin" / PROGRAM
    if os.access(beside, os.X_OK):
        return beside
    on_path = shutil.which(PROGRAM)
    if on_path is not None:
        return Path(on_path).absolute()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    raise EmbeddedUnavailable(
        f"there is no Mongo URI, and the embedded database is not installed: no {PROGRAM} in "
        f"{beside.parent} nor on PATH. Give the URI of a Mongo (mongo.uri or mongo.uri_file in the "
        "configuration, or CLOCKWORK_MONGO_URI), or install clockwork-slurm[embedded], which "
        f"exists for Python 3.10 to 3.13 on common platforms (this is Python {version})"
    )


def _environment() -> dict[str, str]:
    """The database's environment: without the service's secrets, and without variables that change
    how the database keeps its files."""
    ours = ("CLOCKWORK_", "SECANTUS_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def _free_port() -> int:
    """A free port below those that the system gives to outgoing connections.

    One of those could be taken by a client's connection while the database starts again.
    """
    for _ in range(1000):
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise EmbeddedError(f"no free port on {HOST} from 20000 to 31999; give one as embedded.port")


def _uri(port: int, password: str | None = None) -> str:
    if password is None:
        return f"mongodb://{HOST}:{port}/?directConnection=true"
    options = "authSource=admin&authMechanism=SCRAM-SHA-256&directConnection=true"
    return f"mongodb://{_USER}:{password}@{HOST}:{port}/?{options}"


def _password(folder: EmbeddedFolder) -> str:
    credentials, path = folder.read(_CREDENTIALS), folder.path / _CREDENTIALS
    if credentials is None:
        raise EmbeddedError(
            f"{path} is missing, and {folder.files} can't be read without it: put it back, or give "
            "embedded.path another folder"
        )
    password = credentials.get("password")
    if not isinstance(password, str) or not password:
        raise EmbeddedError(f"{path} is damaged: expected a password in it")
    return password


def _client(uri: str) -> MongoClient[dict[str, Any]]:
    return MongoClient(uri, serverSelectionTimeoutMS=5000, timeoutMS=5000, appname="clockwork")


def _answers(uri: str) -> bool:
    """Whether the database at *uri* answers. Raises `EmbeddedError` when the password is wrong."""
    port = urlsplit(uri).port
    try:
        # A connection is refused at once while nothing listens; the client would try for seconds.
        socket.create_connection((HOST, port or 0), timeout=1).close()
        with _client(uri) as client:
            client.admin.command("ping")
    except (OSError, ConnectionFailure):
        return False
    except OperationFailure as error:
        raise EmbeddedError(
            f"the embedded database on port {port} refuses the password in {_CREDENTIALS}; that "
            "file and the database's files don't belong together"
        ) from error
    return True


@contextlib.contextmanager
def _running(spec: ProcessSpec) -> Iterator[None]:
    """Run the database until the end of the ``with``."""
    child = _run(spec)
    try:
        yield
    finally:
        child.stop()


def _run(spec: ProcessSpec) -> Child:
    """Start the database and wait until it answers. Raises `ChildFailed`."""
    child = Child(spec)
    try:
        child.wait_until_ready()
    except BaseException:
        child.kill()
        raise
    return child


@contextlib.contextmanager
def _in_words(path: Path) -> Iterator[None]:
    """Turn what can go wrong into an `EmbeddedError` for the operator."""
    try:
        yield
    except ChildFailed as error:
        raise EmbeddedError(f"the embedded database in {path}: {error}") from error
    except (OSError, PyMongoError) as error:
        raise EmbeddedError(f"the embedded database in {path} can't be started: {error}") from error
