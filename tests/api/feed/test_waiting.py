"""Requests that wait for a change: they hold no thread, and come back as soon as it is there."""

import gzip
import http.client
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import pytest
from pymongo.errors import PyMongoError

from api.app import build_app
from api.feed import reading
from api.schema.endpoint import BASE
from api.waiting import Waiting, _Wave
from config import ApiSettings
from ingest.accounts.users import add_user, revoke
from ingest.database.changes import Batch, Watch, read_after
from ingest.database.store import Store
from tests.api.support.client import Client
from tests.api.support.serving import ask, served
from tests.ingest.sync.outputs import Clock
from tests.ingest.sync.sealed_outputs import Rounds, one
from tests.support.accounts import update_accounts
from tests.support.ports import LOOPBACK, free_port

READERS = 40
EVENTS = {"Accept": "text/event-stream"}


@dataclass(frozen=True)
class World:
    store: Store
    rounds: Rounds
    client: Client
    port: int
    parked: threading.Semaphore
    """Released whenever a connection begins to wait."""

    def get(self, path: str) -> Any:
        return json.loads(ask(self.port, self.client, "GET", path)[1])

    def wait_for(self, number: int) -> None:
        for _ in range(number):
            assert self.parked.acquire(timeout=300)

    def open(self, path: str, **headers: str) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=300)
        connection.request("GET", BASE + path, headers={**self.client.headers, **headers})
        return connection


@pytest.fixture
def world(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    parked = threading.Semaphore(0)
    park = Waiting.park

    def park_and_tell(self: Waiting, connection: Any, hold: Any) -> None:
        park(self, connection, hold)
        parked.release()

    monkeypatch.setattr(Waiting, "park", park_and_tell)
    monkeypatch.setattr("api.waiting.POLL_SECONDS", 0.05)
    _, token = add_user(store, "alice@mila.example", "alice")
    client = Client(build_app(store), {"Authorization": f"Bearer {token}"})
    settings = ApiSettings(port=free_port(), threads=2)
    with served(client.app, settings, Watch(store).states) as port:
        yield World(store, Rounds(store, Clock()), client, port, parked)


def test_many_wait_while_others_are_answered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[object] = []

    def noted(*arguments: Any) -> Batch:
        reads.append(arguments)
        return read_after(*arguments)

    monkeypatch.setattr(reading, "read_after", noted)
    cursor = world.get("jobs/changes")["cursor"]
    path = f"jobs/changes?cursor={cursor}&wait=60&fields=slurm.job_id"
    with ThreadPoolExecutor(READERS) as threads:
        waiting = [threads.submit(world.get, path) for _ in range(READERS)]
        world.wait_for(READERS)
        assert world.get("jobs/list") == []
        reads.clear()
        world.rounds.take(one("1"))
        answers = [each.result() for each in waiting]

    assert [each["changed"] for each in answers] == [[{"slurm": {"job_id": "1"}}]] * READERS
    assert len({each["cursor"] for each in answers}) == 1
    assert len(reads) == 1  # for all of them


def test_readers_share_nothing_that_is_not_theirs(world: World) -> None:
    """Two tokens, one of them revoked meanwhile; and whole and chosen fields, with gzip."""
    _, token = add_user(world.store, "bob@mila.example", "bob")
    bob = {"Authorization": f"Bearer {token}"}
    zipped = {"Accept-Encoding": "gzip"}
    cursor = world.get("jobs/changes")["cursor"]
    path = f"jobs/changes?wait=60&cursor={cursor}"
    fields = "&fields=slurm.job_id"
    asked = [(path, {}), (path, zipped), (path, zipped), (path + fields, {}), (path, bob)]
    connections = [world.open(path, **headers) for path, headers in asked]
    world.wait_for(len(asked))
    revoke(world.store, "bob@mila.example")
    world.rounds.take(one("1"))
    responses = [each.getresponse() for each in connections]
    bodies = [each.read() for each in responses]
    assert [each.status for each in responses] == [200, 200, 200, 200, 401]
    assert gzip.decompress(bodies[1]) == bodies[0]
    assert bodies[2] == bodies[1]
    assert json.loads(bodies[0])["changed"][0]["slurm"]["job_state"] == "RUNNING"
    assert json.loads(bodies[3])["changed"] == [{"slurm": {"job_id": "1"}}]
    for each in connections:
        each.close()


def test_users_who_see_their_own_jobs_get_their_own(world: World) -> None:
    tokens = [add_user(world.store, f"{name}@mila.example", name)[1] for name in ("bob", "carol")]
    own = build_app(world.store, settings=ApiSettings(jobs_visible="own"))
    clients = [Client(own, {"Authorization": f"Bearer {token}"}) for token in tokens]
    with served(own, None, Watch(world.store).states) as port:

        def changed(client: Client) -> list[str]:
            cursor = client.get("jobs/changes").json["cursor"]
            _, body = ask(port, client, "GET", f"jobs/changes?wait=60&cursor={cursor}")
            return [each["slurm"]["job_id"] for each in json.loads(body)["changed"]]

        with ThreadPoolExecutor(2) as threads:
            waiting = [threads.submit(changed, each) for each in clients]
            world.wait_for(2)
            world.rounds.take(one("1", owner="bob(1002)"), one("2", owner="carol(1003)"))
            assert [each.result() for each in waiting] == [["1"], ["2"]]


def test_what_fails_for_one_fails_for_all_and_once() -> None:
    tries: list[int] = []

    def fail() -> None:
        tries.append(1)
        raise PyMongoError("away")

    wave = _Wave()
    for _ in range(3):
        with pytest.raises(PyMongoError, match="away"):
            wave.once("key", fail)
    assert len(tries) == 1
    assert wave.once("another", lambda: 7) == 7


def test_the_time_is_over(world: World) -> None:
    cursor = world.get("jobs/changes")["cursor"]
    answer = world.get(f"jobs/changes?cursor={cursor}&wait=1")
    assert answer == {"cursor": cursor, "changed": [], "gone": [], "more": False}


def test_a_wait_of_another_cluster_goes_on(world: World) -> None:
    cursor = world.get("jobs/changes?cluster_name=beluga")["cursor"]
    connection = world.open(f"jobs/changes?cluster_name=beluga&cursor={cursor}&wait=2")
    world.wait_for(1)
    world.rounds.take(one("1"))
    answer = json.loads(connection.getresponse().read())
    assert (answer["cursor"], answer["changed"]) == (cursor, [])
    connection.close()


def test_who_leaves_is_forgotten_and_one_connection_serves_on(world: World) -> None:
    cursor = world.get("jobs/changes")["cursor"]
    left, stays = (world.open(f"jobs/changes?cursor={cursor}&wait=60") for _ in range(2))
    world.wait_for(2)
    left.close()
    world.client.put("jobs/user_dict_update")
    world.rounds.take(one("1"))
    assert len(json.loads(stays.getresponse().read())["changed"]) == 1
    stays.request("GET", BASE + "nodes/list", headers=dict(world.client.headers))
    assert json.loads(stays.getresponse().read()) == []
    stays.close()


def event(stream: http.client.HTTPResponse) -> dict[str, str]:
    """The next event of a stream, without comments."""
    fields: dict[str, str] = {}
    while True:
        line = stream.readline().decode().rstrip("\n")
        if not line and fields:
            return fields
        name, colon, value = line.partition(": ")
        if name and colon:
            fields[name] = value


def test_a_stream_of_events(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.http.request.HEARTBEAT_SECONDS", 0.1)
    connection = world.open("jobs/changes?fields=slurm.job_state", **EVENTS)
    stream = connection.getresponse()
    assert stream.headers["Content-Type"] == "text/event-stream"
    told = [event(stream)]
    world.wait_for(3)  # heartbeats
    for state in ("PENDING", "RUNNING", "COMPLETED"):
        world.rounds.take(one("1", state=state))
        told.append(event(stream))
        [job] = json.loads(told[-1]["data"])["changed"]
        assert job["slurm"]["job_state"] == state
    connection.close()
    again = world.open("jobs/changes", **EVENTS, **{"Last-Event-ID": told[2]["id"]})
    [job] = json.loads(event(again.getresponse())["data"])["changed"]
    assert job["slurm"]["job_state"] == "COMPLETED"
    again.close()


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_a_token_that_ends_ends_the_stream(world: World, end: str) -> None:
    connection = world.open("jobs/changes", **EVENTS)
    stream = connection.getresponse()
    event(stream)
    if end == "revoked":
        revoke(world.store, "alice@mila.example")
    else:
        past = datetime(2021, 11, 14, tzinfo=timezone.utc)
        update_accounts(world.store, {"$set": {"tokens.0.expires": past}})
    world.rounds.take(one("1"))
    assert b"data" not in stream.read()
    connection.close()


def test_too_many_are_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.waiting.MOST_OF_ACCOUNT", 1)
    cursor = world.get("jobs/changes")["cursor"]
    path = f"jobs/changes?cursor={cursor}&wait=60"
    first = world.open(path)
    world.wait_for(1)
    response, body = ask(world.port, world.client, "GET", path)
    assert (response.status, response.headers["Retry-After"]) == (503, "5")
    assert b"wait for changes" in body
    first.close()


def test_a_server_that_stops_answers_all(store: Store) -> None:
    _, token = add_user(store, "alice@mila.example", "alice")
    client = Client(build_app(store), {"Authorization": f"Bearer {token}"})
    with served(client.app, None, Watch(store).states) as port:
        cursor = json.loads(ask(port, client, "GET", "jobs/changes")[1])["cursor"]
        connections = []
        for path, headers in [
            (f"jobs/changes?cursor={cursor}&wait=60", {}),
            (f"jobs/changes?cursor={cursor}", EVENTS),
        ]:
            connection = http.client.HTTPConnection(LOOPBACK, port, timeout=300)
            connection.request("GET", BASE + path, headers={**client.headers, **headers})
            connections.append(connection)
        connections.reverse()
        stream = connections[0].getresponse()
    assert stream.read().startswith(b": nothing has changed\n\n")
    assert json.loads(connections[1].getresponse().read())["cursor"] == cursor
    for connection in connections:
        connection.close()
