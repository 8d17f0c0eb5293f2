"""The API under its real server, over real HTTP."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection, IncompleteRead
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from pymongo import MongoClient
from waitress.server import TcpWSGIServer

from api.app import build_app
from api.connections import Connection
from api.schema.endpoint import BASE
from api.server import MAX_HEADER_BYTES, Server, ServerError
from config.settings import ApiSettings
from ingest.accounts.users import add_user
from ingest.database.store import Store
from tests.api.support.client import Client
from tests.api.support.examples import job_document
from tests.api.support.serving import ask, exchange, served
from tests.mongo import secantus
from tests.support.documented import MILA_JOB
from tests.support.ports import LOOPBACK, free_port


@pytest.fixture
def port(client: Client) -> Iterator[int]:
    with served(client.app) as port:
        yield port


def test_an_answer(port: int, client: Client) -> None:
    response, content = ask(port, client, "GET", "jobs/one?job_id=233874")

    assert response.status == 200
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Server"] == "clockwork"
    assert json.loads(content)["slurm"] == MILA_JOB


def test_a_connection_is_used_again(port: int, client: Client) -> None:
    connection = HTTPConnection(LOOPBACK, port, timeout=300)
    for _ in range(3):
        connection.request("GET", BASE + "jobs/one?job_id=233874", headers=dict(client.headers))
        response = connection.getresponse()
        assert json.loads(response.read())["slurm"] == MILA_JOB
        assert not response.will_close
    connection.close()


@pytest.mark.parametrize(
    ("method", "path", "sent", "status"),
    [
        ("GET", "jobs/one?job_id=233874", "If-None-Match: {tag}", 304),  # no body
        ("GET", "jobs/list", "Accept: application/json", 200),  # sent in chunks
        ("HEAD", "jobs/list", "Accept: application/json", 200),
    ],
)
def test_a_connection_is_used_again_after_a_response_without_a_length(
    port: int, client: Client, method: str, path: str, sent: str, status: int
) -> None:
    tag = ask(port, client, "GET", "jobs/one?job_id=233874")[0].headers["ETag"]
    name, _, value = sent.partition(": ")
    headers = {**client.headers, name: value.format(tag=tag)}
    connection = HTTPConnection(LOOPBACK, port, timeout=300)
    connection.connect()
    used = connection.sock
    for _ in range(3):
        connection.request(method, BASE + path, headers=headers)
        response = connection.getresponse()
        response.read()
        assert response.status == status
        assert "Content-Length" not in response.headers
        assert connection.sock is used
    connection.close()


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
@pytest.mark.parametrize("tag", ["", "If-None-Match: *\r\n"])
def test_a_connection_is_closed_for_those_who_ask_and_for_http_1_0(
    port: int, client: Client, version: str, tag: str
) -> None:
    close = "Connection: close\r\n" if version == "HTTP/1.1" else ""
    answer = exchange(
        port,
        f"GET {BASE}jobs/list {version}\r\nHost: x\r\n{close}{tag}"
        f"Authorization: {client.headers['Authorization']}\r\n\r\n".encode(),
    )  # which reads until the server closes the connection
    head, _, _ = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == (b"304" if tag else b"200")
    assert b"Connection: close" in head


def test_the_loop_rests_while_threads_make_and_send_responses(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each turn of the loop takes time from the threads that answer."""
    turns: list[None] = []
    send, turn = Connection.send, Server._turn

    def send_slowly(self: Connection, data: bytes, do_close: bool = True) -> int:
        time.sleep(0.2)
        return send(self, data, do_close)

    def count(self: Server) -> None:
        turns.append(None)
        turn(self)

    monkeypatch.setattr(Connection, "send", send_slowly)
    monkeypatch.setattr(Server, "_turn", count)
    with served(client.app) as port, ThreadPoolExecutor(6) as clients:
        asked = [clients.submit(ask, port, client, "GET", "jobs/one?job_id=1") for _ in range(24)]
        assert {each.result()[0].status for each in asked} == {200}
    assert len(turns) < 500  # a loop that does not rest has thousands


def test_a_list_of_many_chunks(port: int, client: Client, store: Store) -> None:
    store.jobs.insert_many(
        job_document({**MILA_JOB, "job_id": f"9{number:04}"}) for number in range(2000)
    )

    response, content = ask(port, client, "GET", "jobs/list?cluster_name=mila")

    assert response.headers["Transfer-Encoding"] == "chunked"
    assert len(json.loads(content)) == 2001


def test_head_has_no_body_at_all(port: int, client: Client) -> None:
    for path in ("jobs/list", "jobs/one?job_id=1"):
        answer = exchange(
            port,
            f"HEAD {BASE}{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Authorization: {client.headers['Authorization']}\r\n\r\n".encode(),
        )
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"\r\n\r\n")
        assert answer.count(b"\r\n\r\n") == 1


def test_a_chunked_body(port: int, client: Client) -> None:
    pieces = [b'{"job_id": "233874", ', b'"update_pairs": {"a": 1}}']
    headers = {"Content-Type": "application/json"}

    _, content = ask(port, client, "PUT", "jobs/user_dict_update", iter(pieces), **headers)

    assert json.loads(content) == {"a": 1}


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\nX: ".ljust(MAX_HEADER_BYTES, b"x"), 431),
        (b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"PUT / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"PUT / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"nonsense\r\n\r\n", 400),
    ],
)
def test_what_the_application_never_sees(port: int, request_bytes: bytes, status: int) -> None:
    head, _, body = exchange(port, request_bytes).partition(b"\r\n\r\n")

    assert int(head.split()[1]) == status
    assert b"Content-Type: application/problem+json" in head
    assert b"X-Content-Type-Options: nosniff" in head
    assert json.loads(body)["status"] == status


def test_twenty_clients_write_into_one_job_and_nothing_is_lost(
    port: int, client: Client, store: Store
) -> None:
    def write(number: int) -> list[int]:
        statuses = []
        for i in range(10):
            pairs = json.dumps({f"client {number} key {i}": [number, i], "last": number})
            form = urlencode({"job_id": "233874", "cluster_name": "mila", "update_pairs": pairs})
            kind = "application/x-www-form-urlencoded"
            response, content = ask(
                port, client, "PUT", "jobs/user_dict_update", form, **{"Content-Type": kind}
            )
            assert f"client {number} key {i}" in json.loads(content)
            statuses.append(response.status)
        return statuses

    with ThreadPoolExecutor(20) as clients:
        statuses = [status for some in clients.map(write, range(20)) for status in some]

    assert statuses == [200] * 200
    job = store.jobs.find_one({"slurm.job_id": "233874"})
    assert job is not None
    assert job["user"].pop("last") in range(20)
    assert job["user"] == {
        f"client {number} key {i}": [number, i] for number in range(20) for i in range(10)
    }


def test_a_database_that_fails_in_the_middle_cuts_the_list(tmp_path: Path) -> None:
    with ExitStack() as database:
        uri = database.enter_context(secantus(tmp_path))
        mongo: MongoClient[dict[str, Any]] = MongoClient(uri, serverSelectionTimeoutMS=500)
        store = Store(mongo["clockwork"])
        _, token = add_user(store, "alice@mila.example")
        jobs = (job_document({**MILA_JOB, "job_id": str(number)}) for number in range(2000))
        store.jobs.insert_many(jobs)
        app = build_app(store)

        def ends_the_database(
            environ: dict[str, Any], start_response: Callable[..., Any]
        ) -> Iterable[bytes]:
            chunks = iter(app(environ, start_response))
            yield next(chunks)
            database.close()
            yield from chunks

        client = Client(app, {"Authorization": f"Bearer {token}"})
        with served(ends_the_database) as port, pytest.raises(IncompleteRead) as cut:
            ask(port, client, "GET", "jobs/list")
        with pytest.raises(json.JSONDecodeError):
            json.loads(cut.value.partial)
        assert cut.value.partial.startswith(b'[{"slurm"')
        assert client.get("jobs/list").status == 503
        mongo.close()


def test_a_port_that_is_taken(port: int, client: Client) -> None:
    with pytest.raises(ServerError, match=f"127.0.0.1:{port}: Address already in use"):
        Server(client.app, ApiSettings(port=port))


def test_a_host_that_is_not_here(client: Client) -> None:
    with pytest.raises(ServerError, match=r"listen on 192\.0\.2\.1:"):
        Server(client.app, ApiSettings(host="192.0.2.1", port=free_port()))
    with pytest.raises(ServerError, match=r"listen on no\.such\.host\.invalid:"):
        Server(client.app, ApiSettings(host="no.such.host.invalid", port=free_port()))


def test_the_loop_that_ends_at_once_leaves_the_sockets_until_stop_has_used_them(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(client.app, ApiSettings(port=free_port()))
    running = threading.Thread(target=server.run)
    pulled = TcpWSGIServer.pull_trigger

    def pull_late(listener: TcpWSGIServer) -> None:
        running.join(2)  # the loop ends its turn within a second, without the trigger
        pulled(listener)

    monkeypatch.setattr(TcpWSGIServer, "pull_trigger", pull_late)
    running.start()
    server.stop()
    running.join(60)
    assert not running.is_alive()


SERVE = """
import os, signal, socket, sys
from api.server import Server
from config.settings import ApiSettings

port = int(sys.argv[1])

def app(environ, start_response):
    os.kill(os.getpid(), signal.Signals[environ["PATH_INFO"].strip("/")])
    while True:  # until new connections are refused
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionError:
            break
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield from [b"x" * 1000] * 10_000

server = Server(app, ApiSettings(port=port))
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: server.stop())
print("listens", flush=True)
server.run()
print("returned", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_by_a_signals_handler_it_gives_its_last_answer(number: signal.Signals) -> None:
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, str(port)], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "listens\n"
        connection = HTTPConnection(LOOPBACK, port, timeout=300)
        connection.request("GET", f"/{number.name}")
        assert len(connection.getresponse().read()) == 10_000_000
        connection.close()
        assert server.stdout.read().endswith("returned\n")
        assert server.wait() == 0
