"""Whose token it is, and when it was last used: at the price of few writes, and of no request."""

import logging
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import AutoReconnect
from pymongo.monitoring import CommandListener, CommandStartedEvent

from ingest.accounts.access import USE_NOTED_EVERY, Accounts, Caller
from ingest.accounts.users import AccountError, add_own_token, add_user, list_users, revoke
from ingest.database.store import Store
from tests.support.accounts import authenticate

ALICE = "alice@mila.example"
NOON = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)


class Writes(CommandListener):
    """Counts the updates of accounts that a client sends."""

    def __init__(self) -> None:
        self.count = 0

    def started(self, event: CommandStartedEvent) -> None:
        self.count += event.command.get("update") == "users"

    def succeeded(self, event: Any) -> None:
        """Nothing to note."""

    def failed(self, event: Any) -> None:
        """Nothing to note."""


@pytest.fixture
def writes() -> Writes:
    return Writes()


@pytest.fixture
def watched(mongo_uri: str, writes: Writes) -> Iterator[Store]:
    """A store whose writes are counted."""
    client: MongoClient[dict[str, Any]] = MongoClient(mongo_uri, event_listeners=[writes])
    store = Store(client[f"clockwork_test_{uuid.uuid4().hex[:12]}"])
    store.ensure_indexes()
    yield store
    client.drop_database(store.database.name)
    client.close()


def ask(store: Store, token: str, now: datetime) -> Caller:
    """One request at *now*: whose token it is, and a note that it was used."""
    caller = authenticate(store, token)
    assert caller is not None
    Accounts(store).note_use(caller, now)
    return caller


def last_used(store: Store) -> dict[str, datetime | None]:
    """When each of the one user's tokens was last used."""
    [user] = list_users(store)
    return {token.name: token.last_used for token in user.tokens}


def test_the_last_use_is_written_at_most_once_in_a_while(watched: Store, writes: Writes) -> None:
    _, laptop = add_user(watched, ALICE, token_name="laptop")
    _, server = add_user(watched, ALICE, token_name="server")
    assert last_used(watched) == {"laptop": None, "server": None}

    moments = [NOON + timedelta(seconds=seconds) for seconds in (0, 1, 60, 299)]
    for moment in moments:
        ask(watched, laptop, moment)
    assert last_used(watched) == {"laptop": NOON, "server": None}
    assert writes.count == 1

    later = NOON + USE_NOTED_EVERY
    ask(watched, server, NOON)
    ask(watched, laptop, later)
    assert last_used(watched) == {"laptop": later, "server": NOON}
    assert writes.count == 3
    # A clock that was far ahead does not keep the true time away.
    ask(watched, laptop, NOON)
    assert last_used(watched)["laptop"] == NOON


def test_of_two_processes_that_note_the_same_use_one_writes(store: Store) -> None:
    _, token = add_user(store, ALICE, token_name="laptop")
    first, second = (authenticate(store, token) for _ in range(2))
    assert first is not None
    assert second is not None

    Accounts(store).note_use(first, NOON)
    Accounts(store).note_use(second, NOON + timedelta(seconds=1))
    assert last_used(store) == {"laptop": NOON}


def test_a_use_is_not_noted_for_a_token_that_took_the_name_meanwhile(store: Store) -> None:
    _, token = add_user(store, ALICE, token_name="laptop")
    caller = authenticate(store, token)
    assert caller is not None
    revoke(store, ALICE, "laptop")
    add_user(store, ALICE, token_name="laptop")

    Accounts(store).note_use(caller, NOON)
    assert last_used(store) == {"laptop": None}


def test_a_token_that_was_revoked_meanwhile_makes_no_other(store: Store) -> None:
    _, token = add_user(store, ALICE, token_name="laptop")
    caller = authenticate(store, token)
    assert caller is not None
    revoke(store, ALICE)
    add_user(store, ALICE, token_name="laptop")

    with pytest.raises(AccountError, match="try again"):
        add_own_token(store, ALICE, caller.token, "ci", NOON)
    assert [token.name for token in list_users(store)[0].tokens] == ["laptop"]


class ReadOnly:
    """A collection of users that takes no write."""

    def __init__(self, users: Any) -> None:
        self.find_one = users.find_one

    def with_options(self, **_options: Any) -> "ReadOnly":
        return self

    def update_one(self, *_update: Any) -> None:
        raise AutoReconnect("no primary")


def test_when_the_use_can_not_be_noted_the_request_goes_on(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    _, token = add_user(store, ALICE)
    store.users = ReadOnly(store.users)  # type: ignore[assignment]

    with caplog.at_level(logging.WARNING):
        caller = ask(store, token, NOON)
    assert caller.user.mila_email_username == ALICE
    [record] = caplog.records
    assert record.getMessage() == "accounts: could not store when a token was last used: no primary"


def test_a_hash_that_was_found_is_still_compared(store: Store) -> None:
    _, token = add_user(store, ALICE)
    document = store.users.find_one({})
    assert document is not None
    document["tokens"][0]["sha256"] = "0" * 64
    store.users = ReadOnly(store.users)  # type: ignore[assignment]
    store.users.find_one = lambda *_filter, **_options: document  # type: ignore[method-assign]

    assert authenticate(store, token) is None
