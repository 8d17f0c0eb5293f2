"""Which JWTs are believed: good ones, and every forgery that we know of."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from api.http.problems import Problem
from api.sign_in.claims import LEEWAY_SECONDS, name_in
from api.sign_in.key_ring import KeyRing
from tests.api.sign_in.issuer import (
    AUDIENCE,
    EC_KID,
    EMAIL,
    ISSUER,
    RSA_KID,
    claims,
    ec_key,
    jwk,
    jwk_set,
    pem,
    raw,
    rsa_key,
    settings,
    signed,
)

Name = Callable[..., str]
DAY = 86_400
NOW = int(time.time())


@pytest.fixture(scope="module")
def name(tmp_path_factory: pytest.TempPathFactory) -> Name:
    """Returns the name in a JWT, under the usual settings and more."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    path.write_bytes(jwk_set())
    ring = KeyRing(settings(path))
    assert ring.matching(RSA_KID, "RS256")
    return lambda text, **more: name_in(text, settings(path, **more), ring)


def status(name: Name, text: str, **more: Any) -> int:
    with pytest.raises(Problem) as raised:
        name(text, **more)
    return raised.value.status


def test_good_ones(name: Name) -> None:
    for text in (
        signed(),
        signed(kid=None),
        signed(ec_key(), "ES256", EC_KID),
        signed(aud=["other", AUDIENCE]),
        signed(exp=NOW + DAY, nbf=NOW - DAY),
        signed(email_verified="true"),
        signed(email_verified=None),
    ):
        assert name(text) == EMAIL
    assert name(signed(preferred_username="alice"), claim="preferred_username") == "alice"


def test_clocks_may_differ_a_little(name: Name) -> None:
    now = int(time.time())
    assert name(signed(exp=now - LEEWAY_SECONDS // 2)) == EMAIL
    assert name(signed(nbf=now + LEEWAY_SECONDS // 2)) == EMAIL


@pytest.mark.parametrize(
    "more",
    [
        {"iss": "https://login.example.org/realms/other"}, {"iss": None}, {"iss": [ISSUER]},
        {"iss": f"{ISSUER}/"}, {"aud": "other"}, {"aud": None}, {"aud": []}, {"aud": ""},
        {"aud": {"clockwork": 1}}, {"aud": "clockwork "}, {"aud": ["clockwork2", 5]},
        {"exp": None}, {"exp": NOW - DAY}, {"exp": "soon"}, {"exp": True}, {"exp": []},
        {"exp": float("nan")}, {"exp": -1}, {"exp": "9" * 5000},
        {"nbf": NOW + DAY}, {"nbf": "x"}, {"iat": NOW + DAY}, {"iat": {}}, {"sub": 5},
    ],
)  # fmt: skip
def test_claims_that_are_refused(name: Name, more: dict[str, Any]) -> None:
    assert status(name, signed(**more)) == 401


@pytest.mark.parametrize(
    "more",
    [
        {"email": None}, {"email": ""}, {"email": 5}, {"email": [EMAIL]}, {"email": {"$gt": ""}},
        {"email_verified": False}, {"email_verified": "false"}, {"email_verified": 0},
        {"email_verified": []}, {"email": "\ud800"}, {"email": f"{EMAIL}\udfff"},
    ],
)  # fmt: skip
def test_a_name_that_is_missing_or_not_verified(name: Name, more: dict[str, Any]) -> None:
    assert status(name, signed(**more)) == 403


def hmac_with(secret: bytes, algorithm: str = "HS256") -> str:
    """A JWT whose secret is the issuer's public key (the confusion of algorithms)."""
    text = raw({"alg": algorithm, "kid": RSA_KID}, claims())
    signature = hmac.digest(secret, text.rpartition(".")[0].encode(), hashlib.sha256)
    return raw({"alg": algorithm, "kid": RSA_KID}, claims(), signature)


def with_header(**header: Any) -> str:
    """A JWT that a stranger's key has signed, with *header* on where to find that key."""
    stranger = rsa_key(2048, 1)
    return jwt.encode(claims(), stranger, "RS256", headers={"kid": RSA_KID, **header})


def forgeries() -> dict[str, str]:
    good = signed()
    header, payload, signature = good.split(".")
    other = signed(email="admin@mila.example").split(".")[1]
    stranger = rsa_key(2048, 1)
    return {
        "nothing": "",
        "words": "not a token",
        "two parts": f"{header}.{payload}",
        "four parts": f"{good}.{signature}",
        "five parts": f"{good}.{signature}.{signature}",
        "another payload": f"{header}.{other}.{signature}",
        "no signature": f"{header}.{payload}.",
        "a cut signature": good[:-8],
        "a stranger's key": with_header(),
        "a stranger's key without a kid": jwt.encode(claims(), stranger, "RS256"),
        "alg none": raw({"alg": "none"}, claims()),
        "alg None": raw({"alg": "None", "kid": RSA_KID}, claims()),
        "alg empty": raw({"alg": ""}, claims()),
        "no alg": raw({"kid": RSA_KID}, claims()),
        "alg a list": raw({"alg": ["RS256"]}, claims()),
        "HS256 with the PEM": hmac_with(pem(rsa_key())),
        "HS256 with an empty secret": hmac_with(b""),
        "RS256 in name, HMAC in deed": hmac_with(pem(rsa_key()), "RS256"),
        "PS256": signed(algorithm="PS256"),
        "RS512": signed(algorithm="RS512"),
        "ES384": signed(ec_key(ec.SECP384R1), "ES384", EC_KID),
        "ES256 with the kid of an RSA key": signed(ec_key(), "ES256", RSA_KID),
        "ES256 of zeros": raw({"alg": "ES256", "kid": EC_KID}, claims(), bytes(64)),
        "a kid that is a path": signed(kid="../../../../dev/null"),
        "a kid that is SQL": signed(kid="x' UNION SELECT 'a"),
        "a kid that is a number": raw({"alg": "RS256", "kid": 7}, claims()),
        "a kid that is an operator": raw({"alg": "RS256", "kid": {"$gt": ""}}, claims()),
        "jku": with_header(jku="https://evil.example.org/keys"),
        "x5u": with_header(x5u="https://evil.example.org/cert"),
        "jwk": with_header(jwk=jwk(stranger)),
        "x5c": with_header(x5c=["MIIB"]),
        "crit": jwt.encode(claims(), rsa_key(), "RS256", {"kid": RSA_KID, "crit": ["exp"]}),
        "b64 false": raw({"alg": "RS256", "b64": False, "crit": ["b64"]}, b""),
        "alg twice": raw(b'{"alg":"RS256","alg":"none"}', claims()),
        "deep": raw(b"[" * 20_000, claims()),
        "deep inside": raw({"alg": "RS256", "kid": RSA_KID, "a": 1}, b'{"a":' * 20_000),
        "large": raw({"alg": "RS256", "kid": RSA_KID}, {"email": "x" * 45_000}),
        "a large kid": raw({"alg": "RS256", "kid": "x" * 45_000}, claims()),
        "no UTF-8": raw(b"\xff\xfe", claims()),
        "a letter of Latin-1": good + "é",
        "a NUL": good + "\0",
        "spaces": good.replace(".", " . "),
        "two": f"{good}, {good}",
    }


@pytest.mark.parametrize("kind", forgeries())
def test_forgeries(name: Name, kind: str) -> None:
    assert status(name, forgeries()[kind]) == 401


def test_a_claim_that_comes_twice_counts_as_the_last(name: Name) -> None:
    """As RFC 7519 (4) has it; the issuer has signed both."""
    payload = b'{"email":"first@mila.example",' + json.dumps(claims()).encode()[1:]
    text = jwt.api_jws.encode(payload, rsa_key(), "RS256", {"kid": RSA_KID})
    assert name(text) == EMAIL


def test_the_refusal_says_why_and_offers_no_password(name: Name) -> None:
    with pytest.raises(Problem) as raised:
        name(signed(exp=NOW - DAY))
    assert "expired" in raised.value.detail
    assert [value.split()[0] for _, value in raised.value.headers] == ["Bearer"]
