"""squeue's list and sacct's table in a round, over real SSH into a real database."""

import re
from collections.abc import Iterator
from datetime import datetime, timezone

import pytest

from clockwork.demo.ssh_server import Answer, SimulatedLoginHost
from config import ClusterSettings, ScraperSettings
from ingest.database.store import Store
from ingest.slurm.kinds import JOBS
from scraper.cluster_round import ClusterScraper
from scraper.ssh.errors import NotAnswered
from tests.ingest.reading.attacks import SEAL, attacks, job, output
from tests.scraper.home import Home

ALICE = "alice(1001)"
SEAMLESS = next(attack for attack in attacks() if attack.name == "a seamless record")
ENDED = (
    "1|2026-11-23T20:13:41+0000|TIMEOUT|0:15|2026-11-23T20:14:00+0000|2026-11-23T23:14:00+0000\n"
)


class Cluster:
    """What Slurm's programs print, and which of them were asked for."""

    def __init__(self) -> None:
        self.jobs = ""
        self.listed: list[str] = []
        """What squeue prints, call after call; the last one again and again."""
        self.ends = Answer()
        self.prints_seal = True
        self.asked: list[str] = []

    def answer(self, command: str) -> Answer:
        self.asked.append(command)
        if "squeue" in command:
            text = self.listed.pop(0) if len(self.listed) > 1 else self.listed[0]
            return Answer([text.encode()])
        if "sacct" in command:
            return self.ends
        seal = re.search("%z([A-Za-z0-9]*) ", command)
        assert seal is not None
        text = self.jobs or "No jobs in the system\n"
        return Answer([text.replace(SEAL, seal[1] if self.prints_seal else "").encode()])


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def host(home: Home, cluster: Cluster) -> SimulatedLoginHost:
    return home.start(
        SimulatedLoginHost(cluster.answer, home.host_keys["ed25519"], home.authorized)
    )


def new_scraper(home: Home, port: int, store: Store, **options: bool) -> ClusterScraper:
    settings = ClusterSettings(
        name="mila",
        timezone="America/Montreal",
        username_field="mila_cluster_username",
        ssh=home.settings(port),
        scontrol="/opt/slurm/bin/scontrol",
        **options,
    )
    return ClusterScraper(settings, ScraperSettings(), store)


@pytest.fixture
def listing(home: Home, host: SimulatedLoginHost, store: Store) -> Iterator[ClusterScraper]:
    scraper = new_scraper(home, host.port, store, second_list=True)
    yield scraper
    scraper.close()


@pytest.fixture
def accounting(home: Home, host: SimulatedLoginHost, store: Store) -> Iterator[ClusterScraper]:
    scraper = new_scraper(home, host.port, store, sacct=True)
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


def vanish(cluster: Cluster, scraper: ClusterScraper) -> None:
    cluster.jobs = job("1", ALICE, sealed=True) + job("2", ALICE, sealed=True)
    scraper.round(JOBS)
    cluster.jobs = job("2", ALICE, sealed=True)
    scraper.round(JOBS)


def test_the_end_of_a_job_that_vanished_unseen_is_asked_of_sacct(
    cluster: Cluster, accounting: ClusterScraper, store: Store
) -> None:
    cluster.ends = Answer([ENDED.encode()])
    vanish(cluster, accounting)
    found = store.jobs.find_one({"slurm.job_id": "1"})
    assert found is not None
    assert found["slurm"]["job_state"] == "RUNNING"
    assert found["cw"]["accounting"] == {
        "job_state": "TIMEOUT",
        "exit_code": "0:15",
        "start_time": "2026-11-23T15:14:00-05:00",
        "end_time": "2026-11-23T18:14:00-05:00",
    }
    assert found["cw"]["finished_at"] == datetime(2026, 11, 23, 23, 14, tzinfo=timezone.utc)
    asked = [command for command in cluster.asked if "sacct" in command]
    assert asked == [
        "env SLURM_TIME_FORMAT=%FT%T%z /opt/slurm/bin/sacct -n -P -X "
        "-o JobIDRaw,Submit,State,ExitCode,Start,End -j 1"
    ]
    accounting.round(JOBS)
    assert sum("sacct" in command for command in cluster.asked) == 1


def test_an_end_of_another_job_with_the_id_is_passed_over(
    cluster: Cluster, accounting: ClusterScraper, store: Store
) -> None:
    cluster.ends = Answer([ENDED.replace("2026-11-23T20:13:41", "2020-01-01T00:00:00").encode()])
    vanish(cluster, accounting)
    assert store.jobs.count_documents({"cw.accounting": {"$exists": True}}) == 0


@pytest.mark.parametrize(
    "ends",
    [
        Answer(stderr=b"sacct: error: slurmdbd is down\n", exit_status=1),
        Answer([b"Slurm accounting storage is disabled\n"]),
        Answer(),
    ],
)
def test_a_sacct_that_does_not_tell_fails_nothing_and_is_asked_again(
    cluster: Cluster, accounting: ClusterScraper, store: Store, ends: Answer
) -> None:
    cluster.ends = ends
    vanish(cluster, accounting)
    assert store.jobs.count_documents({"cw.accounting": {"$exists": True}}) == 0
    cluster.ends = Answer([ENDED.encode()])
    accounting.round(JOBS)
    assert store.jobs.count_documents({"cw.accounting": {"$exists": True}}) == 1
