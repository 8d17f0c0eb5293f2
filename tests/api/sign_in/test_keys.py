"""Which keys of an issuer are taken."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

from api.sign_in.keys import MOST_KEYS, KeysUnusable, read_keys
from tests.api.sign_in.issuer import ec_key, jwk, jwk_set, pem, rsa_key

SECRET = {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0", "kid": "s"}
PRIVATE = rsa_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
ED25519 = OKPAlgorithm.to_jwk(ed25519.Ed25519PrivateKey.generate().public_key(), as_dict=True)
RSA, EC = jwk(rsa_key()), jwk(ec_key())
ODD: list[object] = [None, 5, True, "", "\ud800", [], ["RSA"], {}, {"verify": 1}]


def test_a_set_of_keys() -> None:
    found = read_keys(jwk_set())
    assert [(key.kid, key.algorithm) for key in found] == [
        ("rsa-2026", "RS256"),
        ("ec-2026", "ES256"),
    ]


def test_public_keys_in_pem() -> None:
    found = read_keys(b"# of 2026\n" + pem(rsa_key()) + pem(ec_key()))
    assert [(key.kid, key.algorithm) for key in found] == [(None, "RS256"), (None, "ES256")]


@pytest.mark.parametrize(
    "bad",
    [
        *(SECRET, {"kty": "oct", "k": ""}, {**SECRET, "alg": "RS256"}, {**RSA, "alg": "HS256"}),
        *({**RSA, "alg": "none"}, {**RSA, "alg": "PS256"}, {**EC, "alg": "RS256"}),
        *({**RSA, "kty": "oct"}, {**RSA, "kty": ["RSA"]}, {**RSA, "kty": None}, {"kty": "RSA"}),
        *({**RSA, "n": ""}, {**RSA, "n": "AQ"}, {**RSA, "e": ""}, {**RSA, "e": "AQ"}),
        *({**RSA, "n": 5}, {**RSA, "n": "!"}, jwk(rsa_key(1024)), {**RSA, "use": "enc"}),
        *({**RSA, "key_ops": ["encrypt"]}, {**RSA, "kid": 5}, {**RSA, "n": "_" * 4000}),
        *({**RSA, "key_ops": odd} for odd in (None, 5, 1e999, True, "verify", {"verify": 1}, [5])),
        *({**key, name: odd} for key in (RSA, EC) for name in ("use", "alg") for odd in ODD),
        *({**RSA, name: odd} for name in ("kty", "n", "e") for odd in ODD),
        *({**EC, name: odd} for name in ("kty", "crv", "x", "y") for odd in ODD),
        *({**EC, "x": ""}, {**EC, "x": EC["y"], "y": EC["x"]}, {**EC, "crv": "secp256k1"}),
        *(jwk(ec_key(ec.SECP384R1)), {**EC, "crv": "P-384"}, ED25519, {}, [], None, "x", 7),
    ],
)
def test_a_key_that_is_not_taken(bad: object) -> None:
    """Others of the set are; alone, there is none."""
    beside = {**EC, "kid": "beside"}
    found = read_keys(json.dumps({"keys": [bad, beside]}).encode())
    assert [key.kid for key in found] == ["beside"]
    with pytest.raises(KeysUnusable, match="no public key to verify with"):
        read_keys(json.dumps({"keys": [bad]}).encode())


def test_a_private_key_in_a_set_becomes_a_public_one() -> None:
    private = RSAAlgorithm.to_jwk(rsa_key(), as_dict=True)
    private.pop("key_ops")
    [found] = read_keys(json.dumps({"keys": [private]}).encode())
    assert not hasattr(found.public, "sign")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "neither a JWK Set"), (b"\xff\xfe", "neither"), (b"secret", "neither"),
        (b"[" * 100_000, "neither"), (b"[]", "no JWK Set"), (b"{}", "no JWK Set"),
        (b'{"keys": {}}', "no JWK Set"), (b'{"keys": []}', "no public key"),
        (PRIVATE, "a private key"), (pem(rsa_key(1024)), "RSA of 2048 bits or more"),
        (pem(ec_key(ec.SECP384R1)), "the curve P-256"),
        (b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----", "no public key"),
        (b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----", "openssl x509 -pubkey"),
        (b"-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----", "no public key in PEM"),
    ],
)  # fmt: skip
def test_what_holds_no_key(content: bytes, why: str) -> None:
    with pytest.raises(KeysUnusable, match=why):
        read_keys(content)


def test_a_set_without_end_is_cut() -> None:
    jwks = [{**EC, "kid": str(number)} for number in range(MOST_KEYS + 5)]
    assert len(read_keys(jwk_set(*jwks))) == MOST_KEYS
