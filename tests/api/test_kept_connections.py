"""Connections that stay open behind a response: in step, bounded, and closed when they must be.

The application is a small one of the tests, so that responses can be of any kind.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from waitress.adjustments import Adjustments

from api import connections, server
from api.connections import Connection, StrictRequest
from api.http.request import EVENTS, HOLD
from api.server import Server
from config.settings import ApiSettings
from tests.api.support.serving import served
from tests.support.ports import LOOPBACK, free_port
from tests.system.daemons import wait_until

PIECES, PIECE = 64, b"x" * (1 << 16)
Start = Callable[..., Any]


class App:
    """Answers by the path; ``state`` is what streams of events wait for."""

    def __init__(self) -> None:
        self.state = 0
        self.entered, self.released = threading.Event(), threading.Event()

    def states(self, topics: Iterable[str]) -> dict[str, str]:
        return dict.fromkeys(topics, str(self.state))

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        answer = getattr(self, environ["PATH_INFO"].strip("/"))
        return answer(environ, start)  # type: ignore[no-any-return]

    def who(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        body = environ.get("HTTP_AUTHORIZATION", "nobody").encode()
        start("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    def unchanged(self, _: dict[str, Any], start: Start) -> Iterable[bytes]:
        start("304 Not Modified", [("ETag", '"x"')])
        return []

    def chunks(self, _: dict[str, Any], start: Start) -> Iterator[bytes]:
        start("200 OK", [])
        return iter([PIECE] * PIECES)

    def broken(self, _: dict[str, Any], start: Start) -> Iterator[bytes]:
        start("200 OK", [])

        def pieces() -> Iterator[bytes]:
            yield PIECE
            raise ValueError("the source of the list broke")

        return pieces()

    def slow(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        self.entered.set()
        assert self.released.wait(300)
        return self.who(environ, start)

    def events(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        """Events, of which each second one is large."""
        number = int(environ.get("HTTP_LAST_EVENT_ID", environ.get("QUERY_STRING") or "0")) + 1
        environ[HOLD].wish("topic", str(self.state), 600, "alice", str(number))
        body = b"id: %d\ndata: %s\n\n" % (number, b"y" * (1 if number % 2 else 100_000))
        start("200 OK", [("Content-Type", EVENTS), ("Content-Length", str(len(body)))])
        return [body]


class Client:
    """A raw connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((LOOPBACK, port), timeout=300)
        self.received = b""

    def send(self, path: str, *fields: str, version: str = "1.1") -> None:
        head = "".join(
            f"{each}\r\n" for each in (f"GET /{path} HTTP/{version}", "Host: x", *fields)
        )
        self.socket.sendall(head.encode() + b"\r\n")

    def read_until(self, end: bytes) -> bytes:
        """Return what comes up to *end*, with it."""
        while end not in self.received:
            more = self.socket.recv(1 << 16)
            assert more, f"closed behind {self.received[-300:]!r}"
            self.received += more
        found, _, self.received = self.received.partition(end)
        return found + end

    def ask(self, path: str, *fields: str, end: bytes = b"\r\n\r\n") -> bytes:
        self.send(path, *fields)
        return self.read_until(end)

    def read_to_the_close(self) -> bytes:
        return self.received + b"".join(iter(lambda: self.socket.recv(1 << 16), b""))


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> App:
    monkeypatch.setattr("api.waiting.POLL_SECONDS", 0.05)
    return App()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    """The server's ends of all connections."""
    found: list[Connection] = []
    begin = Connection.__init__

    def note(self: Connection, *arguments: Any, **keys: Any) -> None:
        begin(self, *arguments, **keys)
        found.append(self)

    monkeypatch.setattr(Connection, "__init__", note)
    return found


@contextmanager
def client_of(app: App) -> Iterator[Client]:
    with served(app, states=app.states) as port:
        client = Client(port)
        yield client
        client.socket.close()


def test_what_the_client_has_is_not_kept(app: App, opened: list[Connection]) -> None:
    with client_of(app) as client:
        for _ in range(2):
            body = client.ask("chunks", end=b"\r\n0\r\n\r\n")
            assert body.count(b"x") >= PIECES * len(PIECE)
            wait_until(lambda: opened[0].waits, "the response is over")
            assert [each.buf for each in opened[0].outbufs] == [None]
        assert len(opened) == 1
        assert client.ask("who", "Authorization: bob", end=b"bob").startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("empty", ["Host: x", "Content-Length: 0"])
def test_a_request_without_a_body_that_expects_to_be_asked_for_it_is_answered(
    app: App, empty: str
) -> None:
    fields = [] if empty == "Host: x" else [empty]
    with client_of(app) as client:
        for name in ("alice", "bob"):
            asked = ("Expect: 100-continue", f"Authorization: {name}", *fields)
            answer = client.ask("who", *asked, end=b"\r\n\r\n" + name.encode())
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_request_that_is_refused_is_not_asked_for_its_body(app: App) -> None:
    with client_of(app) as client:
        client.send("who", "Expect: 100-continue", "Content-Length: 99999999999")
        assert client.read_to_the_close().startswith(b"HTTP/1.1 413 ")
    with client_of(app) as client:
        client.socket.sendall(b"GET /who HTTP/1.1\r\nExpect: 100-continue\r\n\r\n")  # no Host
        assert client.read_to_the_close().startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("path", ["who", "unchanged", "chunks"])
@pytest.mark.parametrize(
    "field", ["close", "Close", "keep-alive, Close", "close, x-y", "x-y ,close"]
)
def test_whoever_asks_for_it_in_any_spelling_is_left(app: App, path: str, field: str) -> None:
    with client_of(app) as client:
        client.send(path, f"Connection: {field}")
        assert b"\r\nConnection: close\r\n" in client.read_to_the_close()


def test_other_options_of_a_connection_leave_it_open(app: App) -> None:
    with client_of(app) as client:
        for field in ("keep-alive", "Keep-Alive, x-y", "x-y"):
            assert b"Connection:" not in client.ask("unchanged", f"Connection: {field}")


def test_a_stream_of_events_says_that_it_ends_with_the_connection(app: App) -> None:
    with client_of(app) as client:
        assert b"\r\nConnection: close\r\n" in client.ask("events")


def test_a_stream_ends_before_an_event_that_is_refused(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client then comes again with the id of the last event that it has."""
    with client_of(app) as client:
        client.ask("events", end=b"id: 1\ndata: y\n\n")
        monkeypatch.setattr(server, "_SCARCE_BYTES", -1)
        app.state += 1
        assert client.read_to_the_close() == b"\r\n0\r\n\r\n"


def test_a_stream_whose_first_event_is_refused_is_a_response_503(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_SCARCE_BYTES", -1)
    with client_of(app) as client:
        head = client.ask("events?1", "Connection: close")
        assert head.startswith(b"HTTP/1.1 503 ")
        app.state += 1
        assert b"data:" not in client.read_to_the_close()


def test_a_server_that_stops_leaves_idle_clients_and_tells_the_others(app: App) -> None:
    settings = ApiSettings(port=free_port())
    api = Server(app, settings, states=app.states)
    thread = threading.Thread(target=api.run)
    thread.start()
    idle, busy = Client(settings.port), Client(settings.port)
    idle.ask("unchanged")
    busy.send("slow", "Authorization: bob")
    assert app.entered.wait(300)
    api.stop()
    assert idle.read_to_the_close() == b""
    app.released.set()
    answer = busy.read_to_the_close()
    assert b"\r\nConnection: close\r\n" in answer
    assert answer.endswith(b"\r\n\r\nbob")
    thread.join(300)
    assert not thread.is_alive()


def test_a_response_without_a_length_that_breaks_is_reset_for_http_1_0(app: App) -> None:
    with client_of(app) as client:
        client.send("broken", version="1.0")
        with pytest.raises(ConnectionResetError):
            client.read_to_the_close()
    with client_of(app) as client:
        client.send("broken")
        assert not client.read_to_the_close().endswith(b"\r\n0\r\n\r\n")


def test_a_client_waits_since_it_has_its_last_response(
    app: App, opened: list[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    with client_of(app) as client:
        client.send("slow")
        assert app.entered.wait(300)
        (end,) = opened
        later = time.monotonic() + 1000
        monkeypatch.setattr(connections, "time", SimpleNamespace(monotonic=lambda: later))
        app.released.set()
        client.read_until(b"nobody")
        wait_until(lambda: end.waiting_since == later, "the response was sent")


def test_options_of_a_connection_are_read() -> None:
    def option(field: str) -> str:
        request = StrictRequest(Adjustments())
        request.received(f"GET / HTTP/1.1\r\nHost: x\r\nConnection: {field}\r\n\r\n".encode())
        return str(request.headers["CONNECTION"])

    assert option("Keep-Alive, Upgrade") == "keep-alive"
    assert option("keep-alive, close") == option("CLOSE") == "close"
    assert option("Upgrade") == "Upgrade"
