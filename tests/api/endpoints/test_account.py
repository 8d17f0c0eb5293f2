"""``whoami`` and ``tokens``: an account for itself."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest

from api.app import build_app
from config import ApiSettings
from ingest.accounts.users import MOST_TOKENS, add_user, list_users
from ingest.database.store import Store
from tests.api.support.client import Answer, Client
from tests.api.support.examples import NOW
from tests.api.support.problems import assert_problem

EMAIL = "alice@mila.example"
OTHER = "bob@mila.example"


def shown(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def iso(moment: Any) -> str:
    return str(moment.isoformat()).replace("+00:00", "Z")


def post(client: Client, path: str, **arguments: Any) -> Answer:
    body = json.dumps(arguments).encode()
    return client.call("POST", path, "", body, "application/json")


def at(now: datetime, store: Store, token: str) -> Client:
    return Client(build_app(store, lambda: now), shown(token))


def names(store: Store, email: str = EMAIL) -> list[str]:
    [user] = (each for each in list_users(store) if each.mila_email_username == email)
    return [token.name for token in user.tokens]


@pytest.fixture
def alice(filled: Store) -> Client:
    """A client of an account with one token, beside an account with a token of the same name."""
    add_user(filled, OTHER, token_name="laptop")
    _, token = add_user(filled, EMAIL, token_name="laptop")
    return Client(build_app(filled, lambda: NOW), shown(token))


def test_an_account_sees_itself(filled: Store) -> None:
    add_user(filled, EMAIL, "milauser12", token_name="laptop")
    user, token = add_user(filled, EMAIL, token_name="server")
    client = Client(build_app(filled, lambda: NOW), shown(token))

    found = client.get("whoami").json

    created = user.tokens[1].created.isoformat().replace("+00:00", "Z")
    assert found == {
        "mila_email_username": EMAIL,
        "mila_cluster_username": "milauser12",
        "cc_account_username": None,
        "username": None,
        "role": "user",
        "coordinates": [],
        "sees": "all",
        "token": {"name": "server", "created": created, "last_used": None, "expires": None},
    }
    assert client.get("whoami").json["token"]["last_used"] == NOW.isoformat().replace("+00:00", "Z")
    own = Client(
        build_app(filled, lambda: NOW, settings=ApiSettings(jobs_visible="own")), shown(token)
    )
    assert own.get("whoami").json == client.get("whoami").json | {"sees": "own"}
    add_user(filled, EMAIL, role="admin")
    assert own.get("whoami").json == client.get("whoami").json


@pytest.mark.parametrize("role", ["user", "service"])
def test_a_token_from_its_making_to_its_end(alice: Client, filled: Store, role: str) -> None:
    add_user(filled, EMAIL, token_name="other", role=role)
    made = post(alice, "tokens/create", name="ci", expires_in=30)
    assert (made.status, made.header("Cache-Control")) == (200, "no-store")
    facts = dict(made.json)
    token = facts.pop("token")
    expires = NOW + timedelta(days=30)
    expected = {"name": "ci", "created": iso(NOW), "last_used": None, "expires": iso(expires)}
    assert facts == expected
    listed = alice.get("tokens/list")
    assert [each["name"] for each in listed.json] == ["laptop", "other", "ci"]
    assert listed.json[-1] == expected
    assert b"sha256" not in listed.body
    assert token.encode() not in listed.body

    moments = [expires - timedelta(seconds=1), expires]
    clients = [at(now, filled, token) for now in moments]
    assert clients[0].get("whoami").json["token"]["expires"] == iso(expires)
    assert_problem(clients[1].get("whoami"), 401)
    # It may revoke itself.
    assert post(clients[0], "tokens/revoke", name="ci").json == {"revoked": "ci"}
    assert_problem(clients[0].get("whoami"), 401)
    assert_problem(post(alice, "tokens/revoke", name="ci"), 404)
    assert (names(filled), names(filled, OTHER)) == (["laptop", "other"], ["laptop"])


def test_a_token_without_an_expiry(alice: Client, filled: Store) -> None:
    made = post(alice, "tokens/create", name="ci").json
    assert made["expires"] is None
    document = filled.users.find_one({"mila_email_username": EMAIL})
    assert document is not None
    assert ["expires" in entry for entry in document["tokens"]] == [False, False]


def test_days_are_a_whole_number_however_it_is_written(alice: Client) -> None:
    for number, days in enumerate((1, 1.0, "1")):
        made = post(alice, "tokens/create", name=number, expires_in=days).json
        assert (made["name"], made["expires"]) == (str(number), iso(NOW + timedelta(days=1)))


def test_only_tokens_of_the_account_are_revoked(alice: Client, filled: Store) -> None:
    add_user(filled, OTHER, token_name="server")
    refused = post(alice, "tokens/revoke", name="server")
    assert_problem(refused, 404)
    assert "has no token named 'server'; its tokens: 'laptop'" in refused.json["detail"]
    assert post(alice, "tokens/revoke", name="laptop").status == 200
    assert names(filled, OTHER) == ["laptop", "server"]
    assert_problem(post(alice, "tokens/create", name="new"), 401)


@pytest.mark.parametrize(
    "given",
    [
        {}, {"name": ""}, {"name": "a b"}, {"name": "a\0"}, {"name": "a\n"}, {"name": "\x1b[2J"},
        {"name": "x" * 129}, {"name": "\u202eevil"}, {"name": "caf\u00e9"}, {"name": {"$ne": ""}},
        {"name": ["a"]}, {"name": None}, {"name": True}, {"name": "a", "expires_in": 0},
        {"name": "a", "expires_in": -1}, {"name": "a", "expires_in": 3651},
        {"name": "a", "expires_in": "soon"}, {"name": "a", "expires_in": 1.5},
        {"name": "a", "expires_in": True}, {"name": "a", "expires": 3}, {"name": "laptop"},
        {"name": "a", "mila_email_username": OTHER},
    ],
)  # fmt: skip
def test_what_makes_no_token(alice: Client, filled: Store, given: dict[str, Any]) -> None:
    assert_problem(post(alice, "tokens/create", **given), 400)
    assert (names(filled), names(filled, OTHER)) == (["laptop"], ["laptop"])


def test_odd_names_are_names_alone(alice: Client, filled: Store) -> None:
    odd = ["$ne", "a.b", "tokens.$[]", "__proto__", "../..", "<b>", "'", "x" * 128]
    for name in odd:
        assert post(alice, "tokens/create", name=name).json["name"] == name
        assert_problem(post(alice, "tokens/create", name=name), 400)
    for name in (*odd, *odd):
        post(alice, "tokens/revoke", name=name)
    for hostile in ({"$ne": ""}, ["laptop"], "", None, True):
        assert_problem(post(alice, "tokens/revoke", name=hostile), 400)
    for hostile in ("caf\u00e9", "\0", "\x1b", "x" * 30_000):
        assert_problem(post(alice, "tokens/revoke", name=hostile), 404)
    assert (names(filled), names(filled, OTHER)) == (["laptop"], ["laptop"])


def test_no_more_tokens_than_are_allowed_and_no_name_twice(alice: Client, filled: Store) -> None:
    wanted = [str(number // 2) for number in range(2 * MOST_TOKENS + 10)]
    with ThreadPoolExecutor(8) as threads:
        answers = [*threads.map(lambda name: post(alice, "tokens/create", name=name), wanted)]

    assert {answer.status for answer in answers} == {200, 400}
    assert len(names(filled)) == len(set(names(filled))) == MOST_TOKENS
    assert sum(answer.status == 200 for answer in answers) == MOST_TOKENS - 1
    refused = post(alice, "tokens/create", name="more")
    assert_problem(refused, 400)
    assert f"{MOST_TOKENS} are allowed: revoke one first" in refused.json["detail"]
    post(alice, "tokens/revoke", name=names(filled)[-1])
    assert post(alice, "tokens/create", name="more").status == 200
    # The operator may make more of them.
    add_user(filled, EMAIL, token_name="operator")
    assert_problem(post(alice, "tokens/create", name="again"), 400)
