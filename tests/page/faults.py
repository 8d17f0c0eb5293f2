"""What can go wrong between a browser and the API: errors, and answers that do not come."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

WAITS = 0
"""In place of a status: there is no answer until the fault ends."""


class Faults:
    """A WSGI application that passes requests on to *app*, but for those with a fault."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app
        self._status: dict[str, int] = {}
        self._ended = threading.Event()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        found = [each for part, each in self._status.items() if part in environ["PATH_INFO"]]
        if not found:
            return self._app(environ, start)
        if found[0] == WAITS:
            self._ended.wait()
            return self._app(environ, start)
        body = json.dumps({"detail": f"{environ['PATH_INFO']} is kept from you."}).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start(f"{found[0]} Fault", headers)
        return [body]

    @contextmanager
    def answering(self, part: str, status: int) -> Iterator[None]:
        """Answer requests to paths with *part* with *status* in this block."""
        self._status, self._ended = {part: status}, threading.Event()
        try:
            yield
        finally:
            self._status = {}
            self._ended.set()
