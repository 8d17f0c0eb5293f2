"""Who asks: the user whose token the Authorization header shows, as Bearer or HTTP Basic."""

import base64
from http import HTTPStatus

from api.problems import Problem
from ingest.store import Store
from ingest.users import User, authenticate, authenticate_basic

_CHALLENGES = [
    ("WWW-Authenticate", 'Bearer realm="clockwork"'),
    ("WWW-Authenticate", 'Basic realm="clockwork", charset="UTF-8"'),
]


def authenticated_user(store: Store, authorization: str | None) -> User:
    """The user whom the value of the Authorization header names.

    Raises Problem 401 where there is none, and pymongo's errors.
    """
    if authorization is None:
        raise _unauthorized("The request has no Authorization header.")
    scheme, _, credentials = authorization.partition(" ")
    user = None
    if scheme.lower() == "bearer":
        user = authenticate(store, credentials.strip(" "))
    elif scheme.lower() == "basic":
        user = _basic(store, credentials.strip(" "))
    if user is None:
        raise _unauthorized("The Authorization header holds no token that is known here.")
    return user


def _basic(store: Store, credentials: str) -> User | None:
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
