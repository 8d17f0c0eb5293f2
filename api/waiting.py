"""Hold responses back until something changes, without a thread for each of them.

An endpoint asks for this (`api.http.request.Hold`).  The connection then waits here with its
request.  One thread asks the database for the state of what they wait for, four times a second and
only while a connection waits.  Connections whose time has come are answered by threads of their
own, so that all other requests find the server's threads free.

The requests that are answered again together share what they would all read and write alike
(`Hold.once`): whether an account has changed, what follows a cursor, its JSON and its compression.
"""

import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from pymongo.errors import PyMongoError

from api.http.request import Hold, make_alone

POLL_SECONDS = 0.25
MOST_WAITING = 1100
"""Connections that may wait at a time."""
MOST_OF_ACCOUNT = 1000
"""Connections of one account that may wait at a time."""
_THREADS = 2
"""Threads that answer those whose time has come."""

States = Callable[[Iterable[str]], Mapping[str, str]]
"""Returns the state of each topic: another text after each change. Raises pymongo's errors."""

logger = logging.getLogger(__name__)


class Parked(BaseException):
    """The response is held back: the connection waits. No error, and no code may catch it."""


class _Wave:
    """What the requests that are answered again together share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[Hashable, Future[Any]] = {}

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return what *make* returned or raised for the first request that asked for *key*."""
        with self._lock:
            is_first = key not in self._made
            made = self._made.setdefault(key, Future())
        if is_first:
            try:
                made.set_result(make())
            except Exception as error:  # noqa: BLE001 - raised for everyone who asks
                made.set_exception(error)
        return made.result()


class Waiting:
    """The connections that wait, each with the `Hold` of its request."""

    def __init__(self, states: States) -> None:
        self._states = states
        self._parked: dict[Any, Hold] = {}
        self._resumed: set[Any] = set()
        """Connections whose time has come, until they are answered."""
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="waited")
        threading.Thread(target=self._watch, name="waiting", daemon=True).start()

    def __len__(self) -> int:
        return len(self._parked) + len(self._resumed)

    def __contains__(self, connection: object) -> bool:
        return connection in self._parked

    def has_room(self, account: str) -> bool:
        """Return whether one more connection of *account* may wait."""
        with self._changed:
            of_account = sum(hold.account == account for hold in self._parked.values())
            return len(self._parked) < MOST_WAITING and of_account < MOST_OF_ACCOUNT

    def park(self, connection: Any, hold: Hold) -> None:
        """Let *connection* wait, until `resume` is called for it in another thread."""
        hold.once = make_alone  # what others share is not kept
        with self._changed:
            self._parked[connection] = hold
            self._changed.notify()
        if self._stopped.is_set() or not connection.connected:
            self._resume(connection)

    def leave(self, connection: Any) -> None:
        """Forget a connection that was closed."""
        with self._changed:
            self._parked.pop(connection, None)

    def stop(self) -> None:
        """Answer all connections now; none waits any more."""
        with self._changed:
            self._stopped.set()
            self._changed.notify()
            parked = [*self._parked]
        for connection in parked:
            self._resume(connection)

    def shut_down(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _watch(self) -> None:
        while not self._stopped.wait(POLL_SECONDS):
            with self._changed:
                self._changed.wait_for(lambda: self._parked or self._stopped.is_set())
                parked = [*self._parked.items()]
            try:
                states = self._states({str(hold.topic) for _, hold in parked})
            except PyMongoError as error:
                logger.warning("changes: could not ask whether something changed: %s", error)
                states = {}
            now = time.monotonic()
            woken = []
            for connection, hold in parked:
                state = states.get(str(hold.topic), hold.state)
                # What was sent must have been read: a client that reads slowly gets less often
                # what changed, and nothing piles up for it.
                if now >= hold.due or (state != hold.state and not connection.total_outbufs_len):
                    woken.append((connection, hold))
            self._wake(woken)

    def _wake(self, woken: Sequence[tuple[Any, Hold]]) -> None:
        wave = _Wave()
        for connection, hold in woken:
            hold.once = wave.once
            self._resume(connection)

    def _resume(self, connection: Any) -> None:
        with self._changed:
            hold = self._parked.pop(connection, None)
            if hold is None:
                return
            self._resumed.add(connection)
        hold.is_resumed = True
        hold.is_over = self._stopped.is_set() or time.monotonic() >= (hold.deadline or 0)
        self._threads.submit(self._answer, connection)

    def _answer(self, connection: Any) -> None:
        try:
            connection.service()
        finally:
            with self._changed:
                self._resumed.discard(connection)
