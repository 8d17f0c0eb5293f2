"""A new search field reaches the documents of earlier releases."""

import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest

from ingest.accounts.users import add_user
from ingest.database import migrations, search_fields
from ingest.database.change_tokens import ACCOUNTS, scrape_token
from ingest.database.migrations import migrate, migrated
from ingest.database.search_fields import VERSION, job_search_fields, node_search_fields
from ingest.database.store import Document, Store
from tests.ingest.sync.outputs import Clock, new_rounds, one, take

ENDED = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
NAMES = {"mila_cluster_username": "alice", "mila_email_username": None}
SLURM = {
    "cluster_name": "mila",
    "mila_cluster_username": "alice",
    "job_state": "FAILED",
    "nodes": "cn[1-2]",
    "qos": "high",
}


def job(number: int, version: int | None = VERSION) -> Document:
    """A job whose search fields are of *version*; None for a release that had none."""
    slurm = {**SLURM, "job_id": str(number)}
    cw: Document = {**NAMES, "finished_at": ENDED}
    if version is not None:
        cw["filters"] = {**job_search_fields(slurm, ["alice"], ENDED), "version": version}
        if version == 1:
            del cw["filters"]["version"]
    return {"_id": f"mila/{number}", "slurm": slurm, "cw": cw, "user": {"kept": number}}


def add_search_field(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the program be a release that has one search field more."""
    before = job_search_fields

    def with_qos(slurm: Document, *arguments: Any) -> Document:
        return {**before(slurm, *arguments), "version": VERSION + 1, "qos": slurm.get("qos")}

    monkeypatch.setattr(search_fields, "VERSION", VERSION + 1)
    monkeypatch.setattr(migrations, "job_search_fields", with_qos)


def qos_of(store: Store) -> list[Any]:
    return [found["cw"]["filters"].get("qos") for found in store.jobs.find()]


def test_documents_without_search_fields_get_them(store: Store) -> None:
    store.jobs.insert_many(job(number, None) for number in range(250))
    store.former_jobs.insert_one(job(1, None))
    node = {"name": "cn1", "cluster_name": "mila", "state": "IDLE"}
    store.nodes.insert_one({"_id": "mila/cn1", "slurm": node, "cw": {}})

    assert migrate(store) == 252
    assert migrate(store) == 0

    assert list(store.jobs.find()) == [job(number) for number in range(250)]
    assert list(store.former_jobs.find()) == [job(1)]
    [found] = store.nodes.find()
    assert found["cw"] == {"filters": node_search_fields(node)}


@pytest.mark.parametrize("version", [None, 1, VERSION])
def test_a_new_search_field_reaches_documents_that_have_others(
    store: Store, monkeypatch: pytest.MonkeyPatch, version: int | None
) -> None:
    store.jobs.insert_many(job(number, version) for number in range(3))
    add_search_field(monkeypatch)

    assert migrate(store) == 3

    assert qos_of(store) == ["high"] * 3
    assert [found["user"] for found in store.jobs.find()] == [{"kept": n} for n in range(3)]
    assert migrate(store) == 0


def test_the_versions_are_found_by_an_index(store: Store) -> None:
    for collection in (store.jobs, store.former_jobs, store.nodes):
        plan = collection.find({"cw.filters.version": {"$in": [None, 1]}}).explain()
        assert "cw.filters.version_1" in str(plan["queryPlanner"]["winningPlan"])


def test_an_older_program_beside_does_no_harm(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.jobs.insert_many(job(number) for number in range(3))
    with monkeypatch.context() as newer:
        add_search_field(newer)
        migrate(store)
    assert migrate(store) == 0  # by the older program
    assert qos_of(store) == ["high"] * 3
    # The older program scrapes a job, finds a new one, and changes an account.
    older = job(1)
    store.jobs.update_one({"_id": "mila/1"}, {"$set": {"cw.filters": older["cw"]["filters"]}})
    store.jobs.insert_one(job(7))
    add_user(store, "alice@example.org", "alice")
    assert qos_of(store) == ["high", None, "high", None]

    add_search_field(monkeypatch)
    assert migrate(store) == 2

    assert qos_of(store) == ["high"] * 4
    for found in store.jobs.find():
        assert found["cw"]["filters"]["names"] == ["alice", "alice@example.org"]


def write_before(monkeypatch: pytest.MonkeyPatch, others: Callable[[], object]) -> None:
    """Let *others* write between the reading of a document and its update."""

    def fields(*arguments: Any) -> Document:
        others()
        return job_search_fields(*arguments)

    monkeypatch.setattr(migrations, "job_search_fields", fields)


def test_what_others_write_meanwhile_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.jobs.insert_many(job(number, 1) for number in range(2))
    changes = {"slurm.job_state": "COMPLETED", "cw.last_changed": 1}
    write_before(monkeypatch, lambda: store.jobs.update_one({"_id": "mila/1"}, {"$set": changes}))
    assert migrate(store) == 2
    states = [found["cw"]["filters"]["states"] for found in store.jobs.find()]
    assert states == [["FAILED"], ["COMPLETED"]]


def test_documents_that_change_all_the_time_are_left_to_the_next_start(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store.jobs.insert_one(job(1, 1))
    with monkeypatch.context() as busy:
        write_before(
            busy, lambda: store.jobs.update_one({"_id": "mila/1"}, {"$inc": {"cw.changes": 1}})
        )
        assert migrate(store) == 0
    assert "other programs change the documents all the time" in caplog.text
    assert migrate(store) == 1


def test_lists_that_were_read_before_are_not_taken_for_new(store: Store) -> None:
    """The tokens of the clusters change, so that a filtered list is made anew."""
    store.jobs.insert_many([job(1, 1), job(2)])
    migrate(store)
    (token,) = store.change_tokens.find({"_id": {"$ne": ACCOUNTS}})
    assert token["_id"] == scrape_token("jobs", "mila")
    assert "scraped" not in token
    migrate(store)
    assert list(store.change_tokens.find({"_id": {"$ne": ACCOUNTS}})) == [token]


def test_rounds_go_on_beside_a_migration(store: Store) -> None:
    old = [job(number, 1) for number in range(1000, 1300)]
    for each in old:
        each["cw"]["vanished"] = ENDED
    store.jobs.insert_many(old)
    rounds = new_rounds(store, Clock())
    thread = threading.Thread(target=migrate, args=(store,))
    thread.start()
    for number in range(3):
        records = [one(comment=str(number)).replace("JobId=1 ", f"JobId={n} ") for n in range(100)]
        counts = take(rounds, *records)
        assert counts.inserted + counts.changed == 100
    thread.join()
    assert migrate(store) == 0


RUN = """
import sys
from ingest.database import migrations
from ingest.database.store import connect
migrations.BATCH = 20
print(migrations.migrate(connect(sys.argv[1], sys.argv[2])))
"""


def test_runs_that_are_killed_or_run_side_by_side(store: Store, mongo_uri: str) -> None:
    count = 400
    store.jobs.insert_many(job(number, 1) for number in range(count))
    outdated = {"cw.filters.version": None}
    command = [sys.executable, "-c", RUN, mongo_uri, store.database.name]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as killed:
        while killed.poll() is None and store.jobs.count_documents(outdated) == count:
            pass
        killed.kill()
    left = store.jobs.count_documents(outdated)
    assert left < count
    done: list[int] = []
    threads = [threading.Thread(target=lambda: done.append(migrate(store))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # No document is done twice; the last batch of the killed run may still have been written.
    assert 0 < sum(done) <= left
    assert list(store.jobs.find()) == [job(number) for number in range(count)]


def test_a_restored_job_gets_the_search_fields_of_this_release() -> None:
    assert migrated(job(1, None)) == migrated(job(1, 1)) == migrated(job(1)) == job(1)
