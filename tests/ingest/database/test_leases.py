"""One daemon a cluster: leases that a frozen process loses, and writes that need one."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from pymongo import InsertOne, UpdateOne
from pymongo.errors import AutoReconnect

from ingest.database.leases import Lease, LeaseBusy, LeaseLost
from ingest.database.store import Store


class Clock:
    """A monotonic clock that tests move."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_first_one_takes_it_and_keeps_it(store: Store, clock: Clock) -> None:
    first, second = Lease(store, "mila", 30, clock), Lease(store, "mila", 30, clock)
    assert first.keep()
    for _ in range(10):
        clock.now += 10
        assert first.keep()
        assert not second.keep()
    assert first.term == 1
    assert (first.held, second.held) == (True, False)


def test_clusters_are_apart(store: Store, clock: Clock) -> None:
    assert Lease(store, "mila", 30, clock).keep()
    assert Lease(store, "beluga", 30, clock).keep()


def test_one_that_gives_no_sign_is_taken_over(store: Store, clock: Clock) -> None:
    first, second = Lease(store, "mila", 30, clock), Lease(store, "mila", 30, clock)
    assert first.keep()
    assert not second.keep()
    clock.now += 29
    assert not second.keep()
    clock.now += 1
    assert second.keep()
    assert not first.keep()
    assert not first.held


def test_a_sign_starts_the_time_anew(store: Store, clock: Clock) -> None:
    first, second = Lease(store, "mila", 30, clock), Lease(store, "mila", 30, clock)
    first.keep()
    second.keep()
    clock.now += 29
    first.keep()
    clock.now += 1
    assert not second.keep()


def test_of_two_that_would_take_over_one_does(store: Store, clock: Clock) -> None:
    Lease(store, "mila", 30, clock).keep()
    waiting = [Lease(store, "mila", 30, clock) for _ in range(3)]
    for lease in waiting:
        lease.keep()
    clock.now += 30
    assert [lease.keep() for lease in waiting] == [True, False, False]


def test_a_lease_that_is_let_go_is_free_at_once(store: Store, clock: Clock) -> None:
    first, second = Lease(store, "mila", 30, clock), Lease(store, "mila", 30, clock)
    first.keep()
    first.release()
    assert second.keep()
    first.release()
    assert second.keep()


def test_writes_go_through_while_it_is_held(store: Store, clock: Clock) -> None:
    lease = Lease(store, "mila", 30, clock)
    lease.keep()
    result, _ = lease.bulk_write(
        store.jobs,
        [InsertOne({"_id": "mila/1", "slurm": {"job_id": "1", "cluster_name": "mila"}})],
    )
    assert result.inserted_count == 1


def test_nothing_is_written_when_it_is_lost(store: Store, clock: Clock) -> None:
    first, second = Lease(store, "mila", 30, clock), Lease(store, "mila", 30, clock)
    first.keep()
    second.keep()
    clock.now += 30
    second.keep()
    with pytest.raises(LeaseLost, match="another daemon scrapes mila"):
        first.bulk_write(store.jobs, [InsertOne({"_id": "mila/1"}), InsertOne({"_id": "mila/2"})])
    assert store.jobs.count_documents({}) == 0
    assert not first.held
    second.bulk_write(store.jobs, [InsertOne({"_id": "mila/1"})])


def test_a_lost_lease_is_taken_again_in_a_new_term(store: Store, clock: Clock) -> None:
    first, second = Lease(store, "mila", 30, clock), Lease(store, "mila", 30, clock)
    first.keep()
    second.keep()
    clock.now += 30
    second.keep()
    first.keep()
    second.release()
    assert first.keep()
    assert first.term == 2


def test_a_database_that_did_not_answer_costs_no_lease(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease, other = Lease(store, "mila", 30, clock), Lease(store, "mila", 30, clock)
    assert lease.keep()
    assert not other.keep()
    with monkeypatch.context() as away:

        def fail(_filter: object) -> None:
            raise AutoReconnect("away")

        away.setattr(store.leases, "find_one", fail)
        assert not lease.keep()
        assert not lease.held
    clock.now += 60
    assert lease.keep()
    assert not other.keep()
    lease.bulk_write(store.jobs, [InsertOne({"_id": "mila/1"})])


_DAEMON = """
import sys
from ingest.database.leases import Lease, LeaseBusy, LeaseLost
from ingest.database.store import connect
from pymongo import UpdateOne
store = connect(sys.argv[1], sys.argv[2])
lease = Lease(store, "mila", 0.5)
while not lease.keep():
    pass
number = 0
print("held", flush=True)
try:
    while True:
        number += 1
        lease.bulk_write(
            store.jobs, [UpdateOne({"_id": "mila/1"}, {"$set": {"by": sys.argv[3], "n": number}})]
        )
        lease.keep()
except LeaseLost:
    print("lost", flush=True)
"""


@pytest.fixture
def daemons(store: Store, mongo_uri: str) -> Iterator[list[subprocess.Popen[str]]]:
    store.jobs.insert_one({"_id": "mila/1"})
    started = [
        subprocess.Popen(
            [sys.executable, "-c", _DAEMON, mongo_uri, store.database.name, name],
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("first",)
    ]
    yield started
    for process in started:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    assert select.select([process.stdout], [], [], 90)[0], "it said nothing"
    return process.stdout.readline().strip()


def take_over(lease: Lease) -> None:
    """Returns when it is held: a transaction that its holder left open ends within a minute."""
    gives_up = time.monotonic() + 90
    while not lease.keep():
        assert time.monotonic() < gives_up, "the lease can't be taken over"
        time.sleep(0.1)


@pytest.mark.timeout(200)
def test_a_frozen_process_loses_it_and_writes_nothing_when_it_wakes(
    store: Store, daemons: list[subprocess.Popen[str]]
) -> None:
    (first,) = daemons
    assert said(first) == "held"
    while not (store.jobs.find_one({"_id": "mila/1"}) or {}).get("n"):
        pass
    os.kill(first.pid, signal.SIGSTOP)
    second = Lease(store, "mila", 0.5)
    take_over(second)
    second.bulk_write(store.jobs, [UpdateOne({"_id": "mila/1"}, {"$set": {"by": "second"}})])
    after = store.jobs.find_one({"_id": "mila/1"})
    os.kill(first.pid, signal.SIGCONT)
    assert said(first) == "lost"
    assert store.jobs.find_one({"_id": "mila/1"}) == after


_KILLED_IN_A_TRANSACTION = """
import sys, time
from ingest.database.leases import Lease
from ingest.database.store import connect
store = connect(sys.argv[1], sys.argv[2])
lease = Lease(store, "mila", 0.5)
assert lease.keep()
with store.database.client.start_session() as session, session.start_transaction():
    store.leases.update_one({"_id": "mila"}, {"$inc": {"writes": 1}}, session=session)
    store.jobs.insert_one({"_id": "mila/1", "by": "first"}, session=session)
    print("open", flush=True)
    time.sleep(300)
"""


@pytest.mark.timeout(200)
def test_one_that_is_killed_in_the_middle_of_a_write_is_taken_over(
    store: Store, mongo_uri: str
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _KILLED_IN_A_TRANSACTION, mongo_uri, store.database.name],
        stdout=subprocess.PIPE,
        text=True,
    ) as first:
        assert said(first) == "open"
        first.kill()
    second = Lease(store, "mila", 0.5)
    take_over(second)
    assert store.jobs.count_documents({}) == 0
    second.bulk_write(store.jobs, [InsertOne({"_id": "mila/1", "by": "second"})])
    assert store.jobs.find_one({"_id": "mila/1"}) == {"_id": "mila/1", "by": "second"}


# --- waiting for a lease, and holding it ----------------------------------------------------------


def test_a_holder_that_died_is_waited_for(store: Store) -> None:
    assert Lease(store, "mila", 0.3).keep()
    assert Lease(store, "mila", 0.3).acquire()


def test_a_holder_that_lives_is_not_waited_for(store: Store) -> None:
    with Lease(store, "mila", 0.5).holding():
        waiting = Lease(store, "mila", 3600)  # it would wait for an hour and a half
        assert not waiting.acquire()
        assert not waiting.held


def test_waiting_ends_when_it_is_told_to_stop(store: Store) -> None:
    assert Lease(store, "mila", 3600).keep()
    answers = iter([False, False, True])
    assert not Lease(store, "mila", 3600).acquire(lambda: next(answers))
    assert next(answers, None) is None


def test_waiting_ends_after_one_and_a_half_times_the_lease(store: Store, clock: Clock) -> None:
    assert Lease(store, "mila", 30, clock).keep()
    waiting = Lease(store, "mila", 30, clock)
    began = clock.now

    def other_holder() -> bool:
        """Another process takes the lease over and over again."""
        clock.now += 1
        name = f"holder {clock.now}"
        store.leases.update_one({"_id": "mila"}, {"$set": {"holder": name}})
        return False

    assert not waiting.acquire(other_holder)
    assert clock.now - began == 46


def test_a_lease_that_is_held_is_renewed_and_let_go(store: Store) -> None:
    lease, other = Lease(store, "mila", 0.4), Lease(store, "mila", 0.4)
    with lease.holding():
        beats: set[int] = set()
        while len(beats) < 5:
            beats.add((store.lease_beats.find_one({"_id": "mila"}) or {})["beat"])
        assert lease.held
    assert not lease.held
    assert other.keep()


def test_a_lease_that_another_one_holds_is_busy(store: Store) -> None:
    first = Lease(store, "mila", 0.5)
    with first.holding():
        holder = (store.leases.find_one({"_id": "mila"}) or {})["holder"]
        second = Lease(store, "mila", 3600)
        with pytest.raises(LeaseBusy, match=f"holds the lease mila: {holder}"), second.holding():
            pytest.fail("it is held twice")
        assert first.keep()


def test_a_lease_is_let_go_after_an_error(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), Lease(store, "mila", 30).holding():
        raise ZeroDivisionError
    assert store.leases.count_documents({}) == 0
