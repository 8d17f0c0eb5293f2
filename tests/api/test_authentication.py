"""Who may ask: Bearer tokens and HTTP Basic."""

import base64
import logging
from datetime import timedelta

import pytest

from api.app import ENDPOINTS
from ingest.accounts.users import add_user, revoke
from ingest.database.store import Store
from ingest.logs.log_lines import LogLines
from tests.api.support.client import Answer, Client
from tests.api.support.examples import NOW
from tests.support.accounts import update_accounts

EMAIL = "alice@mila.example"
UNKNOWN = "cw_" + "A" * 43


def basic(email: str, token: str) -> str:
    return "Basic " + base64.b64encode(f"{email}:{token}".encode()).decode()


def ask(anyone: Client, authorization: str) -> Answer:
    return Client(anyone.app, {"Authorization": authorization}).get("nodes/list")


def test_every_endpoint_wants_a_token(anyone: Client) -> None:
    for endpoint in ENDPOINTS:
        if endpoint.access == "everyone":
            continue
        answer = anyone.call(endpoint.method, endpoint.shown[0], "nonsense=1")
        assert answer.status == 401
        assert answer.header("Content-Type") == "application/problem+json"
        assert "Bearer" in answer.json["detail"]
        schemes = [value for name, value in answer.headers if name.lower() == "www-authenticate"]
        assert [scheme.split()[0] for scheme in schemes] == ["Bearer", "Basic"]


def test_a_token_as_bearer_and_as_the_password_of_basic(anyone: Client, store: Store) -> None:
    _, token = add_user(store, EMAIL)

    for authorization in (f"Bearer {token}", f"bearer  {token}", basic(EMAIL, token)):
        assert ask(anyone, authorization).status == 200


@pytest.mark.parametrize(
    "authorization",
    [
        "", " ", "Bearer", "Bearer ", "Bearer x", f"Bearer {UNKNOWN}", UNKNOWN, "Bearer cw_",
        "Bearer " + "x" * 60_000, "Bearer cw_\xff\xfe", "Bearer \x00", "Bearer {'$ne': null}",
        f"Digest {UNKNOWN}", "Basic", "Basic !", "Basic x", "Basic /w==", "Basic é", "Basic Og==",
        basic("", ""), basic(EMAIL, ""), basic(EMAIL, UNKNOWN), basic(EMAIL, "é\0"),
    ],
)  # fmt: skip
def test_anything_else_is_refused(anyone: Client, store: Store, authorization: str) -> None:
    add_user(store, EMAIL)

    assert ask(anyone, authorization).status == 401


def test_a_token_with_a_little_change(anyone: Client, store: Store) -> None:
    _, token = add_user(store, EMAIL)

    for wrong in (token[:-1], token + "A", token.upper(), token[3:], f"{token}, {token}"):
        assert ask(anyone, f"Bearer {wrong}").status == 401
        assert ask(anyone, basic(EMAIL, wrong)).status == 401


def test_basic_with_the_token_of_another(anyone: Client, store: Store) -> None:
    _, token = add_user(store, EMAIL)
    add_user(store, "bob@mila.example")

    for email in ("bob@mila.example", "nobody@mila.example", "", EMAIL + ":"):
        assert ask(anyone, basic(email, token)).status == 401


def test_a_revoked_token(anyone: Client, store: Store) -> None:
    _, token = add_user(store, EMAIL, token_name="laptop")
    _, other = add_user(store, EMAIL, token_name="server")

    revoke(store, EMAIL, "laptop")

    assert ask(anyone, f"Bearer {token}").status == 401
    assert ask(anyone, f"Bearer {other}").status == 200


def test_an_expired_token(anyone: Client, store: Store) -> None:
    """It is refused as one that never was, from its expiry on."""
    _, token = add_user(store, EMAIL)
    for expires, status in [(NOW, 401), (NOW + timedelta(seconds=1), 200)]:
        update_accounts(store, {"$set": {"tokens.0.expires": expires}})
        for authorization in (f"Bearer {token}", basic(EMAIL, token)):
            answer = ask(anyone, authorization)
            assert answer.status == status
            if status == 401:
                assert answer == ask(anyone, f"Bearer {UNKNOWN}")


def test_a_page_can_not_use_a_password_of_the_browser_to_write(
    anyone: Client, store: Store
) -> None:
    _, token = add_user(store, EMAIL, token_name="laptop")
    for authorization, origin, status in [
        (basic(EMAIL, token), "https://evil.example.org", 403),
        (basic(EMAIL, token).upper(), "null", 401),
        (basic(EMAIL, token).replace("Basic", "bAsIc"), "null", 403),
        (f"Bearer {token}", "https://dash.example.org", 404),
        (basic(EMAIL, token), None, 404),
    ]:
        headers = {"Authorization": authorization} | ({"Origin": origin} if origin else {})
        answer = Client(anyone.app, headers).call("POST", "tokens/revoke", "name=other")
        assert answer.status == status, (authorization, origin)


def test_no_token_is_logged(anyone: Client, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    _, token = add_user(store, EMAIL)
    shown = basic(EMAIL, token)

    ask(anyone, f"Bearer {token}")
    ask(anyone, shown)
    ask(anyone, f"Bearer {token}x")

    ours = [record.getMessage() for record in caplog.records if record.name.startswith("api")]
    assert len(ours) == 3
    assert not any(token in said or shown[6:] in said for said in caplog.text.splitlines())


def test_refused_requests_write_few_lines(
    anyone: Client, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    _, token = add_user(store, "a@example.org")
    known = Client(anyone.app, {"Authorization": f"Bearer {token}"})
    for _ in range(50):
        assert anyone.get("jobs/list").status == 401
        assert anyone.get("nodes/list").status == 401
    for _ in range(3):
        assert known.get("jobs/list").status == 200
    lines = [each.getMessage().partition(" in ")[0] for each in caplog.records]
    assert lines == [
        "GET /api/v1/cluster/jobs/list: 401",
        "GET /api/v1/cluster/nodes/list: 401",
        *["GET /api/v1/cluster/jobs/list: 200"] * 3,
    ]


def test_what_anyone_can_make_writes_few_lines(
    anyone: Client, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """Bad requests, and requests for what is open to everyone; each known request has its line."""
    caplog.set_level(logging.INFO)
    _, token = add_user(store, "a@example.org")
    known = Client(anyone.app, {"Authorization": f"Bearer {token}"})
    for _ in range(10):
        assert anyone.get("/healthz").status == 200
        assert anyone.get("/nothing").status == 404
        assert known.get("jobs/list", limit="x").status == 400
        assert known.get("jobs/one", job_id="1").status == 200
    lines = [each.getMessage() for each in caplog.records if each.name.startswith("api")]
    assert len([each for each in lines if "jobs/one: 200" in each]) == 10
    assert len(lines) == 10 + 2


def test_the_refused_requests_without_a_line_are_counted(
    anyone: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    due = LogLines.due
    for _ in range(7):
        anyone.get("jobs/list")
    monkeypatch.setattr(LogLines, "due", lambda lines, cause, now: due(lines, cause, now + 60))
    anyone.get("jobs/list")
    assert [vars(each).get("times") for each in caplog.records] == [None, 7]
