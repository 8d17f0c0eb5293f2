"""Reject ambiguous HTTP requests, and disconnect slow clients.

A request that two programs could end at different bytes is refused: a proxy in front and the API
must agree where each request ends (RFC 9112, 6.3, 11.2).  A client has `RECEIVE_SECONDS` to send a
request, and must read a response at `LEAST_RATE` or faster.  When connections become scarce, the
connections that have waited longest for their clients are closed.

The bytes that wait for slow clients lie in memory and on disk.  Those that a client has are
forgotten, also while its connection stays open for further requests.  When too many bytes wait,
each client must read at a rate that ends its response within `SECONDS_TO_READ`.
"""

import re
import socket
import struct
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from waitress.buffers import OverflowableBuffer
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError, TransferEncodingNotImplemented
from waitress.utilities import BadRequest

from api.http.request import Hold
from api.waiting import Parked, Waiting

RECEIVE_SECONDS = 30.0
"""Seconds from the first byte of a request to its last."""
LEAST_RATE = 1 << 10
"""Bytes per second that a client must read of a response, over any `RATE_SECONDS`."""
RATE_SECONDS = 60.0
SECONDS_TO_READ = 600.0
"""Seconds within which a client must read all that waits for it, when too many bytes wait."""
MOST_LINES = 1 << 16
"""Ends of lines in a body that is sent in chunks: each chunk costs more time than its bytes."""
LONGEST_LINE = 1 << 13
"""Bytes of a line that begins a chunk, and of the trailer behind the last chunk."""
GRACE_SECONDS = 1.0
"""Seconds that every client has, even when connections are scarce."""

_FOLDED = re.compile(rb"\r?\n[ \t]")
_NAME = re.compile(rb"^([^:\r\n]*):", re.MULTILINE)
_CODING = re.compile(
    rb"^transfer-encoding:[ \t]*([^\r\n]*?)[ \t]*\r?$", re.MULTILINE | re.IGNORECASE
)
_ONCE = (b"host", b"content-length", b"transfer-encoding")
_VERSIONS = ("1.0", "1.1")


class StrictRequest(HTTPRequestParser):  # type: ignore[misc]  # waitress has no types
    """A request as waitress reads it, with stricter rules."""

    hold: Hold | None = None
    """How the response is held back, if the server can do that."""
    _lines = 0
    """Ends of lines in the body so far."""

    def received(self, data: bytes) -> int:
        """Take bytes of the request; returns how many belong to it."""
        taken: int = super().received(data)
        body = self.body_rcv
        if self.chunked and body is not None and not self.completed:
            self._lines += data.count(b"\n")
            longest = max(len(body.control_line), len(body.trailer))
            if self._lines > MOST_LINES or longest > LONGEST_LINE:
                self.error = BadRequest("the chunks of the body are too many or malformed")
                self.completed: bool = True
        if self.completed:
            self.expect_continue = False  # nothing is left to be sent
        return taken

    def parse_header(self, header_plus: bytes) -> None:
        """Read the request line and the header fields.

        Raises ParsingError, which becomes a 400, and TransferEncodingNotImplemented for a transfer
        coding other than chunked, which becomes a 501.
        """
        _, _, fields = header_plus.partition(b"\r\n")
        if _FOLDED.search(header_plus):
            raise ParsingError("a header field is continued on the next line")
        names = [name.lower() for name in _NAME.findall(fields)]
        for name in _ONCE:
            if names.count(name) > 1:
                raise ParsingError(f"{name.decode()} is given twice")
        if b"content-length" in names and b"transfer-encoding" in names:
            raise ParsingError("both Content-Length and Transfer-Encoding are given")
        if any(coding.lower() != b"chunked" for coding in _CODING.findall(fields)):
            raise TransferEncodingNotImplemented("only chunked is understood")
        super().parse_header(header_plus)
        if self.version not in _VERSIONS:
            raise ParsingError("the version of HTTP is none that is understood")
        if self.version == "1.0" and b"transfer-encoding" in names:
            raise ParsingError("HTTP/1.0 has no Transfer-Encoding")
        if self.version == "1.1" and b"host" not in names:
            raise ParsingError("Host is missing")
        options = {each.strip().lower() for each in self.headers.get("CONNECTION", "").split(",")}
        for option in ("keep-alive", "close"):  # waitress knows them alone and in small letters
            if option in options:
                self.headers["CONNECTION"] = option


class Connection(HTTPChannel):  # type: ignore[misc]
    """A client's connection, which knows how long it has waited for its client."""

    parser_class = StrictRequest
    waiting: Waiting | None = None
    """Where connections wait whose response is held back."""

    def __init__(self, *args: Any, **keys: Any) -> None:
        self.waiting_since = time.monotonic()
        """Since when the connection waits for a request or its rest; monotonic seconds."""
        self._sent = 0
        self._is_full = False
        """The client has not taken all that was sent to it at last."""
        self._measured: tuple[float, int] | None = None
        """When the reading of a response was last measured, and the bytes sent until then."""
        super().__init__(*args, **keys)

    def received(self, data: bytes) -> bool:
        """Take bytes of a request. The time for a request runs from its first byte."""
        if self.request is None:
            self.waiting_since = time.monotonic()
        taken: bool = super().received(data)
        return taken

    def send(self, data: bytes, do_close: bool = True) -> int:
        """Send as many bytes as the socket takes; returns their number."""
        sent: int = super().send(data, do_close)
        self._sent += sent
        self._is_full = sent < len(data)
        return sent

    def _flush_some(self, do_close: bool = True) -> bool:
        """Send what the client takes, and forget what it has: waitress would keep all of it."""
        is_sent: bool = super()._flush_some(do_close)
        with self.outbuf_lock:
            if is_sent and not self.total_outbufs_len:
                self.waiting_since = time.monotonic()
                if self.connected and self.outbufs[-1].buf is not None:
                    self.outbufs[-1].close()
                    self.outbufs[:] = [OverflowableBuffer(self.adj.outbuf_overflow)]
                    self.current_outbuf_count = 0
        return is_sent

    def reset(self) -> None:
        """Let the client see, when the connection is closed, that the response is not whole."""
        with suppress(OSError):  # the client has left
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def service(self) -> None:
        """Answer the first request, or hold the response back."""
        request = self.requests[0]
        try:
            super().service()
        except Parked:
            if self.waiting is not None:
                self.waiting.park(self, request.hold)
                self.server.pull_trigger()

    def readable(self) -> bool:
        """Return whether to read: also while a response is held back, to see the client leave."""
        is_held = len(self.requests) == 1 and self.is_held()
        return is_held or bool(super().readable())

    def is_held(self) -> bool:
        """Return whether the response is held back."""
        return self.waiting is not None and self in self.waiting

    def writable(self) -> bool:
        """Return whether to send: not while the thread that makes a response sends it itself.

        Else the loop would be told so without end, and get nothing done.
        """
        return not self.is_served and bool(super().writable())

    @property
    def is_served(self) -> bool:
        """Whether a response is being made, or held back, and its client has taken all of it."""
        is_closing = self.will_close or self.close_when_flushed
        return bool(self.requests and not (self._is_full or is_closing))

    def handle_close(self) -> None:
        """Close the connection."""
        super().handle_close()
        if self.waiting is not None:
            self.waiting.leave(self)

    @property
    def waits(self) -> bool:
        """Whether the client's turn has come: no complete request and no response is left."""
        return not self.requests and not self.total_outbufs_len

    def is_slow(self, now: float, *, is_scarce: bool) -> bool:
        """Return whether the client is too slow in sending a request or reading a response.

        *is_scarce* says that too many bytes wait for all clients together.
        """
        if self.waits:
            self._measured = None
            return self.request is not None and now - self.waiting_since > RECEIVE_SECONDS
        if not self.total_outbufs_len or self._measured is None:
            self._measured = (now, self._sent)
            return False
        since, before = self._measured
        if now - since < RATE_SECONDS:
            return False
        self._measured = (now, self._sent)
        rate = (
            max(LEAST_RATE, self.total_outbufs_len / SECONDS_TO_READ) if is_scarce else LEAST_RATE
        )
        return self._sent - before < rate * (now - since)


def waiting_bytes(connections: Iterable[Connection]) -> int:
    """Return how many bytes of responses wait for their clients, in memory and on disk."""
    return sum(connection.total_outbufs_len for connection in connections)


def end_largest(connections: Sequence[Connection], most: int) -> int:
    """Close the connections for which the most bytes wait, until at most *most* bytes wait in all.

    Return how many bytes still wait.  To be called in the thread of the server's loop.
    """
    left = waiting_bytes(connections)
    if left <= most:
        return left
    for connection in sorted(connections, key=lambda each: each.total_outbufs_len, reverse=True):
        left -= connection.total_outbufs_len
        connection.handle_close()
        if left <= most:
            break
    return left


def end_slow(
    connections: Iterable[Connection], most: int, now: float, *, is_scarce: bool = False
) -> None:
    """Close the connections of slow clients, and of more than *most* those that waited longest.

    *is_scarce* says that too many bytes wait for all clients together.  To be called in the thread
    of the server's loop.
    """
    left: list[Connection] = []
    ended: list[Connection] = []
    for connection in connections:
        (ended if connection.is_slow(now, is_scarce=is_scarce) else left).append(connection)
    waiting = sorted(
        (each for each in left if each.waits and now - each.waiting_since > GRACE_SECONDS),
        key=lambda each: each.waiting_since,
    )
    for connection in ended + waiting[: max(0, len(left) - most)]:
        connection.handle_close()  # not will_close, which waits until the client takes something
