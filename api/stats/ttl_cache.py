"""Cache a value for a while, and let only one request at a time renew the value."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from api.http.problems import unavailable

Value = TypeVar("Value")


class TtlCache(Generic[Value]):
    """What *make* returns or raises, renewed once it is *ttl* old or the clock was set back.

    The request that finds the value too old renews the value.  Requests that come meanwhile do not
    wait: they get the old value or error, or Problem 503 where there is none yet.  So a slow
    database holds one thread of the server, however many clients ask.
    """

    def __init__(
        self, make: Callable[[], Value], ttl: timedelta, clock: Callable[[], datetime]
    ) -> None:
        self._make = make
        self._ttl = ttl
        self._clock = clock
        self._lock = threading.Lock()
        self._is_being_made = False
        self._made: tuple[datetime, Value | None, Exception | None] | None = None

    def value(self) -> Value:
        """Return the value, or raise what *make* raised when the value was made."""
        with self._lock:
            now = self._clock()
            made = self._made
            old = made is None or not timedelta() <= now - made[0] < self._ttl
            mine = old and not self._is_being_made
            self._is_being_made |= mine
        if mine:
            made = self._renewed()
        if made is None:
            raise unavailable("The figures are being counted for the first time. Try again soon.")
        _, value, error = made
        if error is not None:
            raise error.with_traceback(None)
        return value  # type: ignore[return-value]  # None is a Value where there is no error

    def _renewed(self) -> tuple[datetime, Value | None, Exception | None]:
        value, failure = None, None
        try:
            value = self._make()
        except Exception as error:  # noqa: BLE001 - cached, and raised for everyone who asks
            failure = error
        finally:
            with self._lock:
                # The time is that of the end: a failure that took long is cached for as long.
                self._made = (self._clock(), value, failure)
                self._is_being_made = False
        return self._made
