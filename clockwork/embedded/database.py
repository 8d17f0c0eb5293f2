"""Run the embedded database: SecantusDB as a process, for a service without a Mongo URI.

The database is a program, ``secantusd-py``, which listens for Mongo's protocol on 127.0.0.1.  It
asks for a password (SCRAM-SHA-256).  The first start makes the password and keeps it in the
database's folder (`clockwork.embedded.folder`).  Every write is on disk before it is acknowledged,
so kill -9 loses no acknowledged write.

One process holds the folder and runs the database.  Other processes of the same user find in the
folder where the database listens::

    with EmbeddedDatabase(settings) as database:              # clockwork up
        database.claim()
        Supervisor([database.process(), ...]).run()

    with EmbeddedDatabase.attach_or_start(settings) as database:    # any other command
        connect(database.uri, ...)
"""

import logging
import secrets
import shutil
import time
from pathlib import Path
from types import TracebackType

from clockwork.embedded import secantus
from clockwork.embedded.failures import explained
from clockwork.embedded.folder import CREDENTIALS, EmbeddedError, EmbeddedFolder, FolderBusy
from clockwork.embedded.secantus import USER, Address, EmbeddedUnavailable
from clockwork.processes.child import Child, ProcessSpec
from clockwork.processes.identity import end_process, identity
from config import EmbeddedSettings

__all__ = ["EmbeddedDatabase", "EmbeddedError", "EmbeddedUnavailable", "FolderBusy"]

ATTACH_SECONDS = 60.0
"""Seconds for which `EmbeddedDatabase.attach_or_start` waits for another process's start."""

_RUNNING = "running.json"
_POLL_SECONDS = 0.1

logger = logging.getLogger(__name__)


class EmbeddedDatabase:
    """The database in the folder of *settings*. Nothing happens until `start` or `claim`.

    A context manager: its end is `stop`.
    """

    def __init__(self, settings: EmbeddedSettings) -> None:
        self._settings = settings
        self._folder: EmbeddedFolder | None = None
        self._program = Path()
        self._address: Address | None = None
        self._child: Child | None = None

    @classmethod
    def attach_or_start(cls, settings: EmbeddedSettings) -> "EmbeddedDatabase":
        """Return the database that another process runs in this folder, else start the database.

        A database that is started here ends with this process.  `stop` leaves the database of
        another process alone.  Raises `EmbeddedError` and its subclasses.
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
        if self._address is None:
            raise EmbeddedError("the embedded database is not started")
        return self._address.uri

    def claim(self) -> None:
        """Take the folder, prepare it at the first start, and settle the port and password.

        Raises `EmbeddedUnavailable`, `FolderRefused`, `FolderBusy`, and `EmbeddedError` if the
        first start fails.
        """
        self._program = secantus.find_program()
        folder = EmbeddedFolder(self._settings.path.absolute())
        folder.lock()
        self._folder = folder
        try:
            with explained(folder.path):
                self._end_orphan(folder)
                if not folder.files.exists():
                    self._first_start(folder)
                port = self._settings.port or secantus.free_port()
                self._address = Address(port, _password(folder))
        except BaseException:
            self.stop()
            raise

    def process(self) -> ProcessSpec:
        """Return how to run the database, for a supervisor; between `claim` and `stop`.

        Every run has the same port and password, so that clients find a restarted database again.
        """
        if self._folder is None or self._address is None:
            raise EmbeddedError("the embedded database's folder is not claimed")
        return self._process_on(self._folder, self._folder.files, self._address)

    def start(self) -> None:
        """`claim` the folder and run the database. Return when the database answers.

        To be called in the main thread (`clockwork.processes.parent_death`).  Raises what `claim`
        raises, and `EmbeddedError` with the end of the database's log if the start fails.
        """
        self.claim()
        try:
            with explained(self._settings.path):
                self._child = secantus.run(self.process())
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the database that `start` started and let the folder go. May be called repeatedly."""
        if self._child is not None:
            self._child.stop()
            self._child = None
        if self._folder is not None:
            self._folder.remove(_RUNNING)
            self._folder.unlock()
            self._folder = None
        self._address = None

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
        """Use the database of the folder's holder. Return False if it does not answer yet."""
        folder = EmbeddedFolder(self._settings.path.absolute())
        running = folder.read(_RUNNING)
        if running is None or not folder.files.exists():  # it is at its first start
            return False
        address = Address(int(running["port"]), _password(folder))
        if not secantus.answers(address):
            return False
        self._address = address
        return True

    def _process_on(self, folder: EmbeddedFolder, files: Path, address: Address) -> ProcessSpec:
        def note(pid: int) -> None:
            running = {"port": address.port, "pid": pid, "identity": identity(pid)}
            folder.write(_RUNNING, running)

        return secantus.process(self._program, folder, files, address, note)

    def _end_orphan(self, folder: EmbeddedFolder) -> None:
        """End the database that a killed holder of the folder left running."""
        running = folder.read(_RUNNING)
        if running is None:
            return
        pid, known_as = int(running["pid"]), running["identity"]
        if known_as is not None and identity(pid) == known_as:
            logger.warning("ending the embedded database that an earlier run left (pid %d)", pid)
            if not end_process(pid, known_as, secantus.STOP_SECONDS):
                raise EmbeddedError(
                    f"the embedded database that an earlier run left in {folder.path} does not "
                    f"end: process {pid}"
                )
        folder.remove(_RUNNING)

    def _first_start(self, folder: EmbeddedFolder) -> None:
        """Make the database's files with one user in them, and store the user's password.

        A user can be made only while the database asks for no password.  So the database runs for a
        second on empty files, and the files are used only if nobody else wrote to them.
        """
        new = folder.path / "files.new"
        shutil.rmtree(new, ignore_errors=True)  # of a first start that was cut short
        unlocked = Address(secantus.free_port())
        address = Address(unlocked.port, secrets.token_urlsafe(32))

        first = secantus.running(self._process_on(folder, new, unlocked))
        with first, secantus.client(unlocked) as client:
            client.admin.command("createUser", USER, pwd=address.password, roles=["root"])
        second = secantus.running(self._process_on(folder, new, address))
        with second, secantus.client(address) as client:
            names = {user["_id"] for user in client.admin["system.users"].find()}
            names.update(client.list_database_names())
        if names - {"admin", "config", "local"} != {f"admin.{USER}"}:
            raise EmbeddedError(
                "another program of this machine wrote to the new embedded database before it had "
                f"its password (found {', '.join(sorted(names))}): nothing was kept; start again"
            )
        folder.write(CREDENTIALS, {"user": USER, "password": address.password})
        new.rename(folder.files)
        folder.sync()


def _password(folder: EmbeddedFolder) -> str:
    credentials, path = folder.read(CREDENTIALS), folder.path / CREDENTIALS
    if credentials is None:
        raise EmbeddedError(
            f"{path} is missing, and {folder.files} can't be read without it: put it back, or give "
            "embedded.path another folder"
        )
    password = credentials.get("password")
    if not isinstance(password, str) or not password:
        raise EmbeddedError(f"{path} is damaged: expected a password in it")
    return password
