"""Pages of other origins, as a browser speaks for them."""

from typing import Any

import pytest

from api.app import build_app
from config import ApiSettings
from ingest.accounts.users import add_user
from ingest.database.store import Store
from tests.api.support.client import Answer, Client
from tests.api.support.examples import NOW

DASHBOARD = "https://dash.example.org"
OTHER = "http://localhost:3000"
PREFLIGHT = {
    "Access-Control-Request-Method": "GET",
    "Access-Control-Request-Headers": "authorization",
}


@pytest.fixture
def app(filled: Store) -> Any:
    settings = ApiSettings(cors_origins=(DASHBOARD, OTHER))
    return build_app(filled, lambda: NOW, settings=settings)


def cors_fields(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers if name.startswith("Access-Control-")}


def vary(answer: Answer) -> list[str]:
    return [value for name, value in answer.headers if name == "Vary"]


@pytest.mark.parametrize("origin", [DASHBOARD, OTHER])
@pytest.mark.parametrize("path", ["jobs/list", "jobs/user_dict_update", "/metrics"])
def test_the_question_that_a_browser_asks_first(app: Any, origin: str, path: str) -> None:
    answer = Client(app, {**PREFLIGHT, "Origin": origin}).call("OPTIONS", path)

    assert (answer.status, answer.body) == (204, b"")
    assert vary(answer) == ["Origin"]
    fields = cors_fields(answer)
    assert fields["Access-Control-Allow-Origin"] == origin
    assert {"PUT", "POST"} <= set(fields["Access-Control-Allow-Methods"].split(", "))
    sent = fields["Access-Control-Allow-Headers"].lower().split(", ")
    assert {"authorization", "content-type", "if-none-match"} <= {*sent}
    assert "Access-Control-Allow-Credentials" not in fields


def test_the_request_itself(app: Any, filled: Store) -> None:
    _, token = add_user(filled, "a@mila.example")
    shown = {"Authorization": f"Bearer {token}", "Origin": DASHBOARD}
    for headers, path, status in [
        (shown, "jobs/list", 200),
        (shown, "jobs/one", 400),
        (shown, "nowhere", 404),
        ({"Origin": DASHBOARD}, "jobs/list", 401),
    ]:
        answer = Client(app, headers).get(path)

        assert answer.status == status
        assert "Origin" in vary(answer)
        assert cors_fields(answer) == {
            "Access-Control-Allow-Origin": DASHBOARD,
            "Access-Control-Expose-Headers": "ETag, Link, Retry-After",
        }


@pytest.mark.parametrize(
    "origin",
    [
        "https://dash.example.org.evil.example", "https://evil.example", "http://dash.example.org",
        "https://dash.example.org:444", "https://DASH.example.org", "https://dash.example.org/",
        "null", "*", "", "localhost:3000",
    ],
)  # fmt: skip
def test_other_origins(app: Any, filled: Store, origin: str) -> None:
    asked = Client(app, {**PREFLIGHT, "Origin": origin}).call("OPTIONS", "jobs/list")
    assert asked.status == 405
    _, token = add_user(filled, "a@mila.example")
    answer = Client(app, {"Authorization": f"Bearer {token}", "Origin": origin}).get("jobs/list")

    assert cors_fields(asked) == cors_fields(answer) == {}
    # A cache must not give this answer to a page of an origin that is allowed.
    assert vary(asked) == ["Origin"]
    assert "Origin" in vary(answer)


def test_without_an_origin(app: Any) -> None:
    answer = Client(app).get("jobs/list")

    assert (answer.status, vary(answer), cors_fields(answer)) == (401, ["Origin"], {})
    assert Client(app, {"Origin": DASHBOARD}).call("OPTIONS", "jobs/list").status == 405


def test_it_is_off_unless_configured(anyone: Client) -> None:
    for method in ("OPTIONS", "GET"):
        answer = Client(anyone.app, {**PREFLIGHT, "Origin": DASHBOARD}).call(method, "jobs/list")

        assert answer.status == {"OPTIONS": 405, "GET": 401}[method]
        assert (cors_fields(answer), vary(answer)) == ({}, [])
