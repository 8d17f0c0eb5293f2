"""Find the account of a request that a proxy has signed in, by a JWT or by a header field.

An account must be there already: nobody gets one by signing in.
"""

from http import HTTPStatus

from api.http.problems import Problem
from api.http.request import Request
from api.sign_in.claims import name_in
from api.sign_in.key_ring import KeyRing
from api.sign_in.trusted_header import name_in_header
from config import ApiSettings
from ingest.accounts.access import Accounts
from ingest.accounts.users import User
from ingest.database.change_tokens import SeenTokens

AUTHORIZATION = "Authorization"
_BEARER = "bearer "


def header_names(settings: ApiSettings) -> tuple[str, ...]:
    """Return the header fields that say whose request it is; none if no proxy signs people in."""
    if settings.jwt is not None:
        return tuple(dict.fromkeys((AUTHORIZATION, settings.jwt.header)))
    if settings.trusted_header is not None:
        return (AUTHORIZATION, settings.trusted_header.name)
    return ()


class ProxySignIn:
    """How a proxy signs people in, by the *settings*."""

    def __init__(self, accounts: Accounts, settings: ApiSettings) -> None:
        self._accounts = accounts
        self._jwt = settings.jwt
        self._header = settings.trusted_header
        self._ring = None if settings.jwt is None else KeyRing(settings.jwt)

    def user(self, request: Request, seen: SeenTokens) -> User | None:
        """Return the account that a JWT or the trusted header names; None if there is neither.

        *seen* are the change tokens for `Accounts`.
        Raises Problem 401 for a JWT or a header that is not valid, 403 for a name that is no
        account's, 503 while the issuer's keys can't be read; pymongo's errors.
        """
        if self._jwt is not None and self._ring is not None:
            text = _shown(request, self._jwt.header)
            if text is None:
                return None
            return self._account(name_in(text, self._jwt, self._ring), self._jwt.name_field, seen)
        if self._header is None:
            return None
        name = name_in_header(request, self._header)
        return None if name is None else self._account(name, self._header.name_field, seen)

    def _account(self, name: str, field: str, seen: SeenTokens) -> User:
        user = self._accounts.of_name(field, name, seen)
        if user is None:
            raise Problem(
                HTTPStatus.FORBIDDEN,
                f"You are signed in as {name!r}, and no account has this {field}. Ask the"
                " administrator of Clockwork for an account (`clockwork user add`).",
            )
        return user


def _shown(request: Request, header: str) -> str | None:
    """Return the JWT in this header field, None if there is none."""
    value = request.header(header)
    if value is not None and value.lower().startswith(_BEARER):
        return value[len(_BEARER) :].strip(" ")
    return None if header == AUTHORIZATION else value or None
