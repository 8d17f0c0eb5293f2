"""Make requests to the API: directly to the WSGI application, and over HTTP by many clients."""

import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

BASE = "/api/v1/cluster/"
SECONDS_TO_ANSWER = 60
_UNCHANGED = b"http/1.1 304"

WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Wsgi:
    """Call *app* as a server would, with a user's token."""

    def __init__(self, app: WsgiApplication, token: str = "") -> None:
        self._app = app
        self._token = token

    def get(
        self, path: str, arguments: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> tuple[str, dict[str, str], bytes]:
        """Return status, header fields by their names in lower case, and body."""
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": urlencode(arguments),
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_AUTHORIZATION": f"Bearer {self._token}",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(),
            "wsgi.errors": BytesIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in (headers or {}).items():
            environ["HTTP_" + name.upper().replace("-", "_")] = value
        started: list[tuple[str, dict[str, str]]] = []

        def start_response(status: str, fields: list[tuple[str, str]], *_: Any) -> None:
            started.append((status, {name.lower(): value for name, value in fields}))

        chunks = self._app(environ, start_response)
        try:
            body = b"".join(chunks)
        finally:
            if hasattr(chunks, "close"):
                chunks.close()
        [(status, fields)] = started
        return status, fields, body


class Http:
    """Make requests with a user's token over one connection, as long as the server keeps it.

    Raises OSError when the connection breaks within a response.
    """

    def __init__(self, port: int, token: str = "") -> None:
        self._port = port
        self._token = token
        self._socket: socket.socket | None = None

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def get(self, target: str, etag: str = "") -> bytes:
        """Return the response to a GET, header and body; *target* is path and query.

        *etag* is that of the response that the client has already.
        """
        connection = self._socket or self._connect()
        head = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self._token}"
        if etag:
            head += f"\r\nIf-None-Match: {etag}"
        connection.sendall(f"{head}\r\n\r\n".encode())
        received = bytearray()
        while not _is_whole(received):
            chunk = connection.recv(1 << 18)
            if not chunk:
                raise ConnectionError("the server ended the connection within an answer")
            received += chunk
        if b"\r\nconnection: close" in _head(received):
            self.close()
        return bytes(received)

    def _connect(self) -> socket.socket:
        self._socket = socket.create_connection(("127.0.0.1", self._port), SECONDS_TO_ANSWER)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket


def _is_whole(received: bytearray) -> bool:
    """Return whether a response is complete: as long as its header says, or chunked to its end."""
    head = _head(received)
    if not head or head.startswith(_UNCHANGED):
        return bool(head)
    if b"transfer-encoding: chunked" in head:
        return received.endswith(b"\r\n0\r\n\r\n")
    length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
    return len(received) >= len(head) + length


def _head(received: bytearray) -> bytes:
    """Return status line and header fields in lower case; empty until all of them are there."""
    end = received.find(b"\r\n\r\n")
    return bytes(received[: end + 4]).lower() if end >= 0 else b""


def requests_a_second(
    ports: Sequence[int],
    token: str,
    targets: Sequence[str],
    clients: int,
    seconds: float,
    etag: str = "",
) -> float:
    """Return how many requests per second of *clients* clients the servers at *ports* answer.

    Each client asks one server for the *targets* in turn, the next one after each response.
    Raises ConnectionError for an answer that is not 200; with *etag*, that is not 304.
    """
    expected = _UNCHANGED if etag else b"http/1.1 200"
    answered = [0] * clients
    ends_at = time.perf_counter() + seconds

    def ask(number: int) -> None:
        client = Http(ports[number % len(ports)], token)
        while time.perf_counter() < ends_at:
            answer = client.get(targets[(number + answered[number]) % len(targets)], etag)
            if not answer.lower().startswith(expected):
                raise ConnectionError(f"not answered: {answer[:200]!r}")
            answered[number] += 1
        client.close()

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as threads:
        list(threads.map(ask, range(clients)))
    return sum(answered) / (time.perf_counter() - started)
