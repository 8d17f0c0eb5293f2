"""``clockwork replay`` beside a scraper, and with files that are not what the operator means."""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clockwork import cli
from clockwork.commands.replay import MANY
from config import load_settings
from ingest.database.leases import Lease
from ingest.database.store import Store
from ingest.slurm.keys import JOB
from ingest.slurm.kinds import JOBS
from ingest.sync.sync_rounds import RoundCounts, SyncRounds
from tests.ingest.reading.attacks import job
from tests.support.reading import read_lazily

ALICE = "alice(1001)"
COUNT = 60

Replay = Callable[..., int]
Said = Callable[[], str]


@pytest.fixture
def config(store: Store, mongo_uri: str, tmp_path: Path) -> Path:
    path = tmp_path / "clockwork.toml"
    path.write_text(
        f'[mongo]\nuri = "{mongo_uri}"\ndatabase = "{store.database.name}"\n'
        "[scraper]\nlease = 5\n"
        '[clusters.mila]\ntimezone = "America/Montreal"\nusername_field = "mila_cluster_username"\n'
        '[clusters.mila.ssh]\nhost = "nowhere.invalid"\n'
    )
    return path


@pytest.fixture
def replay(config: Path, tmp_path: Path) -> Iterator[Replay]:
    """Replays the records given into the cluster; returns the exit status."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def run(*records: str, options: tuple[str, ...] = (), kind: str = "jobs") -> int:
        file = tmp_path / "dump.txt"
        file.write_text("".join(records) or f"No {kind} in the system\n")
        words = ("replay", "--cluster", "mila", f"--{kind}", str(file), *options)
        return cli.main(["--config", str(config), *words])

    yield run
    root.handlers = handlers
    root.setLevel(level)


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    return lambda: capsys.readouterr().err


def jobs(start: int = 0, count: int = COUNT, **texts: str) -> list[str]:
    numbers = range(start, start + count)
    return [job(str(number), ALICE, sealed=False, **texts) for number in numbers]


def node(number: int) -> str:
    return (
        f"NodeName=cn{number} Arch=x86_64 CoresPerSocket=1 \n   RealMemory=1000 FreeMem=5\n"
        "   State=IDLE Weight=1\n\n"
    )


def present(store: Store) -> int:
    return store.jobs.count_documents({"cw.vanished": None})


class Scraper:
    """The jobs of a scraper's rounds, written under the cluster's lease."""

    def __init__(self, store: Store, config: Path) -> None:
        settings = load_settings(config)
        self.lease = Lease(store, "mila", settings.scraper.lease)
        self._rounds = SyncRounds(
            store,
            settings.clusters["mila"],
            JOBS,
            volatile_interval=900,
            bulk_write=self.lease.bulk_write,
        )

    def round(self, *records: str) -> RoundCounts:
        return self._rounds.take_in(read_lazily(["".join(records).encode()], JOB))


def test_beside_a_scraper_it_is_refused(
    store: Store, config: Path, replay: Replay, said: Said
) -> None:
    scraper = Scraper(store, config)
    with scraper.lease.holding():
        scraper.round(*jobs())
        assert replay(*jobs(0, 1), options=("--force",)) == 1
        assert (
            "clockwork: cluster mila is being scraped (another process holds the lease mila: "
        ) in said()
        assert present(store) == COUNT
        assert scraper.round(*jobs()).changed == 0


def test_a_scraper_that_died_is_waited_for(store: Store, config: Path, replay: Replay) -> None:
    assert Lease(store, "mila", 5).keep()
    assert replay(*jobs()) == 0
    assert present(store) == COUNT
    assert store.leases.count_documents({}) == 0


def test_a_scraper_that_goes_on_afterwards_knows_what_was_written(
    store: Store, config: Path, replay: Replay
) -> None:
    """One job alone is replayed as complete: running jobs must not stay gone."""
    scraper = Scraper(store, config)
    assert scraper.lease.keep()
    scraper.round(*jobs())
    store.leases.delete_many({})  # as the daemon does when it stops
    assert replay(*jobs(28, 1), *jobs(500, 1), options=("--complete", "--force")) == 0
    assert present(store) == 2
    assert not scraper.lease.keep()
    assert scraper.lease.acquire()

    counts = scraper.round(*jobs())

    assert (counts.changed, counts.vanished) == (COUNT - 1, 1)
    assert present(store) == COUNT
    assert store.jobs.count_documents({"cw.vanished": None, "cw.finished_at": None}) == COUNT


def test_nothing_is_gone_unless_the_files_are_complete(
    store: Store, replay: Replay, said: Said
) -> None:
    assert replay(*jobs()) == 0
    assert replay(*jobs(28, 1, comment="changed")) == 0
    assert "marked as gone" not in said()
    assert present(store) == COUNT
    assert store.jobs.count_documents({"slurm.comment": "changed"}) == 1

    assert replay(*jobs(0, COUNT - 10), options=("--complete",)) == 0
    assert (
        f"{COUNT - 10} records read, {COUNT - 10} good, 0 quarantined, 10 marked as gone" in said()
    )
    assert present(store) == COUNT - 10


def test_a_part_is_not_taken_for_all(store: Store, replay: Replay, said: Said) -> None:
    replay(*jobs())
    for records in (jobs(0, 10), []):
        assert replay(*records, options=("--complete",)) == 1
        assert (
            f"--complete would mark {COUNT - len(records)} of the {COUNT} jobs that cluster mila "
            "has as gone. Is it only a part of the output, or an old one?"
        ) in said()
    assert present(store) == COUNT


@pytest.mark.parametrize("options", [(), ("--complete",)])
@pytest.mark.parametrize(
    "other",
    [
        jobs(1000),
        [each.replace("SubmitTime=2026-11-23T20", "SubmitTime=2026-11-23T19") for each in jobs()],
        [each.replace(ALICE, "bob(1002)") for each in jobs()],
    ],
    ids=["other ids", "other times", "other users"],
)
def test_another_clusters_jobs_are_refused(
    store: Store, replay: Replay, said: Said, other: list[str], options: tuple[str, ...]
) -> None:
    replay(*jobs())
    before = list(store.jobs.find())
    assert replay(*other, options=options) == 1
    assert (
        f"only 0 of its {COUNT} jobs are among the {COUNT} jobs that cluster mila has. Is it the "
        "output of another cluster (see --cluster), or of another time? Nothing was written"
    ) in said()
    assert list(store.jobs.find()) == before

    assert replay(*other, options=(*options, "--force")) == 0
    assert list(store.jobs.find()) != before


def test_another_clusters_nodes_are_refused(store: Store, replay: Replay, said: Said) -> None:
    assert replay(*map(node, range(COUNT)), kind="nodes") == 0
    assert replay(*map(node, range(COUNT, 2 * COUNT)), kind="nodes") == 1
    assert f"only 0 of its {COUNT} nodes" in said()
    assert replay(*map(node, range(COUNT - 5, COUNT + 5)), kind="nodes") == 0
    assert store.nodes.count_documents({}) == COUNT + 5


def test_a_small_cluster_can_end(store: Store, replay: Replay) -> None:
    assert replay(*jobs(0, MANY - 1)) == 0
    assert replay(*jobs(0, 1), options=("--complete",)) == 0
    assert present(store) == 1
    assert replay(options=("--complete",)) == 0
    assert present(store) == 0
    assert replay(*jobs(1000, 2)) == 0  # no job is left to compare it with
    assert present(store) == 2


@pytest.mark.parametrize(
    ("kind", "first", "other"),
    [
        ("jobs", jobs(0, 3), jobs(10, 3)),
        ("jobs", jobs(0, 3), [job("2", "bob(1002)", sealed=False)]),
        ("nodes", [node(1), node(2)], [node(3)]),
    ],
)
def test_a_small_cluster_refuses_anothers_too(
    store: Store, replay: Replay, said: Said, kind: str, first: list[str], other: list[str]
) -> None:
    assert replay(*first, kind=kind) == 0
    before = list(store.database[kind].find())
    assert replay(*other, kind=kind) == 1
    assert f"only 0 of its {len(other)} {kind}" in said()
    assert list(store.database[kind].find()) == before
    assert replay(first[0], *other[-1:], kind=kind) == 0  # what it shares speaks for it
    assert replay(*other, kind=kind, options=("--force",)) == 0


def test_a_pipe_can_not_be_compared(
    store: Store, config: Path, replay: Replay, said: Said, tmp_path: Path
) -> None:
    replay(*jobs())
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    words = ["--config", str(config), "replay", "--cluster", "mila", "--jobs", str(pipe)]
    assert cli.main(words) == 1
    assert f"{pipe} can be read only once" in said()

    writer = threading.Thread(target=lambda: pipe.write_text("".join(jobs(1000, 1))))
    writer.start()
    assert cli.main([*words, "--force"]) == 0
    writer.join()
    assert present(store) == COUNT + 1


def test_a_long_text_is_cut_in_a_dry_run_too(
    replay: Replay, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert replay(*jobs(0, 1, command="x" * 100_000), options=("--dry-run",)) == 0
    assert b'"slurm_cut":["command"]' in capfdbinary.readouterr().out
