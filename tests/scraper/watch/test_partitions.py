"""Partitions and reservations behind a round, over real SSH into a real database."""

import logging
from collections.abc import Iterator

import pytest

from config import ScraperSettings
from ingest.database.store import Store
from ingest.slurm.kinds import JOBS, NODES
from scraper.cluster_round import ClusterScraper
from scraper.watch.partitions import NOT_ALLOWED, PartitionRounds
from tests.scraper.home import Home
from tests.scraper.scontrol_host import PARTITION, LoginHost

RESERVATION = b"""\
ReservationName=maint StartTime=2026-11-24T08:00:00+0000 EndTime=2026-11-24T09:00:00+0000
   Nodes=cn-a001 NodeCnt=1 Flags=MAINT
   Users=root State=INACTIVE

"""


@pytest.fixture
def host(home: Home) -> LoginHost:
    return home.start(LoginHost(home.host_keys["ed25519"], home.authorized))


@pytest.fixture
def scraper(home: Home, host: LoginHost, store: Store) -> Iterator[ClusterScraper]:
    # Shorter than a configuration may have it: due in every round.
    cluster = home.cluster(host.port).model_copy(update={"partitions_interval": 1e-6})
    scraper = ClusterScraper(cluster, ScraperSettings(), store)
    yield scraper
    scraper.close()


def names(store: Store) -> tuple[list[str], list[str]]:
    partitions, reservations = (
        sorted(each["slurm"]["name"] for each in collection.find())
        for collection in (store.partitions, store.reservations)
    )
    return partitions, reservations


def test_they_come_change_and_go(host: LoginHost, scraper: ClusterScraper, store: Store) -> None:
    host.seldom["show reservation"] = RESERVATION
    scraper.round(NODES)
    assert names(store) == (["main"], ["maint"])
    first = store.partitions.find_one()

    scraper.round(JOBS)
    assert store.partitions.find_one() == first
    host.seldom["show partition"] = PARTITION.replace(b"State=UP", b"State=DOWN")
    host.seldom["show reservation"] = b"No reservations in the system\n"
    scraper.round(JOBS)
    assert names(store) == (["main"], [])
    second = store.partitions.find_one()
    assert first is not None
    assert second is not None
    assert second["slurm"]["state"] == "DOWN"
    assert second["cw"]["first_seen"] == first["cw"]["first_seen"]
    assert second["cw"]["last_changed"] > first["cw"]["last_changed"]


def test_an_answer_that_is_none_removes_nothing_and_is_warned_of_once(
    host: LoginHost, scraper: ClusterScraper, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    scraper.round(NODES)
    host.seldom["show partition"] = b""
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            scraper.round(NODES)
    assert names(store) == (["main"], [])
    assert [record.getMessage()[:43] for record in caplog.records] == [
        "partitions and reservations were not read: "
    ]


def test_a_login_host_that_refuses_is_warned_of_once(
    host: LoginHost, scraper: ClusterScraper, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    del host.seldom["show partition"]
    host.refused = ("show partition",)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert scraper.round(JOBS).counts.read == 10
    assert [record.getMessage() for record in caplog.records] == [NOT_ALLOWED]
    assert names(store) == ([], [])


def test_they_are_asked_for_at_their_interval(scraper: ClusterScraper, store: Store) -> None:
    scraper.round(NODES)
    connection = scraper._connection
    assert connection is not None
    now = 100.0
    cluster = scraper.cluster.model_copy(update={"partitions_interval": 300.0})
    rounds = PartitionRounds(store, cluster, scraper.lease.bulk_write, lambda: now)
    for moment, is_asked in ((100.0, True), (399.0, False), (400.0, True)):
        now = moment
        store.partitions.delete_many({})
        rounds.after_round(connection)
        assert (store.partitions.count_documents({}) > 0) == is_asked
