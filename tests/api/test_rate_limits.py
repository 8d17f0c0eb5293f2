"""How often somebody may ask, and from where they seem to come."""

from http.client import HTTPConnection
from typing import Any

import pytest

from api.app import build_app
from config import ApiSettings
from ingest.accounts.users import add_user
from ingest.database.store import Store
from tests.api.support.client import Client
from tests.api.support.examples import NOW
from tests.api.support.problems import assert_problem
from tests.api.support.serving import served
from tests.support.ports import LOOPBACK, free_port


def client(app: Any, token: str, **environ: str) -> Client:
    return Client(app, {"Authorization": f"Bearer {token}"}, environ)


def test_an_account_that_asks_too_often(filled: Store) -> None:
    app = build_app(filled, lambda: NOW, settings=ApiSettings(rate_limit="3/hour"))
    _, laptop = add_user(filled, "a@mila.example", token_name="laptop")
    _, server = add_user(filled, "a@mila.example", token_name="server")
    _, other = add_user(filled, "b@mila.example", token_name="laptop")

    tokens = [laptop, server, laptop, server]
    answers = [client(app, token).get("nodes/list") for token in tokens]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert_problem(answers[3], 429)
    assert "too many requests of this account" in answers[3].json["detail"]
    wait = answers[3].header("Retry-After")
    assert wait is not None
    assert 3590 <= int(wait) <= 3600
    assert client(app, laptop).get("/metrics").status == 429
    assert client(app, other).get("nodes/list").status == 200


def test_an_address_that_shows_no_known_token_too_often(filled: Store) -> None:
    app = build_app(filled, lambda: NOW, settings=ApiSettings(failed_rate_limit="2/hour"))
    _, token = add_user(filled, "a@mila.example")
    wrong = "cw_" + "A" * 43
    here, there = {"REMOTE_ADDR": "192.0.2.1"}, {"REMOTE_ADDR": "192.0.2.2"}

    assert [client(app, wrong, **here).get("nodes/list").status for _ in range(2)] == [401, 401]
    refused = client(app, wrong, **here).get("nodes/list")
    assert_problem(refused, 429)
    assert "without a known token" in refused.json["detail"]
    assert refused.header("Retry-After") is not None
    assert Client(app, {}, here).get("/metrics").status == 429
    # Neighbours with a token are not made to pay for it, nor is another address.
    assert client(app, token, **here).get("nodes/list").status == 200
    assert client(app, wrong, **there).get("nodes/list").status == 401


def test_all_addresses_of_an_ipv6_network_are_one(filled: Store) -> None:
    app = build_app(filled, lambda: NOW, settings=ApiSettings(failed_rate_limit="2/hour"))
    addresses = ["2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:0:3::", "2001:db8:0:1::1", "", "?"]

    statuses = [
        Client(app, {}, {"REMOTE_ADDR": address}).get("nodes/list").status for address in addresses
    ]
    assert statuses == [401, 401, 429, 401, 401, 401]


def test_an_ipv4_address_is_one_however_it_is_written(filled: Store) -> None:
    app = build_app(filled, lambda: NOW, settings=ApiSettings(failed_rate_limit="2/hour"))
    addresses = ["::ffff:192.0.2.1", "192.0.2.1", "::ffff:c000:201", "::ffff:192.0.2.2", "::1"]

    statuses = [
        Client(app, {}, {"REMOTE_ADDR": address}).get("nodes/list").status for address in addresses
    ]
    assert statuses == [401, 401, 429, 401, 401]


def test_no_limit_unless_one_is_set(filled: Store) -> None:
    app = build_app(filled, lambda: NOW)
    assert {Client(app).get("nodes/list").status for _ in range(50)} == {401}


@pytest.mark.parametrize(
    ("trusted_proxy", "forwarded_for", "statuses"),
    [
        # Nobody is believed: all of them come from here.
        (None, ["192.0.2.1", "192.0.2.2"], [401, 429]),
        ("192.0.2.99", ["192.0.2.1", "192.0.2.2"], [401, 429]),
        # The proxy's word is taken, the last one: what comes before it, anyone may have sent.
        (LOOPBACK, ["192.0.2.1", "192.0.2.2", "192.0.2.2"], [401, 401, 429]),
        (LOOPBACK, ["192.0.2.7, 192.0.2.1", "192.0.2.8, 192.0.2.1"], [401, 429]),
    ],
)
def test_whose_word_is_taken_for_where_a_request_comes_from(
    filled: Store, trusted_proxy: str | None, forwarded_for: list[str], statuses: list[int]
) -> None:
    settings = ApiSettings(
        port=free_port(), failed_rate_limit="1/hour", trusted_proxy=trusted_proxy
    )

    def ask(port: int, address: str) -> int:
        connection = HTTPConnection(LOOPBACK, port, timeout=300)
        connection.request("GET", "/metrics", headers={"X-Forwarded-For": address})
        status = connection.getresponse().status
        connection.close()
        return status

    with served(build_app(filled, settings=settings), settings) as port:
        assert [ask(port, address) for address in forwarded_for] == statuses
