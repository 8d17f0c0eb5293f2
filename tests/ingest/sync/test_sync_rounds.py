"""Outputs of scontrol into a real database: only what changed, nothing lost, nothing invented."""

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from config import ClusterSettings, SshSettings
from ingest.accounts.users import add_user
from ingest.database.search_fields import job_search_fields, node_search_fields
from ingest.database.store import Store
from ingest.reading.records import read_records
from ingest.slurm.grammar import JOB, NODE
from ingest.slurm.kinds import JOBS, NODES
from ingest.sync.document_updates import HISTORY_STEPS
from ingest.sync.sync_rounds import DocumentsMissing, Intake, RoundCounts
from tests.ingest.reading.attacks import job

ALICE, BOB = "alice(1001)", "bob(1002)"


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def cluster(name: str = "mila") -> ClusterSettings:
    return ClusterSettings(
        name=name,
        timezone="America/Montreal",
        username_field="mila_cluster_username",
        ssh=SshSettings(host="nowhere"),
    )


@pytest.fixture
def intake(store: Store, clock: Clock) -> Intake:
    return new_intake(store, clock)


def new_intake(store: Store, clock: Clock, name: str = "mila") -> Intake:
    return Intake(store, cluster(name), JOBS, volatile_interval=900, clock=clock)


def take(intake: Intake, *records: str) -> RoundCounts:
    text = "".join(records) or "No jobs in the system\n"
    return intake.take_in(read_records([text.encode()], JOB))


def found(store: Store, job_id: str = "1") -> dict[str, Any]:
    document = store.jobs.find_one({"slurm.job_id": job_id})
    assert document is not None
    return document


def one(**texts: str) -> str:
    return job("1", texts.pop("owner", ALICE), sealed=False, **texts)


def test_a_new_job_is_a_whole_document(store: Store, intake: Intake, clock: Clock) -> None:
    assert take(intake, one()).inserted == 1
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
    store: Store, intake: Intake, clock: Clock
) -> None:
    for state in ("PENDING", "RUNNING", "RUNNING", "COMPLETED"):
        take(intake, one(state=state))
        clock.now += timedelta(minutes=1)
    history = found(store)["cw"]["history"]
    start = clock.now - timedelta(minutes=4)
    assert history == [
        {"state": "PENDING", "seen": start},
        {"state": "RUNNING", "seen": start + timedelta(minutes=1)},
        {"state": "COMPLETED", "seen": start + timedelta(minutes=3)},
    ]
    for number in range(2 * HISTORY_STEPS):
        take(intake, one(state=("PENDING", "RUNNING")[number % 2]))
    assert len(found(store)["cw"]["history"]) == HISTORY_STEPS


def test_what_did_not_change_is_not_written(store: Store, intake: Intake, clock: Clock) -> None:
    take(intake, one())
    clock.now += timedelta(minutes=5)
    later = one().replace("RunTime=00:10:00", "RunTime=00:15:00")
    counts = take(intake, later)
    assert (counts.read, counts.inserted, counts.changed) == (1, 0, 0)
    assert found(store)["slurm"]["run_time"] == 600
    clock.now += timedelta(minutes=10)
    assert take(intake, later).changed == 1
    document = found(store)
    assert document["slurm"]["run_time"] == 900
    assert document["cw"]["last_changed"] == document["cw"]["first_seen"]


def test_a_change_is_written_and_the_users_dict_stays(
    store: Store, intake: Intake, clock: Clock
) -> None:
    take(intake, one())
    store.jobs.update_one({"_id": "mila/1"}, {"$set": {"user": {"loss": 0.2}}})
    clock.now += timedelta(minutes=1)
    assert take(intake, one(comment="changed")).changed == 1
    document = found(store)
    assert document["slurm"]["comment"] == "changed"
    assert document["user"] == {"loss": 0.2}
    assert document["cw"]["last_changed"] == clock.now
    assert document["cw"]["first_seen"] == clock.now - timedelta(minutes=1)


def test_a_key_that_slurm_no_longer_prints_is_gone(store: Store, intake: Intake) -> None:
    take(intake, one())
    take(intake, one().replace("\n   Comment=hello", ""))
    assert "comment" not in found(store)["slurm"]


def test_a_restart_writes_nothing_again(store: Store, intake: Intake, clock: Clock) -> None:
    take(intake, one(), job("2", BOB, sealed=False))
    counts = take(new_intake(store, clock), one(), job("2", BOB, sealed=False))
    assert (counts.read, counts.inserted, counts.changed, counts.vanished) == (2, 0, 0, 0)


def test_a_job_that_is_gone_keeps_what_was_known(
    store: Store, intake: Intake, clock: Clock
) -> None:
    take(intake, one(), job("2", BOB, sealed=False))
    before = found(store)
    clock.now += timedelta(minutes=1)
    assert take(intake, job("2", BOB, sealed=False)).vanished == 1
    after = found(store)
    assert after["slurm"] == before["slurm"]
    assert after["cw"]["vanished"] == after["cw"]["finished_at"] == clock.now
    assert "vanished" not in found(store, "2")["cw"]
    assert take(intake, job("2", BOB, sealed=False)).vanished == 0


def test_a_finished_job_that_is_gone_keeps_its_end(
    store: Store, intake: Intake, clock: Clock
) -> None:
    take(intake, one(state="COMPLETED"))
    end = found(store)["cw"]["finished_at"]
    assert end == datetime(2026, 11, 23, 20, 13, 41, tzinfo=timezone.utc)
    take(intake)
    assert found(store)["cw"]["finished_at"] == end
    assert found(store)["cw"]["vanished"] == clock.now


def test_a_job_that_comes_back_is_there_again(store: Store, intake: Intake, clock: Clock) -> None:
    take(intake, one())
    store.jobs.update_one({"_id": "mila/1"}, {"$set": {"user.a": 1}})
    take(intake)
    counts = take(intake, one())
    assert (counts.inserted, counts.changed) == (0, 1)
    document = found(store)
    assert "vanished" not in document["cw"]
    assert document["cw"]["finished_at"] is None
    assert document["user"] == {"a": 1}


@pytest.mark.parametrize("vanished_first", [True, False])
def test_an_id_that_comes_round_again_is_another_job(
    store: Store, intake: Intake, clock: Clock, vanished_first: bool
) -> None:
    take(intake, one())
    store.jobs.update_one({"_id": "mila/1"}, {"$set": {"user.a": 1}})
    if vanished_first:
        take(intake)
    clock.now += timedelta(days=1)
    take(intake, one(owner=BOB))
    document = found(store)
    assert document["slurm"]["mila_cluster_username"] == "bob"
    assert document["user"] == {}
    assert document["cw"]["first_seen"] == clock.now
    (former,) = store.former_jobs.find()
    assert former["slurm"]["mila_cluster_username"] == "alice"
    assert former["user"] == {"a": 1}
    assert store.jobs.count_documents({}) == 1


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
    store: Store, intake: Intake, clock: Clock
) -> None:
    for number, name in enumerate(("bob", "mallory", "bob", "mallory")):
        clock.now += timedelta(minutes=1)
        take(intake, one(owner=f"{name}(1002)"))
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
    intake = new_intake(store, clock)
    take(intake, one(owner=BOB), job("2", BOB, sealed=False))
    store.jobs.update_one({"_id": "mila/1"}, {"$set": {"user": {"note": 1}}})
    failing = f"{unnamed}(1002)"
    for state in ("RUNNING", "COMPLETED"):
        if restarted:
            intake = new_intake(store, clock)
        take(intake, one(owner=failing, state=state), job("2", failing, sealed=False))
        assert owners(store) == {
            "mila/1": ("bob", "bob", {"note": 1}),
            "mila/2": ("bob", "bob", {}),
        }
        assert found(store)["slurm"]["job_state"] == state
        assert found(store)["cw"]["mila_email_username"] == "bob@example.org"
    take(intake)  # gone meanwhile
    take(intake, one(owner=failing, state="FAILED"))
    assert owners(store)["mila/1"] == ("bob", "bob", {"note": 1})
    take(intake, one(owner="mallory(1002)", state="COMPLETED"))
    assert owners(store)["mila/1"] == ("mallory", "mallory", {})


def test_a_job_first_seen_without_a_name_gets_it(store: Store, intake: Intake) -> None:
    take(intake, one(owner="1002(1002)"))
    assert found(store)["slurm"]["mila_cluster_username"] == "1002"
    take(intake, one(owner=BOB))
    assert owners(store) == {"mila/1": ("bob", "bob", {})}
    take(intake, one(owner="1003(1003)"))  # of another uid: another job
    assert found(store)["slurm"]["mila_cluster_username"] == "1003"
    assert store.former_jobs.count_documents({}) == 1


def test_a_requeued_job_is_the_same_job(store: Store, intake: Intake) -> None:
    take(intake, one())
    store.jobs.update_one({"_id": "mila/1"}, {"$set": {"user.a": 1}})
    again = one(state="PENDING").replace("Restarts=0", "Restarts=1")
    take(intake, again.replace("SubmitTime=2026-11-23T20", "SubmitTime=2026-11-23T21"))
    assert found(store)["user"] == {"a": 1}
    assert store.former_jobs.count_documents({}) == 0


def test_a_cut_output_marks_nothing_as_gone(store: Store, intake: Intake) -> None:
    take(intake, one(), job("2", BOB, sealed=False), job("3", BOB, sealed=False))

    def cut() -> Iterator[bytes]:
        changed = one(comment="changed") + job("2", BOB, sealed=False)
        yield changed.encode()
        raise ConnectionError

    with pytest.raises(ConnectionError):
        intake.take_in(read_records(cut(), JOB))
    assert store.jobs.count_documents({"cw.vanished": {"$exists": True}}) == 0
    counts = take(
        intake, one(comment="changed"), job("2", BOB, sealed=False), job("3", BOB, sealed=False)
    )
    assert counts.changed <= 1
    assert found(store)["slurm"]["comment"] == "changed"


def test_a_record_that_is_set_aside_is_kept_with_the_reason_and_not_gone(
    store: Store, intake: Intake, clock: Clock
) -> None:
    take(intake, one(), job("2", BOB, sealed=False))
    counts = take(intake, one(comment="x\n   StdErr=/forged"), job("2", BOB, sealed=False))
    assert (counts.read, counts.set_aside, counts.vanished) == (2, 1, 0)
    assert "StdErr could stand" in next(iter(counts.reasons))
    document = found(store)
    assert document["slurm"]["comment"] == "hello"
    assert "vanished" not in document["cw"]
    (aside,) = store.quarantine.find()
    assert aside["ids"] == ["1"]
    assert "StdErr could stand" in aside["reason"]
    assert bytes(aside["text"]).startswith(b"JobId=1 ")
    take(intake, one(comment="x\n   StdErr=/forged"), job("2", BOB, sealed=False))
    (aside,) = store.quarantine.find()
    assert aside["times"] == 2


def test_a_record_with_an_impossible_value_is_set_aside(store: Store, intake: Intake) -> None:
    counts = take(intake, one(owner="alice"), job("2", BOB, sealed=False))
    assert counts.set_aside == 1
    assert store.jobs.count_documents({}) == 1


def test_clusters_do_not_touch_each_other(store: Store, intake: Intake, clock: Clock) -> None:
    other = new_intake(store, clock, "beluga")
    take(intake, one())
    take(other, one(owner=BOB))
    take(other)
    documents = {found["_id"]: found for found in store.jobs.find()}
    assert "vanished" not in documents["mila/1"]["cw"]
    assert "vanished" in documents["beluga/1"]["cw"]


def test_cw_is_filled_from_the_accounts(store: Store, intake: Intake) -> None:
    add_user(store, "alice@mila.quebec", "alice", "ccalice")
    take(intake, one(), job("2", BOB, sealed=False))
    assert found(store)["cw"]["cc_account_username"] == "ccalice"
    assert found(store)["cw"]["mila_email_username"] == "alice@mila.quebec"
    assert found(store, "2")["cw"]["mila_email_username"] is None
    add_user(store, "bob@mila.quebec", "bob")
    assert found(store, "2")["cw"]["mila_email_username"] == "bob@mila.quebec"


def test_an_account_made_during_a_round_shows_in_the_rounds_jobs(
    store: Store, intake: Intake
) -> None:
    def chunks() -> Iterator[bytes]:
        add_user(store, "alice@mila.quebec", "alice")
        yield one().encode()

    intake.take_in(read_records(chunks(), JOB))
    assert found(store)["cw"]["mila_email_username"] == "alice@mila.quebec"


def test_documents_that_somebody_removed_come_back_with_the_next_round(
    store: Store, intake: Intake
) -> None:
    take(intake, one())
    store.jobs.delete_many({})
    with pytest.raises(DocumentsMissing, match="1 jobs of mila"):
        take(intake, one(comment="changed"))
    assert take(intake, one(comment="changed")).inserted == 1


def test_two_writers_of_one_cluster_make_one_document(
    store: Store, intake: Intake, clock: Clock
) -> None:
    other = new_intake(store, clock)
    take(intake)
    take(other)
    take(intake, one())
    assert take(other, one(comment="changed")).changed == 1
    assert store.jobs.count_documents({}) == 1
    assert found(store)["slurm"]["comment"] == "changed"


def test_nodes(store: Store, clock: Clock) -> None:
    intake = Intake(store, cluster(), NODES, volatile_interval=900, clock=clock)

    def node(state: str, load: str) -> bytes:
        return (
            f"NodeName=cn-a001 Arch=x86_64 CoresPerSocket=1 \n   CPUAlloc=0 CPULoad={load}\n"
            f"   RealMemory=1000 FreeMem=5\n   State={state} Weight=1\n\n"
        ).encode()

    assert intake.take_in(read_records([node("IDLE", "0.1")], NODE)).inserted == 1
    assert intake.take_in(read_records([node("IDLE", "0.2")], NODE)).changed == 0
    assert intake.take_in(read_records([node("DOWN", "0.2")], NODE)).changed == 1
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
    intake.take_in(read_records([b"No nodes in the system\n"], NODE))
    (document,) = store.nodes.find()
    assert document["cw"]["vanished"] == clock.now
