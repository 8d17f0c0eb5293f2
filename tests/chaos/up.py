"""Run ``clockwork up`` as a process, find its processes, and kill them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from clockwork.processes.parent_death import with_parent

PROCESSES = {"database": "secantusd", "scraper": "scrape", "api": "serve"}
"""The supervisor's processes, and a word of each one's command line."""
SUPERVISOR = "supervisor"
PATIENCE = 120.0


def wait_until(is_true: Callable[[], bool], what: str, seconds: float = PATIENCE) -> float:
    """Ask until *is_true*; returns the seconds it took. Raises TimeoutError."""
    began = time.monotonic()
    while not is_true():
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"waited {seconds:.0f} s in vain: {what}")
        time.sleep(0.1)
    return time.monotonic() - began


@dataclass
class Up:
    """The service with the configuration *path*; `start` it again after a kill."""

    path: Path
    log: Path
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def ended(self) -> bool:
        """Whether the supervisor has ended."""
        return self._process is None or self._process.poll() is not None

    def start(self) -> None:
        """Start the service, as an init system would, unless it runs."""
        if not self.ended:
            return
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                with_parent([sys.executable, "-m", "clockwork", "--config", str(self.path), "up"]),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def processes(self) -> dict[str, psutil.Process]:
        """Return the running processes by name, the supervisor included."""
        found: dict[str, psutil.Process] = {}
        if self._process is None or self._process.poll() is not None:
            return found
        with suppress(psutil.NoSuchProcess):
            supervisor = psutil.Process(self._process.pid)
            found[SUPERVISOR] = supervisor
            for child in supervisor.children():
                with suppress(psutil.Error):
                    arguments = child.cmdline()
                    for name, word in PROCESSES.items():
                        if any(word in argument for argument in (arguments[:2] + arguments[-1:])):
                            found.setdefault(name, child)
        return found

    def kill(self, names: Iterable[str]) -> list[str]:
        """Kill the processes *names* that run, at nearly the same time; return their names."""
        running = self.processes()
        killed = [name for name in names if name in running]
        for name in killed:
            with suppress(psutil.NoSuchProcess):
                running[name].kill()
        if SUPERVISOR in killed and self._process is not None:
            self._process.wait()
        return killed

    def stop(self) -> int | None:
        """Stop the service as an operator does; return its exit status."""
        if self._process is None:
            return None
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGTERM)
        try:
            return self._process.wait(90)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


@contextmanager
def running(path: Path) -> Iterator[Up]:
    """Run `Up` with the configuration *path*, and end it; its log is beside the file."""
    up = Up(path, path.with_name("up.log"))
    up.start()
    try:
        yield up
    finally:
        up.stop()
