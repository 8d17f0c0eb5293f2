"""Keep apart what browsers and caches could mix up when a proxy signs people in.

A browser adds the proxy's cookie to every request to the proxy, also to those that a page of
another site makes.  So a request that changes something must show that no such page made it.
"""

from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import urlsplit

from api.http.etags import CACHE_CONTROL
from api.http.problems import Problem
from api.http.request import JSON, Handler, Header, Middleware, Request, Response


def refuse_other_sites(request: Request) -> None:
    """Raise Problem 403 if a page of another site may have made this request.

    To be called for requests that change something.  All browsers of today send
    ``Sec-Fetch-Site``; older ones send ``Origin``.  A program sends neither: it sends JSON, or
    another method than POST, which no form can.
    """
    site, origin = request.header("Sec-Fetch-Site"), request.header("Origin")
    if site is not None:
        is_own = site == "same-origin"
    elif origin is not None:
        is_own = _host_of(origin) == (request.header("Host") or "").lower() != ""
    else:
        content_type = str(request.environ.get("CONTENT_TYPE", "")).partition(";")[0]
        is_own = request.method != "POST" or content_type.strip().lower() == JSON
    if not is_own:
        raise Problem(
            HTTPStatus.FORBIDDEN,
            "a page of another site cannot use the proxy's sign-in to change something: use"
            " Clockwork's own page or a token; programs send 'Content-Type: application/json'",
        )


def _host_of(origin: str) -> str | None:
    """Return the host, with its port, of an Origin; None for one that is no URL."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def keep_apart(names: Sequence[str]) -> Middleware:
    """Return the middleware that tells caches that each account has responses of its own.

    *names* are the header fields that say whose request it is.  Without names, nothing changes.
    """
    vary: Header = ("Vary", ", ".join(names))

    def middleware(handler: Handler) -> Handler:
        def answer(request: Request) -> Response:
            response = handler(request)
            if response.header("Cache-Control") is None:
                response = response.with_headers(CACHE_CONTROL)
            return response.with_headers(vary)

        return answer if names else handler

    return middleware
