"""Rounds that follow each other: what is passed over unread never hides a change."""

import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import bson
import pytest
from bson import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.collection import Collection
from pymongo.errors import PyMongoError
from pymongo.results import BulkWriteResult

import ingest.sync.comparing
import ingest.sync.sync_rounds
from ingest.accounts.users import add_user, username_map
from ingest.database.change_tokens import NOTHING
from ingest.database.changes import Changed
from ingest.database.leases import Lease, LeaseLost
from ingest.database.store import Document, Store
from ingest.documents.fingerprints import VOLATILE
from ingest.documents.long_texts import LONGEST_TEXT
from ingest.sync.sync_rounds import plain_bulk_write
from tests.ingest.reading.attacks import attacks, job
from tests.ingest.sync.outputs import ALICE, BOB, Clock, cluster
from tests.ingest.sync.sealed_outputs import Rounds, later, many, one, slurm_dicts

OTHER_SEAL = "Zz1Yy2X"


def lazily(number: int) -> Iterator[bytes]:
    """The output of `many` as it comes in."""
    return (one(str(1000 + each)).encode() for each in range(number))


def wait_until(true: Callable[[], bool]) -> bool:
    for _ in range(200):
        if true():
            return True
        time.sleep(0.05)
    return False


def test_what_did_not_change_is_passed_over(store: Store, clock: Clock) -> None:
    rounds = Rounds(store, clock)
    assert rounds.take(one("1"), one("2")).inserted == 2
    counts = rounds.take(later(one("1")), one("2", state="FAILED"), seal=OTHER_SEAL)
    assert rounds.passed_over == 1
    assert (counts.read, counts.inserted, counts.changed, counts.vanished) == (2, 0, 1, 0)
    assert {key: slurm["job_state"] for key, slurm in slurm_dicts(store).items()} == {
        "1": "RUNNING",
        "2": "FAILED",
    }


def test_volatile_values_are_written_when_they_are_due(store: Store, clock: Clock) -> None:
    rounds = Rounds(store, clock)
    rounds.take(one("1"), one("2"))
    clock.now += timedelta(seconds=899)
    assert rounds.take(later(one("1")), one("2")).changed == 0
    assert rounds.passed_over == 2
    clock.now += timedelta(seconds=1)
    assert rounds.take(later(one("1")), one("2")).changed == 1
    assert rounds.passed_over == 2
    assert slurm_dicts(store)["1"]["run_time"] == 900
    clock.now += timedelta(seconds=1)
    assert rounds.take(later(one("1")), one("2")).changed == 0
    assert rounds.passed_over == 2


def test_after_a_restart_all_is_read_once_and_nothing_written(store: Store, clock: Clock) -> None:
    Rounds(store, clock).take(*many(3))
    again = Rounds(store, clock)
    for passed_over in (0, 3):
        counts = again.take(*map(later, many(3)))
        assert (again.passed_over, counts.inserted, counts.changed) == (passed_over, 0, 0)


def test_a_record_that_is_set_aside_is_told_each_round(store: Store, clock: Clock) -> None:
    rounds = Rounds(store, clock)
    for _ in range(2):
        counts = rounds.take(one("1", owner="alice"), one("2"))
        assert (counts.read, counts.set_aside, counts.vanished) == (2, 1, 0)
    (aside,) = store.quarantine.find()
    assert aside["times"] == 2


_FORGED = [
    attack
    for attack in attacks()
    if attack.field in ("name", "comment", "command") and "FutureKey" not in attack.text
]
_TEXTS = st.sampled_from(
    [
        *("x", "y RunTime=00:10:00", "y RunTime=00:10:01", "Priority=1", "a\n   RunTime=00:10:00"),
        *("a\n   RunTime=00:10:01 TimeLimit=1", "\n   Priority=10 Nice=0", "1 JobState=FAILED"),
        *(attack.text for attack in _FORGED),
    ]
)
_RECORDS = st.builds(
    lambda key, owner, state, field, text, run_time, priority: (
        job(key, owner, sealed=True, state=state, **{field: text})
        .replace("RunTime=00:10:00", f"RunTime={run_time}", 1)
        .replace("Priority=10 ", f"Priority={priority} ", 1)
    ),
    st.sampled_from(["19", "20", "21"]),
    st.sampled_from([ALICE, ALICE, BOB]),
    st.sampled_from(["RUNNING", "RUNNING", "COMPLETED"]),
    st.sampled_from(["name", "comment", "command"]),
    _TEXTS,
    st.sampled_from(["00:10:00", "00:11:00", "1-00:00:00", "INVALID"]),
    st.sampled_from(["10", "11", "4294901759"]),
)
_OUTPUTS = st.lists(_RECORDS, max_size=3, unique_by=lambda record: record.split(" ")[0])


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(_OUTPUTS, min_size=2, max_size=3))
def test_the_last_round_is_all_that_counts(
    store: Store, clock: Clock, outputs: list[list[str]]
) -> None:
    name, fresh_name = (uuid4().hex for _ in range(2))
    rounds = Rounds(store, clock, cluster(name))
    for number, output in enumerate(outputs):
        counts = rounds.take(*output, seal=f"q7Rk2X{number}")
    fresh = Rounds(store, clock, cluster(fresh_name))
    expected = fresh.take(*outputs[-1])
    assert (counts.read, counts.set_aside, counts.reasons) == (
        expected.read,
        expected.set_aside,
        expected.reasons,
    )
    same(slurm_dicts(store, name), slurm_dicts(store, fresh_name), but=VOLATILE)
    clock.now += timedelta(seconds=900)
    rounds.take(*outputs[-1])
    same(slurm_dicts(store, name), slurm_dicts(store, fresh_name), but=frozenset())


def same(ours: dict[str, Document], fresh: dict[str, Document], but: frozenset[str]) -> None:
    """*ours* may hold more: what was set aside this time keeps what was known before."""
    left_out = but | {"cluster_name"}
    for key, expected in fresh.items():
        pair = [
            {k: v for k, v in each.items() if k not in left_out} for each in (ours[key], expected)
        ]
        assert pair[0] == pair[1]


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest.sync.comparing, "BATCH", 2)


@pytest.mark.usefixtures("small_batches")
def test_a_batch_that_fails_ends_the_round_and_the_next_one_makes_up(
    store: Store, clock: Clock
) -> None:
    failing = False
    writes = 0
    plain = plain_bulk_write(store, cluster())

    def bulk_write(
        collection: Collection[Document],
        operations: Sequence[Any],
        counts: Sequence[Any] = (),
        changed: Changed = NOTHING,
    ) -> tuple[BulkWriteResult, ObjectId | None]:
        nonlocal writes
        writes += 1
        if failing and writes == 2:
            raise PyMongoError("the second batch fails")
        return plain(collection, operations, counts, changed)

    rounds = Rounds(store, clock, bulk_write=bulk_write)
    rounds.take(*many(9))
    failing, writes = True, 0
    with pytest.raises(PyMongoError, match="the second batch fails"):
        rounds.take(*many(8, comment="changed"))
    assert writes == 2  # and what was read meanwhile was never sent
    assert rounds.sync.known([b"JobId=1000 "]) == [None]
    assert store.jobs.count_documents({"cw.vanished": {"$exists": True}}) == 0
    failing = False
    counts = rounds.take(*many(8, comment="changed"))
    assert (counts.changed, counts.vanished) == (6, 1)
    assert {slurm["comment"] for slurm in slurm_dicts(store).values()} == {"changed"}


@pytest.mark.usefixtures("small_batches")
def test_a_lease_that_is_lost_ends_the_round(store: Store, clock: Clock) -> None:
    lease, other = (Lease(store, "mila", 30, lambda: clock().timestamp()) for _ in range(2))
    assert lease.keep()
    assert not other.keep()
    rounds = Rounds(store, clock, bulk_write=lease.bulk_write)
    rounds.take(one("1"))

    def output() -> Iterator[bytes]:
        yield "".join(many(5)).encode()
        assert wait_until(lambda: store.jobs.count_documents({}) == 3)
        clock.now += timedelta(seconds=30)
        assert other.keep()
        yield "".join(many(12)[5:]).encode()

    with pytest.raises(LeaseLost):
        rounds.sync.take_in(rounds.changes(output()))
    assert sorted(slurm_dicts(store)) == ["1", "1000", "1001"]
    assert rounds.sync.known([b"JobId=1 "]) == [None]


def test_memory_grows_by_a_packed_row_a_job(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest.sync.comparing, "BATCH", 50)
    rounds = Rounds(store, clock)
    rounds.take(*many(600))  # what is made once is there now, and what is read at once
    kept, peaks = [], []
    for number in (700, 1500):  # both rounds insert several batches
        rounds.sync.forget()
        tracemalloc.start()
        rounds.sync.take_in(rounds.changes(lazily(number)))
        now, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        kept.append(now)
        peaks.append(peak)
    assert (kept[1] - kept[0]) / 800 < 600
    assert (peaks[1] - peaks[0]) / 800 < 600


def test_a_clock_that_is_set_back_delays_no_volatile_value(store: Store, clock: Clock) -> None:
    rounds = Rounds(store, clock)
    rounds.take(job("1", ALICE, sealed=True))
    clock.now -= timedelta(days=365)
    moved = job("1", ALICE, sealed=True).replace("RunTime=00:10:00", "RunTime=00:11:00")
    assert rounds.take(moved).changed == 1
    assert slurm_dicts(store)["1"]["run_time"] == 660


LONG = "/run.sh " + "x" * 1_000_000


def test_hundreds_of_jobs_with_a_megabyte_of_arguments(store: Store, clock: Clock) -> None:
    rounds = Rounds(store, clock)
    counts = rounds.sync.take_in(
        rounds.changes(one(str(number), command=LONG).encode() for number in range(330))
    )
    assert (counts.inserted, counts.set_aside) == (330, 0)
    assert store.jobs.count_documents({"slurm.slurm_cut": ["command"]}) == 330


def test_a_record_whose_text_was_cut(store: Store, clock: Clock) -> None:
    rounds = Rounds(store, clock)
    for comment in ("new", "changed"):
        rounds.take(one("1", command=LONG, comment=comment))
    slurm = slurm_dicts(store)["1"]
    assert (slurm["comment"], slurm["slurm_cut"]) == ("changed", ["command"])
    assert slurm["command"].startswith("/run.sh xxx")
    assert slurm["command"].endswith(f"…[cut: {len(LONG) - LONGEST_TEXT} bytes]")
    assert rounds.take(one("1", command=LONG, comment="changed")).changed == 0
    assert rounds.passed_over == 1
    rounds.take(one("1"))
    assert "slurm_cut" not in slurm_dicts(store)["1"]


def test_a_batch_ends_by_bytes(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest.sync.comparing, "BATCH_BYTES", 100_000)
    sizes = []
    plain = plain_bulk_write(store, cluster())

    def bulk_write(
        collection: Collection[Document],
        operations: Sequence[Any],
        counts: Sequence[Any] = (),
        changed: Changed = NOTHING,
    ) -> tuple[BulkWriteResult, ObjectId | None]:
        sizes.append(sum(len(bson.encode(each._doc)) for each in operations))
        return plain(collection, operations, counts, changed)

    rounds = Rounds(store, clock, bulk_write=bulk_write)
    rounds.take(*many(40, command="/run.sh " + "x" * 20_000))
    assert len(sizes) == 8
    assert max(sizes) < 200_000
    assert len(slurm_dicts(store)) == 40


# --- accounts that change while an output comes in ------------------------------------------------


def emails(store: Store) -> set[str | None]:
    return {job["cw"]["mila_email_username"] for job in store.jobs.find()}


def test_a_round_that_failed_leaves_no_names_from_before(store: Store, clock: Clock) -> None:
    add_user(store, "old@example.org", "alice")
    rounds = Rounds(store, clock)

    def output() -> Iterator[bytes]:
        yield from lazily(300)
        add_user(store, "old@example.org", "alice_old", rename=True)
        add_user(store, "new@example.org", "alice")
        yield from (one(str(each)).encode() for each in range(2000, 2400))
        raise ConnectionError("cut")

    with pytest.raises(ConnectionError):
        rounds.sync.take_in(rounds.changes(output()))
    jobs = [*many(300), *(one(str(each)) for each in range(2000, 2400))]
    rounds.take(*jobs)
    assert emails(store) == {"new@example.org"}
    rounds.take(*jobs)
    rounds.take(*jobs)
    assert rounds.passed_over == len(jobs)


def test_a_round_that_was_killed_leaves_no_names_from_before(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = Rounds(store, clock)
    rounds.take(one("9"))

    def killed(*_arguments: object) -> None:
        raise KeyboardInterrupt

    def names_of_before(*arguments: Any) -> Any:
        names = username_map(*arguments)
        add_user(store, "alice@example.org", "alice")
        return names

    with monkeypatch.context() as patch:
        patch.setattr(ingest.sync.sync_rounds, "refresh_changed", killed)
        patch.setattr(ingest.sync.sync_rounds, "username_map", names_of_before)
        with pytest.raises(KeyboardInterrupt):
            rounds.take(one("1"), one("9"))
    assert emails(store) == {None, "alice@example.org"}
    Rounds(store, clock).take(one("1"), one("9"))
    assert emails(store) == {"alice@example.org"}


def test_a_timezone_that_is_corrected_makes_no_job_another(store: Store, clock: Clock) -> None:
    wrong = cluster().model_copy(update={"timezone": "UTC"})
    Rounds(store, clock, of=wrong).take(one("1"))
    store.jobs.update_one({}, {"$set": {"user": {"note": 1}}})
    first = store.jobs.find_one() or {}
    clock.now += timedelta(minutes=1)
    Rounds(store, clock).take(one("1"))
    found = store.jobs.find_one() or {}
    assert found["slurm"]["submit_time"] != first["slurm"]["submit_time"]
    assert (found["user"], found["cw"]["first_seen"]) == ({"note": 1}, first["cw"]["first_seen"])
    assert store.former_jobs.count_documents({}) == 0
