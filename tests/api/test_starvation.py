"""No request starves another: costly queries leave threads to the others, and probes have one."""

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

import pytest
from pymongo import MongoClient

from api.app import build_app
from api.http.problems import Problem
from api.query_slots import QuerySlots
from config.settings import ApiSettings
from ingest.accounts.users import add_user
from ingest.database.store import Document, Store
from tests.api.support.client import Client
from tests.api.support.serving import ask, served
from tests.support.ports import LOOPBACK, free_port
from tests.support.slow_mongo import SlowMongo, slow_mongo

THREADS = 6
FIND_JOBS = b"\x02find\x00\x05\x00\x00\x00jobs\x00"
FIND_USERS = b"\x02find\x00\x06\x00\x00\x00users\x00"


def is_list_of_jobs(message: bytes) -> bool:
    return FIND_JOBS in message and b"sort\x00" in message


@dataclass(frozen=True)
class Site:
    """The API under its server, with a slow database behind it."""

    port: int
    mongo: SlowMongo
    clients: ThreadPoolExecutor
    users: dict[str, Client]

    def status(self, user: str, path: str, **headers: str) -> int:
        return ask(self.port, self.users[user], "GET", path, **headers)[0].status

    def begin(self, user: str, path: str) -> Future[Any]:
        return self.clients.submit(ask, self.port, self.users[user], "GET", path)

    def probe(self) -> int:
        connection = HTTPConnection(LOOPBACK, self.port, timeout=300)
        connection.request("GET", "/healthz")
        found = connection.getresponse().status
        connection.close()
        return found


@pytest.fixture
def site(filled: Store, mongo_uri: str) -> Iterator[Site]:
    settings = ApiSettings(port=free_port(), threads=THREADS)
    tokens = {name: add_user(filled, f"{name}@mila.example")[1] for name in ("alice", "bob", "eve")}
    with slow_mongo(mongo_uri) as mongo, MongoClient[Document](mongo.uri) as client:
        app = build_app(Store(client[filled.database.name]), settings=settings)
        users = {
            name: Client(app, {"Authorization": f"Bearer {token}"})
            for name, token in tokens.items()
        }
        with ThreadPoolExecutor(4 * THREADS) as clients, served(app, settings) as port:
            try:
                yield Site(port, mongo, clients, users)
            finally:
                mongo.let_go()


def test_full_lists_leave_threads_to_tabs_pollers_and_probes(site: Site) -> None:
    first, _ = ask(site.port, site.users["bob"], "GET", "jobs/list?limit=100")
    tag = {"If-None-Match": str(first.headers["ETag"])}
    site.mongo.hold(is_list_of_jobs)
    lists = [site.begin("alice", "jobs/list") for _ in range(3)]
    site.mongo.wait_for_held(3)

    # Alice has as many as one account may have, and is told so at once.
    response, content = ask(site.port, site.users["alice"], "GET", "jobs/list?count=true")
    assert response.status == 503
    assert response.headers["Retry-After"] == "1"
    assert "3 lists, counts and histories of this account" in json.loads(content)["detail"]
    # One more fits, of another account; then all are taken.
    lists.append(site.begin("bob", "jobs/list?limit=1"))
    site.mongo.wait_for_held(4)
    response, content = ask(site.port, site.users["eve"], "GET", "nodes/list")
    assert response.status == 503
    assert "4 lists, counts and histories of all users" in json.loads(content)["detail"]

    tabs = [
        site.clients.submit(site.status, "bob", path, **headers)
        for _ in range(10)
        for path, headers in (("jobs/list?limit=100", tag), ("clusters/list", {}))
    ]
    pollers = [site.clients.submit(site.status, "eve", "jobs/one?job_id=1") for _ in range(10)]
    assert [each.result() for each in pollers] == [200] * 10
    assert {each.result() for each in tabs[::2]} == {304}
    # The first who asks counts; the others are told to come again until the figures are there.
    assert {each.result() for each in tabs[1::2]} <= {200, 503}
    assert site.status("bob", "clusters/list") == 200
    assert site.probe() == 200
    assert not any(each.done() for each in lists)

    site.mongo.let_go()
    assert [each.result()[0].status for each in lists] == [200] * 4
    assert site.status("alice", "jobs/list") == 200
    assert site.status("eve", "nodes/list") == 200


def test_the_probe_answers_while_every_thread_is_held(site: Site) -> None:
    site.mongo.hold(lambda message: FIND_USERS in message)
    waiting = [site.begin("alice", "jobs/one?job_id=1") for _ in range(2 * THREADS)]
    site.mongo.wait_for_held(THREADS)

    assert [site.probe() for _ in range(3)] == [200] * 3
    assert not any(each.done() for each in waiting)

    site.mongo.let_go()
    assert [each.result()[0].status for each in waiting] == [200] * (2 * THREADS)


def test_a_slot_is_free_again_however_its_request_ended(site: Site) -> None:
    for _ in range(2 * THREADS):
        connection = HTTPConnection(LOOPBACK, site.port, timeout=300)
        headers = dict(site.users["alice"].headers)
        connection.request("HEAD", "/api/v1/cluster/jobs/list", headers=headers)
        assert connection.getresponse().status == 200
        connection.close()
        assert site.status("alice", "jobs/list?limit=1&cursor=x") == 400
        assert site.status("alice", "jobs/history?job_id=1") == 200
    assert site.status("alice", "jobs/list") == 200


@pytest.mark.parametrize(
    ("threads", "in_all", "per_account"),
    [(1, 1, 1), (2, 1, 1), (3, 1, 1), (8, 6, 4), (256, 254, 128)],
)
def test_how_many_run_at_a_time(threads: int, in_all: int, per_account: int) -> None:
    slots = QuerySlots(threads)
    assert (slots.in_all, slots.per_account) == (in_all, per_account)


def test_each_account_counts_for_itself() -> None:
    slots = QuerySlots(8)
    with slots.taken_by("a"), slots.taken_by("a"), slots.taken_by("a"), slots.taken_by("a"):
        with (
            pytest.raises(Problem, match="4 lists, counts and histories of this account"),
            slots.taken_by("a"),
        ):
            pass
        with (
            slots.taken_by("b"),
            slots.taken_by("c"),
            pytest.raises(Problem, match="6 lists"),
            slots.taken_by("d"),
        ):
            pass
        with slots.taken_by("b"):
            pass
    with slots.taken_by("a"):
        pass
