"""When the keys of an issuer are read again, over real HTTP, and what happens when that fails."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.http.problems import Problem
from api.sign_in import key_ring
from api.sign_in.claims import name_in
from api.sign_in.key_ring import (
    LEAST_SECONDS,
    LONGEST_SECONDS,
    REFRESH_SECONDS,
    KeyRing,
    fetch_keys,
)
from api.sign_in.keys import KeysUnusable
from tests.api.sign_in.issuer import (
    EC_KID,
    EMAIL,
    RSA_KID,
    KeysPlace,
    ec_key,
    jwk,
    jwk_set,
    keys_place,
    pem,
    rsa_key,
    settings,
    signed,
)
from tests.support.http import CERTIFICATE_FAULTS, Authority
from tests.support.ports import LOOPBACK, free_port


class Clock:
    """Monotonic seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def place() -> Iterator[KeysPlace]:
    with keys_place() as place:
        yield place


def settle(ring: KeyRing) -> None:
    ring._reading.join()


def test_unknown_kids_make_one_request_a_minute(place: KeysPlace) -> None:
    clock = Clock()
    ring = KeyRing(settings(keys_url=place.url), clock)
    assert ring.matching(RSA_KID, "RS256")
    settle(ring)
    for number in range(100):
        assert ring.matching(f"kid-{number}", "RS256") == []
    assert place.asked == 1

    place.content = jwk_set(jwk(rsa_key(2048, 1), kid="new"))
    clock.now += LEAST_SECONDS
    assert [key.kid for key in ring.matching("new", "RS256")] == ["new"]
    assert ring.matching(RSA_KID, "RS256") == [], "a key that the issuer withdrew"
    assert place.asked == 2


def test_keys_are_read_again_every_hour_without_waiting(place: KeysPlace) -> None:
    clock = Clock()
    ring = KeyRing(settings(keys_url=place.url), clock)
    settle(ring)
    place.content = jwk_set(jwk(ec_key(), kid=EC_KID))
    clock.now += REFRESH_SECONDS
    place.go_on.clear()
    assert ring.matching(RSA_KID, "RS256"), "the keys from before, while others are read"
    place.go_on.set()
    settle(ring)
    assert ring.matching(RSA_KID, "RS256") == []
    assert ring.matching(EC_KID, "ES256")


def test_a_withdrawn_key_signs_nobody_in_after_idle_hours(place: KeysPlace) -> None:
    clock = Clock()
    ring = KeyRing(settings(keys_url=place.url), clock)
    settle(ring)
    place.content = jwk_set(jwk(ec_key(), kid=EC_KID))
    clock.now += 2 * REFRESH_SECONDS + 1
    assert ring.matching(RSA_KID, "RS256") == []
    assert ring.matching(EC_KID, "ES256")
    assert place.asked == 2


def test_after_idle_hours_every_request_waits_for_the_keys(
    place: KeysPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While they take too long, JWTs get 503, and are good again behind them."""
    monkeypatch.setattr(key_ring, "_WAIT_SECONDS", 0.1)
    clock = Clock()
    chosen = settings(keys_url=place.url)
    ring = KeyRing(chosen, clock)
    settle(ring)
    clock.now += 2 * REFRESH_SECONDS + 1
    place.go_on.clear()
    for _ in range(2):
        with pytest.raises(Problem) as raised:
            name_in(signed(), chosen, ring)
        assert raised.value.status == 503
    place.go_on.set()
    settle(ring)
    assert name_in(signed(), chosen, ring) == EMAIL
    assert place.asked == 2


def test_keys_that_can_not_be_read_again_are_believed_for_a_day(
    place: KeysPlace, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    chosen = settings(keys_url=place.url)
    ring = KeyRing(chosen, clock)
    settle(ring)
    place.status = 500
    clock.now += LONGEST_SECONDS
    assert name_in(signed(), chosen, ring) == EMAIL
    assert caplog.messages[-1].endswith("the keys from before stay")
    clock.now += LEAST_SECONDS
    with pytest.raises(Problem) as raised:
        name_in(signed(), chosen, ring)
    assert raised.value.status == 503
    settle(ring)
    assert caplog.messages[-1].endswith("no JWT can be verified")
    place.status = 200
    clock.now += LEAST_SECONDS
    assert name_in(signed(), chosen, ring) == EMAIL


def test_one_odd_key_does_not_hide_the_others(place: KeysPlace) -> None:
    place.content = jwk_set(jwk(ec_key(), key_ops=None), jwk(rsa_key(), kid=RSA_KID, key_ops=5))
    with pytest.raises(KeysUnusable, match="no public key to verify with"):
        fetch_keys(settings(keys_url=place.url))
    place.content = jwk_set(jwk(ec_key(), key_ops=None), jwk(rsa_key(), kid=RSA_KID))
    assert KeyRing(settings(keys_url=place.url)).matching(RSA_KID, "RS256")


def test_a_defect_is_logged_and_the_keys_are_read_again(
    place: KeysPlace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def defect(_content: bytes) -> None:
        raise TypeError("argument of type 'NoneType' is not iterable")

    clock = Clock()
    with monkeypatch.context() as patch:
        patch.setattr(key_ring, "read_keys", defect)
        ring = KeyRing(settings(keys_url=place.url), clock)
        settle(ring)
    [line] = caplog.messages
    assert line.startswith("sign-in: keys can't be read, by a defect of Clockwork: TypeError(")
    assert line.endswith("no JWT can be verified")
    clock.now += LEAST_SECONDS
    assert ring.matching(RSA_KID, "RS256")


@pytest.mark.parametrize(
    ("status", "content", "why"),
    [
        (500, b"", "HTTP Error 500"),
        (302, b"", "HTTP Error 302"),
        (200, b"<html>", "neither a JWK Set"),
        (200, b"x" * (key_ring.MOST_BYTES + 1), "more than 256 KiB"),
        (200, b'{"keys": [{"kty": "oct", "k": "AAAA"}]}', "no public key"),
    ],
)
def test_a_failure_keeps_the_keys(
    place: KeysPlace,
    status: int,
    content: bytes,
    why: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    ring = KeyRing(settings(keys_url=place.url), clock)
    settle(ring)
    place.status, place.content = status, content
    place.headers = {"Location": f"http://{LOOPBACK}:{free_port()}/elsewhere"}
    caplog.set_level(logging.WARNING)
    for _ in range(3):
        clock.now += REFRESH_SECONDS
        assert ring.matching(RSA_KID, "RS256")
        settle(ring)
    assert ring.matching(RSA_KID, "RS256")
    [line] = [each.getMessage() for each in caplog.records if each.name == key_ring.__name__]
    assert why in line
    assert line.endswith("the keys from before stay")
    assert place.url in line


def test_an_issuer_that_is_away_at_the_start() -> None:
    """503, not 401: the JWT may be good."""
    chosen = settings(keys_url=f"http://{LOOPBACK}:{free_port()}/keys")
    with pytest.raises(Problem) as raised:
        name_in(signed(), chosen, KeyRing(chosen, Clock()))
    assert raised.value.status == 503
    with pytest.raises(KeysUnusable, match="can't be read"):
        fetch_keys(chosen)


def test_a_slow_issuer_holds_back_no_known_key(
    place: KeysPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request of a kid that is unknown waits a little; all others are answered at once."""
    monkeypatch.setattr(key_ring, "_WAIT_SECONDS", 0.1)
    clock = Clock()
    chosen = settings(keys_url=place.url)
    ring = KeyRing(chosen, clock)
    settle(ring)
    clock.now += LEAST_SECONDS
    place.go_on.clear()
    for _ in range(3):
        with pytest.raises(Problem) as raised:
            name_in(signed(kid="new"), chosen, ring)
        assert raised.value.status == 503
        assert name_in(signed(), chosen, ring) == EMAIL
    assert place.asked == 2


def test_an_endless_response_ends(place: KeysPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_ring, "FETCH_SECONDS", 0.0)
    with pytest.raises(KeysUnusable, match="took more than 0 s"):
        fetch_keys(settings(keys_url=place.url))


def test_a_file_is_read_like_an_address(tmp_path: Path) -> None:
    path = tmp_path / "keys.pem"
    clock = Clock()
    ring = KeyRing(settings(path), clock)
    settle(ring)
    assert ring.matching(None, "RS256") == []
    path.write_bytes(pem(rsa_key()))
    clock.now += LEAST_SECONDS
    assert [key.kid for key in ring.matching("any", "RS256")] == [None]


def test_many_threads_read_once(place: KeysPlace) -> None:
    place.go_on.clear()
    ring = KeyRing(settings(keys_url=place.url))
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(len(ring.matching(RSA_KID, "RS256"))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    place.go_on.set()
    for thread in threads:
        thread.join()
    assert found == [1] * 8
    assert place.asked == 1


@pytest.mark.parametrize("fault", CERTIFICATE_FAULTS)
def test_only_a_good_certificate_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    authority = Authority(tmp_path)
    authority.trusted(monkeypatch)
    with keys_place(authority.certificate()) as place:
        assert fetch_keys(settings(keys_url=place.url))
    with keys_place(authority.bad_certificate(fault)) as place:
        with pytest.raises(KeysUnusable, match="CERTIFICATE_VERIFY_FAILED"):
            fetch_keys(settings(keys_url=place.url))
        assert place.asked == 0
