"""A request, the response to it, and the two shapes of code between them.

A `Handler` answers a request.  A `Middleware` takes a handler and returns a handler that does more:
it changes the request on its way in, the response on its way out, or answers by itself.
"""

import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeVar

from ingest.accounts.tokens import Token
from ingest.accounts.users import User
from ingest.database.change_tokens import SeenTokens

JSON = "application/json"
EVENTS = "text/event-stream"
"""Server-sent events (HTML Living Standard, 9.2)."""

Environ = Mapping[str, Any]
"""A WSGI environment (PEP 3333)."""
WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Header = tuple[str, str]
"""The name and the value of one header field."""


HOLD = "clockwork.hold"
"""Where a WSGI environment has the `Hold`, if the server can hold responses back."""
PEER = "clockwork.peer"
"""Where a WSGI environment has the address that the connection comes from, of a proxy or not."""
HEARTBEAT_SECONDS = 15.0
"""Seconds after which something is sent on a stream of events on which nothing happens."""


Value = TypeVar("Value")


def make_alone(_key: Hashable, make: Callable[[], Value]) -> Value:
    """Return what *make* returns, for a request that shares nothing with others."""
    return make()


@dataclass
class Hold:
    """The wish that the server keeps a response back until something changes.

    An endpoint that has nothing to tell asks for it, and returns a response all the same.  The
    server then sends nothing, and holds no thread.  When something changed, or the time is over,
    the server has the whole request answered once more, by the same way.

    The response of a stream of events is sent at once.  The server then keeps the connection, and
    adds to the stream what each further answer holds.
    """

    has_room: Callable[[str], bool] = lambda _account: True
    """Tells whether the server can hold back one more response for an account."""
    is_resumed: bool = False
    """Whether the request was answered before."""
    once: Callable[[Hashable, Callable[[], Any]], Any] = make_alone
    """Returns the value of a key: made once for all requests that are answered again together."""
    is_over: bool = False
    """Whether the response must be given now."""
    topic: str | None = None
    """What the response waits for, as `ingest.database.changes.states` has it; None: no wish."""
    state: str = ""
    """The state of the topic when the response was made."""
    account: str = ""
    """Whose request it is."""
    deadline: float | None = None
    """When the time is over, in seconds of the monotonic clock."""
    due: float = 0.0
    """When the request is answered again at the latest, in seconds of the monotonic clock."""
    last_event_id: str | None = None
    """What the request has as its Last-Event-ID when it is answered again; only for a stream."""
    is_chunked: bool = field(default=False, init=False)
    """For the server: whether the stream is sent in chunks of HTTP/1.1."""

    @property
    def is_stream(self) -> bool:
        """Whether the response is a stream of events."""
        return self.last_event_id is not None

    def wish(
        self, topic: str, state: str, seconds: float, account: str, event: str | None = None
    ) -> None:
        """Keep the response back for up to so many seconds since the request was made.

        *event* is the id of the last event of a stream.
        """
        now = time.monotonic()
        if self.deadline is None:
            self.deadline = now + seconds
        if self.is_over:
            return
        self.topic, self.state, self.account, self.last_event_id = topic, state, account, event
        self.due = self.deadline if event is None else min(self.deadline, now + HEARTBEAT_SECONDS)


@dataclass(frozen=True)
class Request:
    """One HTTP request."""

    environ: Environ
    user: User | None = None
    """The account that makes the request; None where nobody has shown a token (yet)."""
    token: Token | None = None
    """The token of the request; None for an account that a proxy has signed in."""
    seen: SeenTokens | None = None
    """The change tokens that are read with the account; None where nobody has shown a token."""

    @property
    def method(self) -> str:
        """The method in capitals, such as ``GET``."""
        return str(self.environ["REQUEST_METHOD"])

    @property
    def path(self) -> str:
        """The path as WSGI has it: the bytes of the client, read as latin-1."""
        return str(self.environ.get("SCRIPT_NAME", "")) + str(self.environ.get("PATH_INFO", ""))

    @property
    def hold(self) -> Hold | None:
        """How a response is held back; None where the server can't do that."""
        hold: Hold | None = self.environ.get(HOLD)
        return hold if self.method == "GET" else None

    @property
    def once(self) -> Callable[[Hashable, Callable[[], Any]], Any]:
        """Returns the value of a key, which may be shared with other requests: see `Hold.once`."""
        return make_alone if self.hold is None else self.hold.once

    @property
    def peer(self) -> str | None:
        """The address that the connection comes from; None where the server does not tell."""
        peer: str | None = self.environ.get(PEER)
        return peer

    def header(self, name: str) -> str | None:
        """The value of the header field *name*, None where the request has no such field."""
        value: str | None = self.environ.get("HTTP_" + name.upper().replace("-", "_"))
        return value


@dataclass(frozen=True)
class Response:
    """A response: its body, whole or in chunks, and its header."""

    body: bytes | Iterator[bytes]
    headers: tuple[Header, ...] = ()
    status: int = HTTPStatus.OK
    content_type: str = JSON

    def header(self, name: str) -> str | None:
        """The value of the first header field *name*, written as it was set; None for none."""
        return next((value for key, value in self.headers if key == name), None)

    def with_headers(self, *headers: Header) -> "Response":
        """The response with more header fields."""
        return Response(self.body, (*self.headers, *headers), self.status, self.content_type)


Handler = Callable[[Request], Response]
Middleware = Callable[[Handler], Handler]
