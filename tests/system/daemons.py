"""A daemon that a test starts in the foreground and ends again, and no other.

Each daemon is a child of the test process, so it is ended by a process id that cannot have passed
to another process; a pid file that an earlier run left behind is never read. The kernel ends it
when the test process dies without a word.
"""

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.system.machine import SEARCH_PATH, program

PATIENCE = 60.0
"""Seconds that a loaded machine may take for what takes an idle one a moment."""

FIRST_PORT = 20000


def wait_until(is_true: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Ask ``is_true`` until it says so; TimeoutError with ``what`` after ``seconds``."""
    give_up_at = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"waited {seconds:.0f} seconds in vain: {what}")
        time.sleep(0.05)


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on now.

    They lie below those that the kernel gives to outgoing connections, else any of these could
    take one before its daemon does, and start at random, so that two runs rarely meet.
    """
    ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    candidates = list(range(FIRST_PORT, max(ephemeral, FIRST_PORT + 1000)))
    random.shuffle(candidates)
    found: list[int] = []
    while len(found) < count:
        port = candidates.pop()
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
        found.append(port)
    return found


def check_reachable(folder: Path) -> None:
    """ValueError unless every Unix user may enter ``folder``, as jobs and SSH sessions must."""
    for part in (folder, *folder.parents):
        if not part.stat().st_mode & 0o001:
            raise ValueError(
                f"{part} is closed to other users, who must enter {folder}: "
                "use the fixture open_folder, or `chmod 755` it."
            )


class Daemon:
    """One program in the foreground, whose output goes to a log file.

    Make it in a thread that lives as long as it should: the kernel ends it with that thread.
    """

    def __init__(
        self, name: str, args: Sequence[str], log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", program(name), *args],
                env={"PATH": SEARCH_PATH, "LC_ALL": "C.UTF-8", **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait_ready(self, is_ready: Callable[[], bool], what: str) -> None:
        """Wait until ``is_ready``; RuntimeError with the log's end if the daemon ends instead."""

        def ready_or_over() -> bool:
            return self._process.poll() is not None or is_ready()

        try:
            wait_until(ready_or_over, what)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; {self._log_end()}") from error
        if self._process.poll() is not None:
            raise RuntimeError(
                f"{self.name} ended with status {self._process.returncode} before {what}; "
                f"{self._log_end()}"
            )

    def _log_end(self) -> str:
        last_lines = self.log.read_text(errors="replace").splitlines()[-15:]
        return "\n".join([f"the end of {self.log}:", *last_lines])

    def stop(self) -> None:
        """End it, kindly at first, even if it is suspended. Twice does no harm."""
        if self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def kill_marked(mark: str) -> None:
    """Kill every process whose environment holds ``mark`` (``NAME=value``), and its descendants.

    For processes that detach themselves from the daemon that started them: their environment is
    what still tells whose they are. Returns when none is left.
    """

    def none_left() -> bool:
        marked = _marked(mark)
        for pid in marked:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return not marked

    wait_until(none_left, f"processes with {mark} are left after SIGKILL")


def _marked(mark: str) -> set[int]:
    """The processes with ``mark`` in their environment and all under them, zombies left out."""
    parents: dict[int, int] = {}
    marked: set[int] = set()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:  # It has ended meanwhile.
            continue
        if state == "Z":
            continue
        parents[int(folder.name)] = int(parent)
        if mark.encode() in environment:
            marked.add(int(folder.name))
    while children := {pid for pid, parent in parents.items() if parent in marked} - marked:
        marked |= children
    return marked
