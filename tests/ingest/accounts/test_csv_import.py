"""Accounts from a CSV file: what it does, and what it is refused for."""

import codecs
from pathlib import Path

import pytest

from ingest.accounts.csv_import import Change, UserImport, do_import, plan_import
from ingest.accounts.users import (
    AccountError,
    Names,
    add_user,
    list_users,
    refresh_outdated_jobs,
)
from ingest.database.store import Store
from tests.ingest.accounts.owned_jobs import cw_names, insert_job
from tests.support.accounts import authenticate

ALICE, BOB, CAROL = (f"{name}@mila.example" for name in ("alice", "bob", "carol"))
HEADER = "email,mila_cluster_username,cc_account_username\n"


def names(
    email: str, mila: str | None = None, cc: str | None = None, username: str | None = None
) -> Names:
    return {
        "mila_email_username": email,
        "mila_cluster_username": mila,
        "cc_account_username": cc,
        "username": username,
    }


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "users.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def imported(store: Store, path: Path) -> UserImport:
    plan = plan_import(store, path)
    do_import(store, plan)
    return plan


def accounts(store: Store) -> list[Names]:
    return [user.names for user in list_users(store)]


def refusal(store: Store, path: Path) -> list[str]:
    """The complaint about *path*, a line for each mistake, without the path."""
    before = list(store.users.find())
    with pytest.raises(AccountError) as caught:
        imported(store, path)
    assert list(store.users.find()) == before
    return [line.removeprefix(str(path)) for line in str(caught.value).splitlines()]


def test_new_accounts_have_no_token(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path, f"{HEADER}{ALICE},alice,acc01\n{BOB},,\n")

    plan = imported(store, path)

    assert plan == UserImport([names(ALICE, "alice", "acc01"), names(BOB)], [], 0)
    assert accounts(store) == [names(ALICE, "alice", "acc01"), names(BOB)]
    assert [user.tokens for user in list_users(store)] == [(), ()]
    user, token = add_user(store, BOB)
    caller = authenticate(store, token)
    assert caller is not None
    assert caller.user == user


def test_again_is_nothing(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path, f"{HEADER}{ALICE},alice,acc01\n{BOB},,\n")
    imported(store, path)
    before = list(store.users.find())
    assert imported(store, path) == UserImport([], [], 2)
    assert list(store.users.find()) == before


def test_a_plan_writes_nothing(store: Store, tmp_path: Path) -> None:
    plan = plan_import(store, write(tmp_path, f"{HEADER}{ALICE},alice,\n"))
    assert len(plan.added) == 1
    assert list_users(store) == []


def test_changed_accounts_keep_their_tokens_and_others_stay(store: Store, tmp_path: Path) -> None:
    _, token = add_user(store, ALICE, "alice", "acc01", token_name="laptop")
    add_user(store, BOB, "bob")

    plan = imported(store, write(tmp_path, f"{HEADER}{ALICE},alice2,\n"))

    assert plan == UserImport(
        [], [Change(names(ALICE, "alice", "acc01"), names(ALICE, "alice2"))], 0
    )
    caller = authenticate(store, token)
    assert caller is not None
    assert caller.user.names == names(ALICE, "alice2")
    assert accounts(store)[1] == names(BOB, "bob")


@pytest.mark.parametrize(
    "text",
    [
        codecs.BOM_UTF8 + f"{HEADER}{ALICE},alice,acc01\n".encode(),
        f"{HEADER}{ALICE},alice,acc01".replace("\n", "\r\n"),
        f'"email","mila_cluster_username","cc_account_username"\n"{ALICE}","alice","acc01"\n',
        f"cc_account_username,mila_email_username,mila_cluster_username\nacc01,{ALICE},alice\n",
        "name,cc_account_username,room,email,mila_cluster_username\n"
        f'"Doe, ""Al""\nAlice",acc01,,{ALICE},alice\n',
        f"{HEADER}\n\n{ALICE},alice,acc01\n\n",
    ],
    ids=["bom", "crlf", "quotes", "order", "other columns", "blank lines"],
)
def test_forms_of_the_file(store: Store, tmp_path: Path, text: str | bytes) -> None:
    imported(store, write(tmp_path, text))
    assert accounts(store) == [names(ALICE, "alice", "acc01")]


def test_names_that_are_not_ascii(store: Store, tmp_path: Path) -> None:
    imported(store, write(tmp_path, f"{HEADER}zoë@mila.example,zoë,ж01\n"))
    assert accounts(store) == [names("zoë@mila.example", "zoë", "ж01")]


def test_the_column_of_plain_usernames_can_be_left_out(store: Store, tmp_path: Path) -> None:
    header = HEADER.replace("\n", ",username\n")
    imported(store, write(tmp_path, f"{header}{ALICE},,acc01,al\n{BOB},,,bob\n"))
    assert accounts(store) == [names(ALICE, None, "acc01", "al"), names(BOB, username="bob")]
    plan = imported(store, write(tmp_path, f"{HEADER}{ALICE},alice,acc01\n"))
    assert plan.changed[0].after == names(ALICE, "alice", "acc01", "al")
    imported(store, write(tmp_path, f"{header}{ALICE},alice,,bob\n{BOB},,,\n"))
    assert accounts(store) == [names(ALICE, "alice", None, "bob"), names(BOB)]


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", ":1: the first line must name the columns email (or mila_email_username), "),
        ("email,mila_cluster_username\n", "found: email, mila_cluster_username"),
        (HEADER.replace(",", ";"), "found: email;mila_cluster_username;cc_account_username"),
        (f"{ALICE},alice,acc01\n", f"found: {ALICE}, alice, acc01"),
        (f"mila_email_username,{HEADER}", ":1: two columns hold the mila_email_username"),
        (f"{HEADER}a@b,alice\xe9\n".encode("latin-1"), ":2: is not UTF-8"),
        (f'{HEADER}{ALICE},"al\n\nice,\n', ":2: is not CSV: unexpected end of data"),
        (f'{HEADER}\n{ALICE},"al"ice,\n', ":3: is not CSV: ',' expected after"),
    ],
)
def test_what_is_no_such_file(
    store: Store, tmp_path: Path, text: str | bytes, complaint: str
) -> None:
    (line,) = refusal(store, write(tmp_path, text))
    assert complaint in line


def test_a_file_that_is_missing(store: Store, tmp_path: Path) -> None:
    assert refusal(store, tmp_path / "no.csv") == [": can't be read: No such file or directory"]
    assert refusal(store, tmp_path) == [": can't be read: Is a directory"]


def test_malformed_names_are_named_with_their_lines(store: Store, tmp_path: Path) -> None:
    path = write(
        tmp_path,
        f"{HEADER}{ALICE},alice,acc01\n"
        f'carol,carol,\n{BOB},"b\nob",\n'
        "d@mila.example, d,\ne@mila.example,,nobody\nf@mila.example,f\n\x1b@x,\0,\n",
    )
    lines = refusal(store, path)
    assert [line.split(":")[1] for line in lines[:-1]] == ["3", "4", "6", "7", "8", "9"]
    assert "'carol' is not an e-mail address" in lines[0]
    assert r"'b\nob' is no mila_cluster_username" in lines[1]
    assert "' d' is no mila_cluster_username" in lines[2]
    assert "'nobody' can't be anyone's cc_account_username" in lines[3]
    assert "has 2 fields, and the first line 3" in lines[4]
    assert lines[-1] == ": nothing was imported"


def test_doubled_names_are_named_with_both_lines(store: Store, tmp_path: Path) -> None:
    path = write(
        tmp_path, f"{HEADER}{ALICE},x,acc\n{BOB},y,x\n{CAROL},x,acc\n{ALICE},,\nd@mila.example,,\n"
    )
    assert refusal(store, path) == [
        ":4: the cc_account_username 'acc' stands on line 2 already",
        ":4: the mila_cluster_username 'x' stands on line 2 already",
        f":5: the mila_email_username '{ALICE}' stands on line 2 already",
        ": nothing was imported",
    ]


def test_a_name_of_an_account_that_the_file_does_not_name(store: Store, tmp_path: Path) -> None:
    add_user(store, CAROL, "carol", "acc01")
    path = write(tmp_path, f"{HEADER}{BOB},,acc02\n{ALICE},carol,acc01\n")
    assert refusal(store, path) == [
        f":3: 'acc01' is already the cc_account_username of '{CAROL}', whom the file does not name",
        f":3: 'carol' is already the mila_cluster_username of '{CAROL}', whom the file does not "
        "name",
        ": nothing was imported",
    ]


def test_a_great_many_mistakes(store: Store, tmp_path: Path) -> None:
    lines = refusal(store, write(tmp_path, HEADER + "x,,\n" * 1000))
    assert len(lines) == 22
    assert lines[-2] == ": and 980 more"


# --- names that change hands, and jobs ------------------------------------------------------------


def test_names_change_hands_in_a_circle(store: Store, tmp_path: Path) -> None:
    add_user(store, ALICE, "a", "x")
    add_user(store, BOB, "b", "y")
    add_user(store, CAROL, "c", "z")
    for number, (field, username) in enumerate(
        [("mila", "a"), ("mila", "b"), ("mila", "c"), ("cc", "x"), ("cc", "y"), ("cc", "z")]
    ):
        fields = {"mila": "mila_cluster_username", "cc": "cc_account_username"}
        insert_job(store, str(number), field, **{fields[field]: username})
    refresh_outdated_jobs(store)
    assert cw_names(store, "0") == ["a", "x", ALICE]

    path = write(tmp_path, f"{HEADER}{ALICE},b,y\n{BOB},c,x\n{CAROL},a,\nd@mila.example,,z\n")
    plan = imported(store, path)

    assert (len(plan.added), len(plan.changed), plan.unchanged) == (1, 3, 0)
    assert accounts(store) == [
        names(ALICE, "b", "y"),
        names(BOB, "c", "x"),
        names(CAROL, "a"),
        names("d@mila.example", None, "z"),
    ]
    assert cw_names(store, "0") == ["a", None, CAROL]
    assert cw_names(store, "1") == ["b", "y", ALICE]
    assert cw_names(store, "2") == ["c", "x", BOB]
    assert cw_names(store, "3") == ["c", "x", BOB]
    assert cw_names(store, "4") == ["b", "y", ALICE]
    assert cw_names(store, "5") == [None, "z", "d@mila.example"]


def test_a_name_that_is_taken_away_leaves_its_jobs(store: Store, tmp_path: Path) -> None:
    insert_job(store, "1", mila_cluster_username="alice")
    insert_job(store, "2", "beluga", cc_account_username="acc01")
    insert_job(store, "3", mila_cluster_username="nobody")
    imported(store, write(tmp_path, f"{HEADER}{ALICE},alice,acc01\n"))
    assert cw_names(store, "1") == ["alice", "acc01", ALICE]
    imported(store, write(tmp_path, f"{HEADER}{ALICE},alice,\n"))
    assert cw_names(store, "1") == ["alice", None, ALICE]
    assert cw_names(store, "2") == [None, "acc01", None]
    assert cw_names(store, "3") == ["nobody", None, None]


def test_an_import_that_was_cut_short_is_finished_by_the_next(store: Store, tmp_path: Path) -> None:
    """After a crash between the accounts and the jobs, or while names were no one's."""
    add_user(store, ALICE, "a")
    add_user(store, BOB, "b")
    insert_job(store, "1", mila_cluster_username="a")
    refresh_outdated_jobs(store)
    path = write(tmp_path, f"{HEADER}{ALICE},b,\n{BOB},a,\n")
    for half_done in ([None, None], [None, "a"], ["b", "a"]):
        for email, username in zip((ALICE, BOB), half_done, strict=True):
            store.users.update_one(
                {"mila_email_username": email}, {"$set": {"mila_cluster_username": username}}
            )
        imported(store, path)
        assert accounts(store) == [names(ALICE, "b"), names(BOB, "a")]
        assert cw_names(store, "1") == ["a", None, BOB]


def test_accounts_that_someone_else_changes_meanwhile(store: Store, tmp_path: Path) -> None:
    add_user(store, ALICE, "a")
    path = write(tmp_path, f"{HEADER}{ALICE},b,\n{BOB},c,\n")
    plan = plan_import(store, path)
    add_user(store, CAROL, "c")
    with pytest.raises(AccountError, match=r"by someone else meanwhile.*import it again"):
        do_import(store, plan)
    store.users.delete_one({"mila_email_username": CAROL})
    plan = plan_import(store, path)
    add_user(store, BOB)
    with pytest.raises(AccountError, match="by someone else meanwhile"):
        do_import(store, plan)
    write(tmp_path, f"{HEADER}{ALICE},d,\n{BOB},c,\n")
    plan = plan_import(store, path)
    add_user(store, ALICE, cc_account_username="acc01")
    with pytest.raises(AccountError, match="by someone else meanwhile"):
        do_import(store, plan)
    imported(store, path)
    assert accounts(store) == [names(ALICE, "d"), names(BOB, "c")]


def test_a_large_file(store: Store, tmp_path: Path) -> None:
    lines = [f"u{number}@mila.example,u{number},c{number}\n" for number in range(300)]
    path = write(tmp_path, HEADER + "".join(lines))
    assert len(imported(store, path).added) == 300
    turned = [f"u{n}@mila.example,u{(n + 1) % 300},c{n}\n" for n in range(300)]
    write(tmp_path, HEADER + "".join(turned))
    assert len(imported(store, path).changed) == 300
    assert imported(store, path).unchanged == 300
