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
"""A log that has grown past this is put aside as ``<name>.old`` at the next start."""

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
    """Asked again and again until it is true; None when the program counts as ready at once."""
    ready_seconds: float = 60.0
    """How long it may take to become ready."""
    notifies_every: float | None = None
    """It says by itself that it is ready, and then gives a sign of life at least every so many
    seconds (`clockwork.processes.notify`); None for a program that says nothing."""
    broken: Callable[[], bool] | None = None
    """Asked now and then while it runs: whether it can't do its work any more and does not end by
    itself; for a supervisor."""
    stop_seconds: float = 10.0
    """How long after SIGTERM it may take to end; then it is killed."""
    nudge: Callable[[], object] | None = None
    """Called every NUDGE_SECONDS after SIGTERM, for a program that is slow to end without."""
    log: Path | None = None
    """A file that takes its output; None leaves it on this process's own standard output."""
    started: Callable[[int], None] | None = None
    """Told the process id at every start."""


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
        """How it ended, in words; None while it runs."""
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
        """Whether SIGKILL ended it, which is no fault of its own."""
        return self._process.poll() == -signal.SIGKILL

    def last_words(self) -> str:
        """What it last wrote to its log file, to follow how it ended; empty without a log."""
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
        """Return when it is ready. Raises `ChildFailed` when it ends or takes too long."""
        while not (self.spec.ready is None or self.spec.ready()):
            how = self.ended()
            if how is not None:
                raise ChildFailed(f"{self.spec.name} did not start: {how}{self.last_words()}")
            if self.late():
                raise ChildFailed(self.silence())
            time.sleep(_POLL_SECONDS)

    def late(self) -> bool:
        """Whether the time that it had to become ready is over."""
        return time.monotonic() - self.started_at > self.spec.ready_seconds

    def silence(self) -> str:
        """The message about a child that is late."""
        seconds = self.spec.ready_seconds
        return f"{self.spec.name} runs but is not ready after {seconds:g} s{self.last_words()}"

    def ask_to_stop(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    def reload(self) -> None:
        """Send SIGHUP."""
        self._process.send_signal(signal.SIGHUP)

    def abort(self) -> None:
        """Send SIGABRT, at which ours say where they hang, and `kill` it a moment later."""
        self._process.send_signal(signal.SIGABRT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_LAST_GASP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """Send SIGKILL to it and to what it started itself, and wait for its end."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def nudge(self) -> None:
        """What its ``nudge`` does; nothing without one."""
        if self.spec.nudge is not None:
            self.spec.nudge()

    def stop(self) -> None:
        """End it: SIGTERM, then SIGKILL when it has not ended within its ``stop_seconds``."""
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
