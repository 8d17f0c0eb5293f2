"""Authenticate requests, limit their rate, and let only those write who may.

A token is shown as Bearer or in HTTP Basic.  Requests with a known token are limited by the token.
Requests without one are limited by the host that they come from, apart from all others: a known
token is never refused for what others behind the same proxy do.  Each process counts for itself.
"""

import base64
import ipaddress
import math
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from api.http.problems import Problem
from api.http.request import Handler, Header, Request, Response
from config import ApiSettings
from ingest.accounts.access import Caller, authenticate, authenticate_basic, note_use
from ingest.database.store import Store

READING = ("GET", "HEAD")
"""The methods of requests that change nothing."""

_CHALLENGES: tuple[Header, ...] = (
    ("WWW-Authenticate", 'Bearer realm="clockwork"'),
    ("WWW-Authenticate", 'Basic realm="clockwork", charset="UTF-8"'),
)
_IPV6_NETWORK = 64
"""Prefix length of the network that counts as one host: an IPv6 host has a /64 of addresses."""


class RateLimit:
    """A limit such as ``600/minute`` on each of many keys; None is no limit.

    The window of a key begins with its first request and lasts a minute, an hour or the like.
    """

    def __init__(self, limit: str | None) -> None:
        self._limit = None if limit is None else parse(limit)
        # Fixed windows, as the library forgets a key when its window is over.
        self._windows = None if limit is None else FixedWindowRateLimiter(MemoryStorage())

    def take(self, key: str) -> int | None:
        """Count one request of *key*; the seconds to wait if that was one too many, else None."""
        if self._limit is None or self._windows is None or self._windows.hit(self._limit, key):
            return None
        over = self._windows.get_window_stats(self._limit, key).reset_time
        return max(1, math.ceil(over - time.time()))


class Auth:
    """The authentication and the rate limits of one API."""

    def __init__(self, store: Store, settings: ApiSettings, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._of_tokens = RateLimit(settings.rate_limit)
        self._of_failures = RateLimit(settings.failed_rate_limit)

    def require_token(self, handler: Handler, *, every_role: bool) -> Handler:
        """Middleware: hand *handler* requests with their account, and refuse all others.

        With *every_role*, accounts may write whatever their role.  Raises Problem 401 without a
        known token, 403 where the account may not write and for a form of another page, 429 for one
        request too many; pymongo's errors.
        """

        def answer(request: Request) -> Response:
            caller = self._caller(request)
            user = caller.user
            key = f"{user.mila_email_username} {caller.token.name}"
            if request.hold is None or not request.hold.is_resumed:  # it is counted once
                _refuse(self._of_tokens.take(key), "requests with this token")
            note_use(self._store, caller, self._clock())
            if _is_form_of_a_page(request):
                raise Problem(
                    HTTPStatus.FORBIDDEN,
                    "a page may not send POST with HTTP Basic, as the browser could add the"
                    " password by itself: send 'Authorization: Bearer TOKEN'",
                )
            if request.method not in READING and not (every_role or user.may_write):
                raise Problem(
                    HTTPStatus.FORBIDDEN,
                    f"{user.mila_email_username!r} may read but not write:"
                    f" its role is {user.role!r}",
                )
            return handler(replace(request, user=user, token=caller.token))

        return answer

    def _caller(self, request: Request) -> Caller:
        try:
            return _authenticated(self._store, request.header("Authorization"), self._clock())
        except Problem:
            wait = self._of_failures.take(_host(request.environ.get("REMOTE_ADDR", "")))
            _refuse(wait, "requests without a known token")
            raise


def _is_form_of_a_page(request: Request) -> bool:
    """Return whether a browser may have sent the request for any page, with a saved password.

    Browsers send POST without asking for permission first, but never without Origin.
    """
    is_basic = (request.header("Authorization") or "").lower().startswith("basic ")
    return request.method == "POST" and is_basic and request.header("Origin") is not None


def _authenticated(store: Store, authorization: str | None, now: datetime) -> Caller:
    if authorization is None:
        raise _unauthorized("The request has no Authorization header.")
    scheme, _, credentials = authorization.partition(" ")
    caller = None
    if scheme.lower() == "bearer":
        caller = authenticate(store, credentials.strip(" "), now)
    elif scheme.lower() == "basic":
        caller = _basic(store, credentials.strip(" "), now)
    if caller is None:
        raise _unauthorized("The Authorization header holds no token that is known here.")
    return caller


def _basic(store: Store, credentials: str, now: datetime) -> Caller | None:
    try:
        email, _, token = base64.b64decode(credentials, validate=True).decode().partition(":")
    except ValueError:  # no base64, or no UTF-8 in it
        return None
    return authenticate_basic(store, email, token, now)


def _unauthorized(what: str) -> Problem:
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        f"{what} Send 'Authorization: Bearer TOKEN', or HTTP Basic with your e-mail and the token"
        " as the password; the operator makes tokens with `clockwork user add`.",
        _CHALLENGES,
    )


def _refuse(seconds: int | None, what: str) -> None:
    if seconds is not None:
        raise Problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            f"too many {what}: wait {seconds} s, and ask less often",
            [("Retry-After", str(seconds))],
        )


def _host(address: str) -> str:
    """Return the host of an IP address: an IPv4 address or a network of IPv6."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(known, ipaddress.IPv6Address):
        if known.ipv4_mapped is None:
            return str(ipaddress.ip_network((known.packed, _IPV6_NETWORK), strict=False))
        known = known.ipv4_mapped  # ::ffff:192.0.2.1 is how IPv6 sockets show IPv4 clients
    return str(known)
