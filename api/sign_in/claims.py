"""Verify a JWT (RFC 7519, RFC 8725), and read the name of its user.

Nothing that the JWT says of itself decides how it is verified: the algorithm must be one of two, a
key fits one algorithm, and keys inside a JWT or at addresses in it (``jwk``, ``jku``, ``x5u``) are
never looked at.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import jwt

from api.http.problems import Problem, unavailable
from api.http.request import Header
from api.sign_in.key_ring import KeyRing
from config.settings import JwtSettings

ALGORITHMS = ("RS256", "ES256")
LEEWAY_SECONDS = 30
"""How far the clocks of the issuer and of this host may differ."""

_SECONDS_TO_RETRY = 2
_CHALLENGE: Header = ("WWW-Authenticate", 'Bearer realm="clockwork", error="invalid_token"')


def name_in(text: str, settings: JwtSettings, ring: KeyRing) -> str:
    """Return the name of the user in a JWT.

    Raises Problem 401 for a JWT that is not valid, 403 for a valid one without the name, and 503
    while the issuer's keys can't be read.
    """
    return _name(_claims(text, settings, ring), settings)


def _claims(text: str, settings: JwtSettings, ring: KeyRing) -> Mapping[str, Any]:
    try:
        header = jwt.get_unverified_header(text)
    except jwt.PyJWTError as error:
        raise _refused(str(error)) from None
    algorithm, kid = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise _refused(f"its algorithm is none of {', '.join(ALGORITHMS)}")
    for key in ring.matching(kid, algorithm):
        try:
            return jwt.decode(
                text,
                key.public,
                algorithms=[key.algorithm],
                issuer=settings.issuer,
                audience=settings.audience,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud"], "enforce_minimum_key_length": True},
            )
        except jwt.InvalidSignatureError:
            continue
        except jwt.PyJWTError as error:
            raise _refused(str(error)) from None
    if not ring.is_settled:
        raise unavailable(
            "The keys of the issuer are not known yet. Try again in a moment.", _SECONDS_TO_RETRY
        )
    raise _refused("no key of the issuer has signed it")


def _name(claims: Mapping[str, Any], settings: JwtSettings) -> str:
    name = claims.get(settings.claim)
    if not isinstance(name, str) or not name:
        raise _without_name(f"The JWT has no text as its claim {settings.claim!r}.")
    if not _is_unicode(name):
        raise _without_name(f"The claim {settings.claim!r} of the JWT is no valid Unicode.")
    # Who may write any address into their profile must not become another person by that.
    if settings.claim == "email" and claims.get("email_verified", True) not in (True, "true"):
        raise _without_name(f"The issuer has not verified the address {name!r}.")
    return name


def _is_unicode(text: str) -> bool:
    """Return whether *text* has no lone surrogates, which JSON can contain but UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refused(why: str) -> Problem:
    return Problem(
        HTTPStatus.UNAUTHORIZED, f"The JWT is refused: {why}. Sign in again.", [_CHALLENGE]
    )


def _without_name(what: str) -> Problem:
    return Problem(
        HTTPStatus.FORBIDDEN, f"{what} Ask the administrators of your identity provider for it."
    )
