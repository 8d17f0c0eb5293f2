"""Bound the lines that one cause writes into the log: one at once, then one for each interval."""

import threading

_MOST_CAUSES = 10_000
"""Causes that are remembered; of more, the oldest are forgotten."""


class LogLines:
    """Decides which causes are due for a line. Safe to use from several threads."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        """Seconds between two lines of one cause."""
        self._lock = threading.Lock()
        self._causes: dict[str, tuple[float, int]] = {}
        """When a cause was last logged, and how often it was seen since; the oldest first."""

    def due(self, cause: str, now: float) -> int:
        """Count a *cause* that was seen *now*, in seconds of any clock.

        Returns how often the cause was seen since its last line if another line is due, else 0.
        """
        with self._lock:
            logged, times = self._causes.get(cause, (None, 0))
            # The absolute difference: a clock that was set back must not silence a cause.
            if logged is not None and abs(now - logged) < self._interval:
                self._causes[cause] = (logged, times + 1)
                return 0
            self._causes.pop(cause, None)
            self._causes[cause] = (now, 0)
            if len(self._causes) > _MOST_CAUSES:
                del self._causes[next(iter(self._causes))]
            return times + 1
