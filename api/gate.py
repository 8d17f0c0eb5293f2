"""Who is let in: a known token, not too often, and to write only who may write.

Requests are limited by the token.  Those without a known one are limited by the address that they
come from, among themselves: a token that is known is never refused for what others behind the same
proxy or gateway do.  Each process counts for itself.
"""

import ipaddress
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus

from api.authentication import caller_of
from api.http.arguments import Environ
from api.http.problems import Problem
from api.rate_limits import RateLimit
from config import ApiSettings
from ingest.accounts.access import note_use
from ingest.accounts.users import User
from ingest.database.store import Store

READING = ("GET", "HEAD")
"""The methods of requests that change nothing."""

_NETWORK_OF_ONE_HOST = 64
"""Whoever has one IPv6 address has all of its /64."""


class Gate:
    """The gate to the API of *store*."""

    def __init__(self, store: Store, settings: ApiSettings, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._of_tokens = RateLimit(settings.rate_limit)
        self._of_failures = RateLimit(settings.failed_rate_limit)

    def admit(self, environ: Environ) -> User:
        """The account that makes this request.

        Raises Problem 401 without a known token, 403 where the account may not make such requests,
        429 for one request too many; pymongo's errors.
        """
        try:
            caller = caller_of(self._store, environ.get("HTTP_AUTHORIZATION"))
        except Problem:
            _refuse(self._of_failures.take(_host(environ)), "requests without a known token")
            raise
        user = caller.user
        key = f"{user.mila_email_username} {caller.token.name}"
        _refuse(self._of_tokens.take(key), "requests with this token")
        note_use(self._store, caller, self._clock())
        if environ["REQUEST_METHOD"] not in READING and not user.may_write:
            raise Problem(
                HTTPStatus.FORBIDDEN,
                f"{user.mila_email_username!r} may read and not write: its role is {user.role!r}",
            )
        return user


def _refuse(seconds: int | None, what: str) -> None:
    if seconds is not None:
        raise Problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            f"too many {what}: wait {seconds} s, and ask less often",
            [("Retry-After", str(seconds))],
        )


def _host(environ: Environ) -> str:
    """The host at the other end, as far as its address tells."""
    address: str = environ.get("REMOTE_ADDR", "")
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if known.version == 4:
        return address
    return str(ipaddress.ip_network((known.packed, _NETWORK_OF_ONE_HOST), strict=False))
