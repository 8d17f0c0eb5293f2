"""Who is signed in by a proxy: with a JWT, or with a header field, over real HTTP and as WSGI."""

import base64
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from api.app import build_app
from api.http.request import JSON, PEER
from api.schema.endpoint import BASE
from config.settings import ApiSettings, JwtSettings, TrustedHeaderSettings
from ingest.accounts.users import add_user, remove
from ingest.database.store import Store
from tests.api.sign_in.issuer import EMAIL, jwk_set, settings, signed
from tests.api.support.client import Client
from tests.api.support.examples import NOW
from tests.api.support.problems import assert_problem
from tests.api.support.serving import exchange, served
from tests.support.accounts import update_accounts
from tests.support.ports import LOOPBACK, free_port

NAME = "X-Forwarded-Email"
UNKNOWN = "cw_" + "A" * 43
ByHeader = Callable[..., Client]


def header_settings(*proxies: str, **more: Any) -> ApiSettings:
    chosen = TrustedHeaderSettings(name=NAME, proxies=proxies, **more)
    return ApiSettings(trusted_header=chosen, port=free_port(), rate_limit="1000/hour")


def app_with(store: Store, chosen: ApiSettings) -> Any:
    return build_app(store, lambda: NOW, settings=chosen)


def behind(app: Any, peer: str = LOOPBACK, **headers: str) -> Client:
    """A client whose connection comes from *peer*."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Client(app, named, {PEER: peer})


@pytest.fixture
def keys(tmp_path: Path) -> JwtSettings:
    path = tmp_path / "keys.json"
    path.write_bytes(jwk_set())
    return settings(path)


# --- JWTs -----------------------------------------------------------------------------------------


def test_a_jwt_is_an_account_s(filled: Store, keys: JwtSettings) -> None:
    _, token = add_user(filled, EMAIL, "milauser12", token_name="laptop")
    app = app_with(filled, ApiSettings(jwt=keys, jobs_visible="own"))
    by_jwt = Client(app, {"Authorization": f"Bearer {signed()}"})
    by_token = Client(app, {"Authorization": f"Bearer {token}"})
    shown = by_token.get("whoami").json

    assert by_jwt.get("whoami").json == {**shown, "token": None}
    assert shown["token"]["name"] == "laptop"
    assert by_jwt.get("jobs/list").json == by_token.get("jobs/list").json != []
    assert by_jwt.get("/metrics").status == 403

    nobody = Client(app, {"Authorization": f"Bearer {signed(email='bob@mila.example')}"})
    refused = nobody.get("jobs/list")
    assert_problem(refused, 403)
    assert "'bob@mila.example', and no account has this" in refused.json["detail"]
    assert filled.users.count_documents({}) == 1

    remove(filled, EMAIL)
    assert by_jwt.get("jobs/list").status == 403


def test_a_name_that_is_no_e_mail_address(filled: Store, keys: JwtSettings) -> None:
    add_user(filled, EMAIL, "alice")
    chosen = keys.model_copy(
        update={"claim": "preferred_username", "name_field": "mila_cluster_username"}
    )
    app = app_with(filled, ApiSettings(jwt=chosen))
    for name, status in {"alice": 200, "Alice": 403, EMAIL: 403, "": 403, "nobody": 403}.items():
        sent = signed(preferred_username=name)
        assert Client(app, {"Authorization": f"Bearer {sent}"}).get("whoami").status == status


def test_a_jwt_in_a_header_of_its_own(filled: Store, keys: JwtSettings) -> None:
    add_user(filled, EMAIL)
    _, token = add_user(filled, "bob@mila.example")
    chosen = keys.model_copy(update={"header": "Cf-Access-Jwt-Assertion"})
    app = app_with(filled, ApiSettings(jwt=chosen))

    def who(**headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = Client(app, named).get("whoami")
        return answer.json["mila_email_username"] if answer.status == 200 else answer.status

    assert who(Cf_Access_Jwt_Assertion=signed()) == EMAIL
    assert who(Cf_Access_Jwt_Assertion=f"Bearer {signed()}") == EMAIL
    assert who(Authorization=f"Bearer {signed()}") == 401
    assert who(Cf_Access_Jwt_Assertion=f"{signed()}, {signed()}") == 401
    # A token of Clockwork goes first, and a wrong one does not become somebody else.
    both = {"Cf_Access_Jwt_Assertion": signed()}
    assert who(**both, Authorization=f"Bearer {token}") == "bob@mila.example"
    assert who(**both, Authorization=f"Bearer {UNKNOWN}") == 401
    # What the proxy itself was shown is not for Clockwork.
    assert who(**both, Authorization="Basic YWxpY2U6c2VjcmV0") == EMAIL


# --- the header of a proxy ------------------------------------------------------------------------


@pytest.fixture
def port(filled: Store) -> Iterator[int]:
    """The port of an API that trusts the header field from here."""
    add_user(filled, EMAIL, "milauser12")
    add_user(filled, "admin@mila.example", role="admin")
    chosen = header_settings(LOOPBACK)
    with served(app_with(filled, chosen), chosen) as port:
        yield port


def lines(*fields: str) -> bytes:
    head = f"GET {BASE}whoami HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
    return (head + "".join(f"{each}\r\n" for each in fields) + "\r\n").encode("latin-1")


def test_header_fields_as_they_come_over_the_wire(port: int) -> None:
    def status(*fields: str) -> int:
        return int(exchange(port, lines(*fields)).split()[1])

    assert status(f"{NAME}: {EMAIL}") == 200
    assert status(f"{NAME.lower()}:{EMAIL}  ") == 200
    assert status(f"{NAME}: ") == 401
    assert status() == 401
    assert status(f"{NAME}: bob@mila.example") == 403
    # Fields that WSGI has under one name.
    for other in ("X_Forwarded_Email", "X-Forwarded_Email", "x_forwarded-email"):
        assert status(f"{other}: {EMAIL}") == 401
        assert b'"admin@' not in exchange(
            port, lines(f"{NAME}: {EMAIL}", f"{other}: admin@mila.example")
        )
    # Two of them: the proxy's and a client's.
    assert status(f"{NAME}: {EMAIL}", f"{NAME}: admin@mila.example") == 401
    assert status(f"{NAME}: {EMAIL}", f"{NAME.lower()}: {EMAIL}") == 401
    assert status(f"{NAME}: {EMAIL}", f"{NAME}:") == 401
    for value in (f"{EMAIL},", f"{EMAIL} x", f"{EMAIL};a", "é", "$gt", EMAIL.upper(), f"<{EMAIL}>"):
        assert status(f"{NAME}: {value}") in (401, 403)
    assert status(f"{NAME} : {EMAIL}") == 400
    assert status(f"{NAME}: {EMAIL}", "Authorization: Bearer " + UNKNOWN) == 401
    assert status(f"{NAME}: {EMAIL}", "Authorization: Basic YTpi") == 200


def test_the_header_from_elsewhere_is_not_looked_at(filled: Store) -> None:
    """Whatever X-Forwarded-For says: it is the connection that counts."""
    add_user(filled, EMAIL)
    chosen = header_settings("192.0.2.7").model_copy(update={"trusted_proxy": LOOPBACK})
    with served(app_with(filled, chosen), chosen) as port:
        connection = HTTPConnection(LOOPBACK, port, timeout=300)
        for forwarded in ("192.0.2.7", "192.0.2.7, 192.0.2.7", "127.0.0.1"):
            sent = {NAME: EMAIL, "X-Forwarded-For": forwarded, "Forwarded": "for=192.0.2.7"}
            connection.request("GET", f"{BASE}whoami", headers=sent)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 401
        connection.close()


@pytest.mark.parametrize(
    ("proxies", "peer", "status"),
    [
        (["192.0.2.0/24"], "192.0.2.9", 200), (["192.0.2.0/24"], "192.0.3.9", 401),
        (["192.0.2.1"], "::ffff:192.0.2.1", 200), (["192.0.2.1"], "::ffff:192.0.2.2", 401),
        (["2001:db8::/32"], "2001:db8::7", 200), (["::1"], "127.0.0.1", 401),
        (["127.0.0.1", "::1"], "::1", 200), (["127.0.0.1"], "", 401), (["127.0.0.1"], "?", 401),
    ],
)  # fmt: skip
def test_addresses_of_proxies(filled: Store, proxies: list[str], peer: str, status: int) -> None:
    add_user(filled, EMAIL)
    app = app_with(filled, header_settings(*proxies))
    assert behind(app, peer, **{NAME: EMAIL}).get("whoami").status == status
    assert Client(app, {NAME: EMAIL}, {"REMOTE_ADDR": "192.0.2.1"}).get("whoami").status == 401


@pytest.fixture
def by_header(filled: Store) -> ByHeader:
    """A client that the proxy has signed in as alice, with more header fields."""
    add_user(filled, EMAIL, "milauser12")
    app = app_with(filled, header_settings(LOOPBACK))
    return lambda **headers: behind(app, **{NAME: EMAIL, "Host": "clockwork.example"}, **headers)


def test_nobody_is_offered_a_password(by_header: ByHeader, filled: Store) -> None:
    """Else the browser asks for one, in a window of its own."""
    app = app_with(filled, header_settings(LOOPBACK))
    refused = behind(app).get("whoami")
    challenges = [value for name, value in refused.headers if name.lower() == "www-authenticate"]
    assert [each.split()[0] for each in challenges] == ["Bearer"]
    assert b"<html data-by-proxy " in behind(app).get("/").body
    assert b"<html data-by-proxy " in behind(app).get("/api/docs").body
    assert b"data-by-proxy" not in Client(build_app(filled)).get("/").body


def test_caches_are_told_whose_responses_differ(by_header: ByHeader) -> None:
    for path in ("whoami", "jobs/list", "jobs/one", "nodes/list", "/", "/nothing"):
        answer = by_header().get(path)
        named = [value for name, value in answer.headers if name == "Vary"]
        assert any(NAME in value for value in named), path
        assert str(answer.header("Cache-Control")).startswith(("private", "no-")), path


def test_the_limit_of_an_account_is_its_own(filled: Store) -> None:
    for email in (EMAIL, "bob@mila.example"):
        add_user(filled, email, token_name="t")
    app = app_with(filled, header_settings(LOOPBACK).model_copy(update={"rate_limit": "2/hour"}))
    alice = behind(app, **{NAME: EMAIL})
    answers = [alice.get("whoami") for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert "of this account" in answers[2].json["detail"]
    assert behind(app, **{NAME: "bob@mila.example"}).get("whoami").status == 200


def test_tokens_of_an_account_without_one(by_header: ByHeader, filled: Store) -> None:
    """Who has signed in makes a token for programs, and revokes it."""
    update_accounts(filled, {"$set": {"tokens": []}})
    client = by_header(Sec_Fetch_Site="same-origin")
    made = client.call("POST", "tokens/create", "name=script&expires_in=7")
    assert made.status == 200
    script = Client(client.app, {"Authorization": f"Bearer {made.json['token']}"})
    assert script.get("whoami").json["token"]["name"] == "script"
    assert client.call("POST", "tokens/create", "name=script").status == 400
    assert client.call("POST", "tokens/revoke", "name=script").json == {"revoked": "script"}
    assert script.get("whoami").status == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec_Fetch_Site": "same-origin", "Origin": "https://clockwork.example"}, 200),
        ({"Origin": "https://clockwork.example"}, 200),
        ({"Sec_Fetch_Site": "cross-site", "Origin": "https://evil.example"}, 403),
        ({"Origin": "https://evil.example"}, 403),
    ],
)
def test_the_password_of_the_proxy_is_not_looked_at(
    by_header: ByHeader, headers: dict[str, str], status: int
) -> None:
    """As nginx passes it on, which has asked for it (auth_basic)."""
    client = by_header(Authorization="Basic YWxpY2U6c2VjcmV0", **headers)
    assert client.call("POST", "tokens/create", "name=script").status == status
    assert client.call("POST", "tokens/revoke", "name=script").status == status


def test_a_token_in_basic_is_for_no_page_behind_a_proxy_either(filled: Store) -> None:
    _, token = add_user(filled, EMAIL)
    app = app_with(filled, header_settings(LOOPBACK))
    shown = "Basic " + base64.b64encode(f"{EMAIL}:{token}".encode()).decode()
    page = {"Origin": "https://evil.example", "Host": "clockwork.example"}
    client = behind(app, Authorization=shown, **{NAME: EMAIL}, **page)
    refused = client.call("POST", "tokens/create", "name=script")
    assert_problem(refused, 403)
    assert "may not send POST with HTTP Basic" in refused.json["detail"]


OWN = "https://clockwork.example"
BROWSERS: list[tuple[dict[str, str], str | None, int, int]] = [
    # What is sent, and what POST and PUT get.
    ({"Sec_Fetch_Site": "same-origin"}, None, 200, 200),
    ({"Sec_Fetch_Site": "same-origin", "Origin": OWN}, None, 200, 200),
    ({"Sec_Fetch_Site": "same-site"}, "application/json", 403, 403),
    ({"Sec_Fetch_Site": "cross-site"}, "application/json", 403, 403),
    ({"Sec_Fetch_Site": "none"}, "application/json", 403, 403),
    ({"Sec_Fetch_Site": ""}, "application/json", 403, 403),
    ({"Sec_Fetch_Site": "cross-site", "Origin": OWN}, None, 403, 403),
    ({"Origin": OWN}, None, 200, 200),
    ({"Origin": f"{OWN}:8443"}, "application/json", 403, 403),
    ({"Origin": "https://evil.example"}, "application/json", 403, 403),
    ({"Origin": "null"}, "application/json", 403, 403),
    ({"Origin": ""}, "application/json", 403, 403),
    ({"Origin": "http://["}, "application/json", 403, 403),
    ({"Origin": "http://[::1"}, None, 403, 403),
    ({}, None, 403, 200),
    ({}, "text/plain", 403, 200),
    ({}, "application/x-www-form-urlencoded", 403, 200),
    ({}, "Application/JSON; charset=utf-8", 200, 200),
    ({}, "text/plain; application/json", 403, 200),
]


def test_pages_of_other_sites_change_nothing(by_header: ByHeader) -> None:
    for number, (headers, content_type, *statuses) in enumerate(BROWSERS):
        client = by_header(**headers)
        body = b"{}" if (content_type or "").lower().startswith(JSON) else b""
        made = client.call("POST", "tokens/create", f"name={number}", body, content_type)
        query = "job_id=233874&update_pairs=%7B%7D"
        written = client.call("PUT", "jobs/user_dict_update", query, body, content_type)
        assert [made.status, written.status] == statuses, (headers, content_type)
        assert client.get("jobs/list").status == 200
