"""Who asks, as the Authorization header shows it: a token, as Bearer or in HTTP Basic."""

import base64
from http import HTTPStatus

from api.http.problems import Problem
from ingest.accounts.access import Caller, authenticate, authenticate_basic
from ingest.database.store import Store

_CHALLENGES = [
    ("WWW-Authenticate", 'Bearer realm="clockwork"'),
    ("WWW-Authenticate", 'Basic realm="clockwork", charset="UTF-8"'),
]


def caller_of(store: Store, authorization: str | None) -> Caller:
    """The account and the token that the value of the Authorization header shows.

    Raises Problem 401 where there is none, and pymongo's errors.
    """
    if authorization is None:
        raise _unauthorized("The request has no Authorization header.")
    scheme, _, credentials = authorization.partition(" ")
    caller = None
    if scheme.lower() == "bearer":
        caller = authenticate(store, credentials.strip(" "))
    elif scheme.lower() == "basic":
        caller = _basic(store, credentials.strip(" "))
    if caller is None:
        raise _unauthorized("The Authorization header holds no token that is known here.")
    return caller


def _basic(store: Store, credentials: str) -> Caller | None:
    try:
        email, _, token = base64.b64decode(credentials, validate=True).decode().partition(":")
    except ValueError:  # no base64, or no UTF-8 in it
        return None
    return authenticate_basic(store, email, token)


def _unauthorized(what: str) -> Problem:
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        f"{what} Send 'Authorization: Bearer TOKEN', or HTTP Basic with your e-mail and the token"
        " as the password; the operator makes tokens with `clockwork user add`.",
        _CHALLENGES,
    )
