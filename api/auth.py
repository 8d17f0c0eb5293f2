"""Authenticate requests, limit their rate, and let only those write who may.

A token is shown as Bearer or in HTTP Basic.  A request without one may have been signed in by a
proxy (`api.sign_in`).  Both are limited by the account: who makes many tokens may not ask more
often.  All others are limited by the host that they come from, apart from these: a known token is
never refused for what others behind the same proxy do.  Each process counts for itself.
"""

import base64
import ipaddress
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from api.http.problems import Problem
from api.http.request import Handler, Header, Request, Response
from api.sign_in.browsers import refuse_other_sites
from api.sign_in.proxy import ProxySignIn, header_names
from api.sign_in.trusted_header import plain_address
from config import ApiSettings
from ingest.accounts.access import Accounts, Caller
from ingest.accounts.tokens import PREFIX
from ingest.database.change_tokens import SeenTokens
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


@dataclass(frozen=True)
class _Shown:
    """What a request shows as a token: as Bearer, or with an e-mail address in HTTP Basic."""

    email: str | None
    token: str

    @property
    def is_ours(self) -> bool:
        """Whether it can be meant as a token of Clockwork."""
        return self.token.startswith(PREFIX)


class Auth:
    """The authentication and the rate limits of one API."""

    def __init__(self, store: Store, settings: ApiSettings, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._accounts = Accounts(store)
        self._sign_in = ProxySignIn(self._accounts, settings)
        self._has_proxy = bool(header_names(settings))
        self._of_accounts = RateLimit(settings.rate_limit)
        self._of_failures = RateLimit(settings.failed_rate_limit)

    def require_token(
        self, handler: Handler, seen_by: Callable[[Request], SeenTokens], *, every_role: bool
    ) -> Handler:
        """Middleware: hand *handler* requests with their account, and refuse all others.

        *seen_by* says which change tokens are read with the account of a request.  With
        *every_role*, accounts may write whatever their role.  Raises Problem 401 without a
        known token or a sign-in, 403 where the account may not write, for a form of another page
        and for a sign-in without an account, 429 for one request too many, 503 while the keys of
        the issuer can't be read; pymongo's errors.
        """

        def answer(request: Request) -> Response:
            seen = request.once("accounts", lambda: seen_by(request))
            caller = self._caller(request, seen)
            user, token = caller.user, caller.token
            if request.hold is None or not request.hold.is_resumed:  # it is counted once
                _refuse(
                    self._of_accounts.take(user.mila_email_username), "requests of this account"
                )
                self._accounts.note_use(caller, self._clock())
            if token is None and request.method not in READING:
                refuse_other_sites(request)
            if token is not None and _is_form_of_a_page(request):
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
            return handler(replace(request, user=user, token=token, seen=seen))

        return answer

    def _caller(self, request: Request, seen: SeenTokens) -> Caller:
        try:
            shown = _shown(request.header("Authorization"))
            if shown is None or not shown.is_ours:
                user = self._sign_in.user(request, seen)
                if user is not None:
                    return Caller(user, None)
            return self._of_token(request, shown, seen)
        except Problem:
            wait = self._of_failures.take(_host(request.environ.get("REMOTE_ADDR", "")))
            _refuse(wait, "requests without a known token")
            raise

    def _of_token(self, request: Request, shown: _Shown | None, seen: SeenTokens) -> Caller:
        if request.header("Authorization") is None:
            # A browser asks for a password where it is offered Basic.
            only_bearer = _CHALLENGES[: 1 if self._has_proxy else None]
            raise _unauthorized("The request has no Authorization header.", only_bearer)
        caller = None
        if shown is not None:
            caller = self._accounts.of_token(shown.token, self._clock(), seen)
        if caller is None or (shown and shown.email not in (None, caller.user.mila_email_username)):
            raise _unauthorized("The Authorization header holds no valid token.")
        return caller


def _is_form_of_a_page(request: Request) -> bool:
    """Return whether a browser may have sent a request with a token for any page.

    The token is then a saved password.  Browsers send POST without asking for permission first,
    but never without Origin.
    """
    is_basic = (request.header("Authorization") or "").lower().startswith("basic ")
    return request.method == "POST" and is_basic and request.header("Origin") is not None


def _shown(authorization: str | None) -> _Shown | None:
    """Return what the Authorization header shows as a token; None for nothing of that kind."""
    scheme, _, credentials = (authorization or "").partition(" ")
    if scheme.lower() == "bearer":
        return _Shown(None, credentials.strip(" "))
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(credentials.strip(" "), validate=True).decode()
    except ValueError:  # no base64, or no UTF-8 in it
        return None
    email, _, token = decoded.partition(":")
    return _Shown(email, token)


def _unauthorized(what: str, challenges: tuple[Header, ...] = _CHALLENGES) -> Problem:
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        f"{what} Send 'Authorization: Bearer TOKEN', or HTTP Basic with your e-mail and the token"
        " as the password; the administrator makes tokens with `clockwork user add`.",
        challenges,
    )


def _refuse(seconds: int | None, what: str) -> None:
    if seconds is not None:
        raise Problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            f"too many {what}: wait {seconds} s, and ask less often",
            [("Retry-After", str(seconds))],
        )


def _host(text: str) -> str:
    """Return the host of an IP address: an IPv4 address or a network of IPv6."""
    address = plain_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address.packed, _IPV6_NETWORK), strict=False))
    return text if address is None else str(address)
