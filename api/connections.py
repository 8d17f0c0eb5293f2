"""What one client may do to the others: nothing. Ambiguous requests and slow clients are ended.

A request that two programs could cut differently is refused, so that a proxy in front and the API
never disagree about where one ends and the next begins (RFC 9112, 6.3, 11.2).  A request has to be
there within `RECEIVE_SECONDS` of its first byte, an answer has to be taken at `LEAST_RATE` or more,
and when connections become scarce, the one that has waited longest for its client makes room.
"""

import re
import time
from collections.abc import Iterable
from typing import Any

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError, TransferEncodingNotImplemented

RECEIVE_SECONDS = 30.0
"""From the first byte of a request to its last."""
LEAST_RATE = 1 << 10
"""Bytes a second that a client takes of its answer, over any `RATE_SECONDS`."""
RATE_SECONDS = 60.0
GRACE_SECONDS = 1.0
"""What a client has in any case; when connections are scarce, new ones wait that long for it."""

_FOLDED = re.compile(rb"\r?\n[ \t]")
_NAME = re.compile(rb"^([^:\r\n]*):", re.MULTILINE)
_CODING = re.compile(
    rb"^transfer-encoding:[ \t]*([^\r\n]*?)[ \t]*\r?$", re.MULTILINE | re.IGNORECASE
)
_ONCE = (b"host", b"content-length", b"transfer-encoding")
_VERSIONS = ("1.0", "1.1")


class StrictRequest(HTTPRequestParser):  # type: ignore[misc]  # waitress has no types
    """waitress's reading of a request, but for what it lets pass."""

    def parse_header(self, header_plus: bytes) -> None:
        """Read the request line and the header fields.

        Raises ParsingError, which is answered with 400, and for a coding of the body other than
        chunked TransferEncodingNotImplemented, with 501.
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


class Connection(HTTPChannel):  # type: ignore[misc]
    """A client's connection, which knows since when it waits for its client."""

    parser_class = StrictRequest

    def __init__(self, *args: Any, **keys: Any) -> None:
        self.waiting_since = time.monotonic()
        """For a request, or for its rest."""
        self._sent = 0
        self._measured: tuple[float, int] | None = None
        """When an answer was last measured, and how much had been taken then."""
        super().__init__(*args, **keys)

    def received(self, data: bytes) -> bool:
        """Take what came of a request. The time for it runs from its first byte."""
        if self.request is None:
            self.waiting_since = time.monotonic()
        taken: bool = super().received(data)
        return taken

    def send(self, data: bytes, do_close: bool = True) -> int:
        """Send what the socket takes."""
        sent: int = super().send(data, do_close)
        self._sent += sent
        if not self.total_outbufs_len:
            self.waiting_since = time.monotonic()
        return sent

    @property
    def waits(self) -> bool:
        """Whether its client has the word: no request is complete, no answer under way."""
        return not self.requests and not self.total_outbufs_len

    def is_slow(self, now: float) -> bool:
        """Whether its client takes too long, with a request or with an answer."""
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
        return self._sent - before < LEAST_RATE * (now - since)


def end_slow(connections: Iterable[Connection], most: int, now: float) -> None:
    """End those whose clients are slow, and of more than *most* those that have waited longest.

    To be called in the thread of the server's loop.
    """
    left: list[Connection] = []
    ended: list[Connection] = []
    for connection in connections:
        (ended if connection.is_slow(now) else left).append(connection)
    waiting = sorted(
        (each for each in left if each.waits and now - each.waiting_since > GRACE_SECONDS),
        key=lambda each: each.waiting_since,
    )
    for connection in ended + waiting[: max(0, len(left) - most)]:
        connection.handle_close()  # not will_close, which waits until the client takes something
