"""A child process of the service: started, watched until it is ready, asked to stop, killed.

A child has a process group of its own, so that a terminal's Ctrl-C reaches the service alone, and
it is killed when the service is (`clockwork.processes.parent_death`): start it from the main
thread."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clockwork.processes.parent_death import with_parent

LOG_BYTES = 1 << 20
"""A larger log is renamed ``<name>.old`` at the next start."""

NUDGE_SECONDS = 0.2
"""Between SIGTERM and the first ``nudge``, and between one and the next."""

_POLL_SECONDS = 0.05
_LAST_WORDS_BYTES = 2000
_LAST_GASP_SECONDS = 1.0


class ChildFailed(Exception):
    """A child ended, or stayed silent, before it was ready. The message is for the operator."""


@dataclass(frozen=True)
class ProcessSpec:
    """A program to run as a child, and how to tell that it is ready."""

    name: str
    """What messages call it."""
    argv: Sequence[str]
    """The program's full path and its arguments. Other users can see them: no secrets here."""
    env: Mapping[str, str] | None = None
    """The whole environment; None for a copy of this process's own."""
    ready: Callable[[], bool] | None = None
    """Called until it returns True; None for a program that is ready at once."""
    ready_seconds: float = 60.0
    """How long it may take to become ready."""
    notifies_every: float | None = None
    """Seconds between two signs of life, for a program that says by itself that it is ready
    (`clockwork.processes.notify`); None for a program that sends no messages."""
    broken: Callable[[], bool] | None = None
    """Called now and then by a supervisor: returns whether the program can't do its work any more
    and does not end by itself."""
    stop_seconds: float = 10.0
    """Seconds that the program has to end after SIGTERM; then it is killed."""
    nudge: Callable[[], object] | None = None
    """Called every NUDGE_SECONDS after SIGTERM, for a program that is slow to end without."""
    log: Path | None = None
    """A file for the program's output; None for this process's standard output."""
    started: Callable[[int], None] | None = None
    """Called with the process id at every start."""


class Child:
    """One run of a program; it starts when the object is made. Raises OSError when it can't."""

    def __init__(self, spec: ProcessSpec) -> None:
        self.spec = spec
        self.started_at = time.monotonic()
        self._log_start = 0
        output = None if spec.log is None else self._open_log(spec.log)
        try:
            self._process = subprocess.Popen(
                with_parent(spec.argv),
                env=spec.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                umask=0o077,
            )
        finally:
            if output is not None:
                os.close(output)
        try:
            if spec.started is not None:
                spec.started(self.pid)
        except BaseException:
            self.kill()
            raise

    def _open_log(self, log: Path) -> int:
        with contextlib.suppress(FileNotFoundError):
            if log.stat().st_size > LOG_BYTES:
                log.replace(log.with_name(log.name + ".old"))
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        output = os.open(log, flags, 0o600)
        self._log_start = os.fstat(output).st_size
        return output

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def ended(self) -> str | None:
        """Return how the process ended, in words; None while it runs."""
        status = self._process.poll()
        if status is None:
            return None
        if status >= 0:
            return f"exit status {status}"
        try:
            return f"killed by {signal.Signals(-status).name}"
        except ValueError:
            return f"killed by signal {-status}"

    def was_killed(self) -> bool:
        """Return whether SIGKILL ended the process."""
        return self._process.poll() == -signal.SIGKILL

    def last_words(self) -> str:
        """Return the end of the process's log, for a message; empty without a log."""
        log = self.spec.log
        if log is None:
            return ""
        try:
            with log.open("rb") as file:
                start = max(self._log_start, file.seek(0, os.SEEK_END) - _LAST_WORDS_BYTES)
                file.seek(start)
                text = file.read().decode("utf-8", errors="replace").strip()
        except FileNotFoundError:
            return f"; {log} is gone"
        return f"; {log} ends:\n{text}\n" if text else f"; nothing in {log}"

    def wait_until_ready(self) -> None:
        """Return when the process is ready. Raises `ChildFailed` if it ends or takes too long."""
        while not (self.spec.ready is None or self.spec.ready()):
            how = self.ended()
            if how is not None:
                raise ChildFailed(f"{self.spec.name} did not start: {how}{self.last_words()}")
            if self.late():
                raise ChildFailed(self.silence())
            time.sleep(_POLL_SECONDS)

    def late(self) -> bool:
        """Return whether the time to become ready is over."""
        return time.monotonic() - self.started_at > self.spec.ready_seconds

    def silence(self) -> str:
        """Return the message about a child that is late."""
        seconds = self.spec.ready_seconds
        return f"{self.spec.name} runs but is not ready after {seconds:g} s{self.last_words()}"

    def ask_to_stop(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    def reload(self) -> None:
        """Send SIGHUP."""
        self._process.send_signal(signal.SIGHUP)

    def abort(self) -> None:
        """Send SIGABRT, which makes our processes log where they hang, then `kill` the process."""
        self._process.send_signal(signal.SIGABRT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_LAST_GASP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """Send SIGKILL to the process and its own children, and wait for its end."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def nudge(self) -> None:
        """Call the ``nudge`` of the process, if there is one."""
        if self.spec.nudge is not None:
            self.spec.nudge()

    def stop(self) -> None:
        """Send SIGTERM, and SIGKILL if the process has not ended within its ``stop_seconds``."""
        self.ask_to_stop()
        deadline = time.monotonic() + self.spec.stop_seconds
        while time.monotonic() < deadline:
            try:
                self._process.wait(min(NUDGE_SECONDS, self.spec.stop_seconds))
            except subprocess.TimeoutExpired:
                self.nudge()
            else:
                return
        self.kill()
