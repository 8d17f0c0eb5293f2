"""Slow clients share a bounded room for the responses that wait for them."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from typing import Any

import pytest

from api import server
from api.connections import Connection, end_largest, end_slow, waiting_bytes
from api.schema.endpoint import BASE
from ingest.database.store import Store
from tests.api.support.client import Client
from tests.api.support.examples import job_document
from tests.api.support.serving import ask, served
from tests.support.documented import MILA_JOB
from tests.support.ports import LOOPBACK
from tests.system.daemons import wait_until

MIB = 1 << 20
BODY = 24 * MIB


def many_bytes(environ: dict[str, Any], start: Callable[..., Any]) -> Iterator[bytes]:
    """A response of unknown length: `BODY` bytes."""
    start("200 OK", [("Content-Type", "text/plain")])
    return (b"x" * 65536 for _ in range(BODY // 65536))


@contextmanager
def slow(port: int, path: str = "/", **headers: str) -> Iterator[socket.socket]:
    """A client that asks for *path* and then reads nothing."""
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect((LOOPBACK, port))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
        yield raw


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> list[server.Server]:
    """The servers that the test makes."""
    made: list[server.Server] = []
    begin = server.Server.__init__

    def note(self: server.Server, *arguments: Any, **keys: Any) -> None:
        begin(self, *arguments, **keys)
        made.append(self)

    monkeypatch.setattr(server.Server, "__init__", note)
    return made


def waiting(servers: list[server.Server]) -> int:
    return servers[0]._waiting_bytes


def test_large_responses_are_refused_while_too_much_waits(
    client: Client,
    store: Store,
    servers: list[server.Server],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(server, "_SCARCE_BYTES", 2 * MIB)
    job = {**MILA_JOB, "command": "x" * 8192}
    store.jobs.insert_many(job_document({**job, "job_id": f"9{n:04}"}) for n in range(1500))
    large, small = "jobs/list", "jobs/one?job_id=90000"
    with served(client.app) as port:
        origin = {"Origin": "https://dash.example.org"}
        with slow(port, BASE + large, **client.headers):
            wait_until(lambda: waiting(servers) > 2 * MIB, "the response waits for its client")

            for _ in range(3):
                response, content = ask(port, client, "GET", large, **origin)
                assert (response.status, response.reason) == (503, "Service Unavailable")
                assert response.headers["Content-Type"] == "application/problem+json"
                assert int(response.headers["Retry-After"]) > 0
                assert response.headers["X-Content-Type-Options"] == "nosniff"
                problem = json.loads(content)
                assert problem["status"] == 503
                assert "slow clients" in problem["detail"]
                assert "limit" in problem["detail"]
            response, content = ask(port, client, "GET", small)
            assert (response.status, json.loads(content)["slurm"]["job_id"]) == (200, "90000")
            response, content = ask(port, client, "HEAD", large)
            assert (response.status, content) == (200, b"")
            response, content = ask(port, client, "GET", "jobs/list?limit=2")
            assert (response.status, len(json.loads(content))) == (200, 2)
            assert ask(port, client, "GET", "nothing")[0].status == 404
        wait_until(lambda: waiting(servers) == 0, "the client's leaving is seen")

        response, content = ask(port, client, "GET", large)
        assert (response.status, len(json.loads(content))) == (200, 1502)
    told = [each.getMessage() for each in caplog.records if "slow clients" in each.getMessage()]
    assert len(told) == 1
    assert told[0].endswith("large responses are refused")


def test_the_largest_of_the_responses_under_way_are_ended(
    servers: list[server.Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow clients that begin at once are not refused: their sum is bounded all the same."""
    most = 2 * BODY
    monkeypatch.setattr(server, "_MOST_BYTES", most)
    with served(many_bytes) as port, ExitStack() as clients:
        for _ in range(6):
            clients.enter_context(slow(port))
        made = servers[0]
        whole = BODY - 16 * MIB  # what the kernel holds does not wait here
        wait_until(
            lambda: (
                0 < len(made._connections()) < 6
                and all(each.total_outbufs_len > whole for each in made._connections())
            ),
            "each client's response waits or was ended",
        )
        wait_until(lambda: waiting(servers) <= most, "the sum is within its bound")
        assert made._connections()
        clients.close()
        wait_until(lambda: waiting(servers) == 0, "the clients' leaving is seen")
        connection = HTTPConnection(LOOPBACK, port, timeout=300)
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"x" * BODY


class Fake:
    """A connection of which only the sizes matter."""

    def __init__(self, waits: int, sent: int = 0) -> None:
        self.total_outbufs_len = waits
        self._sent = sent
        self._measured: tuple[float, int] | None = (0.0, 0)
        self.waits = False
        self.closed = False

    def is_slow(self, now: float, *, is_scarce: bool) -> bool:
        return Connection.is_slow(self, now, is_scarce=is_scarce)  # type: ignore[arg-type]

    def handle_close(self) -> None:
        self.closed = True
        self.total_outbufs_len = 0


@pytest.mark.parametrize(
    ("sizes", "most", "closed"),
    [
        ([], 0, []),
        ([5, 9, 7], 21, []),
        ([5, 9, 7], 20, [9]),
        ([5, 9, 7], 12, [9]),
        ([5, 9, 7], 11, [9, 7]),
        ([0, 9], 0, [9]),
    ],
)
def test_which_responses_are_ended(sizes: list[int], most: int, closed: list[int]) -> None:
    connections: Any = [Fake(size) for size in sizes]
    left = end_largest(connections, most)
    ended = [size for size, each in zip(sizes, connections, strict=True) if each.closed]
    assert sorted(ended) == sorted(closed)
    assert left == waiting_bytes(connections) == sum(sizes) - sum(closed)


@pytest.mark.parametrize(
    ("sent", "is_scarce", "closed"),
    [
        (60 << 10, False, False),  # 1 KiB/s
        (59 << 10, False, True),
        (60 << 10, True, True),  # 60 MiB would take 17 hours
        (6 << 20, True, False),  # ten minutes
        (6 << 19, True, True),
    ],
)
def test_a_client_must_read_faster_while_too_much_waits(
    sent: int, *, is_scarce: bool, closed: bool
) -> None:
    connection: Any = Fake(60 << 20, sent)
    end_slow([connection], 500, 60.0, is_scarce=is_scarce)
    assert connection.closed == closed
