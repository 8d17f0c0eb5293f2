"""Cross-origin requests (CORS): pages of configured origins may use the API from a browser.

Before a request with an Authorization header, a browser asks for permission: the preflight of
https://fetch.spec.whatwg.org/#http-cors-protocol.  Preflights are answered here, for every path.
Credentials mode stays off: the API reads no cookies, and browsers keep their passwords.
"""

from collections.abc import Sequence
from http import HTTPStatus

from api.http.request import Handler, Header, Middleware, Request, Response

_METHODS = "GET, HEAD, POST, PUT"
_SENT = "Authorization, Content-Type, If-None-Match"
"""Header fields that a page may send beyond those that every form can send."""
_EXPOSED = "ETag, Link, Retry-After"
"""Header fields of a response that a page may read beyond Content-Type and the like."""
_SECONDS_TO_REMEMBER = 600
"""Seconds for which a browser remembers a preflight."""
_PREFLIGHT: tuple[Header, ...] = (
    ("Access-Control-Allow-Methods", _METHODS),
    ("Access-Control-Allow-Headers", _SENT),
    ("Access-Control-Max-Age", str(_SECONDS_TO_REMEMBER)),
)


def allow_origins(origins: Sequence[str]) -> Middleware:
    """Return the middleware that lets pages of *origins* use the API; without origins, none may."""

    def middleware(handler: Handler) -> Handler:
        def answer(request: Request) -> Response:
            origin = request.header("Origin") or ""
            if origin not in origins:
                return handler(request).with_headers(("Vary", "Origin"))
            if _is_preflight(request):
                return Response(b"", (*_allowed(origin), *_PREFLIGHT), HTTPStatus.NO_CONTENT)
            return handler(request).with_headers(*_allowed(origin))

        return answer if origins else handler

    return middleware


def _allowed(origin: str) -> tuple[Header, ...]:
    return (
        ("Vary", "Origin"),
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Expose-Headers", _EXPOSED),
    )


def _is_preflight(request: Request) -> bool:
    asked = request.header("Access-Control-Request-Method")
    return request.method == "OPTIONS" and asked is not None
