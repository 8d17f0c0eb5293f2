"""Listen to a logger, whichever thread writes to it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class Messages(logging.Handler):
    """Keeps the messages in ``texts``, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message."""
        self.texts.append(record.getMessage())


@contextmanager
def listening(handler: logging.Handler, name: str) -> Iterator[None]:
    """Let *handler* have what the logger *name* writes meanwhile, from level info on."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
