"""The supervisor: runs the service's processes in the foreground and starts the dead ones again.

The processes are started in order, each when the ones before it are ready, and stopped in reverse
order.  One that dies is started again after 1 s, then 2, 4, and so on up to 60 s; five minutes of
health bring that back to 1 s.  Only one that has never been ready is given up: whatever is wrong
with it is for the operator, and the supervisor stops the rest and ends with exit status 1.

SIGTERM, SIGINT (Ctrl-C) and SIGHUP (the terminal closed) stop everything: each process in its turn
gets SIGTERM, and SIGKILL when it has not ended within its ``stop_seconds``.  A second such signal
kills all of them at once.  When the supervisor itself is killed, so are its processes
(`clockwork.die_with_parent`).
"""

import contextlib
import logging
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType

from clockwork.child import NUDGE_SECONDS, Child, ProcessSpec

FIRST_DELAY = 1.0
"""Seconds between a process's death and its next start."""
LONGEST_DELAY = 60.0
HEALTHY_SECONDS = 300.0
"""A process that ran this long starts again after FIRST_DELAY."""

_POLL_SECONDS = 0.1
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

logger = logging.getLogger(__name__)


def next_delay(previous: float | None, lived: float) -> float:
    """Seconds to wait for the next start of a process that *lived* so many seconds.

    *previous* is what was waited before this life; None when it was the first.
    """
    if previous is None or lived >= HEALTHY_SECONDS:
        return FIRST_DELAY
    return min(2 * previous, LONGEST_DELAY)


@dataclass
class _Watched:
    """One process under supervision: its present run, if any, and when the next one is due."""

    spec: ProcessSpec
    child: Child | None = None
    ready: bool = False
    was_ready: bool = False
    delay: float | None = None
    due: float = 0.0


class _GivenUp(Exception):
    """A process has never become ready."""


class Supervisor:
    """Runs *processes* until it is told to stop. `run` is to be called in the main thread."""

    def __init__(self, processes: Sequence[ProcessSpec]) -> None:
        self._watched = [_Watched(spec) for spec in processes]
        self._signals_seen = 0

    def run(self) -> int:
        """Start the processes and keep them running; returns the exit status.

        0 after a signal to stop, 1 when a process never became ready.  What a ``ready`` or a
        ``started`` of a process raises ends the supervision too, after the processes are stopped.
        """
        with self._listening() as wait:
            try:
                while not self._signals_seen:
                    for watched in self._watched:
                        self._look_after(watched)
                        if not watched.was_ready:
                            break  # the ones after it wait for it
                    wait(self._seconds_to_next())
            except _GivenUp as reason:
                logger.error("%s", reason)  # noqa: TRY400 - the reason says it all
                return 1
            finally:
                self._stop(wait)
        return 0

    def _look_after(self, watched: _Watched) -> None:
        """One look at a process: start it, see it become ready, or note its death."""
        name, child = watched.spec.name, watched.child
        if child is None:
            if time.monotonic() >= watched.due:
                self._start(watched)
            return
        how = child.ended()
        if how is not None:
            self._bury(watched, child, how)
        elif not watched.ready:
            if watched.spec.ready is None or watched.spec.ready():
                watched.ready = watched.was_ready = True
                logger.info("%s is ready (pid %d)", name, child.pid)
            elif child.late():
                if not watched.was_ready:
                    raise _GivenUp(child.silence())
                logger.error("%s; it is killed", child.silence())
                child.kill()

    def _start(self, watched: _Watched) -> None:
        try:
            watched.child = Child(watched.spec)
        except OSError as error:
            self._put_off(watched, f"{watched.spec.name} can't be started: {error}", lived=0.0)
            return
        watched.ready = False
        self._look_after(watched)

    def _bury(self, watched: _Watched, child: Child, how: str) -> None:
        watched.child = None
        what = f"{watched.spec.name} ended (pid {child.pid}, {how}{child.last_words()})"
        self._put_off(watched, what, lived=time.monotonic() - child.started_at)

    def _put_off(self, watched: _Watched, what: str, lived: float) -> None:
        """Say *what* happened and when the process is started again. Raises `_GivenUp`."""
        if not watched.was_ready:
            raise _GivenUp(f"{what}; it was never ready and is given up")
        watched.delay = next_delay(watched.delay, lived)
        watched.due = time.monotonic() + watched.delay
        logger.error("%s; %s starts again in %g s", what, watched.spec.name, watched.delay)

    def _seconds_to_next(self) -> float | None:
        """How long the supervisor may sleep; None when only a signal is worth waking for."""
        if any(watched.child is not None and not watched.ready for watched in self._watched):
            return _POLL_SECONDS
        dues = [watched.due for watched in self._watched if watched.child is None]
        return max(0.0, min(dues) - time.monotonic()) if dues else None

    def _stop(self, wait: Callable[[float | None], None]) -> None:
        """Stop the processes in reverse order; kill them all at a second signal to stop."""
        for watched in reversed(self._watched):
            child = watched.child
            if child is None or child.ended() is not None:
                continue
            name, seconds = watched.spec.name, watched.spec.stop_seconds
            logger.info("stopping %s (pid %d)", name, child.pid)
            child.ask_to_stop()
            deadline = time.monotonic() + seconds
            while child.ended() is None:
                left = deadline - time.monotonic()
                if self._signals_seen > 1:
                    self._kill_all()
                elif left <= 0:
                    logger.warning("%s has not ended after %g s; it is killed", name, seconds)
                    child.kill()
                else:
                    wait(min(left, NUDGE_SECONDS))
                    child.nudge()

    def _kill_all(self) -> None:
        logger.warning("told to stop twice; all processes are killed")
        for watched in reversed(self._watched):
            if watched.child is not None:
                watched.child.kill()

    @contextlib.contextmanager
    def _listening(self) -> Iterator[Callable[[float | None], None]]:
        """Signals are counted; yields a function that sleeps until one, or so many seconds."""

        def wait(seconds: float | None) -> None:
            if select.select([woken], [], [], seconds)[0]:
                woken.recv(4096)

        woken, waker = socket.socketpair()
        with woken, waker, contextlib.ExitStack() as undo:
            waker.setblocking(False)
            previous = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
            undo.callback(signal.set_wakeup_fd, previous)
            # A child's death only has to wake the loop; a handler makes Python see the signal.
            undo.callback(signal.signal, signal.SIGCHLD, signal.getsignal(signal.SIGCHLD))
            signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
            for number in _STOP_SIGNALS:
                handler = signal.getsignal(number)
                if number == signal.SIGHUP and handler == signal.SIG_IGN:
                    continue  # run under nohup
                undo.callback(signal.signal, number, handler)
                signal.signal(number, self._count)
            yield wait

    def _count(self, _number: int, _frame: FrameType | None) -> None:
        self._signals_seen += 1
