"""What sacct's jobs change in the database, and what they leave alone."""

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from ingest.accounts.users import NAME_FIELDS
from ingest.clusters.accounting import (
    JobsHidden,
    change_for,
    check_none_hidden,
    owed_ends,
    take_accounted,
)
from ingest.database.store import Store
from ingest.programs.sacct import AccountedJob
from ingest.slurm.keys import JOB
from ingest.slurm.kinds import JOBS
from ingest.sync.sync_rounds import SyncRounds
from tests.ingest.programs.accounted import CLUSTER, accounted
from tests.ingest.reading.attacks import job as printed
from tests.support.reading import read_lazily

NOW = datetime.now(timezone.utc)
SUBMITTED = "2026-11-24T01:00:00-05:00"
LATER = "2026-11-24T01:30:00-05:00"
EARLIER = "2026-11-24T00:30:00-05:00"


def found(
    state: str = "RUNNING", submit: str = SUBMITTED, uid: str = "1001", **cw: Any
) -> dict[str, Any]:
    """A job's document, vanished if nothing else is said."""
    slurm = {"job_state": state, "submit_time": submit, "uid": uid}
    return {"slurm": slurm, "cw": {"vanished": NOW, **cw}}


def from_sacct(job: AccountedJob) -> dict[str, Any]:
    return {"slurm": job.document(CLUSTER), "cw": {"vanished": NOW, "source": "sacct"}}


PLAIN = accounted()
AGAIN = accounted(submit_time=LATER, state="FAILED")


@pytest.mark.parametrize(
    ("document", "job", "change"),
    [
        (None, PLAIN, "insert"),
        (None, accounted(end_time=None), None),
        (None, accounted(state="RUNNING", end_time=None), None),
        (None, accounted(state="REQUEUED"), None),
        # a present job is scontrol's
        (found(vanished=None), PLAIN, None),
        (found(vanished=None), AGAIN, None),
        (found(vanished=None, uid="1002"), AGAIN, None),
        # a vanished one whose end was not shown
        (found(), PLAIN, "end"),
        (found("PENDING"), PLAIN, "end"),
        (found("COMPLETING"), PLAIN, "end"),
        (found(submit="Unknown"), PLAIN, "end"),
        (found(accounting=PLAIN.end()), PLAIN, None),
        (found(accounting=PLAIN.end() | {"job_state": "FAILED"}), PLAIN, "end"),
        # one whose end was shown
        (found("COMPLETED"), PLAIN, None),
        (found("COMPLETED"), AGAIN, "end"),
        # runs of one job
        (found(), AGAIN, "end"),
        (found(submit=LATER), PLAIN, None),
        (found(accounting=AGAIN.end()), PLAIN, None),
        (found(accounting=PLAIN.end()), AGAIN, "end"),
        # an accounting of the first release has no submit time
        (found(accounting={"job_state": "FAILED"}), PLAIN, "end"),
        # another user's job under the id
        (found(uid="1002"), PLAIN, None),
        (found(uid="1002"), AGAIN, "replace"),
        (found(uid="1002", submit=EARLIER), PLAIN, "replace"),
        (found(uid="1002", submit="Unknown"), PLAIN, None),
        # one that came from sacct
        (from_sacct(PLAIN), PLAIN, None),
        (from_sacct(PLAIN), AGAIN, "update"),
        (from_sacct(AGAIN), PLAIN, None),
        # whose owner an earlier release took from a row of which slurmdbd knew the end alone
        (from_sacct(accounted(uid="0", user="root", partition=None)), PLAIN, "update"),
        (found(uid="0", source="sacct"), accounted(end_time=LATER), "update"),
    ],
)
def test_what_a_job_changes(
    document: dict[str, Any] | None, job: AccountedJob, change: str | None
) -> None:
    assert change_for(document, job) == change


# --- in Mongo --------------------------------------------------------------------------------


def take(store: Store, *jobs: AccountedJob) -> dict[Any, int]:
    return take_accounted(store, CLUSTER, jobs, new_rounds(store).bulk_write)


def new_rounds(store: Store) -> SyncRounds:
    return SyncRounds(store, CLUSTER, JOBS, volatile_interval=900)


def scrape(store: Store, *records: str) -> None:
    """A round in which scontrol shows *records*, by a scraper that has just begun."""
    text = "".join(records) or "No jobs in the system\n"
    new_rounds(store).take_in(read_lazily([text.encode()], JOB))


def only(store: Store) -> dict[str, Any]:
    (job,) = store.jobs.find()
    return job


def test_a_job_that_no_scrape_showed(store: Store) -> None:
    store.users.insert_one(
        {"mila_cluster_username": "alice", "mila_email_username": "alice@mila.quebec"}
    )
    assert take(store, PLAIN) == {"insert": 1}
    job = only(store)
    assert job["slurm"] == PLAIN.document(CLUSTER)
    assert job["user"] == {}
    cw = job["cw"]
    assert cw["source"] == "sacct"
    assert cw["finished_at"] == datetime(2026, 11, 24, 7, tzinfo=timezone.utc)
    assert cw["vanished"] == cw["first_seen"] == cw["last_changed"]
    assert [step["state"] for step in cw["history"]] == ["COMPLETED"]
    assert {field: cw[field] for field in NAME_FIELDS if field in cw} == {
        "mila_cluster_username": "alice",
        "mila_email_username": "alice@mila.quebec",
        "cc_account_username": None,
    }
    assert cw["filters"]["nodes"] == ["cn-a001", "cn-a002"]
    assert take(store, PLAIN) == {}


def test_scontrol_knows_better(store: Store) -> None:
    """A job that sacct told of first: it had ended in between, and scontrol still shows it."""
    shown = printed("7", "alice(1001)", sealed=False, state="COMPLETED")
    scrape(store, shown)
    submit = only(store)["slurm"]["submit_time"]
    store.jobs.delete_many({})
    take(store, accounted(submit_time=submit))
    store.jobs.update_one({}, {"$set": {"user": {"a": 1}}})
    scrape(store, shown)
    job = only(store)
    assert "source" not in job["cw"]
    assert "vanished" not in job["cw"]
    assert "command" in job["slurm"]
    assert job["user"] == {"a": 1}


def test_a_job_that_vanished_gets_its_end(store: Store) -> None:
    scrape(store, printed("7", "alice(1001)", sealed=False))
    scrape(store)
    before = only(store)
    assert owed_ends(store, "mila") == ["7"]
    ended = accounted(submit_time=before["slurm"]["submit_time"])
    assert take(store, ended) == {"end": 1}
    job = only(store)
    assert job["slurm"] == before["slurm"]
    assert job["cw"]["accounting"] == ended.end()
    assert job["cw"]["finished_at"] == datetime(2026, 11, 24, 7, tzinfo=timezone.utc)
    assert job["cw"]["filters"]["finished_at"] == job["cw"]["finished_at"]
    assert owed_ends(store, "mila") == []


def test_a_job_that_comes_back_owes_its_end_again(store: Store) -> None:
    scrape(store, printed("7", "alice(1001)", sealed=False))
    scrape(store)
    take(store, accounted(submit_time=only(store)["slurm"]["submit_time"]))
    scrape(store, printed("7", "alice(1001)", sealed=False))
    assert "accounting" not in only(store)["cw"]
    assert owed_ends(store, "mila") == []
    scrape(store)
    assert owed_ends(store, "mila") == ["7"]


def test_an_end_is_not_owed_for_ever(store: Store) -> None:
    scrape(store, printed("7", "alice(1001)", sealed=False))
    scrape(store)
    old = NOW - timedelta(days=2)
    store.jobs.update_one({}, {"$set": {"cw.vanished": old}})
    assert owed_ends(store, "mila") == []


def test_a_later_run_takes_the_place_of_an_earlier_one(store: Store) -> None:
    take(store, PLAIN)
    store.jobs.update_one({}, {"$set": {"user": {"a": 1}}})
    assert take(store, AGAIN) == {"update": 1}
    job = only(store)
    assert job["slurm"] == AGAIN.document(CLUSTER)
    assert job["user"] == {"a": 1}
    assert job["cw"]["source"] == "sacct"
    assert [step["state"] for step in job["cw"]["history"]] == ["COMPLETED", "FAILED"]
    assert job["cw"]["filters"]["states"] == ["FAILED"]


def test_a_former_job_with_the_id_is_kept(store: Store) -> None:
    take(store, PLAIN)
    store.jobs.update_one({}, {"$set": {"user": {"a": 1}}})
    before = only(store)
    assert take(store, accounted(uid="1002", user="bob", submit_time=LATER)) == {"replace": 1}
    assert only(store)["slurm"]["mila_cluster_username"] == "bob"
    assert only(store)["user"] == {}
    (former,) = store.former_jobs.find()
    assert (former["slurm"]["uid"], former["user"]) == ("1001", {"a": 1})
    assert former["_id"] == f"mila/7/{SUBMITTED}/{before['cw']['first_seen']}"


def test_many_jobs(store: Store) -> None:
    jobs = [accounted(job_id=str(number)) for number in range(1, 251)]
    assert take(store, *jobs) == {"insert": 250}
    assert take(store, *jobs) == {}
    assert store.jobs.count_documents({}) == 250


# --- a sacct that hides ----------------------------------------------------------------------

MOMENT = int(datetime(2026, 11, 24, 7, tzinfo=timezone.utc).timestamp())
WINDOW = (MOMENT - 3600, MOMENT + 3600)


def shown_to_end(store: Store) -> None:
    take(store, accounted(job_id="1"), accounted(job_id="2"))
    store.jobs.update_many({}, {"$unset": {"cw.source": ""}})


def test_a_sacct_that_tells_of_no_job_that_was_shown_hides_them(store: Store) -> None:
    shown_to_end(store)
    with pytest.raises(JobsHidden, match=r"none of 2 jobs .*PrivateData"):
        check_none_hidden(store, "mila", WINDOW, [accounted(job_id="3")])
    check_none_hidden(store, "mila", WINDOW, [accounted(job_id="3"), accounted(job_id="2")])
    check_none_hidden(store, "mila", (WINDOW[0], MOMENT), [])
    check_none_hidden(store, "beluga", WINDOW, [])


def test_what_ended_a_moment_ago_may_not_be_told_yet(store: Store) -> None:
    shown_to_end(store)
    now = datetime.now(timezone.utc)
    store.jobs.update_many({}, {"$set": {"cw.filters.finished_at": now}})
    moment = int(now.timestamp())
    check_none_hidden(store, "mila", (moment - 3600, moment + 3600), [])


def test_what_only_sacct_told_is_no_proof(store: Store) -> None:
    take(store, accounted(job_id="1"))
    check_none_hidden(store, "mila", WINDOW, [])


# --- ids that slurmctld gave again -------------------------------------------------------------

BOBS = accounted(uid="1002", user="bob", submit_time=LATER, name="bobs")


def former(store: Store) -> list[tuple[str, str, str]]:
    """The owner, the name and the told state of each former job, in the order of submission."""
    found = store.former_jobs.find().sort("slurm.submit_time")
    return [
        (
            job["slurm"]["uid"],
            job["slurm"]["name"],
            (job["cw"].get("accounting") or job["slurm"])["job_state"],
        )
        for job in found
    ]


@pytest.mark.parametrize("order", [(PLAIN, BOBS), (BOBS, PLAIN)])
def test_of_two_jobs_with_an_id_the_earlier_is_a_former_job(
    store: Store, order: tuple[AccountedJob, AccountedJob]
) -> None:
    assert take(store, *order) == {"insert": 1, "former": 1}
    assert only(store)["slurm"]["name"] == "bobs"
    assert former(store) == [("1001", PLAIN.name, "COMPLETED")]
    assert take(store, *order) == {}


def test_an_earlier_job_that_sacct_tells_of_later_is_a_former_job(store: Store) -> None:
    assert take(store, BOBS) == {"insert": 1}
    assert take(store, PLAIN) == {"former": 1}
    assert take(store, PLAIN) == {}
    assert only(store)["slurm"]["name"] == "bobs"
    assert former(store) == [("1001", PLAIN.name, "COMPLETED")]


def test_an_earlier_job_of_an_id_that_is_in_use_is_a_former_job(store: Store) -> None:
    scrape(store, printed("7", "bob(1002)", sealed=False))
    slurm = only(store)["slurm"]
    assert datetime.fromisoformat(slurm["submit_time"]) < datetime.fromisoformat(LATER)
    old = accounted(submit_time="2020-01-01T00:00:00-05:00")
    assert take(store, old) == {"former": 1}
    assert only(store)["slurm"] == slurm
    assert former(store) == [("1001", PLAIN.name, "COMPLETED")]


def test_a_job_that_was_replaced_while_it_ran_gets_its_end(store: Store) -> None:
    scrape(store, printed("7", "alice(1001)", sealed=False))
    scrape(store)
    slurm = only(store)["slurm"]
    ours = accounted(submit_time=slurm["submit_time"], state="FAILED")
    moment = datetime.fromisoformat(slurm["submit_time"])
    bobs = accounted(uid="1002", user="bob", submit_time=(moment + timedelta(1)).isoformat())
    assert take(store, ours, bobs) == {"replace": 1, "former": 1}
    assert former(store) == [("1001", slurm["name"], "FAILED")]
    assert take(store, ours, bobs) == {}


def test_jobs_of_two_users_in_turns(store: Store) -> None:
    thrice = [
        PLAIN,
        BOBS,
        accounted(submit_time="2026-11-24T01:50:00-05:00", name="again"),
        accounted(state="REQUEUED", submit_time="2026-11-24T01:10:00-05:00"),
    ]
    assert take(store, *thrice) == {"insert": 1, "former": 2}
    assert only(store)["slurm"]["name"] == "again"
    assert former(store) == [
        ("1001", PLAIN.name, "COMPLETED"),
        ("1002", "bobs", "COMPLETED"),
    ]
    assert take(store, *thrice) == {}


def test_what_an_earlier_run_used_does_not_stay(store: Store) -> None:
    write = SyncRounds(store, CLUSTER, JOBS, volatile_interval=900).bulk_write
    take_accounted(store, CLUSTER, [accounted(state="NODE_FAIL")], write)
    store.jobs.update_one({}, {"$set": {"cw.usage": {"elapsed_seconds": 1}}})
    later = "2026-11-24T03:00:00-05:00"
    end = "2026-11-24T09:00:00-05:00"
    run = accounted(submit_time=later, state="COMPLETED", end_time=end)
    take_accounted(store, CLUSTER, [run], write)
    found = store.jobs.find_one() or {}
    assert found["slurm"]["job_state"] == "COMPLETED"
    assert "usage" not in found["cw"]
