"""Backups and moves: everything arrives, an interruption costs time only, damage is noticed."""

import gzip
import uuid
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, ClassVar

import bson
import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.monitoring import CommandListener, CommandStartedEvent

from ingest.database.store import Store, connect
from ingest.transfer.backup_file import load_backup, write_backup
from ingest.transfer.digests import Digest, TransferError, copied_collections
from ingest.transfer.moving import move
from ingest.transfer.unfinished import require_whole
from tests.mongo import leave

NOW = datetime(2026, 11, 29, 12, 30, tzinfo=timezone.utc)
TOKEN = ObjectId()
JOBS = [
    {
        "_id": f"mila/{number}",
        "slurm": {"job_id": str(number), "cluster_name": "mila", "priority": 2**40},
        "cw": {"last_slurm_update": NOW, "filters": {"version": 7}},
        "user": {"é": [1, 1.5, None, b"\0"]},
    }
    for number in range(60)
]
CONTENTS: dict[str, list[dict[str, Any]]] = {
    "jobs": JOBS,
    "users": [{"_id": ObjectId(), "mila_email_username": "a@example.org", "tokens": []}],
    "marks": [
        {"_id": "jobs/mila/scrape", "mark": TOKEN, "scraped": TOKEN, "number": 3, "entry": TOKEN}
    ],
}


def nothing(_collection: str, _documents: int) -> None:
    """Progress that nobody looks at."""


@pytest.fixture
def full(store: Store) -> Store:
    for name, documents in CONTENTS.items():
        store.database[name].insert_many(documents)
    store.leases.insert_one({"_id": "mila"})
    store.changes.insert_one({"_id": "jobs/mila/scrape/4"})  # written while the backup was made
    return store


@pytest.fixture
def empty(mongo_uri: str) -> Iterator[Store]:
    store = connect(mongo_uri, f"clockwork_test_{uuid.uuid4().hex[:12]}")
    store.ensure_indexes()
    yield store
    leave(store)


def holds_all(store: Store) -> None:
    for name in ("jobs", "users"):
        found = sorted(store.database[name].find(), key=lambda each: str(each["_id"]))
        assert found == sorted(CONTENTS[name], key=lambda each: str(each["_id"])), name
    (token,) = store.change_tokens.find()
    assert token.keys() == {"_id", "mark"}
    assert token["mark"] != TOKEN, "no list of before counts as the present one"
    assert store.leases.find_one() is None
    assert store.changes.find_one() is None, "the next change is number 1"


# --- backup -------------------------------------------------------------------------------------


def test_a_backup_comes_back_whole(full: Store, empty: Store, tmp_path: Path) -> None:
    path = tmp_path / "all.backup"
    written = write_backup(full, path, NOW, nothing)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["all.backup"]
    assert load_backup(empty, path, nothing) == written
    require_whole(empty)
    assert written["jobs"].documents == len(JOBS)
    holds_all(empty)


def test_there_is_no_backup_of_nothing(empty: Store, tmp_path: Path) -> None:
    with pytest.raises(TransferError, match="holds nothing"):
        write_backup(empty, tmp_path / "all.backup", NOW, nothing)
    assert list(tmp_path.iterdir()) == []


def test_a_backup_overwrites_nothing(full: Store, tmp_path: Path) -> None:
    path = tmp_path / "all.backup"
    path.write_text("another")
    with pytest.raises(TransferError, match=r"all\.backup exists: give the backup another name"):
        write_backup(full, path, NOW, nothing)
    assert path.read_text() == "another"
    with pytest.raises(TransferError, match="can't be written: No such file or directory"):
        write_backup(full, tmp_path / "no folder" / "all.backup", NOW, nothing)


def test_a_database_that_holds_something_stays_as_it_is(full: Store, tmp_path: Path) -> None:
    path = tmp_path / "all.backup"
    write_backup(full, path, NOW, nothing)
    with pytest.raises(TransferError, match="holds users already"):
        load_backup(full, path, nothing)
    assert full.leases.find_one() is not None


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda body: body[: len(body) // 2], "cut short|can't be read"),
        (lambda body: body.replace(b"mila_email", b"mila_evail"), "its users are not those"),
        (lambda body: body[:-4], "can't be read"),
        (lambda body: body.replace(b"clockwork_backup", b"clockwork_nothing"), "is no backup|read"),
        (lambda _: b"", "is no backup"),
    ],
)
def test_a_damaged_backup_changes_nothing(
    full: Store, empty: Store, tmp_path: Path, damage: Any, says: str
) -> None:
    path = tmp_path / "all.backup"
    write_backup(full, path, NOW, nothing)
    path.write_bytes(gzip.compress(damage(gzip.decompress(path.read_bytes()))))
    with pytest.raises(TransferError, match=says):
        load_backup(empty, path, nothing)
    assert empty.jobs.find_one() is None


def test_what_is_no_backup(empty: Store, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("JobId=1")
    with pytest.raises(TransferError, match="can't be read as a backup"):
        load_backup(empty, path, nothing)


@pytest.mark.parametrize("killed_at", ["marks", "jobs", "users"])
def test_a_load_that_was_killed_leaves_no_database_that_looks_whole(
    full: Store, empty: Store, tmp_path: Path, killed_at: str
) -> None:
    path = tmp_path / "all.backup"
    write_backup(full, path, NOW, nothing)

    def until(collection: str, _documents: int) -> None:
        if collection == killed_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_backup(empty, path, until)
    says = "does not hold everything yet: `clockwork backup load` .* drop the database"
    with pytest.raises(TransferError, match=says):
        require_whole(empty)
    with pytest.raises(TransferError, match=says):
        load_backup(empty, path, nothing)
    with pytest.raises(TransferError, match=says):
        move(full, empty, NOW, nothing)


# --- move ---------------------------------------------------------------------------------------


def test_a_move_that_is_interrupted_goes_on(
    full: Store, empty: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.transfer.moving._AT_ONCE", 20)
    monkeypatch.setattr("ingest.transfer.digests._REPORTED_EVERY", 20)

    def until_50(collection: str, documents: int) -> None:
        if collection == "jobs" and documents > 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        move(full, empty, NOW, until_50)
    assert 0 < empty.jobs.count_documents({}) < len(JOBS)
    # Meanwhile the service ran again on the old database: one job changed, and one is gone.
    full.jobs.update_one({"_id": "mila/3"}, {"$set": {"user": {"changed": True}}})
    full.jobs.delete_one({"_id": "mila/4"})
    with pytest.raises(
        TransferError, match="`clockwork move` is still running, or was interrupted"
    ):
        require_whole(empty)
    moved = move(full, empty, NOW, nothing)
    assert moved["jobs"] == Digest.of(empty.jobs.find())
    assert empty.jobs.count_documents({}) == len(JOBS) - 1
    assert empty.jobs.find_one({"_id": "mila/3"}, {"user": 1}) == {
        "_id": "mila/3",
        "user": {"changed": True},
    }
    require_whole(empty)


def test_a_move_keeps_everything(full: Store, empty: Store) -> None:
    move(full, empty, NOW, nothing)
    holds_all(empty)
    with pytest.raises(TransferError, match=r"holds .* already, and a move needs an empty one"):
        move(full, empty, NOW, nothing)


class Dropping(CommandListener):
    """Notes the commands that drop something."""

    seen: ClassVar[list[str]] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name.startswith("drop"):
            self.seen.append(event.command_name)

    def succeeded(self, event: Any) -> None:
        pass

    def failed(self, event: Any) -> None:
        pass


def test_a_move_needs_no_right_to_drop(full: Store, empty: Store, mongo_uri: str) -> None:
    """The role that SECURITY.md gives Clockwork in a MongoDB has no such right."""
    Dropping.seen.clear()
    with MongoClient[Any](mongo_uri, event_listeners=[Dropping()]) as client:
        move(full, Store(client[empty.database.name]), NOW, nothing)
    assert Dropping.seen == []


# --- digests ------------------------------------------------------------------------------------

documents = st.lists(
    st.dictionaries(st.text("abc", min_size=1), st.integers(-9, 9) | st.text()), max_size=6
)


@given(documents, st.randoms(use_true_random=False))
def test_a_digest_knows_no_order(given_documents: list[dict[str, Any]], random: Any) -> None:
    shuffled = random.sample(given_documents, len(given_documents))
    assert Digest.of(shuffled) == Digest.of(given_documents)
    assert Digest.from_document(Digest.of(shuffled).as_document()) == Digest.of(shuffled)


@given(documents, st.dictionaries(st.text("abc", min_size=1), st.integers(-9, 9), min_size=1))
def test_one_document_more_or_less_is_another_digest(
    some: list[dict[str, Any]], more: dict[str, Any]
) -> None:
    assert Digest.of([*some, more]) != Digest.of(some)
    assert Digest.of([*some, more]) != Digest.of([*some, {**more, "d": 1}])


@pytest.mark.parametrize("moment", ["marks", "jobs", "former_jobs"])
def test_a_job_whose_id_is_used_again_meanwhile_is_in_the_backup(
    full: Store, tmp_path: Path, moment: str
) -> None:
    def used_again(name: str, _documents: int) -> None:
        if name == moment:
            full.former_jobs.insert_one({**JOBS[7], "_id": "mila/7/former"})
            full.jobs.replace_one({"_id": "mila/7"}, {**JOBS[7], "user": {"of": "another"}})

    path = tmp_path / "backup"
    write_backup(full, path, NOW, used_again)
    found = bson.decode_all(gzip.decompress(path.read_bytes()))
    users = [each["user"] for each in found if str(each.get("_id")).startswith("mila/7")]
    assert JOBS[7]["user"] in users


def test_a_second_backup_of_one_name_leaves_the_first_alone(full: Store, tmp_path: Path) -> None:
    path = tmp_path / "backup"

    def second(name: str, _documents: int) -> None:
        if name == "users":
            with pytest.raises(TransferError, match="another backup is being written"):
                write_backup(full, path, NOW, nothing)

    write_backup(full, path, NOW, second)
    assert path.exists()
    assert not path.with_name("backup.part").exists()


def test_a_webhook_loses_no_event_that_it_notices_during_a_backup(store: Store) -> None:
    """Noticed anew is well, noticed and not told is not."""
    names = [each.name for each in copied_collections(store)]
    in_order = ["marks", "webhook_told", "webhooks", "webhook_outbox"]
    assert [name for name in names if name in in_order] == in_order
