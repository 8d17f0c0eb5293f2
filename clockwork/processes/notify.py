"""Tell the service manager about readiness, reloads, stops and signs of life (sd_notify).

The protocol is systemd's: datagrams of ``NAME=value`` lines to the Unix socket that
``$NOTIFY_SOCKET`` names, where a leading ``@`` stands for Linux's abstract names.  Under systemd
they go there; under ``clockwork up`` they go to the supervisor, which has an `Inbox` for each of
its processes.  Without the variable nothing is sent.
"""

import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path

SOCKET = "NOTIFY_SOCKET"
WATCHDOG_MICROSECONDS = "WATCHDOG_USEC"
WATCHDOG_PID = "WATCHDOG_PID"

_SEND_SECONDS = 1.0
"""How long a message waits for a receiver whose queue is full; then the message is dropped."""
_LONGEST_MESSAGE = 4096

logger = logging.getLogger(__name__)


def tell_ready(status: str) -> None:
    """Say that the service works now; *status* is a few words for ``systemctl status``."""
    _tell("READY=1", f"STATUS={status}")


def tell_reloading() -> None:
    """Say that the configuration is read again; `tell_ready` has to follow."""
    _tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def tell_stopping() -> None:
    """Say that the service stops."""
    _tell("STOPPING=1", "STATUS=stopping")


def _tell(*lines: str) -> None:
    name = os.environ.get(SOCKET)
    if not name:
        return
    address = "\0" + name[1:] if name.startswith("@") else name
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(_SEND_SECONDS)
            sender.sendto("\n".join(lines).encode(), address)
    except OSError as error:
        logger.debug("$%s %s: %s", SOCKET, name, error)


class Watchdog:
    """Gives signs of life to a service manager that restarts silent services ($WATCHDOG_USEC)."""

    def __init__(self, stuck: Callable[[], str | None] = lambda: None) -> None:
        """*stuck* returns why there is no progress; None while the work goes on."""
        self._stuck = stuck
        self._said: str | None = None
        self._due = 0.0
        microseconds = os.environ.get(WATCHDOG_MICROSECONDS, "")
        watched = os.environ.get(WATCHDOG_PID, str(os.getpid())) == str(os.getpid())
        self.interval = int(microseconds) / 2e6 if microseconds.isdecimal() and watched else None
        """Seconds between two signs; None where nobody waits for them."""

    def look(self) -> None:
        """Give a sign of life if it is due and the work goes on. To be called again and again."""
        now = time.monotonic()
        if self.interval is None or now < self._due:
            return
        stuck = self._stuck()
        if stuck is None:
            self._due = now + self.interval * 0.9
            _tell("WATCHDOG=1")
        elif stuck != self._said:
            logger.error(
                "watchdog: no progress; the service manager restarts this process: %s",
                stuck,
            )
        self._said = stuck


class Inbox:
    """Receives the messages of one process of a supervisor."""

    def __init__(self, path: Path, silence: float) -> None:
        """Listen at *path*; the process has to give a sign at least every *silence* seconds."""
        self.ready = False
        """Whether the process said that it is ready, and not since then that it reloads."""
        self.silence = silence
        self.heard_at = time.monotonic()
        self._path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that make the process send its messages here."""
        return {SOCKET: str(self._path), WATCHDOG_MICROSECONDS: str(int(self.silence * 1e6))}

    def open_for_new_process(self) -> None:
        """Forget what an earlier process said."""
        self.read()
        self.ready = False
        self.heard_at = time.monotonic()

    def read(self) -> None:
        """Read the messages that have come."""
        with contextlib.suppress(BlockingIOError):
            while True:
                lines = self.socket.recv(_LONGEST_MESSAGE).decode(errors="replace").split("\n")
                self.heard_at = time.monotonic()
                if "READY=1" in lines:
                    self.ready = True
                elif "RELOADING=1" in lines:
                    self.ready = False

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


def without_notification(environment: Mapping[str, str]) -> dict[str, str]:
    """Return *environment* for a process that sends nothing to this process's manager."""
    names = {SOCKET, WATCHDOG_MICROSECONDS, WATCHDOG_PID}
    return {name: value for name, value in environment.items() if name not in names}
