"""sdiag behind a round, over real SSH into a real database: figures, our share, and rests."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clockwork.demo.ssh_server import Answer
from ingest.database.store import Store
from ingest.sync.sync_rounds import plain_bulk_write
from scraper.ssh.connection import Connection, connect
from scraper.watch.scheduler_watch import BUSY_THREADS, MOST_STRETCH, READ_SECONDS, SchedulerWatch
from tests.scraper.home import Home

OUTPUT = (
    Path(__file__).parents[3] / "fake_slurm_outputs" / "real_22.05" / "sdiag.txt"
).read_bytes()


class World:
    """A login host with sdiag, and a clock that goes on when a test says so."""

    def __init__(self, home: Home, store: Store) -> None:
        self.output = OUTPUT.replace(b"alice    ", b"clockwork")
        self.now = 0.0
        self.asked: list[str] = []
        port = home.answering(self._answer).port
        self.settings = home.cluster(port, scontrol="/opt/slurm/bin/scontrol", sdiag=True)
        self.store = store
        self.connection: Connection = connect("mila", self.settings.ssh)
        write = plain_bulk_write(store, self.settings)
        self.watch = SchedulerWatch(store, self.settings, write, lambda: self.now)

    def _answer(self, command: str) -> Answer:
        self.asked.append(command)
        return Answer([self.output])

    def busy(self, threads: int) -> None:
        self.output = OUTPUT.replace(
            b"Server thread count:  3", f"Server thread count:  {threads}".encode()
        )

    def round(self) -> None:
        self.watch.after_round(self.connection)
        self.now += READ_SECONDS

    def stored(self) -> dict[str, Any]:
        [found] = self.store.schedulers.find()
        return found


@pytest.fixture
def world(home: Home, store: Store) -> Iterator[World]:
    world = World(home, store)
    yield world
    world.connection.close()


def test_the_figures_and_our_own_are_stored_once_a_minute(world: World) -> None:
    world.round()
    found = world.stored()
    assert world.asked == ["/opt/slurm/bin/sdiag"]
    assert (found["_id"], found["server_threads"], found["stretch"]) == ("mila", 3, 1)
    assert found["own"] == {"count": 10, "seconds": pytest.approx(0.008279)}
    world.now -= 1
    world.round()
    assert len(world.asked) == 1
    world.round()
    assert len(world.asked) == 2


def test_rounds_come_less_often_while_slurmctld_is_overloaded(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    stretches = []
    with caplog.at_level(logging.WARNING):
        for threads in (BUSY_THREADS - 1, *[BUSY_THREADS] * 4, 3):
            world.busy(threads)
            world.round()
            stretches.append(world.watch.stretch)
            assert world.stored()["stretch"] == world.watch.stretch
    assert stretches == [1, 2, MOST_STRETCH, MOST_STRETCH, MOST_STRETCH, 1]
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "slurmctld has 128 busy threads: rounds come at 2 times their interval",
        "slurmctld has 128 busy threads: rounds come at 3 times their interval",
        "slurmctld has 3 busy threads: rounds come at 1 times their interval",
    ]


def test_a_sdiag_that_does_not_answer_is_warned_of_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.output = b"Welcome\n"
    with caplog.at_level(logging.WARNING):
        world.round()
        world.round()
    assert [record.getMessage()[:6] for record in caplog.records] == ["sdiag:"]
    assert world.store.schedulers.count_documents({}) == 0
    off = world.settings.model_copy(update={"sdiag": False})
    asked = len(world.asked)
    SchedulerWatch(world.store, off, plain_bulk_write(world.store, off)).after_round(
        world.connection
    )
    assert len(world.asked) == asked
