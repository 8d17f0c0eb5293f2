"""Read the public keys of an issuer of JWTs: a JWK Set (RFC 7517), or public keys in PEM.

Only keys that verify signatures with RS256 or ES256 are taken: RSA of 2048 bits or more, and the
curve P-256.  Symmetric keys never are: who has such a key to verify a JWT can also make one.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from config import OperatorError

LEAST_BITS = 2048
"""Bits of an RSA key."""
MOST_BITS = 16_384
MOST_KEYS = 50
"""Keys of one issuer; those behind them are not taken."""

_EXPECTED = f"RSA of {LEAST_BITS} bits or more for RS256, or the curve P-256 for ES256"
_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----", re.DOTALL)
_MEMBERS = {"RSA": ("RS256", ("n", "e")), "EC": ("ES256", ("crv", "x", "y"))}
"""By the type of a key: its algorithm, and the members of a public key (RFC 7518, 6.2, 6.3)."""


class KeysUnusable(OperatorError):
    """A file or a response has no key that can be used. The message says why."""


@dataclass(frozen=True)
class Key:
    """A public key, and the one algorithm that it is used with."""

    kid: str | None
    """The key's id; None for a key without one."""
    algorithm: str
    """``RS256`` or ``ES256``."""
    public: RSAPublicKey | EllipticCurvePublicKey


def read_keys(content: bytes) -> tuple[Key, ...]:
    """Return the keys that can be used. Raises KeysUnusable if there is none."""
    keys = list(_of_pem(content) if b"-----BEGIN " in content else _of_jwk_set(content))
    if not keys:
        raise KeysUnusable(f"there is no public key to verify with; expected {_EXPECTED}")
    return tuple(keys[:MOST_KEYS])


def _of_pem(content: bytes) -> Iterator[Key]:
    for block in _PEM.finditer(content):
        if b"PRIVATE" in block[1]:
            raise KeysUnusable(
                "this is a private key, which only the issuer may have: give its public key"
                " (`openssl pkey -pubout`)"
            )
        try:
            public = load_pem_public_key(block[0])
        except (ValueError, UnsupportedAlgorithm):
            raise KeysUnusable(
                f"{block[1].decode()} is no public key in PEM; a certificate's is printed by"
                " `openssl x509 -pubkey -noout`"
            ) from None
        if (algorithm := _algorithm(public)) is None:
            raise KeysUnusable(f"a key is of another kind: expected {_EXPECTED}")
        yield Key(None, algorithm, public)  # type: ignore[arg-type]  # _algorithm has looked


def _of_jwk_set(content: bytes) -> Iterator[Key]:
    try:
        jwk_set = json.loads(content)
    except (ValueError, RecursionError):
        raise KeysUnusable("this is neither a JWK Set (JSON) nor a public key in PEM") from None
    jwks = jwk_set.get("keys") if isinstance(jwk_set, dict) else None
    if not isinstance(jwks, list):
        raise KeysUnusable('this is no JWK Set: expected {"keys": [...]}')
    yield from filter(None, map(_of_jwk, jwks))


def _of_jwk(jwk: Any) -> Key | None:
    """Return the key of a JWK; None for one of another kind, for another use, or with a fault."""
    if not isinstance(jwk, dict) or jwk.get("kty") not in [*_MEMBERS]:
        return None
    algorithm, members = _MEMBERS[jwk["kty"]]
    kid, operations = jwk.get("kid"), jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or jwk.get("alg", algorithm) != algorithm:
        return None
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    if not (kid is None or isinstance(kid, str)):
        return None
    try:
        # The public members alone: a private key in the set becomes a public one.
        plain = {"kty": jwk["kty"], **{each: jwk[each] for each in members}}
        public = jwt.PyJWK(plain, algorithm).key
    except (jwt.PyJWTError, KeyError, ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return Key(kid, algorithm, public) if _algorithm(public) == algorithm else None


def _algorithm(public: object) -> str | None:
    if isinstance(public, RSAPublicKey) and LEAST_BITS <= public.key_size <= MOST_BITS:
        return "RS256"
    if isinstance(public, EllipticCurvePublicKey) and isinstance(public.curve, SECP256R1):
        return "ES256"
    return None
