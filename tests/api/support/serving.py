"""The API under its real server, and clients that ask over real HTTP."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from typing import Any

from api.schema.endpoint import BASE
from api.server import Server
from api.waiting import States
from config.settings import ApiSettings
from tests.api.support.client import Client
from tests.support.ports import LOOPBACK, free_port


@contextmanager
def served(
    app: Any, settings: ApiSettings | None = None, states: States | None = None
) -> Iterator[int]:
    """Run the server of *app* in a thread; yields its port. With *states*, requests can wait."""
    settings = settings or ApiSettings(port=free_port())
    server = Server(app, settings, states=states)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield settings.port
    finally:
        server.stop()
        thread.join()


def ask(
    port: int, client: Client, method: str, path: str, body: Any = None, **headers: str
) -> tuple[HTTPResponse, bytes]:
    """Send a request with the header fields of *client*; returns the response and its body."""
    connection = HTTPConnection(LOOPBACK, port, timeout=300)
    connection.request(method, BASE + path, body, {**client.headers, **headers})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response, content


def exchange(port: int, sent: bytes) -> bytes:
    """Return all bytes that come back until the server closes."""
    with socket.create_connection((LOOPBACK, port), timeout=300) as raw:
        raw.sendall(sent)
        return b"".join(iter(lambda: raw.recv(65536), b""))
