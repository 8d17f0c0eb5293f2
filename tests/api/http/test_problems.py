"""Every error is a problem of RFC 9457, whoever found it."""

import socket
from typing import Any

import pytest
from pymongo import MongoClient

from api.app import build_app
from ingest.accounts.users import add_user
from ingest.database.store import Store
from tests.api.support.client import Client
from tests.api.support.problems import assert_problem


@pytest.mark.parametrize(
    "path",
    [
        "/page",
        "/api/v1/cluster",
        "jobs",
        "jobs/list/",
        "jobs/two",
        "//jobs/list",
        "jobs/list.",
        "\xc3\xa9",
    ],
)
def test_an_unknown_path(client: Client, path: str) -> None:
    answer = client.get(path)

    assert_problem(answer, 404)
    assert "/api/v1/cluster/jobs/list" in answer.json["detail"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "jobs/list", "GET, HEAD"),
        ("DELETE", "nodes/one", "GET, HEAD"),
        ("POST", "jobs/user_dict_update", "PUT"),
        ("GET", "jobs/user_dict_update", "PUT"),
        ("OPTIONS", "node/one", "GET, HEAD"),
    ],
)
def test_an_unknown_method(client: Client, method: str, path: str, allowed: str) -> None:
    answer = client.call(method, path)

    assert_problem(answer, 405)
    assert answer.header("Allow") == allowed


def test_a_path_that_is_not_utf_8(client: Client) -> None:
    assert_problem(client.call("GET", "jobs/list\xff"), 400)
    assert_problem(client.call("GET", "\xff"), 400)


@pytest.mark.parametrize("query", ["user=%ff", "user=\xff", "%ff=1", "user=%ed%a0%80", "user=%C3"])
def test_a_query_that_is_not_utf_8(client: Client, query: str) -> None:
    assert_problem(client.call("GET", "jobs/list", query), 400)


def test_a_query_in_utf_8(client: Client) -> None:
    for query in ("user=%C3%A9", "user=é".encode().decode("latin-1"), "user=%00", "&user=a&"):
        assert client.call("GET", "jobs/list", query).json == []


@pytest.mark.parametrize(
    "query",
    ["user=a&user=a", "user=a&user=b", "user=", "user", "=", "a" * 10_000, "&".join("abc" * 200)],
)
def test_queries_that_are_refused(client: Client, query: str) -> None:
    answer = client.call("GET", "jobs/list", query)

    assert_problem(answer, 400)
    assert len(answer.body) < 1000


def test_a_database_that_does_not_answer(store: Store) -> None:
    _, token = add_user(store, "alice@mila.example")
    with socket.socket() as taken:  # a port on which nothing listens
        taken.bind(("127.0.0.1", 0))
        uri = f"mongodb://secret:password@127.0.0.1:{taken.getsockname()[1]}/"
        away: MongoClient[dict[str, Any]] = MongoClient(uri, serverSelectionTimeoutMS=50)
        client = Client(build_app(Store(away["x"])), {"Authorization": f"Bearer {token}"})

        for answer in (client.get("jobs/list"), client.put("jobs/user_dict_update", job_id="1")):
            assert_problem(answer, 503)
            assert answer.header("Retry-After") == "5"
            hidden = (b"secret", b"password", b"127.0.0.1")
            assert not any(secret in answer.body for secret in hidden)
        away.close()


def test_a_defect(filled: Store, client: Client, caplog: pytest.LogCaptureFixture) -> None:
    def broken_clock() -> Any:
        raise ZeroDivisionError("the inside story")

    broken = Client(build_app(filled, broken_clock), client.headers)
    answer, *_ = [broken.get("jobs/list") for _ in range(5)]

    assert_problem(answer, 500)
    assert caplog.text.count("Traceback") == 1
    assert b"inside" not in answer.body
    assert "the inside story" in caplog.text
