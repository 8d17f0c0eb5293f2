"""/healthz and /readyz: whether the process and its database are there, for everyone who asks."""

import socket
from datetime import datetime, timedelta, timezone
from typing import Any

from pymongo import MongoClient

from api.app import build_app
from ingest.clusters.round_log import RoundLog
from ingest.database.store import Store
from tests.api.support.client import Client
from tests.api.support.clusters import CLUSTERS, COUNTS, Clock
from tests.api.support.problems import assert_problem

SECRETS = (b"mongodb", b"127.0.0.1", b"no route", b"error")


def test_a_process_whose_database_is_there(store: Store) -> None:
    clock = Clock()
    client = Client(build_app(store, clock, CLUSTERS))
    log = RoundLog(store, "mila", clock)
    log.succeeded("jobs", 2.5, COUNTS, 100)
    clock.now += timedelta(seconds=30)
    log.failed("jobs", 2.5, "no route to host")
    RoundLog(store, "cedar", clock).succeeded("jobs", 2.5, COUNTS, 100)

    assert client.get("/healthz").json == {"status": "alive"}
    answer = client.get("/readyz")

    assert answer.status == 200
    assert answer.header("Cache-Control") == "no-store"
    assert answer.json == {
        "status": "ready",
        "clusters": {
            "beluga": {"jobs": None, "nodes": None},
            "mila": {"jobs": 30.0, "nodes": None},
        },
    }
    assert not any(secret in answer.body for secret in SECRETS)


def test_who_asks_often_costs_the_database_nothing(store: Store) -> None:
    clock = Clock()
    client = Client(build_app(store, clock, CLUSTERS))
    before = client.get("/readyz").body
    RoundLog(store, "mila", clock).succeeded("nodes", 2.5, COUNTS, 100)

    assert client.get("/readyz").body == before
    clock.now += timedelta(seconds=1)
    assert client.get("/readyz").json["clusters"]["mila"]["nodes"] == 1.0


def test_a_process_without_its_database() -> None:
    with socket.socket() as taken:  # a port on which nothing listens
        taken.bind(("127.0.0.1", 0))
        uri = f"mongodb://secret:password@127.0.0.1:{taken.getsockname()[1]}/"
        with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=50) as away:
            client = Client(build_app(Store(away["x"]), lambda: datetime.now(timezone.utc)))

            assert client.get("/healthz").status == 200
            answer = client.get("/readyz")

    assert_problem(answer, 503)
    assert answer.header("Retry-After") == "5"
    assert not any(secret in answer.body for secret in (*SECRETS, b"secret", b"password"))


def test_mistaken_requests(store: Store) -> None:
    client = Client(build_app(store))

    for path in ("/healthz", "/readyz"):
        assert_problem(client.get(path, verbose="1"), 400)
        assert_problem(client.call("POST", path), 405)
        assert client.call("HEAD", path).body == b""
