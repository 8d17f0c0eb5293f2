"""Run the service's processes in the foreground and restart those that die.

The processes are started in order, each when the processes before it are ready, and stopped in
reverse order.  A process that dies is restarted after 1 s, then 2, 4, and so on up to 60 s.  After
five minutes of health the delay is 1 s again.  A process that was never ready is not restarted,
unless somebody killed it: the supervisor stops the others and ends with exit status 1.

A process is killed and restarted if it gives signs of life (`ProcessSpec.notifies_every`) and falls
silent, and if it is found broken twice in a row (`ProcessSpec.broken`).

SIGTERM and SIGINT (Ctrl-C) stop everything: each process in turn gets SIGTERM, and SIGKILL if the
process has not ended within its ``stop_seconds``.  A second such signal kills all processes at
once.  If the supervisor itself is killed, its processes are killed too
(`clockwork.processes.parent_death`).  SIGHUP is passed on to the processes that give signs of life,
which read their configuration again.  SIGHUP from a terminal that closes stops everything
(`clockwork.processes.signals`).
"""

import contextlib
import logging
import os
import select
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from clockwork.processes.child import NUDGE_SECONDS, Child, ProcessSpec
from clockwork.processes.notify import (
    Inbox,
    Watchdog,
    tell_ready,
    tell_reloading,
    tell_stopping,
    without_notification,
)
from clockwork.processes.signals import signals

FIRST_DELAY = 1.0
"""Seconds between a process's death and its next start."""
LONGEST_DELAY = 60.0
HEALTHY_SECONDS = 300.0
"""A process that ran this long is restarted after FIRST_DELAY."""

LOOK_SECONDS = 10.0
"""Seconds between two looks at whether a process is broken."""

_POLL_SECONDS = 0.1

logger = logging.getLogger(__name__)


def next_delay(previous: float | None, lived: float) -> float:
    """Return the seconds until the next start of a process that *lived* so many seconds.

    *previous* is the delay before the process's last start; None for its first start.
    """
    if previous is None or lived >= HEALTHY_SECONDS:
        return FIRST_DELAY
    return min(2 * previous, LONGEST_DELAY)


@dataclass
class _Watched:
    """A process under supervision: its current run, if any, and when the next run is due."""

    spec: ProcessSpec
    inbox: Inbox | None = None
    child: Child | None = None
    ready: bool = False
    was_ready: bool = False
    reload_due: bool = False
    delay: float | None = None
    due: float = 0.0
    look_due: float = float("inf")
    found_broken: bool = False

    def reloads(self) -> bool:
        """Return whether the process still has to read its settings again."""
        if self.inbox is None or self.child is None or not self.ready:
            return False
        return self.reload_due or not self.inbox.ready

    def is_broken(self) -> bool:
        """Return whether the process is broken, as its ``broken`` says."""
        return self.spec.broken is not None and self.spec.broken()

    def silent_at(self) -> float:
        """Return when the process counts as hanging without a sign of life (monotonic clock)."""
        return float("inf") if self.inbox is None else self.inbox.heard_at + self.inbox.silence


class _GivenUp(Exception):
    """A process has never become ready."""


class Supervisor:
    """Runs *processes* until it is told to stop. `run` is to be called in the main thread."""

    def __init__(self, processes: Sequence[ProcessSpec]) -> None:
        self._watched = [_Watched(spec) for spec in processes]
        self._stops_asked = 0
        self._reload_asked = False
        self._told_ready = False
        self._watchdog = Watchdog()

    def run(self) -> int:
        """Start the processes and keep them running; returns the exit status.

        0 after a signal to stop, 1 when a process never became ready.  What a ``ready`` or a
        ``started`` of a process raises ends the supervision too, after the processes are stopped.
        """
        with self._hearing(), self._listening() as wait:
            try:
                while not self._stops_asked:
                    self._pass_reload_on()
                    for watched in self._watched:
                        self._look_after(watched)
                        if not watched.was_ready:
                            break  # the ones after it wait for it
                    self._tell_ready()
                    wait(self._seconds_to_next())
            except _GivenUp as reason:
                logger.error("%s", reason)  # noqa: TRY400 - the reason says it all
                return 1
            finally:
                tell_stopping()
                self._stop(wait)
        return 0

    def _pass_reload_on(self) -> None:
        if self._reload_asked:
            tell_reloading()
            self._reload_asked = self._told_ready = False
            for watched in self._watched:
                watched.reload_due = watched.inbox is not None

    def _tell_ready(self) -> None:
        """Tell the service manager once all processes are ready, or have read their settings."""
        busy = [watched for watched in self._watched if not watched.was_ready or watched.reloads()]
        if not self._told_ready and not busy:
            self._told_ready = True
            tell_ready(f"running {', '.join(watched.spec.name for watched in self._watched)}")

    def _look_after(self, watched: _Watched) -> None:
        """Look at a process once: start it, see it become ready, or note its death."""
        name, child = watched.spec.name, watched.child
        if child is None:
            if time.monotonic() >= watched.due:
                self._start(watched)
            return
        how = child.ended()
        if how is not None:
            self._bury(watched, child, how)
        elif not watched.ready:
            if self._is_ready(watched):
                watched.ready = watched.was_ready = True
                watched.found_broken = False
                if watched.spec.broken is not None:
                    watched.look_due = time.monotonic() + LOOK_SECONDS
                logger.info("%s is ready (pid %d)", name, child.pid)
            elif child.late():
                if not watched.was_ready:
                    raise _GivenUp(child.silence())
                logger.error("%s; it is killed", child.silence())
                child.kill()
        elif watched.inbox is not None:
            self._watch(watched, watched.inbox, child)
        elif time.monotonic() >= watched.look_due:
            self._examine(watched, child)

    def _examine(self, watched: _Watched, child: Child) -> None:
        """Kill a process that is broken now and was broken at the last look."""
        was_broken, watched.found_broken = watched.found_broken, watched.is_broken()
        watched.look_due = time.monotonic() + LOOK_SECONDS
        if was_broken and watched.found_broken:
            logger.error(
                "%s (pid %d) is running but not ready; the supervisor kills it%s",
                *(child.spec.name, child.pid, child.last_words()),
            )
            child.kill()

    def _is_ready(self, watched: _Watched) -> bool:
        if watched.inbox is not None:
            return watched.inbox.ready
        return watched.spec.ready is None or watched.spec.ready()

    def _watch(self, watched: _Watched, inbox: Inbox, child: Child) -> None:
        inbox.read()
        if time.monotonic() > watched.silent_at():
            logger.error(
                "%s (pid %d) gives no sign of life for %g s; it is killed",
                *(watched.spec.name, child.pid, inbox.silence),
            )
            child.abort()
        elif watched.reload_due:
            watched.reload_due = inbox.ready = False
            child.reload()

    def _start(self, watched: _Watched) -> None:
        spec = watched.spec
        environment = without_notification(os.environ if spec.env is None else spec.env)
        if watched.inbox is not None:
            watched.inbox.open_for_new_process()
            environment |= watched.inbox.environment
        try:
            watched.child = Child(replace(spec, env=environment))
        except OSError as error:
            self._put_off(watched, f"{spec.name} can't be started: {error}", lived=0.0)
            return
        watched.ready = False
        watched.reload_due = False
        self._look_after(watched)

    def _bury(self, watched: _Watched, child: Child, how: str) -> None:
        watched.child = None
        watched.look_due = float("inf")
        what = f"{watched.spec.name} ended (pid {child.pid}, {how}{child.last_words()})"
        lived = time.monotonic() - child.started_at
        self._put_off(watched, what, lived, hopeful=child.was_killed())

    def _put_off(
        self, watched: _Watched, what: str, lived: float, *, hopeful: bool = False
    ) -> None:
        """Log *what* happened and when the process is restarted.

        Raises `_GivenUp` for a process that was never ready, unless it is *hopeful*.
        """
        if not (watched.was_ready or hopeful):
            raise _GivenUp(f"{what}; it was never ready; giving up")
        watched.delay = next_delay(watched.delay, lived)
        watched.due = time.monotonic() + watched.delay
        logger.error("%s; %s starts again in %g s", what, watched.spec.name, watched.delay)

    def _seconds_to_next(self) -> float | None:
        """Return how long the supervisor may sleep; None for until the next signal."""
        if any(watched.child is not None and not watched.ready for watched in self._watched):
            return _POLL_SECONDS
        dues = [
            min(watched.silent_at(), watched.look_due) if watched.child is not None else watched.due
            for watched in self._watched
        ]
        seconds = max(0.0, min(dues) - time.monotonic())
        return None if seconds == float("inf") else seconds

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
                if self._stops_asked > 1:
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
    def _hearing(self) -> Iterator[None]:
        """Open an inbox for each process that gives signs of life, in a private folder."""
        with contextlib.ExitStack() as undo:
            folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="clockwork-")))
            for watched in self._watched:
                if watched.spec.notifies_every is not None:
                    inbox = Inbox(folder / watched.spec.name, watched.spec.notifies_every)
                    undo.callback(inbox.close)
                    watched.inbox = inbox
            yield

    @contextlib.contextmanager
    def _listening(self) -> Iterator[Callable[[float | None], None]]:
        """Note signals; yield a function that sleeps until a signal, a message or a time limit."""

        def wait(seconds: float | None) -> None:
            limits = [limit for limit in (seconds, self._watchdog.interval) if limit is not None]
            self._watchdog.look()
            heard, _, _ = select.select([woken, *inboxes], [], [], min(limits, default=None))
            if woken in heard:
                woken.recv(4096)
            for inbox in heard:
                if inbox is not woken:
                    inboxes[inbox].read()

        inboxes = {
            watched.inbox.socket: watched.inbox
            for watched in self._watched
            if watched.inbox is not None
        }
        woken, waker = socket.socketpair()
        with woken, waker, contextlib.ExitStack() as undo:
            waker.setblocking(False)
            previous = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
            undo.callback(signal.set_wakeup_fd, previous)
            # A child's death only has to wake the loop; a handler makes Python see the signal.
            undo.callback(signal.signal, signal.SIGCHLD, signal.getsignal(signal.SIGCHLD))
            signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
            undo.enter_context(signals(self._count, self._ask_to_reload, self._count))
            yield wait

    def _count(self) -> None:
        self._stops_asked += 1

    def _ask_to_reload(self) -> None:
        self._reload_asked = True
