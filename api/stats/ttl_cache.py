"""A value that is made when it is asked for and kept for a moment, for all who ask meanwhile."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Fresh(Generic[Value]):
    """What *make* gives, made anew when the last one is *age* old or the clock was set back.

    One thread makes it at a time; what *make* raises goes to whoever asked, and is not kept.
    """

    def __init__(
        self, make: Callable[[], Value], age: timedelta, clock: Callable[[], datetime]
    ) -> None:
        self._make = make
        self._age = age
        self._clock = clock
        self._one_at_a_time = threading.Lock()
        self._kept: tuple[datetime, Value] | None = None

    def value(self) -> Value:
        """The value, no older than *age*."""
        with self._one_at_a_time:
            now = self._clock()
            if self._kept is None or not timedelta() <= now - self._kept[0] < self._age:
                self._kept = (now, self._make())
            return self._kept[1]
