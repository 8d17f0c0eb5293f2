"""Accounts that are remembered: never for longer than they are right."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.monitoring import CommandListener, CommandStartedEvent

from ingest.accounts import users
from ingest.accounts.access import REMEMBERED_SECONDS, Accounts, Caller
from ingest.accounts.csv_import import do_import, plan_import
from ingest.accounts.users import AccountError, add_own_token, add_user, remove, revoke
from ingest.database.change_tokens import ACCOUNTS, SeenTokens, replace_all_tokens
from ingest.database.migrations import migrate
from ingest.database.store import Document, Store
from ingest.transfer.backup_file import load_backup, write_backup

ALICE, BOB = "alice@mila.example", "bob@mila.example"
NOON = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)


class Reads(CommandListener):
    """Counts what a client asks of each collection."""

    def __init__(self) -> None:
        self.of: list[str] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name == "find":
            self.of.append(event.command["find"])

    def succeeded(self, event: Any) -> None:
        """Nothing to note."""

    def failed(self, event: Any) -> None:
        """Nothing to note."""


class Process:
    """What an API process remembers, over a connection of its own."""

    def __init__(self, uri: str, name: str) -> None:
        self.reads = Reads()
        self.client: MongoClient[Document] = MongoClient(uri, event_listeners=[self.reads])
        self.store = Store(self.client[name])
        self.seconds = 0.0
        self.accounts = Accounts(self.store, lambda: self.seconds)

    def caller(self, token: str, now: datetime = NOON) -> Caller | None:
        return self.accounts.of_token(token, now)

    def asked(self, ask: Callable[[], Any]) -> list[str]:
        """Return of which collections *ask* made the process read."""
        self.reads.of.clear()
        ask()
        return self.reads.of


@pytest.fixture
def processes(store: Store, mongo_uri: str) -> Iterator[list[Process]]:
    two = [Process(mongo_uri, store.database.name) for _ in range(2)]
    yield two
    for each in two:
        each.client.close()


def test_an_account_is_read_once_while_none_changes(processes: list[Process]) -> None:
    first, _ = processes
    _, token = add_user(first.store, ALICE)
    _, other = add_user(first.store, BOB)

    assert first.asked(lambda: first.caller(token)) == ["marks", "users"]
    assert first.asked(lambda: first.caller(token)) == ["marks"]
    assert first.asked(lambda: first.caller(other)) == ["marks", "users"]
    seen = SeenTokens(first.store, "jobs", "mila")
    assert first.asked(lambda: first.accounts.of_token(token, NOON, seen)) == ["marks"]
    assert first.asked(lambda: seen.listed("jobs", "mila")) == []
    assert first.asked(lambda: first.caller("cw_" + "A" * 42)) == []


def imported(folder: Path) -> Callable[[Store], object]:
    path = folder / "accounts.csv"
    path.write_text(
        "email,mila_cluster_username,cc_account_username\n"
        f"{ALICE},other,\ncarol@mila.example,carol,\n"
    )
    return lambda store: do_import(store, plan_import(store, path))


def test_every_change_holds_for_the_next_request_of_every_process(
    processes: list[Process], tmp_path: Path
) -> None:
    writer = processes[0].store
    _, token = add_user(writer, ALICE, "alice", token_name="laptop")
    changes: list[Callable[[Store], object]] = [
        lambda store: add_user(store, ALICE, role="admin"),
        lambda store: add_user(store, ALICE, coordinates=["def-x"]),
        lambda store: add_user(store, ALICE, "alicia", rename=True),
        lambda store: add_own_token(store, ALICE, None, "ci", NOON),
        lambda store: revoke(store, ALICE, "ci"),
        imported(tmp_path),
        lambda store: revoke(store, ALICE, "laptop"),
    ]
    for change in changes:
        before = [process.caller(token) for process in processes]
        assert before[0] is not None
        change(writer)
        after = [process.caller(token) for process in processes]
        assert before[0] == before[1] != after[0] == after[1]
    assert after == [None, None]


def test_an_account_that_is_removed(processes: list[Process]) -> None:
    _, token = add_user(processes[0].store, ALICE, "alice")
    for process in processes:
        assert process.caller(token)
        assert process.accounts.of_name("mila_cluster_username", "alice", SeenTokens(process.store))

    remove(processes[0].store, ALICE)

    for process in processes:
        assert process.caller(token) is None
        seen = SeenTokens(process.store)
        assert process.accounts.of_name("mila_cluster_username", "alice", seen) is None


def test_a_remembered_token_expires(processes: list[Process]) -> None:
    first, _ = processes
    add_user(first.store, ALICE)
    _, token = add_own_token(first.store, ALICE, None, "week", NOON, days=7)

    assert first.caller(token, NOON + timedelta(days=7, seconds=-1))
    assert first.asked(lambda: first.caller(token)) == ["marks"]
    assert first.caller(token, NOON + timedelta(days=7)) is None


def test_a_use_that_was_noted_is_read_again(processes: list[Process]) -> None:
    first, _ = processes
    _, token = add_user(first.store, ALICE)
    caller = first.caller(token)
    assert caller is not None

    first.accounts.note_use(caller, NOON)

    again = first.caller(token)
    assert again is not None
    assert again.token is not None
    assert again.token.last_used == NOON
    assert first.asked(lambda: first.accounts.note_use(again, NOON)) == []


def test_what_other_programs_write_holds_after_a_while(processes: list[Process]) -> None:
    first, _ = processes
    _, token = add_user(first.store, ALICE)
    assert first.caller(token)
    first.store.users.delete_many({})

    first.seconds = REMEMBERED_SECONDS

    assert first.caller(token) is None


def test_nothing_is_remembered_without_a_change_token(processes: list[Process]) -> None:
    """As in a database of an earlier release."""
    first, _ = processes
    _, token = add_user(first.store, ALICE)
    first.store.change_tokens.delete_one({"_id": ACCOUNTS})

    assert first.caller(token)
    assert first.asked(lambda: first.caller(token)) == ["marks", "users"]
    migrate(first.store)
    assert first.asked(lambda: first.caller(token)) == ["marks", "users"]
    migrate(first.store)
    assert first.asked(lambda: first.caller(token)) == ["marks"]


def test_whatever_writes_accounts_replaces_the_change_token() -> None:
    writing = re.compile(r"store\.users\.(?!find\(|find_one\(|with_options\(|estimated)\w+")
    product = Path(users.__file__).parents[2]
    found = [
        f"{path}: {each[0]}"
        for folder in ("api", "clockwork", "ingest", "scraper")
        for path in (product / folder).rglob("*.py")
        for each in writing.finditer(path.read_text())
    ]
    assert found == []
    assert writing.search("store.users.update_one(")


def test_accounts_of_a_backup_that_was_put_in_place(
    processes: list[Process], store: Store, tmp_path: Path
) -> None:
    first, second = processes
    _, old = add_user(store, ALICE, token_name="old")
    write_backup(store, tmp_path / "backup", NOON, lambda *_: None)
    documents = {name: list(store.database[name].find()) for name in ("users", "marks")}
    revoke(store, ALICE, "old")
    _, new = add_user(store, ALICE, token_name="new")
    for process in processes:
        assert process.caller(new)
        assert process.caller(old) is None

    for name, found in documents.items():  # the files of an older database, in place of the newer
        store.database[name].delete_many({})
        store.database[name].insert_many(found)
    assert first.caller(new) is None
    assert first.caller(old)

    store.database.client.drop_database(store.database.name)
    load_backup(store, tmp_path / "backup", lambda *_: None)
    assert second.caller(new) is None
    assert second.caller(old)


def test_a_move_or_a_backup_replaces_the_change_token(store: Store) -> None:
    add_user(store, ALICE)
    before = SeenTokens(store).accounts

    replace_all_tokens(store)

    assert SeenTokens(store).accounts not in (None, before)


def test_a_document_read_before_a_change_is_not_taken_for_a_newer_one(
    processes: list[Process],
) -> None:
    """A request reads the account, the token is revoked, and another request comes between."""
    first, _ = processes
    _, token = add_user(first.store, ALICE, token_name="laptop")
    late = SeenTokens(first.store)
    assert late.accounts

    revoke(first.store, ALICE, "laptop")
    add_user(first.store, BOB)

    assert first.accounts.of_token(token, NOON, late) is None
    _, token = add_user(first.store, ALICE, token_name="laptop")
    late = SeenTokens(first.store)
    assert late.accounts
    assert first.accounts.of_token(token, NOON, late)
    revoke(first.store, ALICE, "laptop")
    assert first.accounts.of_token(token, NOON, late)  # began before the token was revoked
    assert first.caller(token) is None


def test_an_account_and_its_change_token_are_written_together_or_not_at_all(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = add_user(store, ALICE, token_name="laptop")
    before = SeenTokens(store).accounts

    def fails(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(users, "replace_token", fails)
    with pytest.raises(RuntimeError):
        revoke(store, ALICE, "laptop")
    monkeypatch.undo()
    assert Accounts(store).of_token(token, NOON)

    with pytest.raises(AccountError):
        add_user(store, BOB, token_name=" ")
    assert SeenTokens(store).accounts == before


REVOKES = """
import sys
from ingest.accounts.users import revoke
from ingest.database.store import connect
store = connect(sys.argv[1], sys.argv[2])
for name in sys.stdin:
    revoke(store, "alice@mila.example", name.strip())
    print("revoked", flush=True)
"""


def test_a_token_that_another_process_revokes_is_refused_at_once(
    processes: list[Process], mongo_uri: str
) -> None:
    first, _ = processes
    arguments = [sys.executable, "-c", REVOKES, mongo_uri, first.store.database.name]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin
        assert other.stdout
        for number in range(10):
            _, token = add_user(first.store, ALICE, token_name=f"laptop{number}")
            assert first.caller(token)
            other.stdin.write(f"laptop{number}\n")
            other.stdin.flush()
            assert other.stdout.readline() == "revoked\n"
            assert first.caller(token) is None
        other.stdin.close()
