"""A request, the response to it, and the two shapes of code between them.

A `Handler` answers a request.  A `Middleware` takes a handler and returns a handler that does more:
it changes the request on its way in, the response on its way out, or answers by itself.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from ingest.accounts.tokens import Token
from ingest.accounts.users import User

JSON = "application/json"

Environ = Mapping[str, Any]
"""A WSGI environment (PEP 3333)."""
WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Header = tuple[str, str]
"""The name and the value of one header field."""


@dataclass(frozen=True)
class Request:
    """One HTTP request."""

    environ: Environ
    user: User | None = None
    """The account that makes the request; None where nobody has shown a token (yet)."""
    token: Token | None = None
    """The token of the request."""

    @property
    def method(self) -> str:
        """The method in capitals, such as ``GET``."""
        return str(self.environ["REQUEST_METHOD"])

    @property
    def path(self) -> str:
        """The path as WSGI has it: the bytes of the client, read as latin-1."""
        return str(self.environ.get("SCRIPT_NAME", "")) + str(self.environ.get("PATH_INFO", ""))

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
