"""Outputs of scontrol into a real database: only what changed, nothing lost, nothing invented."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from ingest.accounts.users import add_user
from ingest.database.search_fields import job_search_fields, node_search_fields
from ingest.database.store import Store
from ingest.documents.document_updates import HISTORY_STEPS
from ingest.slurm.keys import JOB, NODE
from ingest.slurm.kinds import JOBS, NODES
from ingest.sync.sync_rounds import DocumentsMissing, SyncRounds, plain_bulk_write
from tests.ingest.reading.attacks import job
from tests.ingest.sync.outputs import BOB, Clock, cluster, found, new_rounds, one, take
from tests.support.reading import read_lazily


@pytest.fixture
def sync(store: Store, clock: Clock) -> SyncRounds:
    return new_rounds(store, clock)


def test_a_new_job_is_a_whole_document(store: Store, sync: SyncRounds, clock: Clock) -> None:
    assert take(sync, one()).inserted == 1
    document = found(store)
    assert document["_id"] == "mila/1"
    assert document["slurm"]["job_state"] == "RUNNING"
    assert document["slurm"]["cluster_name"] == "mila"
    assert document["user"] == {}
    assert document["cw"] == {
        "mila_cluster_username": "alice",
        "cc_account_username": None,
        "mila_email_username": None,
        "first_seen": clock.now,
        "last_changed": clock.now,
        "finished_at": None,
        "filters": job_search_fields(document["slurm"], ["alice"], None),
        "history": [{"state": "RUNNING", "seen": clock.now}],
    }


def test_the_history_keeps_the_newest_states_and_when_they_were_first_seen(
    store: Store, sync: SyncRounds, clock: Clock
) -> None:
    for state in ("PENDING", "RUNNING", "RUNNING", "COMPLETED"):
        take(sync, one(state=state))
        clock.now += timedelta(minutes=1)
    history = found(store)["cw"]["history"]
    start = clock.now - timedelta(minutes=4)
    assert history == [
        {"state": "PENDING", "seen": start},
        {"state": "RUNNING", "seen": start + timedelta(minutes=1)},
        {"state": "COMPLETED", "seen": start + timedelta(minutes=3)},
    ]
    for number in range(2 * HISTORY_STEPS):
        take(sync, one(state=("PENDING", "RUNNING")[number % 2]))
    assert len(found(store)["cw"]["history"]) == HISTORY_STEPS


def test_what_did_not_change_is_not_written(store: Store, sync: SyncRounds, clock: Clock) -> None:
    take(sync, one())
    clock.now += timedelta(minutes=5)
    later = one().replace("RunTime=00:10:00", "RunTime=00:15:00")
    counts = take(sync, later)
    assert (counts.read, counts.inserted, counts.changed) == (1, 0, 0)
    assert found(store)["slurm"]["run_time"] == 600
    clock.now += timedelta(minutes=10)
    assert take(sync, later).changed == 1
    document = found(store)
    assert document["slurm"]["run_time"] == 900
    assert document["cw"]["last_changed"] == document["cw"]["first_seen"]


def test_a_change_is_written_and_the_users_dict_stays(
    store: Store, sync: SyncRounds, clock: Clock
) -> None:
    take(sync, one())
    store.jobs.update_one({"_id": "mila/1"}, {"$set": {"user": {"loss": 0.2}}})
    clock.now += timedelta(minutes=1)
    assert take(sync, one(comment="changed")).changed == 1
    document = found(store)
    assert document["slurm"]["comment"] == "changed"
    assert document["user"] == {"loss": 0.2}
    assert document["cw"]["last_changed"] == clock.now
    assert document["cw"]["first_seen"] == clock.now - timedelta(minutes=1)


def test_a_key_that_slurm_no_longer_prints_is_gone(store: Store, sync: SyncRounds) -> None:
    take(sync, one())
    take(sync, one().replace("\n   Comment=hello", ""))
    assert "comment" not in found(store)["slurm"]


def test_a_restart_writes_nothing_again(store: Store, sync: SyncRounds, clock: Clock) -> None:
    take(sync, one(), job("2", BOB, sealed=False))
    counts = take(new_rounds(store, clock), one(), job("2", BOB, sealed=False))
    assert (counts.read, counts.inserted, counts.changed, counts.vanished) == (2, 0, 0, 0)


def test_a_job_that_is_gone_keeps_what_was_known(
    store: Store, sync: SyncRounds, clock: Clock
) -> None:
    take(sync, one(), job("2", BOB, sealed=False))
    before = found(store)
    clock.now += timedelta(minutes=1)
    assert take(sync, job("2", BOB, sealed=False)).vanished == 1
    after = found(store)
    assert after["slurm"] == before["slurm"]
    assert after["cw"]["vanished"] == after["cw"]["finished_at"] == clock.now
    assert "vanished" not in found(store, "2")["cw"]
    assert take(sync, job("2", BOB, sealed=False)).vanished == 0


def test_a_finished_job_that_is_gone_keeps_its_end(
    store: Store, sync: SyncRounds, clock: Clock
) -> None:
    take(sync, one(state="COMPLETED"))
    end = found(store)["cw"]["finished_at"]
    assert end == datetime(2026, 11, 23, 20, 13, 41, tzinfo=timezone.utc)
    take(sync)
    assert found(store)["cw"]["finished_at"] == end
    assert found(store)["cw"]["vanished"] == clock.now


def test_a_job_that_comes_back_is_there_again(store: Store, sync: SyncRounds, clock: Clock) -> None:
    take(sync, one())
    store.jobs.update_one({"_id": "mila/1"}, {"$set": {"user.a": 1}})
    take(sync)
    counts = take(sync, one())
    assert (counts.inserted, counts.changed) == (0, 1)
    document = found(store)
    assert "vanished" not in document["cw"]
    assert document["cw"]["finished_at"] is None
    assert document["user"] == {"a": 1}


@pytest.mark.parametrize("vanished_first", [True, False])
def test_an_id_that_comes_round_again_is_another_job(
    store: Store, sync: SyncRounds, clock: Clock, vanished_first: bool
) -> None:
    take(sync, one())
    store.jobs.update_one({"_id": "mila/1"}, {"$set": {"user.a": 1}})
    if vanished_first:
        take(sync)
    clock.now += timedelta(days=1)
    take(sync, one(owner=BOB))
    document = found(store)
    assert document["slurm"]["mila_cluster_username"] == "bob"
    assert document["user"] == {}
    assert document["cw"]["first_seen"] == clock.now
    (former,) = store.former_jobs.find()
    assert former["slurm"]["mila_cluster_username"] == "alice"
    assert former["user"] == {"a": 1}
    assert store.jobs.count_documents({}) == 1


def test_a_job_that_was_requeued_before_its_first_scrape_is_another_job(
    store: Store, sync: SyncRounds, clock: Clock
) -> None:
    take(sync, one(state="COMPLETED").replace("Restarts=0", "Restarts=3"))
    store.jobs.update_one({"_id": "mila/1"}, {"$set": {"user.a": 1}})
    take(sync)
    clock.now += timedelta(days=30)
    later = re.sub(r"SubmitTime=\S+", "SubmitTime=2026-12-24T10:00:00", one())
    take(sync, later.replace("Restarts=0", "Restarts=1"))
    assert found(store)["user"] == {}
    assert [former["user"] for former in store.former_jobs.find()] == [{"a": 1}]


def test_what_an_owner_writes_while_the_id_is_used_again_is_not_lost(
    store: Store, clock: Clock
) -> None:
    plain = plain_bulk_write(store, cluster())
    ahead: list[dict[str, int]] = []

    def write(*arguments: Any, **named: Any) -> Any:
        if ahead:
            store.jobs.update_one({"_id": "mila/1"}, {"$set": {"user": ahead.pop()}})
        return plain(*arguments, **named)

    sync = SyncRounds(store, cluster(), JOBS, volatile_interval=900, clock=clock, bulk_write=write)
    take(sync, one(state="COMPLETED"))
    ahead.append({"late": 1})
    with pytest.raises(DocumentsMissing):
        take(sync, one(owner=BOB))
    take(sync, one(owner=BOB))
    assert found(store)["slurm"]["uid"] == "1002"
    assert [(each["slurm"]["uid"], each["user"]) for each in store.former_jobs.find()] == [
        ("1001", {"late": 1})
    ]


def test_what_an_ended_run_used_stays_until_the_job_runs_again(
    store: Store, sync: SyncRounds, clock: Clock
) -> None:
    ended = one(state="COMPLETED")
    take(sync, ended)
    store.jobs.update_one({}, {"$set": {"cw.usage": {"cpus": 1}}})
    clock.now += timedelta(hours=3)
    take(sync, ended.replace("Priority=10 ", "Priority=11 "))
    assert found(store)["cw"]["usage"] == {"cpus": 1}
    take(sync, ended.replace("Restarts=0", "Restarts=1"))
    assert "usage" not in found(store)["cw"]


def owners(store: Store) -> dict[str, tuple[str, str, Any]]:
    """The name that Slurm gave, whose the job is, and the user dict, of the job and former ones."""
    return {
        found["_id"]: (
            found["slurm"]["mila_cluster_username"],
            found["cw"]["filters"]["owner"].partition("/")[2],
            found["user"],
        )
        for found in (*store.jobs.find(), *store.former_jobs.find().sort("cw.first_seen"))
    }


def test_a_uid_that_bears_another_name_gives_no_access(
    store: Store, sync: SyncRounds, clock: Clock
) -> None:
    for number, name in enumerate(("bob", "mallory", "bob", "mallory")):
        clock.now += timedelta(minutes=1)
        take(sync, one(owner=f"{name}(1002)"))
        store.jobs.update_one({"_id": "mila/1"}, {"$set": {"user": {"note": number}}})
    found = owners(store)
    assert found.pop("mila/1") == ("mallory", "mallory", {"note": 3})
    # Nothing of what each of them wrote is lost.
    assert list(found.values()) == [
        ("bob", "bob", {"note": 0}),
        ("mallory", "mallory", {"note": 1}),
        ("bob", "bob", {"note": 2}),
    ]
    document = store.jobs.find_one({"_id": "mila/1"})
    assert document is not None
    assert [step["seen"] for step in document["cw"]["history"]] == [clock.now]


@pytest.mark.parametrize("unnamed", ["1002", "nobody"])
@pytest.mark.parametrize("restarted", [True, False])
def test_a_name_service_that_fails_takes_no_job_from_its_owner(
    store: Store, clock: Clock, unnamed: str, restarted: bool
) -> None:
    add_user(store, "bob@example.org", "bob")
    sync = new_rounds(store, clock)
    take(sync, one(owner=BOB), job("2", BOB, sealed=False))
    store.jobs.update_one({"_id": "mila/1"}, {"$set": {"user": {"note": 1}}})
    failing = f"{unnamed}(1002)"
    for state in ("RUNNING", "COMPLETED"):
        if restarted:
            sync = new_rounds(store, clock)
        take(sync, one(owner=failing, state=state), job("2", failing, sealed=False))
        assert owners(store) == {
            "mila/1": ("bob", "bob", {"note": 1}),
            "mila/2": ("bob", "bob", {}),
        }
        assert found(store)["slurm"]["job_state"] == state
        assert found(store)["cw"]["mila_email_username"] == "bob@example.org"
    take(sync)  # gone meanwhile
    take(sync, one(owner=failing, state="FAILED"))
    assert owners(store)["mila/1"] == ("bob", "bob", {"note": 1})
    take(sync, one(owner="mallory(1002)", state="COMPLETED"))
    assert owners(store)["mila/1"] == ("mallory", "mallory", {})


def test_a_job_first_seen_without_a_name_gets_it(store: Store, sync: SyncRounds) -> None:
    take(sync, one(owner="1002(1002)"))
    assert found(store)["slurm"]["mila_cluster_username"] == "1002"
    take(sync, one(owner=BOB))
    assert owners(store) == {"mila/1": ("bob", "bob", {})}
    take(sync, one(owner="1003(1003)"))  # of another uid: another job
    assert found(store)["slurm"]["mila_cluster_username"] == "1003"
    assert store.former_jobs.count_documents({}) == 1


def test_a_requeued_job_is_the_same_job(store: Store, sync: SyncRounds) -> None:
    take(sync, one())
    store.jobs.update_one({"_id": "mila/1"}, {"$set": {"user.a": 1}})
    again = one(state="PENDING").replace("Restarts=0", "Restarts=1")
    take(sync, again.replace("SubmitTime=2026-11-23T20", "SubmitTime=2026-11-23T21"))
    assert found(store)["user"] == {"a": 1}
    assert store.former_jobs.count_documents({}) == 0


def test_a_cut_output_marks_nothing_as_gone(store: Store, sync: SyncRounds) -> None:
    take(sync, one(), job("2", BOB, sealed=False), job("3", BOB, sealed=False))

    def cut() -> Iterator[bytes]:
        changed = one(comment="changed") + job("2", BOB, sealed=False)
        yield changed.encode()
        raise ConnectionError

    with pytest.raises(ConnectionError):
        sync.take_in(read_lazily(cut(), JOB))
    assert store.jobs.count_documents({"cw.vanished": {"$exists": True}}) == 0
    counts = take(
        sync, one(comment="changed"), job("2", BOB, sealed=False), job("3", BOB, sealed=False)
    )
    assert counts.changed <= 1
    assert found(store)["slurm"]["comment"] == "changed"


def test_a_record_that_is_set_aside_is_kept_with_the_reason_and_not_gone(
    store: Store, sync: SyncRounds, clock: Clock
) -> None:
    take(sync, one(), job("2", BOB, sealed=False))
    counts = take(sync, one(comment="x\n   StdErr=/forged"), job("2", BOB, sealed=False))
    assert (counts.read, counts.set_aside, counts.vanished) == (2, 1, 0)
    assert "StdErr could stand" in next(iter(counts.reasons))
    document = found(store)
    assert document["slurm"]["comment"] == "hello"
    assert "vanished" not in document["cw"]
    (aside,) = store.quarantine.find()
    assert aside["ids"] == ["1"]
    assert "StdErr could stand" in aside["reason"]
    assert bytes(aside["text"]).startswith(b"JobId=1 ")
    take(sync, one(comment="x\n   StdErr=/forged"), job("2", BOB, sealed=False))
    (aside,) = store.quarantine.find()
    assert aside["times"] == 2


def test_a_record_with_an_impossible_value_is_set_aside(store: Store, sync: SyncRounds) -> None:
    counts = take(sync, one(owner="alice"), job("2", BOB, sealed=False))
    assert counts.set_aside == 1
    assert store.jobs.count_documents({}) == 1


def test_clusters_do_not_touch_each_other(store: Store, sync: SyncRounds, clock: Clock) -> None:
    other = new_rounds(store, clock, "beluga")
    take(sync, one())
    take(other, one(owner=BOB), name="beluga")
    take(other, name="beluga")
    documents = {found["_id"]: found for found in store.jobs.find()}
    assert "vanished" not in documents["mila/1"]["cw"]
    assert "vanished" in documents["beluga/1"]["cw"]


def test_cw_is_filled_from_the_accounts(store: Store, sync: SyncRounds) -> None:
    add_user(store, "alice@mila.quebec", "alice", "ccalice")
    take(sync, one(), job("2", BOB, sealed=False))
    assert found(store)["cw"]["cc_account_username"] == "ccalice"
    assert found(store)["cw"]["mila_email_username"] == "alice@mila.quebec"
    assert found(store, "2")["cw"]["mila_email_username"] is None
    add_user(store, "bob@mila.quebec", "bob")
    assert found(store, "2")["cw"]["mila_email_username"] == "bob@mila.quebec"


def test_an_account_made_during_a_round_shows_in_the_rounds_jobs(
    store: Store, sync: SyncRounds
) -> None:
    def chunks() -> Iterator[bytes]:
        add_user(store, "alice@mila.quebec", "alice")
        yield one().encode()

    sync.take_in(read_lazily(chunks(), JOB))
    assert found(store)["cw"]["mila_email_username"] == "alice@mila.quebec"


def test_documents_that_somebody_removed_come_back_with_the_next_round(
    store: Store, sync: SyncRounds
) -> None:
    take(sync, one())
    store.jobs.delete_many({})
    with pytest.raises(DocumentsMissing, match="1 jobs of mila"):
        take(sync, one(comment="changed"))
    assert take(sync, one(comment="changed")).inserted == 1


def test_two_writers_of_one_cluster_make_one_document(
    store: Store, sync: SyncRounds, clock: Clock
) -> None:
    other = new_rounds(store, clock)
    take(sync)
    take(other)
    take(sync, one())
    assert take(other, one(comment="changed")).changed == 1
    assert store.jobs.count_documents({}) == 1
    assert found(store)["slurm"]["comment"] == "changed"


def test_nodes(store: Store, clock: Clock) -> None:
    sync = SyncRounds(store, cluster(), NODES, volatile_interval=900, clock=clock)

    def node(state: str, load: str) -> bytes:
        return (
            f"NodeName=cn-a001 Arch=x86_64 CoresPerSocket=1 \n   CPUAlloc=0 CPULoad={load}\n"
            f"   RealMemory=1000 FreeMem=5\n   State={state} Weight=1\n\n"
        ).encode()

    assert sync.take_in(read_lazily([node("IDLE", "0.1")], NODE)).inserted == 1
    assert sync.take_in(read_lazily([node("IDLE", "0.2")], NODE)).changed == 0
    assert sync.take_in(read_lazily([node("DOWN", "0.2")], NODE)).changed == 1
    (document,) = store.nodes.find()
    assert document["slurm"]["state"] == "DOWN"
    filters = node_search_fields(document["slurm"])
    assert document["cw"] == {
        "first_seen": clock.now,
        "last_changed": clock.now,
        "filters": filters,
    }
    assert "user" not in document
    clock.now += timedelta(minutes=1)
    sync.take_in(read_lazily([b"No nodes in the system\n"], NODE))
    (document,) = store.nodes.find()
    assert document["cw"]["vanished"] == clock.now
