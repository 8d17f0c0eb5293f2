"""squeue's list in a round, over real SSH into a real database."""

import re
from collections.abc import Iterator

import pytest

from clockwork.demo.ssh_server import Answer, SimulatedLoginHost
from config import ScraperSettings
from ingest.database.store import Store
from ingest.slurm.kinds import JOBS
from scraper.cluster_round import ClusterScraper
from scraper.ssh.errors import NotAnswered
from tests.ingest.reading.attacks import attacks, job, output
from tests.scraper.home import Home
from tests.support.reading import SEAL

ALICE = "alice(1001)"
SEAMLESS = next(attack for attack in attacks() if attack.name == "a seamless record")


class Cluster:
    """What Slurm's programs print, and which of them were asked for."""

    def __init__(self) -> None:
        self.jobs = ""
        self.listed: list[str] = []
        """What squeue prints, call after call; the last one again and again."""
        self.prints_seal = True
        self.asked: list[str] = []

    def answer(self, command: str) -> Answer:
        self.asked.append(command)
        if "squeue" in command:
            text = self.listed.pop(0) if len(self.listed) > 1 else self.listed[0]
            return Answer([text.encode()])
        seal = re.search("%z([A-Za-z0-9]*) ", command)
        assert seal is not None
        text = self.jobs or "No jobs in the system\n"
        return Answer([text.replace(SEAL, seal[1] if self.prints_seal else "").encode()])


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def host(home: Home, cluster: Cluster) -> SimulatedLoginHost:
    return home.answering(cluster.answer)


def new_scraper(home: Home, port: int, store: Store, **options: bool) -> ClusterScraper:
    settings = home.cluster(port, scontrol="/opt/slurm/bin/scontrol", **options)
    return ClusterScraper(settings, ScraperSettings(), store)


@pytest.fixture
def listing(home: Home, host: SimulatedLoginHost, store: Store) -> Iterator[ClusterScraper]:
    scraper = new_scraper(home, host.port, store, second_list=True)
    yield scraper
    scraper.close()


def ids(store: Store) -> list[str]:
    return sorted(found["slurm"]["job_id"] for found in store.jobs.find())


def test_a_forged_job_is_stopped_by_the_list_where_there_is_no_seal(
    cluster: Cluster, listing: ClusterScraper, store: Store
) -> None:
    cluster.prints_seal = False
    cluster.jobs = output(SEAMLESS, sealed=False, one_line=False).decode()
    cluster.listed = ["19:1001\n20:1002\n21:1003\n"]
    report = listing.round(JOBS)
    assert ids(store) == ["19", "20", "21"]
    assert report.counts.set_aside == 1
    assert cluster.asked[0] == "/opt/slurm/bin/squeue -h -a -t all -o %A:%U"


def test_a_job_that_is_newer_than_the_list_is_taken_after_a_second_look(
    cluster: Cluster, listing: ClusterScraper, store: Store
) -> None:
    cluster.jobs = job("1", ALICE, sealed=True) + job("2", ALICE, sealed=True)
    cluster.listed = ["1:1001\n", "1:1001\n2:1001\n"]
    assert listing.round(JOBS).counts.set_aside == 0
    assert ids(store) == ["1", "2"]
    assert sum("squeue" in command for command in cluster.asked) == 2


def test_a_job_that_the_list_shows_is_not_gone(
    cluster: Cluster, listing: ClusterScraper, store: Store
) -> None:
    cluster.jobs = job("1", ALICE, sealed=True) + job("2", ALICE, sealed=True)
    cluster.listed = ["1:1001\n2:1001\n"]
    listing.round(JOBS)
    cluster.jobs = job("1", ALICE, sealed=True)
    assert listing.round(JOBS).counts.vanished == 0
    cluster.listed = ["1:1001\n"]
    assert listing.round(JOBS).counts.vanished == 1


def test_a_list_that_is_none_fails_the_round(
    cluster: Cluster, listing: ClusterScraper, store: Store
) -> None:
    cluster.jobs = job("1", ALICE, sealed=True)
    cluster.listed = ["squeue: something else\n"]
    with pytest.raises(NotAnswered, match="expected id:uid"):
        listing.round(JOBS)
    assert ids(store) == []
