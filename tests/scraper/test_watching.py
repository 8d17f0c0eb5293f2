"""Rounds over real SSH into a real database, and what is written of how they went."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import paramiko
import pytest
from pymongo import MongoClient

from clockwork.demo.run import DUMPS
from clockwork.demo.simulated_cluster import SimulatedCluster
from clockwork.demo.ssh_server import Answer
from config import ScraperSettings
from ingest.clusters.round_log import RoundLog
from ingest.database.store import Store
from ingest.slurm.kinds import JOBS, NODES
from scraper.cluster_round import ClusterScraper, log_round
from tests.scraper.home import Home, KeyPair
from tests.support.ports import free_port

Answerer = Callable[[str], Answer]
ZONE = "America/Montreal"


@pytest.fixture
def scraper_of(
    store: Store,
    tmp_path: Path,
    client_keys: dict[str, KeyPair],
    host_keys: dict[str, paramiko.PKey],
) -> Iterator[Callable[[Answerer], ClusterScraper]]:
    """Makes the scraper of a cluster whose login host answers so."""
    with ExitStack() as ends:
        home = Home(tmp_path, client_keys, host_keys, ends)

        def start(answer: Answerer) -> ClusterScraper:
            cluster = home.cluster(home.answering(answer).port, timezone=ZONE)
            scraper = ClusterScraper(cluster, ScraperSettings(), store)
            ends.callback(scraper.close)
            return scraper

        yield start


@pytest.fixture
def answering(scraper_of: Callable[[Answerer], ClusterScraper]) -> ClusterScraper:
    return scraper_of(SimulatedCluster(DUMPS / "mila", ZoneInfo(ZONE)).answer)


def standing(store: Store, kind: str) -> dict[str, Any]:
    found = store.clusters.find_one({"_id": f"mila/{kind}"})
    assert found is not None
    return found


def test_a_round_leaves_its_figures(store: Store, answering: ClusterScraper) -> None:
    assert log_round(answering, NODES)
    assert log_round(answering, JOBS)

    for kind, collection in (("nodes", store.nodes), ("jobs", store.jobs)):
        scrape = store.round_log.find_one({"kind": kind})
        assert scrape is not None
        assert (scrape["cluster_name"], scrape["ok"], scrape["error"]) == ("mila", True, None)
        assert scrape["records"] == scrape["new"] == collection.count_documents({}) > 0
        assert scrape["bytes"] > 100 * scrape["records"]
        assert scrape["seconds"] > 0
        assert standing(store, kind)["last_figures"]["records"] == scrape["records"]


def test_a_round_that_failed_says_why_in_printable_text(
    store: Store, scraper_of: Callable[[Answerer], ClusterScraper]
) -> None:
    def refuse(_command: str) -> Answer:
        return Answer(stderr=b"slurm_load_jobs error: \x1b[31mUnable to contact\n", exit_status=1)

    assert not log_round(scraper_of(refuse), JOBS)

    scrape = store.round_log.find_one({})
    assert scrape is not None
    assert (scrape["kind"], scrape["ok"], scrape["records"]) == ("jobs", False, None)
    assert "Unable to contact" in scrape["error"]
    assert scrape["error"].isprintable()
    assert standing(store, "jobs")["last_error"]["error"] == scrape["error"]


def test_a_defect_is_a_failed_round_too(
    store: Store, answering: ClusterScraper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Any:
        raise ZeroDivisionError("on\nline two")

    monkeypatch.setattr(answering, "_scrape", broken)
    assert not log_round(answering, JOBS)

    assert standing(store, "jobs")["last_error"]["error"] == "ZeroDivisionError: on\\nline two"


def test_a_daemon_that_waits_for_its_turn_writes_nothing(
    store: Store, answering: ClusterScraper
) -> None:
    assert answering.lease.keep()
    other = ClusterScraper(answering.cluster, ScraperSettings(), store)
    assert log_round(other, JOBS)

    assert store.round_log.count_documents({}) == store.clusters.count_documents({}) == 0


def test_a_log_that_can_not_be_written_fails_no_round(
    store: Store, answering: ClusterScraper
) -> None:
    with MongoClient[dict[str, Any]]("127.0.0.1", free_port(), serverSelectionTimeoutMS=50) as away:
        answering.scrapes = RoundLog(Store(away["x"]), "mila")
        assert log_round(answering, NODES)

    assert store.nodes.count_documents({}) > 0
