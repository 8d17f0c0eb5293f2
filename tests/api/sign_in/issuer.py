"""An issuer of JWTs with real keys, and a place where it shows them over HTTP."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import jwt
import trustme
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from config.settings import JwtSettings
from tests.support.http import answered_by
from tests.support.ports import LOOPBACK

ISSUER, AUDIENCE = "https://login.example.org/realms/site", "clockwork"
RSA_KID, EC_KID = "rsa-2026", "ec-2026"
EMAIL = "alice@mila.example"


@cache
def rsa_key(bits: int = 2048, which: int = 0) -> rsa.RSAPrivateKey:
    """Return a key; *which* tells keys of one size apart."""
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(curve: type[ec.EllipticCurve] = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    """Return a key on a curve."""
    return ec.generate_private_key(curve())


def pem(private: Any) -> bytes:
    """Return the public key in PEM."""
    public: bytes = private.public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    return public


def jwk(private: Any, **more: Any) -> dict[str, Any]:
    """Return the public key as a JWK with *more* members."""
    of = RSAAlgorithm if isinstance(private, rsa.RSAPrivateKey) else ECAlgorithm
    return {**of.to_jwk(private.public_key(), as_dict=True), **more}


def jwk_set(*jwks: dict[str, Any]) -> bytes:
    """Return a JWK Set; without *jwks*, of the two keys of the issuer."""
    own = (jwk(rsa_key(), kid=RSA_KID, use="sig", alg="RS256"), jwk(ec_key(), kid=EC_KID))
    return json.dumps({"keys": jwks or own}).encode()


def claims(**more: Any) -> dict[str, Any]:
    """Return the claims of a JWT that is valid now; a claim that is None is left out."""
    now = int(time.time())
    usual = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "8f3",
        "iat": now,
        "exp": now + 300,
        "email": EMAIL,
        "email_verified": True,
    }
    return {name: value for name, value in (usual | more).items() if value is not None}


def signed(
    key: Any = None, algorithm: str = "RS256", kid: str | None = RSA_KID, **more: Any
) -> str:
    """Return a JWT with the usual claims and *more*."""
    headers = {} if kid is None else {"kid": kid}
    payload = json.dumps(claims(**more)).encode()
    return jwt.api_jws.encode(payload, key or rsa_key(), algorithm, headers)


def raw(header: Any, payload: Any, signature: bytes = b"") -> str:
    """Return a JWT of these parts, whatever they are; bytes stay as they are."""
    parts = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in
             (header, payload)]  # fmt: skip
    return ".".join(
        base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in (*parts, signature)
    )


def settings(keys_file: Path | None = None, **more: Any) -> JwtSettings:
    """Return the settings for this issuer."""
    return JwtSettings(issuer=ISSUER, audience=AUDIENCE, keys_file=keys_file, **more)


class KeysPlace:
    """Where the keys are shown, and how often somebody asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked = 0
        self.status = 200
        self.content = jwk_set()
        self.headers: dict[str, str] = {}
        self.go_on = threading.Event()
        """Unset: answers wait."""
        self.go_on.set()


@contextmanager
def keys_place(certificate: trustme.LeafCert | None = None) -> Iterator[KeysPlace]:
    """Show keys over HTTP, or over HTTPS with *certificate*."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            place.asked += 1
            place.go_on.wait(60)
            self.send_response(place.status)
            for name, value in place.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(place.content)

        def log_message(self, *_arguments: Any) -> None:
            """Say nothing."""

    with answered_by(Handler, certificate) as port:
        scheme = "http" if certificate is None else "https"
        place = KeysPlace(f"{scheme}://{LOOPBACK}:{port}/keys")
        try:
            yield place
        finally:
            place.go_on.set()
