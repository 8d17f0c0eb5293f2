"""Cross-origin requests: pages of the origins that are named may use the API from a browser.

The browser asks before it sends what is not plain, which any request with an Authorization header
is (the preflight of https://fetch.spec.whatwg.org/#http-cors-protocol); that is answered here, for
every address.  Cookies and the browser's own passwords stay out of it: no credentials mode.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from api.server import WsgiApplication

Header = tuple[str, str]

_METHODS = "GET, HEAD, PUT"
_SENT = "Authorization, Content-Type, If-None-Match"
"""What a page may send beyond what every form can."""
_EXPOSED = "ETag, Link, Retry-After"
"""What a page may read of the header of an answer, beyond its Content-Type and the like."""
_SECONDS_TO_REMEMBER = 600
"""How long a browser need not ask again."""
_ANSWER_TO_PREFLIGHT = [
    ("Access-Control-Allow-Methods", _METHODS),
    ("Access-Control-Allow-Headers", _SENT),
    ("Access-Control-Max-Age", str(_SECONDS_TO_REMEMBER)),
]


def with_cors(app: WsgiApplication, origins: Sequence[str]) -> WsgiApplication:
    """*app*, open to pages of these origins; *app* itself where there are none."""
    if not origins:
        return app

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        origin: str = environ.get("HTTP_ORIGIN", "")
        allowed = _for(origin) if origin in origins else [("Vary", "Origin")]
        if origin in origins and _is_preflight(environ):
            start("204 No Content", [*allowed, *_ANSWER_TO_PREFLIGHT])
            return []

        def start_with(status: str, headers: list[Header], *rest: Any) -> Any:
            return start(status, [*headers, *allowed], *rest)

        return app(environ, start_with)

    return answer


def _for(origin: str) -> list[Header]:
    return [
        ("Vary", "Origin"),
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Expose-Headers", _EXPOSED),
    ]


def _is_preflight(environ: dict[str, Any]) -> bool:
    return (
        environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
    )
