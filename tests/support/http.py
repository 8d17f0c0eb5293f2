"""An HTTP server of the standard library, for what the product calls."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.ports import LOOPBACK


@contextmanager
def answered_by(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """Answer HTTP requests with *handler* in threads; yields the port."""
    with ThreadingHTTPServer((LOOPBACK, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
