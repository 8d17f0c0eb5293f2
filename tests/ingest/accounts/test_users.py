"""Accounts: names, tokens, and whose the jobs are."""

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from pymongo.errors import DuplicateKeyError

from ingest.accounts.users import (
    AccountError,
    User,
    add_user,
    list_users,
    refresh_outdated_jobs,
    remove,
    revoke,
    username_map,
)
from ingest.database.store import Store
from tests.ingest.accounts.owned_jobs import cw_names, insert_job
from tests.support.accounts import authenticate

ALICE = "alice@mila.example"
BOB = "bob@mila.example"


def test_a_new_account_and_its_token(store: Store) -> None:
    user, token = add_user(store, ALICE, "alice", "acc01", token_name="laptop")

    assert (user.mila_email_username, user.mila_cluster_username) == (ALICE, "alice")
    assert user.cc_account_username == "acc01"
    assert [known.name for known in user.tokens] == ["laptop"]
    assert re.fullmatch(r"cw_[A-Za-z0-9_-]{43}", token)
    caller = authenticate(store, token)
    assert caller is not None
    assert (caller.user, caller.token) == (user, user.tokens[0])
    assert list_users(store) == [user]


def test_only_the_hash_of_a_token_is_stored(store: Store) -> None:
    _, token = add_user(store, ALICE)

    document = store.users.find_one()
    assert document is not None
    assert token not in str(document)
    assert document["tokens"][0]["sha256"] == hashlib.sha256(token.encode()).hexdigest()
    assert document["mila_cluster_username"] is None
    assert document["cc_account_username"] is None


def test_adding_again_changes_the_names_given_and_gives_a_further_token(store: Store) -> None:
    _, first = add_user(store, ALICE, "alice")
    user, second = add_user(store, ALICE, cc_account_username="acc01")

    assert (user.mila_cluster_username, user.cc_account_username) == ("alice", "acc01")
    assert len({known.name for known in user.tokens}) == 2
    callers = [authenticate(store, token) for token in (first, second)]
    assert [caller and caller.user for caller in callers] == [user, user]
    assert [caller and caller.token for caller in callers] == [*user.tokens]
    assert list_users(store) == [user]


def test_a_name_of_another_user(store: Store) -> None:
    add_user(store, ALICE, "alice", "acc01")

    for email in (BOB, "carol@mila.example"):
        with pytest.raises(AccountError, match=r"'alice' is already the mila_.* of 'alice@"):
            add_user(store, email, "alice")
        with pytest.raises(AccountError, match=r"'acc01' is already the cc_.* of 'alice@"):
            add_user(store, email, email[:3], "acc01")
    assert len(list_users(store)) == 1
    # The same name on the other clusters may be somebody else's.
    add_user(store, BOB, "acc01", "alice")


def test_users_without_names_do_not_collide(store: Store) -> None:
    add_user(store, ALICE)
    add_user(store, BOB)

    assert [user.mila_email_username for user in list_users(store)] == [ALICE, BOB]


def test_a_token_name_that_is_taken(store: Store) -> None:
    add_user(store, ALICE, token_name="laptop")
    add_user(store, BOB, token_name="laptop")

    with pytest.raises(AccountError, match="has a token named 'laptop'"):
        add_user(store, ALICE, "alice", token_name="laptop")
    assert [user.mila_cluster_username for user in list_users(store)] == [None, None]


@pytest.mark.parametrize(
    "email",
    [
        "", "alice", "@mila.example", "alice@", "a b@c", "a:b@c", "a@b@c", "a@b\n", "\ud800@b",
        "a@" + "b" * 254,
    ],
)  # fmt: skip
def test_what_is_no_email(store: Store, email: str) -> None:
    with pytest.raises(AccountError, match="is not an e-mail address"):
        add_user(store, email)
    assert list_users(store) == []


@pytest.mark.parametrize("name", ["", "a b", "a\n", "a\0", "\x1b[31m", "\ud800", "a" * 129])
def test_what_is_no_name(store: Store, name: str) -> None:
    for given in ({"mila_cluster_username": name}, {"cc_account_username": name}):
        with pytest.raises(AccountError, match="expected 1 to 128 printable"):
            add_user(store, ALICE, **given)  # type: ignore[arg-type]
    with pytest.raises(AccountError, match="is no token name"):
        add_user(store, ALICE, token_name=name)
    assert list_users(store) == []


def test_nobody_is_no_ones_name(store: Store) -> None:
    with pytest.raises(AccountError, match="'nobody' can't be"):
        add_user(store, ALICE, "nobody")


def test_the_indexes_keep_names_and_tokens_apart(store: Store) -> None:
    store.users.insert_one(
        {"mila_email_username": ALICE, "tokens": [{"name": "a", "sha256": "00"}]}
    )
    with pytest.raises(DuplicateKeyError):
        store.users.insert_one({"mila_email_username": ALICE})
    with pytest.raises(DuplicateKeyError):
        store.users.insert_one(
            {"mila_email_username": BOB, "tokens": [{"name": "b", "sha256": "00"}]}
        )


def test_revoking_one_token(store: Store) -> None:
    _, laptop = add_user(store, ALICE, "alice", token_name="laptop")
    _, server = add_user(store, ALICE, token_name="server")

    assert revoke(store, ALICE, "laptop") == 1

    assert authenticate(store, laptop) is None
    assert authenticate(store, server) is not None
    with pytest.raises(AccountError, match="no token named 'laptop'; its tokens: 'server'"):
        revoke(store, ALICE, "laptop")


def test_revoking_all_tokens_keeps_the_account(store: Store) -> None:
    tokens = [add_user(store, email, email[:3])[1] for email in (ALICE, ALICE, BOB)]

    assert revoke(store, ALICE) == 2
    assert revoke(store, BOB) == 1
    assert revoke(store, ALICE) == 0

    assert [authenticate(store, token) for token in tokens] == [None] * 3
    assert [user.mila_cluster_username for user in list_users(store)] == ["ali", "bob"]
    _, token = add_user(store, ALICE)
    assert authenticate(store, token) is not None


def test_revoking_of_no_account(store: Store) -> None:
    with pytest.raises(AccountError, match="there is no account 'bob@mila"):
        revoke(store, BOB)


@pytest.mark.parametrize(
    "token", ["", "cw_", "x" * 46, "cw_" + "A" * 43, "cw_" + "é" * 43, "\ud800", "$ne", "cw_\0"]
)
def test_what_is_no_token(store: Store, token: str) -> None:
    add_user(store, ALICE)

    assert authenticate(store, token) is None


def test_the_map_of_names(store: Store) -> None:
    alice, _ = add_user(store, ALICE, "alice", "acc01")
    add_user(store, BOB, "bob")

    assert username_map(store, "cc_account_username") == {"acc01": alice.names}
    assert username_map(store, "mila_cluster_username").keys() == {"alice", "bob"}
    assert alice.names == {
        "mila_cluster_username": "alice",
        "cc_account_username": "acc01",
        "username": None,
        "mila_email_username": ALICE,
    }


def test_an_account_added_later_gets_its_jobs(store: Store) -> None:
    insert_job(store, "1", mila_cluster_username="alice")
    insert_job(store, "2", "beluga", cc_account_username="acc01")
    insert_job(store, "3", mila_cluster_username="acc01")
    insert_job(store, "4", mila_cluster_username="alicia")

    add_user(store, ALICE, "alice", "acc01")

    assert cw_names(store, "1") == ["alice", "acc01", ALICE]
    assert cw_names(store, "2") == ["alice", "acc01", ALICE]
    assert cw_names(store, "3") == ["acc01", None, None]
    assert cw_names(store, "4") == ["alicia", None, None]


def test_a_name_added_later_shows_on_the_jobs_of_the_other_name(store: Store) -> None:
    insert_job(store, "1", mila_cluster_username="alice")
    add_user(store, ALICE, "alice")
    assert cw_names(store, "1") == ["alice", None, ALICE]

    add_user(store, ALICE, cc_account_username="acc01")

    assert cw_names(store, "1") == ["alice", "acc01", ALICE]


def test_a_name_given_up_leaves_its_jobs(store: Store) -> None:
    insert_job(store, "1", mila_cluster_username="alice")
    insert_job(store, "2", mila_cluster_username="alice2")
    add_user(store, ALICE, "alice")

    add_user(store, ALICE, "alice2", rename=True)
    assert cw_names(store, "1") == ["alice", None, None]
    assert cw_names(store, "2") == ["alice2", None, ALICE]

    add_user(store, BOB, "alice")
    assert cw_names(store, "1") == ["alice", None, BOB]


def test_a_username_is_replaced_only_on_purpose(store: Store) -> None:
    insert_job(store, "1", mila_cluster_username="alice")
    add_user(store, ALICE, "alice")
    before = store.users.find_one({})

    with pytest.raises(AccountError, match=r"from 'alice' to 'alice2'.*Give --rename"):
        add_user(store, ALICE, "alice2", "acc01")

    assert store.users.find_one({}) == before
    assert cw_names(store, "1") == ["alice", None, ALICE]
    user, _ = add_user(store, ALICE, "alice", "acc01")  # no name is replaced
    assert user.usernames == {"mila_cluster_username": "alice", "cc_account_username": "acc01"}


def test_the_jobs_of_a_removed_account_stay(store: Store) -> None:
    insert_job(store, "1", mila_cluster_username="alice")
    insert_job(store, "2", mila_cluster_username="bob")
    _, token = add_user(store, ALICE, "alice")
    add_user(store, BOB, "bob")

    assert remove(store, ALICE).usernames == {"mila_cluster_username": "alice"}

    assert authenticate(store, token) is None
    assert cw_names(store, "1") == ["alice", None, None]
    assert cw_names(store, "2") == ["bob", None, BOB]
    assert [user.mila_email_username for user in list_users(store)] == [BOB]
    with pytest.raises(AccountError, match="there is no account"):
        remove(store, ALICE)
    add_user(store, BOB, "alice", rename=True)
    assert cw_names(store, "1") == ["alice", None, BOB]


def test_former_jobs_bear_the_names_of_the_accounts_too(store: Store) -> None:
    insert_job(store, "1", mila_cluster_username="alice")
    former = store.jobs.find_one({}) or {}
    store.former_jobs.insert_one({**former, "_id": "mila/1/former"})

    def emails() -> list[str | None]:
        return [
            found["cw"]["mila_email_username"]
            for found in (*store.jobs.find(), *store.former_jobs.find())
        ]

    add_user(store, ALICE, "alice")
    assert emails() == [ALICE, ALICE]
    store.former_jobs.update_one({}, {"$set": {"cw.mila_email_username": BOB}})
    refresh_outdated_jobs(store)
    assert emails() == [ALICE, ALICE]
    remove(store, ALICE)
    assert emails() == [None, None]
    plan = store.former_jobs.find({"cw.filters.names": "alice"}).explain()
    assert '"IXSCAN"' in json.dumps(plan, default=str)


def test_who_owns_a_job() -> None:
    alice = User(ALICE, "alice", None)

    assert alice.owns({"mila_cluster_username": "alice"})
    assert not alice.owns({"cc_account_username": "alice"})
    assert not alice.owns({"mila_cluster_username": None, "cc_account_username": None})
    assert not User(ALICE).owns({})
    assert not User(ALICE, "nobody").owns({"mila_cluster_username": "nobody"})


def test_many_adding_one_account_at_once(store: Store) -> None:
    def add(number: int) -> str | None:
        try:
            return add_user(store, ALICE, token_name=str(number))[1]
        except AccountError:  # two that both found no account yet: one of them is told to try again
            return None

    with ThreadPoolExecutor(8) as threads:
        tokens = [token for token in threads.map(add, range(8)) if token is not None]

    [user] = list_users(store)
    assert len(user.tokens) == len(tokens) >= 1
    callers = [authenticate(store, token) for token in tokens]
    assert {caller and caller.user for caller in callers} == {user}
