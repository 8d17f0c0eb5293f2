"""How rounds went, as it is written: a log for a week, and where each cluster stands."""

import logging
import os
import socket
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from ingest.clusters.round_log import RoundLog, request_round
from ingest.database.store import ROUND_LOG_KEPT_SECONDS, Store
from ingest.sync.sync_rounds import RoundCounts
from tests.support.ports import free_port

COUNTS = RoundCounts(read=7, inserted=1, changed=2, set_aside=3, vanished=4)
FIGURES = {"records": 7, "new": 1, "changed": 2, "gone": 4, "set_aside": 3, "bytes": 5_000_000_000}
BYTES = FIGURES["bytes"]
NOON = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)


class Clock:
    """A clock that tests move."""

    now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(store: Store, clock: Clock) -> RoundLog:
    return RoundLog(store, "mila", clock)


def standing(store: Store, kind: str = "jobs") -> dict[str, Any]:
    found = store.clusters.find_one({"_id": f"mila/{kind}"})
    assert found is not None
    return found


def test_a_round_that_went_well(store: Store, log: RoundLog) -> None:
    log.succeeded("jobs", 2.5, COUNTS, BYTES)

    [scrape] = store.round_log.find({}, {"_id": 0})
    assert scrape == {
        "cluster_name": "mila",
        "kind": "jobs",
        "started": NOON - timedelta(seconds=2.5),
        "seconds": 2.5,
        "ok": True,
        "error": None,
        **FIGURES,
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }
    assert standing(store) == {
        "_id": "mila/jobs",
        "cluster_name": "mila",
        "kind": "jobs",
        "last_attempt": NOON,
        "seconds": 2.5,
        "ok": True,
        "last_success": NOON,
        "last_figures": FIGURES,
        "totals": {"ok": 1, **FIGURES},
    }


def test_a_round_that_failed_has_no_figures(store: Store, log: RoundLog) -> None:
    log.failed("jobs", 10.0, "no route to host")

    scrape = store.round_log.find_one({})
    assert scrape is not None
    assert (scrape["ok"], scrape["error"]) == (False, "no route to host")
    assert {scrape[key] for key in FIGURES} == {None}
    assert standing(store) == {
        "_id": "mila/jobs",
        "cluster_name": "mila",
        "kind": "jobs",
        "last_attempt": NOON,
        "seconds": 10.0,
        "ok": False,
        "last_error": {"at": NOON, "error": "no route to host"},
        "totals": {"failed": 1},
    }


def test_a_failure_keeps_the_last_success_and_the_other_way_round(
    store: Store, log: RoundLog, clock: Clock
) -> None:
    log.succeeded("jobs", 1.0, COUNTS, BYTES)
    clock.now += timedelta(minutes=1)
    log.failed("jobs", 1.0, "gone")

    after_failure = standing(store)
    assert after_failure["ok"] is False
    assert after_failure["last_success"] == NOON
    assert after_failure["last_attempt"] == clock.now
    assert after_failure["last_figures"] == FIGURES

    clock.now += timedelta(minutes=1)
    log.succeeded("jobs", 1.0, COUNTS, BYTES)

    after_success = standing(store)
    assert after_success["ok"] is True
    assert after_success["last_success"] == clock.now
    assert after_success["last_error"] == {"at": NOON + timedelta(minutes=1), "error": "gone"}
    assert after_success["totals"] == {
        "ok": 2,
        "failed": 1,
        **{key: 2 * count for key, count in FIGURES.items()},
    }


def test_jobs_and_nodes_stand_apart(store: Store, log: RoundLog) -> None:
    log.succeeded("jobs", 1.0, COUNTS, BYTES)
    log.failed("nodes", 1.0, "gone")
    RoundLog(store, "beluga").failed("jobs", 1.0, "gone")

    assert standing(store, "jobs")["ok"] is True
    assert standing(store, "nodes")["ok"] is False
    assert store.clusters.count_documents({}) == 3


def test_a_long_error_is_cut(store: Store, log: RoundLog) -> None:
    log.failed("jobs", 1.0, "x" * 1_000_000)

    assert len(standing(store)["last_error"]["error"]) == 2000


def test_the_log_is_kept_for_a_week(store: Store) -> None:
    index = store.round_log.index_information()["started_1"]

    assert index["expireAfterSeconds"] == ROUND_LOG_KEPT_SECONDS == 7 * 24 * 3600


def test_a_database_that_is_away_fails_no_round_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with MongoClient[dict[str, Any]]("127.0.0.1", free_port(), serverSelectionTimeoutMS=50) as away:
        log = RoundLog(Store(away["x"]), "mila")
        with caplog.at_level(logging.INFO):
            log.succeeded("jobs", 1.0, COUNTS, BYTES)
            log.failed("jobs", 1.0, "gone")

    [line] = caplog.records
    assert line.levelname == "ERROR"
    assert "round log: could not be written" in line.getMessage()


def test_a_try_that_meets_its_first_one_is_no_failure(
    store: Store, log: RoundLog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    insert_one = Collection.insert_one

    def twice(collection: Collection[Any], document: dict[str, Any]) -> None:
        insert_one(collection, document)
        insert_one(collection, document)  # as pymongo does when the answer comes late

    monkeypatch.setattr(Collection, "insert_one", twice)
    log.succeeded("jobs", 1.0, COUNTS, BYTES)

    assert store.round_log.count_documents({}) == 1
    assert not caplog.records


def test_the_next_attempt_stands_there_until_a_round_comes(store: Store, log: RoundLog) -> None:
    log.failed("jobs", 1.0, "no route to host")
    log.next_attempts({"jobs": NOON + timedelta(minutes=2), "nodes": NOON + timedelta(minutes=5)})
    assert standing(store)["next_attempt"] == NOON + timedelta(minutes=2)
    assert store.clusters.count_documents({}) == 1  # nothing is known of the nodes
    log.failed("jobs", 1.0, "no route to host")
    assert "next_attempt" not in standing(store)


def test_a_round_is_asked_for_once(store: Store, log: RoundLog) -> None:
    assert not request_round(store, "mila")
    log.failed("jobs", 1.0, "no route to host")
    assert not log.is_requested()
    assert request_round(store, "mila")
    assert RoundLog(store, "beluga").is_requested() is False
    assert log.is_requested()
    assert not log.is_requested()


def test_a_round_answers_a_request_that_nobody_took(store: Store, log: RoundLog) -> None:
    log.failed("jobs", 1.0, "no route to host")
    request_round(store, "mila")
    log.succeeded("jobs", 2.5, COUNTS, BYTES)
    assert not log.is_requested()


def test_a_database_that_is_away_asks_for_nothing() -> None:
    with MongoClient[dict[str, Any]]("127.0.0.1", free_port(), serverSelectionTimeoutMS=50) as away:
        log = RoundLog(Store(away["x"]), "mila")
        log.next_attempts({"jobs": NOON})
        assert not log.is_requested()
