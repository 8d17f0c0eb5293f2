"""clockwork_client against the real API, under its real server."""

import ast
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import clockwork_client
from api.app import build_app
from clockwork_client import ApiError, Clockwork, Copy, CursorGone, Unreachable
from ingest.accounts.users import add_user
from ingest.database.changes import Watch
from ingest.database.store import Store
from tests.api.support.serving import served
from tests.ingest.sync.outputs import Clock
from tests.ingest.sync.sealed_outputs import Rounds, many, one
from tests.support.ports import LOOPBACK, free_port


class World:
    """The API, whose next answers can be set."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.rounds = Rounds(store, Clock())
        self.token = add_user(store, "alice@mila.example", "alice")[1]
        self.ahead: list[tuple[str, list[tuple[str, str]]]] = []
        self.seen: list[int] = []
        self._app = build_app(store)
        self.pauses: list[float] = []

    def answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if self.ahead:
            start(*self.ahead.pop(0))
            return [b"?"]

        def started(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            self.seen.append(int(status.split(maxsplit=1)[0]))
            return start(status, headers, *more)

        return self._app(environ, started)

    def client(self, port: int, token: str | None = None) -> Clockwork:
        url = f"http://{LOOPBACK}:{port}"
        return Clockwork(url, token or self.token, patience=20, sleep=self.pauses.append)


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


@pytest.fixture
def clockwork(world: World) -> Iterator[Clockwork]:
    with served(world.answer, None, Watch(world.store).states) as port:
        client = world.client(port)
        yield client
        client.close()


def test_it_needs_the_standard_library_alone() -> None:
    tree = ast.parse(Path(clockwork_client.__file__).read_text())
    names = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [each.name for each in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert names <= sys.stdlib_module_names


def test_lists_come_page_by_page(
    clockwork: Clockwork, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clockwork_client, "PAGE", 2)
    world.rounds.take(*many(5))
    found = [job["slurm"]["job_id"] for job in clockwork.jobs(fields=["slurm.job_id"])]
    assert found == [str(1000 + each) for each in range(5)]
    assert [job["slurm"]["job_id"] for job in clockwork.jobs(name="none")] == []
    assert list(clockwork.nodes()) == []
    assert clockwork.get("jobs/list", count=True) == {"count": 5}


def test_what_did_not_change_is_not_sent_again(clockwork: Clockwork, world: World) -> None:
    world.rounds.take(one("1"))
    first, second = (clockwork.job("1", "mila") for _ in range(2))
    assert first == second is not None
    assert world.seen == [200, 304]
    assert clockwork.job("2") is clockwork.node("n") is None


def test_the_user_dict(clockwork: Clockwork, world: World) -> None:
    world.rounds.take(one("1"), one("2", owner="bob(1002)"))
    assert clockwork.update_user_dict("1", {"loss": 0.5}) == {"loss": 0.5}
    assert clockwork.update_user_dict("1", {"a,b": [1]}, "mila") == {"loss": 0.5, "a,b": [1]}
    with pytest.raises(ApiError, match="is not yours") as refused:
        clockwork.update_user_dict("2", {})
    assert refused.value.status == 403


def test_a_busy_service_is_asked_again(clockwork: Clockwork, world: World) -> None:
    world.ahead = [
        ("503 Service Unavailable", [("Retry-After", "7"), ("Content-Length", "1")]),
        ("429 Too Many Requests", [("Content-Length", "1")]),
    ]
    assert clockwork.job("1") is None
    assert world.pauses == [7.0, 1.0]
    world.ahead = [("503 Service Unavailable", [("Retry-After", "30"), ("Content-Length", "1")])]
    with pytest.raises(ApiError, match="503"):
        clockwork.job("1")


def test_a_service_that_is_away(world: World) -> None:
    with pytest.raises(Unreachable, match="does not answer"):
        world.client(free_port()).job("1")
    assert world.pauses == [0.5, 1, 2, 4, 8]


def test_a_redirect_is_not_followed(clockwork: Clockwork, world: World) -> None:
    world.ahead = [("302 Found", [("Location", "http://elsewhere/"), ("Content-Length", "1")])]
    with pytest.raises(ApiError, match="302"):
        clockwork.job("1")


@pytest.mark.parametrize(
    "url",
    [
        *("clockwork", "ftp://host", "http://", "http://host?a=1"),
        *("http://host:99999", "http://host:x", "http://[::1"),
    ],
)
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ValueError, match="no address"):
        Clockwork(url, "cw_x")


@pytest.mark.parametrize("token", ["cw_secret\n", "cw_secret\r", " cw_secret", "cw_sécret"])
def test_a_token_that_is_none_is_not_shown(token: str) -> None:
    with pytest.raises(ValueError, match="without anything around it") as caught:
        Clockwork("http://host", token)
    assert "cret" not in str(caught.value)


def test_a_copy(clockwork: Clockwork, world: World) -> None:
    world.rounds.take(one("1"), one("2"))
    copy = Copy(clockwork, fields="slurm.job_state")
    following = copy.follow()
    assert len(next(following).changed) == 2
    later = threading.Timer(0.1, world.rounds.take, [one("1", state="FAILED"), one("2")])
    later.start()
    assert [job["slurm"]["job_state"] for job in next(following).changed] == ["FAILED"]
    later.join()
    world.store.changes.delete_many({})
    world.store.jobs.delete_one({"slurm.job_id": "2"})
    for _ in range(2):  # of which the entry of one is gone
        world.rounds.take(one("3"))
    world.store.changes.delete_one({})
    world.rounds.take(one("1", state="PENDING"))
    listed = next(following)
    assert listed.gone == [{"cluster_name": "mila", "job_id": "2"}]
    assert {key[1] for key in copy.documents} >= {"1"}


def test_a_cursor_that_is_too_old(clockwork: Clockwork) -> None:
    nodes = clockwork.cursor("nodes")
    with pytest.raises(CursorGone, match="without a cursor"):
        clockwork.changes(nodes, wait=0)
