"""Send hostile requests to the real server, and watch what its application sees."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

import pytest

from api import connections
from api.http.arguments import MAX_BODY_BYTES
from api.server import MAX_HEADER_BYTES
from tests.api.support.client import Client
from tests.api.support.serving import served
from tests.chaos.report import Section

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
"""A request inside another one; the application must never see it."""
HOST = b"Host: x\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
"""A request that follows an answered one on the same connection, and ends the connection."""
_SILENCE = 0.5
"""Seconds after which a request that may wait for its rest counts as waiting."""
_LONGEST = 60.0
"""Seconds after which an answer that must come is missing."""


@dataclass(frozen=True)
class Case:
    """A request and the statuses that it may get. 0: the server may wait for more of it."""

    name: str
    sent: bytes
    statuses: tuple[int, ...]

    @property
    def may_wait(self) -> bool:
        return 0 in self.statuses


def _put(fields: bytes, body: bytes = b"", host: bytes = HOST) -> bytes:
    return b"PUT /a HTTP/1.1\r\n" + host + fields + b"\r\n" + body


def _length(count: int) -> bytes:
    return b"Content-Length: %d\r\n" % count


def _get(fields: bytes, target: bytes = b"/a") -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + HOST + fields + b"\r\n"


_CUT = b"0\r\n\r\n"
CASES = (
    # Where the body ends: one answer for all, or none.
    Case("both lengths", _put(_length(5) + CHUNKED, _CUT + HIDDEN), (400,)),
    Case("both lengths, the other way round", _put(CHUNKED + _length(5), _CUT + HIDDEN), (400,)),
    Case("two lengths", _put(_length(0) + _length(len(HIDDEN)), HIDDEN), (400,)),
    Case("one length twice", _put(_length(5) + _length(5), b"hello"), (400,)),
    Case("a list of lengths", _put(b"Content-Length: 5, 5\r\n", b"hello"), (400,)),
    Case("a signed length", _put(b"Content-Length: +5\r\n", b"hello"), (400,)),
    Case("a negative length", _put(b"Content-Length: -1\r\n", HIDDEN), (400,)),
    Case("a hexadecimal length", _put(b"Content-Length: 0x5\r\n", b"hello"), (400,)),
    Case("an empty length", _put(b"Content-Length:\r\n", HIDDEN), (400,)),
    Case("a length in other digits", _put("Content-Length: \u0665\r\n".encode(), b"hello"), (400,)),
    Case("a length of 4 kB digits", _put(b"Content-Length: " + b"9" * 4096 + b"\r\n"), (400, 413)),
    Case("a space before the colon", _put(b"Content-Length : 5\r\n", b"hello"), (400,)),
    Case("a coding with a space before", _put(b"Transfer-Encoding : chunked\r\n", _CUT), (400,)),
    Case("two codings", _put(CHUNKED + CHUNKED, _CUT + HIDDEN), (400,)),
    Case("chunked twice", _put(b"Transfer-Encoding: chunked, chunked\r\n", _CUT + HIDDEN), (501,)),
    Case("an unknown coding", _put(b"Transfer-Encoding: xchunked\r\n", _CUT + HIDDEN), (501,)),
    Case("a coding after chunked", _put(b"Transfer-Encoding: chunked, x\r\n", _CUT), (501,)),
    Case("an empty coding", _put(b"Transfer-Encoding:\r\n", HIDDEN), (501,)),
    Case(
        "a coding with a vertical tab",
        _put(b"Transfer-Encoding: \x0bchunked\r\n", _CUT),
        (400, 501),
    ),
    Case("a coding in quotes", _put(b'Transfer-Encoding: "chunked"\r\n', _CUT), (501,)),
    Case(
        "a coding in HTTP/1.0", b"PUT /a HTTP/1.0\r\n" + CHUNKED + b"\r\n" + _CUT + HIDDEN, (400,)
    ),
    # Odd chunks.
    Case("a negative chunk", _put(CHUNKED, b"-5\r\nhello\r\n" + _CUT), (400,)),
    Case("a chunk of 0x5", _put(CHUNKED, b"0x5\r\nhello\r\n" + _CUT), (400,)),
    Case("a chunk of 5_0", _put(CHUNKED, b"5_0\r\nhello\r\n" + _CUT), (400,)),
    Case("a chunk that is too long", _put(CHUNKED, b"5\r\nhelloXX" + _CUT + HIDDEN), (400,)),
    Case("a chunk of 2^64", _put(CHUNKED, b"FFFFFFFFFFFFFFFF1\r\nhello"), (0, 400, 413)),
    Case("a line feed in an extension", _put(CHUNKED, b"5;a\nb\r\nhello\r\n" + _CUT), (400,)),
    Case("chunks with bare line feeds", _put(CHUNKED, b"5\nhello\n0\n\n"), (0, 400)),
    Case("an endless extension", _put(CHUNKED, b"5;" + b"x" * (MAX_BODY_BYTES + 99)), (400, 413)),
    # Lines.
    Case("a folded field", _get(b"X-A: b\r\n c\r\n"), (400,)),
    Case("a folded length", _put(b"Content-Length:\r\n 5\r\n", b"hello"), (400,)),
    Case("a folded coding", _put(b"Transfer-Encoding:\r\n\tchunked\r\n", _CUT), (400,)),
    Case("a fold after the request line", b"GET /a HTTP/1.1\r\n X: y\r\nHost: x\r\n\r\n", (400,)),
    Case("bare line feeds", b"GET /a HTTP/1.1\nHost: x\n\n", (0, 400)),
    Case("a bare line feed", _get(b"X: a\nY: b\r\n"), (400,)),
    Case("a bare carriage return", _get(b"X: a\rY: b\r\n"), (400,)),
    Case("NUL in a field", _get(b"X: a\0b\r\n"), (400,)),
    Case("a field without a colon", _get(b"nocolon\r\n"), (400,)),
    Case("a field without a name", _get(b": v\r\n"), (400,)),
    Case("a space in a field's name", _get(b"X Y: v\r\n"), (400,)),
    Case("no Host", b"GET /a HTTP/1.1\r\n\r\n", (400,)),
    Case("two Hosts", _get(b"Host: y\r\n"), (400,)),
    Case("spaces in the address", b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", (400,)),
    Case("tabs in the request line", b"GET\t/a\tHTTP/1.1\r\nHost: x\r\n\r\n", (400,)),
    Case("a method in small letters", b"get /a HTTP/1.1\r\nHost: x\r\n\r\n", (400,)),
    Case("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400,)),
    Case("HTTP/1.9", b"GET /a HTTP/1.9\r\nHost: x\r\n\r\n", (400,)),
    Case("HTTP/x", b"GET /a HTTP/x\r\nHost: x\r\n\r\n", (400,)),
    Case("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", (400,)),
    Case("no address", b"GET HTTP/1.1\r\nHost: x\r\n\r\n", (400, 404)),
    # Sizes.
    Case("a long address", _get(b"", b"/" + b"a" * MAX_HEADER_BYTES), (431,)),
    Case("a long field", _get(b"X: " + b"a" * MAX_HEADER_BYTES + b"\r\n"), (431,)),
    Case("20,000 fields", _get(b"X:y\r\n" * 20_000), (431,)),
    Case("a body of 1 TiB", _put(_length(1 << 40), b"x" * 100_000), (413,)),
    Case(
        "chunks without end",
        _put(CHUNKED, (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 20),
        (413,),
    ),
    # What looks like something else to somebody else.
    Case("a request as the body of another", _put(_length(len(HIDDEN)), HIDDEN), (401, 404)),
    Case("an absolute address", _get(b"", b"http://elsewhere.example/a"), (404,)),
    Case("NUL in the address", _get(b"", b"/a\0b"), (400, 404)),
    Case("dots in the address", _get(b"", b"/api/v1/cluster/../../../etc/passwd"), (404,)),
    Case("escaped dots", _get(b"", b"/api/v1/%2e%2e/%2e%2e/etc/passwd"), (404,)),
    Case("bytes that are not UTF-8", _get(b"", b"/api/v1/cluster/jobs/\xff"), (400,)),
    Case("an escape sequence", _get(b"", b"/\x1b[2J\x1b]0;owned\x07"), (400, 404)),
    Case("CONNECT", b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", (400, 404, 405)),
    Case("TRACE", b"TRACE /metrics HTTP/1.1\r\nHost: a\r\n\r\n", (405,)),
    Case(
        "two Authorizations", _get(b"Authorization: a\r\nAuthorization: b\r\n", b"/metrics"), (401,)
    ),
)


def run_requests(client: Client) -> Section:
    """Send every case; check the responses, and that no hidden request reaches the application."""
    section = Section(
        "Requests that programs read differently",
        "These requests are sent byte for byte to the API under its real server. If a proxy "
        "could see two requests where the API sees one, the hidden request must never be "
        "answered. A refused request gets an error of the API, and its connection is closed.",
    )
    seen: list[tuple[str, str]] = []

    def watched(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        seen.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        answer: Iterable[bytes] = client.app(environ, start)
        return answer

    rows: list[tuple[str, ...]] = [("request", "answer", "what the application saw")]
    with served(watched) as port:
        for case in CASES:
            seen.clear()
            statuses = exchange(port, case.sent, may_wait=case.may_wait)
            reached = [each for each in seen if each != ("GET", "/next")]
            shown = ", ".join(f"{method} {path[:30]!r}" for method, path in reached)
            rows.append((case.name, _shown(statuses[:1]), shown))
            if (statuses or [0])[0] not in case.statuses:
                section.problems.append(f"{case.name}: answered {statuses}")
            # What the application answered leaves the connection open for one more request.
            expected = [404] if reached else []
            if statuses[1:] != expected:
                section.problems.append(f"{case.name}: then {statuses[1:]}, expected {expected}")
            if any(path == "/hidden" for _, path in seen):
                section.problems.append(f"{case.name}: the request inside it was answered")
        if exchange(port, _get(b"", b"/metrics")) != [401, 404]:
            section.problems.append("afterwards a plain request was not answered as before")
    section.figure("requests", len(CASES))
    section.tables.append(list(rows))
    return section


def exchange(port: int, sent: bytes, *, may_wait: bool = False) -> list[int]:
    """Send *sent*, then `NEXT` once it is answered. Return the statuses of all answers.

    Reads until the server closes the connection, and ends earlier only where the request *may_wait*
    for its rest. Raises TimeoutError when the server neither answers nor closes.
    """
    came, asked_next = b"", False
    with socket.create_connection(("127.0.0.1", port), timeout=_LONGEST) as raw:
        with suppress(OSError):  # the server may close the connection while we still send
            raw.sendall(sent)
        raw.settimeout(_SILENCE if may_wait else _LONGEST)
        try:
            while part := raw.recv(65536):
                came += part
                if not asked_next:
                    asked_next = True
                    with suppress(OSError):
                        raw.sendall(NEXT)
        except TimeoutError:
            if not may_wait:
                raise
        except ConnectionError:
            pass  # closed with bytes of ours unread
    return [int(part.split()[1]) for part in came.split(b"HTTP/1.")[1:]]


def _shown(statuses: list[int]) -> str:
    return ", ".join(map(str, statuses)) or "none: it waits for the rest"


# --- slow clients ---------------------------------------------------------------------------------


def run_slow(client: Client, attackers: int, seconds: float) -> Section:
    """Run *attackers* slow clients of every kind; check that another client is served meanwhile."""
    section = Section(
        "Slow clients",
        f"For each kind of slowness, {attackers} connections are open for {seconds:g} s. They "
        "send a header or a body at one byte every tenth of a second, or send nothing, or read "
        "nothing of a long answer. A new connection replaces each one that is closed. For this "
        f"experiment the limits of the API are {_SHORT:g} s. Meanwhile another client makes "
        "requests all the time.",
    )
    path = "/api/v1/cluster/jobs/list"
    token = client.headers["Authorization"].encode()
    asking = b"Authorization: " + token + b"\r\n"
    slow = {
        "header": (_drip, _get(b"X: " + b"y" * 50_000)),
        "body": (_drip, _put(asking + _length(900_000), b"x" * 50_000)),
        "silence": (_drip, b""),
        "answer not taken": (_never_reads, _get(asking, path.encode())),
    }
    stopping = threading.Event()
    closed: dict[str, list[float]] = {kind: [] for kind in slow}
    waits: list[float] = []
    failures: list[str] = []
    with ExitStack() as undo:
        undo.enter_context(_short_limits())
        port = undo.enter_context(served(_long_answers(client.app)))
        threads = [
            threading.Thread(target=attack, args=(port, sent, stopping, closed[kind]))
            for kind, (attack, sent) in slow.items()
            for _ in range(attackers)
        ]
        for thread in threads:
            thread.start()
        ends_at = time.monotonic() + seconds
        gives_up = ends_at + _PATIENCE
        while (now := time.monotonic()) < ends_at or (now < gives_up and not all(closed.values())):
            began = time.monotonic()
            try:
                connection = HTTPConnection("127.0.0.1", port, timeout=20)
                connection.request("GET", "/api/v1/cluster/nodes/list", headers=client.headers)
                answer = connection.getresponse()
                json.load(answer)
                connection.close()
            except (OSError, ValueError) as error:
                failures.append(repr(error))
            else:
                waits.append(time.monotonic() - began)
            time.sleep(0.05)
        stopping.set()
        for thread in threads:
            thread.join(30)
    section.problems += [f"another client was not served: {failure}" for failure in failures[:3]]
    for kind, lasted in closed.items():
        section.figure(f"{kind}: connections closed", len(lasted))
        if not lasted:
            section.problems.append(f"{kind}: no connection was ever closed")
    section.figure("answers to the other client meanwhile", len(waits))
    section.figure("its longest wait", f"{max(waits, default=0.0):.2f} s")
    return section


_SHORT = 2.0
_PATIENCE = 30.0
"""How much longer a loaded machine may take until a connection of each kind was closed."""


@contextmanager
def _short_limits() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "RECEIVE_SECONDS", _SHORT)
        patch.setattr(connections, "RATE_SECONDS", _SHORT)
        patch.setattr("api.server._IDLE_SECONDS", int(_SHORT) * 2)
        patch.setattr("api.server._CONNECTIONS", 120)
        yield


def _long_answers(app: Any) -> Any:
    """*app*, whose list of jobs is 20 MB long."""

    def longer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if not environ["PATH_INFO"].endswith("jobs/list"):
            answer: Iterable[bytes] = app(environ, start)
            return answer
        start("200 OK", [("Content-Type", "application/json")])
        return iter([b"x" * (1 << 20)] * 20)

    return longer


def _drip(port: int, sent: bytes, stopping: threading.Event, closed: list[float]) -> None:
    """Send all but the last few bytes of the head at once, then a byte at a time."""
    while not stopping.is_set():
        began = time.monotonic()
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as raw:
            raw.settimeout(0.1)
            head = max(0, len(sent) - 50_000)
            raw.sendall(sent[:head])
            for number in range(head, len(sent) or 600):
                if stopping.is_set():
                    return
                if sent:
                    raw.sendall(sent[number : number + 1])
                with suppress(TimeoutError):
                    if not raw.recv(4096):
                        break
        closed.append(time.monotonic() - began)
        stopping.wait(0.05)


def _never_reads(port: int, sent: bytes, stopping: threading.Event, closed: list[float]) -> None:
    while not stopping.is_set():
        began = time.monotonic()
        with suppress(OSError), socket.socket() as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.connect(("127.0.0.1", port))
            raw.sendall(sent)
            while not stopping.wait(0.1):
                raw.sendall(b"\r\n")  # fails once the server has closed
        if not stopping.is_set():
            closed.append(time.monotonic() - began)
