"""A service manager, as far as sd_notify goes: the socket to which a service speaks."""

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 60.0
"""Seconds after which what a test waits for counts as never happening."""


class Manager:
    """Listens at *path*."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.said: list[str] = []
        """All lines so far, in order."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(PATIENCE)

    def environment(self, watchdog_seconds: float | None = None) -> dict[str, str]:
        """This process's own, with what a service of this manager finds there."""
        found = {**os.environ, "NOTIFY_SOCKET": str(self.path)}
        if watchdog_seconds is not None:
            found["WATCHDOG_USEC"] = str(int(watchdog_seconds * 1e6))
        return found

    def message(self) -> list[str]:
        """The lines of the next message."""
        lines = self._socket.recv(4096).decode().split("\n")
        self.said += lines
        return lines

    def message_within(self, seconds: float) -> list[str]:
        """The next message; TimeoutError when none comes."""
        self._socket.settimeout(seconds)
        try:
            return self.message()
        finally:
            self._socket.settimeout(PATIENCE)

    def wait_for(self, line: str) -> list[str]:
        """The first message from here on with *line* in it."""
        while line not in (lines := self.message()):
            pass
        return lines

    def rest(self) -> list[str]:
        """The lines that have come and that nobody has asked for."""
        self._socket.setblocking(False)
        lines: list[str] = []
        try:
            while True:
                lines += self.message()
        except BlockingIOError:
            return lines
        finally:
            self._socket.settimeout(PATIENCE)

    def close(self) -> None:
        self._socket.close()


@contextmanager
def manager() -> Iterator[Manager]:
    # A socket's path may have 107 bytes, and the folders of the tests' own can be deep.
    with tempfile.TemporaryDirectory() as folder:
        listening = Manager(Path(folder) / "notify")
        try:
            yield listening
        finally:
            listening.close()
