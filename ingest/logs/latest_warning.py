"""Warn about what goes wrong again and again, once."""

import logging
from typing import Any


class LatestWarning:
    """Writes a warning into *logger* unless it is the same as the one before."""

    def __init__(self, logger: logging.Logger, extra: dict[str, Any]) -> None:
        self._logger = logger
        self._extra = extra
        """What each line tells beside its text, such as the cluster."""
        self._latest = ""

    def warn(self, text: str) -> None:
        """Write *text*, unless it was written last."""
        if text != self._latest:
            self._latest = text
            self._logger.warning("%s", text, extra=self._extra)

    def forget(self) -> None:
        """All is well: the next warning is written, whatever it says."""
        self._latest = ""
