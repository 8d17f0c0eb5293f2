"""Retention: what leaves, where it goes, and that nothing is lost on the way."""

import gzip
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from pymongo.collection import Collection

from config import RetentionSettings
from ingest.accounts.users import add_user
from ingest.database.leases import Lease
from ingest.database.store import Document, Store
from ingest.retention.archive import ArchiveError, read_archive, write_archive
from ingest.retention.retention import (
    BATCH,
    LEASE,
    AnotherRun,
    ClocksDiffer,
    Departure,
    RetentionStopped,
    delete_unchanged,
    log_retention,
    restore,
    retain,
    run_retention,
)
from ingest.sync.sync_rounds import DocumentsMissing
from tests.ingest.retention.jobs import DELETE, NOW, OLD, YOUNG, job, listed
from tests.ingest.sync.outputs import ALICE, BOB, Clock, new_rounds, one, take


def to_archive(folder: Path, **changes: Any) -> RetentionSettings:
    return RetentionSettings(after_days=90, archive=folder / "archive", **changes)


def ids(collection: Collection[Document]) -> set[str]:
    return {document["_id"] for document in collection.find({}, {"_id": 1})}


def jobs_in(folder: Path) -> list[Document]:
    files = sorted((folder / "archive").glob("jobs-*.ndjson.gz"))
    return [document for file in files for document in read_archive(file)]


# --- what leaves ----------------------------------------------------------------------------------


@pytest.mark.parametrize("archived", [True, False], ids=["archive", "delete"])
@pytest.mark.parametrize("keep_annotated", [True, False])
def test_what_leaves_and_what_stays(
    store: Store, tmp_path: Path, archived: bool, keep_annotated: bool
) -> None:
    due = [job("1"), job("1", "beluga"), job("2", finished_at=NOW - timedelta(days=90, seconds=1))]
    annotated = job("3", user={"loss": float("nan"), "steps": [1, {"a": 2.5}]})
    stays = [
        job("4", finished_at=YOUNG, vanished=YOUNG),
        listed("5"),
        listed("6", finished_at=None),
        job("7", finished_at=NOW - timedelta(days=90)),
        listed("8", user={"a": 1}),
    ]
    store.jobs.insert_many([*due, annotated, *stays])
    settings = (
        to_archive(tmp_path, keep_annotated=keep_annotated)
        if archived
        else RetentionSettings(after_days=90, delete=True, keep_annotated=keep_annotated)
    )

    jobs, former, aside = retain(store, settings, NOW)

    left = {each["_id"] for each in (due if keep_annotated else [*due, annotated])}
    assert (jobs.found, jobs.deleted) == (len(left), len(left))
    assert (former.found, aside.found) == (0, 0)
    assert ids(store.jobs) == {each["_id"] for each in [*due, annotated, *stays]} - left
    assert {each["_id"] for each in jobs_in(tmp_path)} == (left if archived else set())
    assert [each.found for each in retain(store, settings, NOW)] == [0, 0, 0]


def test_by_default_all_stays(store: Store) -> None:
    store.jobs.insert_one(job("1"))
    assert list(retain(store, RetentionSettings(), NOW)) == []
    assert ids(store.jobs) == {"mila/1"}


def test_former_jobs_and_set_aside_records_leave_too(store: Store, tmp_path: Path) -> None:
    store.former_jobs.insert_many(
        [
            {**job("1"), "_id": "mila/1/a"},
            {**listed("1", finished_at=None), "_id": "mila/1/b"},
            {**job("1", user={"a": 1}), "_id": "mila/1/c"},
            {**job("1", last_changed=YOUNG), "_id": "mila/1/d"},
            {**job("1", finished_at=YOUNG), "_id": "mila/1/e"},
        ]
    )
    aside = {"cluster_name": "mila", "kind": "jobs", "text": b"\xff\x00JobId=1"}
    store.quarantine.insert_many(
        [
            {"_id": "mila/jobs/1", **aside, "last_seen": OLD},
            {"_id": "mila/jobs/2", **aside, "last_seen": YOUNG},
        ]
    )

    jobs, former, asides = retain(store, to_archive(tmp_path), NOW)

    assert jobs == Departure("jobs", 0, 0, None)
    assert (former.found, former.deleted, asides.found, asides.deleted) == (2, 2, 1, 1)
    assert ids(store.former_jobs) == {"mila/1/c", "mila/1/d", "mila/1/e"}
    assert ids(store.quarantine) == {"mila/jobs/2"}
    for departure in (former, asides):
        assert departure.archive is not None
        assert restore(store, departure.archive) == (departure.found, departure.found)
    restored = store.quarantine.find_one({"_id": "mila/jobs/1"})
    assert restored == {"_id": "mila/jobs/1", **aside, "last_seen": OLD}
    assert ids(store.former_jobs) >= {"mila/1/a", "mila/1/b"}


def test_more_than_a_batch(store: Store, tmp_path: Path) -> None:
    documents = [job(str(number)) for number in range(2 * BATCH + 1)]
    store.jobs.insert_many(documents)
    jobs, *_ = retain(store, to_archive(tmp_path), NOW)
    assert (jobs.found, jobs.deleted) == (len(documents), len(documents))
    assert store.jobs.count_documents({}) == 0
    assert sorted(jobs_in(tmp_path), key=lambda each: int(each["slurm"]["job_id"])) == documents


# --- the files ------------------------------------------------------------------------------------


def test_a_file_of_the_archive(store: Store, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store.jobs.insert_one(job("1"))
        jobs, *_ = retain(store, to_archive(tmp_path), NOW)
    finally:
        os.umask(before)
    folder = tmp_path / "archive"
    path = folder / "jobs-2026-11-24T031500Z.ndjson.gz"
    assert jobs.archive == path
    assert list(folder.iterdir()) == [path]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lines = gzip.decompress(path.read_bytes()).splitlines()
    (document,) = [json.loads(line) for line in lines]
    assert document["slurm"] == job("1")["slurm"]
    assert document["cw"]["finished_at"] == {"$date": "2026-08-25T03:15:00.123Z"}


def test_two_runs_in_one_second_write_two_files(tmp_path: Path) -> None:
    folder = tmp_path / "archive"

    def during() -> Iterator[Document]:
        yield job("1")
        second = write_archive(folder, "jobs", [job("2")], NOW)
        assert second == folder / "jobs-2026-11-24T031501Z.ndjson.gz"
        yield job("3")

    first = write_archive(folder, "jobs", during(), NOW)
    third = write_archive(folder, "jobs", [job("4")], NOW)

    assert first == folder / "jobs-2026-11-24T031500Z.ndjson.gz"
    assert third == folder / "jobs-2026-11-24T031502Z.ndjson.gz"
    assert [each["slurm"]["job_id"] for each in jobs_in(tmp_path)] == ["1", "3", "2", "4"]
    assert len(list(folder.iterdir())) == 3


def _open_to_others(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o750)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_open_to_others, r"open to others \(mode 0750\): chmod 700 "),
        (lambda folder: folder.write_text("x"), "Not a directory|open to others"),
        (lambda folder: folder.symlink_to("nowhere"), "No such file or directory"),
    ],
)
def test_a_folder_that_can_not_be_used(
    store: Store, tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    store.jobs.insert_one(job("1"))
    make(tmp_path / "archive")
    with pytest.raises(ArchiveError, match=message) as caught:
        list(retain(store, to_archive(tmp_path), NOW))
    assert str(tmp_path / "archive") in str(caught.value)
    assert "nothing was deleted" in str(caught.value)
    assert ids(store.jobs) == {"mila/1"}


def test_the_folder_of_a_disk_that_is_not_mounted_is_not_made(store: Store, tmp_path: Path) -> None:
    store.jobs.insert_one(job("1"))
    with pytest.raises(ArchiveError, match="No such file or directory; nothing was deleted"):
        list(retain(store, to_archive(tmp_path / "disk"), NOW))
    assert ids(store.jobs) == {"mila/1"}
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_does_not_read_as_it_was_written(tmp_path: Path) -> None:
    folder = tmp_path / "archive"

    def damaged() -> Iterator[Document]:
        part = folder / "jobs-2026-11-24T031500Z.ndjson.gz.part"
        for number in range(20_000):
            yield {"_id": number, "random": os.urandom(16)}
        assert part.stat().st_size > 1000
        with part.open("r+b") as file:
            file.seek(500)
            file.write(b"\x00" * 100)

    with pytest.raises(ArchiveError, match="does not contain what was written"):
        write_archive(folder, "jobs", damaged(), NOW)
    assert list(folder.iterdir()) == []


FULL_DISK = """
import resource, sys
from pathlib import Path
from datetime import datetime, timezone
from config import RetentionSettings
from ingest.retention.archive import ArchiveError
from ingest.retention.retention import retain
from ingest.database.store import connect
uri, database, folder = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
settings = RetentionSettings(after_days=1, archive=Path(folder))
try:
    list(retain(connect(uri, database), settings, datetime.now(timezone.utc)))
except ArchiveError as error:
    sys.exit(str(error))
"""


def test_a_disk_that_is_full(store: Store, mongo_uri: str, tmp_path: Path) -> None:
    store.jobs.insert_many([job(str(number), random=os.urandom(64).hex()) for number in range(200)])
    folder = tmp_path / "archive"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, mongo_uri, store.database.name, str(folder)],
        stderr=subprocess.PIPE,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1
    assert "can't be written: File too large; nothing was deleted" in done.stderr
    assert store.jobs.count_documents({}) == 200
    assert list(folder.iterdir()) == []


def test_an_archive_that_is_damaged_is_not_restored_quietly(store: Store, tmp_path: Path) -> None:
    path = write_archive(tmp_path / "archive", "jobs", [job(str(n)) for n in range(50)], NOW)
    assert path is not None
    whole = path.read_bytes()
    for content in (whole[:-20], b"", b"no gzip", whole[:60] + b"\x00" * 9 + whole[69:]):
        path.write_bytes(content)
        with pytest.raises(ArchiveError, match=str(path)):
            restore(store, path)
    for line in (b"{", b"[]", b'{"a": {"$date": "x"}}', b"\xff"):
        path.write_bytes(gzip.compress(line + b"\n"))
        with pytest.raises(ArchiveError, match="line 1 is damaged"):
            restore(store, path)
    other = path.rename(path.with_name("something.gz"))
    with pytest.raises(ArchiveError, match="expected jobs-… or former_jobs-… or set_aside-…"):
        restore(store, other)


# --- putting back ---------------------------------------------------------------------------------


def test_restoring_is_idempotent_and_replaces_nothing(store: Store, tmp_path: Path) -> None:
    documents = [job(str(number)) for number in range(BATCH + 5)]
    store.jobs.insert_many(documents)
    jobs, *_ = retain(store, to_archive(tmp_path), NOW)
    assert jobs.archive is not None
    newer = listed("7", last_changed=NOW, user={"a": 1})
    store.jobs.insert_one(newer)

    assert restore(store, jobs.archive) == (len(documents), len(documents) - 1)
    assert restore(store, jobs.archive) == (len(documents), 0)

    found = {each["_id"]: each for each in store.jobs.find()}
    assert found == {each["_id"]: each for each in documents} | {"mila/7": newer}


def test_restored_jobs_show_the_accounts_as_they_are_now(store: Store, tmp_path: Path) -> None:
    store.jobs.insert_one(job("1"))
    jobs, *_ = retain(store, to_archive(tmp_path), NOW)
    add_user(store, "alice@example.org", "alice", "acc01")
    assert jobs.archive is not None
    restore(store, jobs.archive)
    (document,) = store.jobs.find()
    assert document["cw"]["mila_email_username"] == "alice@example.org"
    assert document["cw"]["cc_account_username"] == "acc01"


# --- what changes meanwhile -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"$set": {"user": {"a": 1}}},
        {"$set": {"user.a": None}},
        {"$set": {"cw.mila_email_username": "alice@example.org"}},
        {"$set": {"cw.accounting": {"job_state": "FAILED"}}},
        {"$set": {"slurm.run_time": 1}, "$unset": {"cw.vanished": ""}},
        {"$set": {"cw.vanished": OLD + timedelta(minutes=5, milliseconds=1)}},
        {"$set": {"slurm.cpu_load": 0.2}},
    ],
)
def test_what_changed_since_it_was_archived_is_not_deleted(
    store: Store, tmp_path: Path, change: Document
) -> None:
    documents = [job("1", user={"b": {"$eq": 1}}), job("2"), job("1", "beluga")]
    store.jobs.insert_many(documents)
    path = write_archive(tmp_path / "archive", "jobs", store.jobs.find(), NOW)
    assert path is not None
    store.jobs.update_one({"_id": "mila/2"}, change)
    changed = store.jobs.find_one({"_id": "mila/2"})

    assert delete_unchanged(store, store.jobs, read_archive(path)) == (3, 2)

    assert list(store.jobs.find()) == [changed]


def test_jobs_that_change_while_they_are_retained_lose_nothing(
    store: Store, tmp_path: Path
) -> None:
    """Owners write, and jobs come back and vanish again, all the while that runs go on."""
    count, clock = 30, Clock()
    names = [str(number) for number in range(1, count + 1)]
    sync = new_rounds(store, clock)
    text = {name: one(state="COMPLETED").replace("JobId=1 ", f"JobId={name} ") for name in names}
    later = clock.now + timedelta(days=100)
    settings = to_archive(tmp_path, keep_annotated=False)
    written: dict[str, int] = {}
    failures: list[BaseException] = []
    done = threading.Event()

    def guarded(work: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - told to the test
                failures.append(error)
                done.set()

        return threading.Thread(target=run)

    def scrape() -> None:
        for turn in range(9):
            here = [name for name in names if (int(name) + turn) % 3]
            clock.now += timedelta(minutes=1)
            # A job that left between two writes of a round: the next round puts it back.
            with suppress(DocumentsMissing):
                take(sync, *(text[name] for name in here))
        take(sync)
        done.set()

    def annotate() -> None:
        number = 0
        while not done.is_set():
            number += 1
            name = names[number % count]
            update = {"$set": {f"user.w{number % 7}": number}}
            if store.jobs.update_one({"slurm.job_id": name}, update).matched_count:
                written[f"{name} w{number % 7}"] = number

    def leave() -> None:
        while not done.is_set():
            list(retain(store, settings, later))

    threads = [guarded(work) for work in (scrape, annotate, leave)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    take(sync)
    list(retain(store, settings, later))

    assert store.jobs.count_documents({}) == 0
    kept: dict[str, set[int]] = {}
    for document in jobs_in(tmp_path):
        for key, value in document["user"].items():
            kept.setdefault(f"{document['slurm']['job_id']} {key}", set()).add(value)
    assert written
    assert {key for key, value in written.items() if value not in kept.get(key, set())} == set()


# --- runs that end half-way -----------------------------------------------------------------------


def test_a_run_that_is_told_to_stop(store: Store, tmp_path: Path) -> None:
    documents = [job(str(number)) for number in range(3 * BATCH)]
    store.jobs.insert_many(documents)
    settings = to_archive(tmp_path)
    left = []
    for asked in range(1, 7):
        answers = iter([False] * (asked - 1) + [True])
        with pytest.raises(RetentionStopped):
            list(retain(store, settings, NOW, lambda a=answers: next(a)))  # type: ignore[misc]
        assert not list((tmp_path / "archive").glob("*.part"))
        left.append(store.jobs.count_documents({}))
        if left[-1] < len(documents):
            break
    assert left[:4] == [len(documents)] * 4
    assert left[-1] == 2 * BATCH
    list(retain(store, settings, NOW))
    assert store.jobs.count_documents({}) == 0
    assert {each["_id"] for each in jobs_in(tmp_path)} == {each["_id"] for each in documents}


RUN = """
import sys
from pathlib import Path
from datetime import datetime, timezone
from config import RetentionSettings
from ingest.retention.retention import retain
from ingest.database.store import connect
uri, database, folder = sys.argv[1:]
settings = RetentionSettings(after_days=1, archive=Path(folder))
list(retain(connect(uri, database), settings, datetime.now(timezone.utc)))
"""


@pytest.mark.parametrize("moment", ["writing", "named", "deleting"])
def test_a_run_that_is_killed_loses_nothing(
    store: Store, mongo_uri: str, tmp_path: Path, moment: str
) -> None:
    documents = {f"mila/{number}": job(str(number)) for number in range(6 * BATCH)}
    store.jobs.insert_many(documents.values())
    folder = tmp_path / "archive"

    def reached() -> bool:
        if moment == "writing":
            return any(folder.glob("*.part"))
        if moment == "named":
            return any(folder.glob("*.gz"))
        return store.jobs.estimated_document_count() < len(documents)

    arguments = [mongo_uri, store.database.name, str(folder)]
    with subprocess.Popen([sys.executable, "-c", RUN, *arguments]) as process:
        while process.poll() is None and not reached():
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
    remaining = {each["_id"]: each for each in store.jobs.find()}
    archived = {each["_id"]: each for each in jobs_in(tmp_path)}
    assert archived | remaining == documents
    assert set(archived) | set(remaining) == set(documents)

    list(retain(store, to_archive(tmp_path), datetime.now(timezone.utc)))

    assert store.jobs.count_documents({}) == 0
    for path in sorted(folder.glob("jobs-*.gz"), reverse=True):
        restore(store, path)
    assert {each["_id"]: each for each in store.jobs.find()} == documents


# --- several processes ----------------------------------------------------------------------------


def test_one_process_at_a_time(store: Store, tmp_path: Path) -> None:
    store.jobs.insert_one(job("1"))
    other = Lease(store, LEASE, 60)
    assert other.keep()
    with pytest.raises(AnotherRun):
        list(run_retention(store, DELETE, 60, stop=lambda: True))
    assert ids(store.jobs) == {"mila/1"}
    other.release()
    assert sum(each.deleted for each in run_retention(store, DELETE, 60)) == 1
    assert store.leases.find_one({"_id": LEASE}) is None


def test_a_process_that_died_in_its_run_keeps_no_other_from_it(store: Store) -> None:
    store.jobs.insert_one(job("1"))
    assert Lease(store, LEASE, 60).keep()
    assert sum(each.deleted for each in run_retention(store, DELETE, 0.2)) == 1


@pytest.mark.parametrize("days", [400, -400])
def test_nothing_leaves_by_a_clock_that_is_wrong(store: Store, tmp_path: Path, days: int) -> None:
    store.jobs.insert_one(job("1"))
    wrong = datetime.now(timezone.utc) + timedelta(days=days)
    with pytest.raises(ClocksDiffer, match=f"here it is {wrong.year}.*nothing leaves"):
        list(run_retention(store, DELETE, 60, clock=lambda: wrong))
    assert ids(store.jobs) == {"mila/1"}
    assert store.leases.find_one({"_id": LEASE}) is None


def test_a_daemons_run_says_what_it_did_and_raises_nothing(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.jobs.insert_one(job("1"))
    caplog.set_level("INFO")
    log_retention(store, to_archive(tmp_path / "missing"), 60, lambda: False)
    assert "retention failed: retention.archive: " in caplog.records[-2].getMessage() + (
        caplog.records[-1].getMessage()
    )
    caplog.clear()
    log_retention(store, to_archive(tmp_path), 60, lambda: False)
    (first, *_) = [each for each in caplog.records if each.getMessage() == "retention"]
    said = vars(first)
    assert (said["collection"], said["found"], said["deleted"]) == ("jobs", 1, 1)
    assert said["archive"].is_file()


# --- the scrapes ----------------------------------------------------------------------------------


def test_scrapes_go_on_as_if_nothing_had_happened(store: Store, tmp_path: Path) -> None:
    clock = Clock()
    sync = new_rounds(store, clock)
    two = one(owner=BOB, state="COMPLETED").replace("JobId=1 ", "JobId=2 ")
    take(sync, one(state="COMPLETED"), two)
    take(sync, two)
    later = clock.now + timedelta(days=100)

    jobs, *_ = retain(store, to_archive(tmp_path), later)

    assert jobs.deleted == 1
    assert ids(store.jobs) == {"mila/2"}
    clock.now = later
    counts = take(sync, two.replace("Comment=hello", "Comment=changed"))
    assert (counts.inserted, counts.changed, counts.vanished) == (0, 1, 0)
    assert take(new_rounds(store, clock), two).vanished == 0
    counts = take(sync, one(owner=ALICE, state="COMPLETED"), two)
    assert (counts.inserted, counts.vanished) == (1, 0)
    assert ids(store.jobs) == {"mila/1", "mila/2"}
