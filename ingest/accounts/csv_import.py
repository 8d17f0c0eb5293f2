"""Accounts from a CSV file: who bears which usernames, as some directory knows it.

The file is UTF-8 (with or without a byte order mark) and RFC 4180: fields parted by commas, quoted
where they need it.  Its first line names the columns, in any order; others may stand among them::

    email,mila_cluster_username,cc_account_username
    alice@example.org,alice,acc01
    bob@example.org,bob,

What the file says of a user holds: an empty field takes the name away.  A further column,
``username``, can be left out: the accounts then keep this name.  Users that it does not
name stay as they are.  A new account has no token: ``clockwork user add`` makes one.

A file with any mistake in it is refused whole, and nothing is written.  Names may change hands, in
a circle too: they are first taken from who gives them up, then given.  So there is a moment, and
after a crash there may be longer, in which a name is no one's; the same file again does the rest.
"""

import codecs
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pymongo.errors import DuplicateKeyError

from ingest.accounts.users import (
    EMAIL_FIELD,
    NAME_FIELDS,
    USERNAME,
    USERNAME_FIELDS,
    AccountError,
    Names,
    change_accounts,
    checked_email,
    checked_username,
    list_users,
    refresh_outdated_jobs,
)
from ingest.database.store import Document, Store

COLUMNS = {"email": EMAIL_FIELD} | {field: field for field in NAME_FIELDS}
"""The field that a column of this name holds."""
_HEADER = (
    "email (or mila_email_username), mila_cluster_username, cc_account_username, and perhaps"
    " username"
)
_MOST_MISTAKES = 20
"""Mistakes that are named; the rest are counted."""


@dataclass(frozen=True)
class Row:
    """What one line of the file says."""

    line: int
    names: Names


@dataclass(frozen=True)
class Change:
    """An account that the file changes."""

    before: Names
    after: Names


@dataclass(frozen=True)
class UserImport:
    """What a file does to the accounts."""

    added: Sequence[Names]
    changed: Sequence[Change]
    unchanged: int


def plan_import(store: Store, path: Path) -> UserImport:
    """What the file *path* would do; nothing is written.

    Raises AccountError, a line for each mistake, and pymongo's errors.
    """
    rows = _read(path)
    accounts = {user.mila_email_username: user.names for user in list_users(store)}
    _complain(path, [*_doubled(rows), *_taken(rows, accounts)])
    added, changed, unchanged = [], [], 0
    for names in (row.names for row in rows):
        before = accounts.get(str(names[EMAIL_FIELD]))
        if before is None:
            added.append(dict.fromkeys(NAME_FIELDS) | names)
        elif (after := before | names) != before:
            changed.append(Change(before, after))
        else:
            unchanged += 1
    return UserImport(added, changed, unchanged)


def do_import(store: Store, plan: UserImport) -> None:
    """Write what *plan* says; all jobs show the accounts afterwards.

    Raises AccountError when an account was changed by someone else meanwhile, and pymongo's errors;
    the same file can be imported again then.
    """
    wanted = {
        (field, names.get(field))
        for names in (*plan.added, *(change.after for change in plan.changed))
        for field in USERNAME_FIELDS
    }
    try:
        released = [_release(store, change, wanted) for change in plan.changed]
        for change in released:
            _write(store, change.before, change.after)
        for names in plan.added:
            _add(store, {**names, "tokens": []})
    except DuplicateKeyError as error:
        raise _raced() from error
    refresh_outdated_jobs(store)


def _release(store: Store, change: Change, wanted: set[tuple[str, str | None]]) -> Change:
    """Take the names from an account that others get; what is left to do for it."""
    given_up: Names = {
        field: None
        for field in USERNAME_FIELDS
        if change.before[field] != change.after[field]
        and change.before[field] is not None
        and (field, change.before[field]) in wanted
    }
    if given_up:
        _write(store, change.before, given_up)
    return Change(change.before | given_up, change.after)


def _write(store: Store, before: Names, names: Names) -> None:
    result = change_accounts(
        store, lambda users, session: users.update_one(before, {"$set": names}, session=session)
    )
    if not result.matched_count:
        raise _raced()


def _add(store: Store, account: Document) -> None:
    change_accounts(store, lambda users, session: users.insert_one(account, session=session))


def _raced() -> AccountError:
    return AccountError(
        "the accounts were changed by someone else meanwhile, and not all of the file is done: "
        "import it again"
    )


# --- reading and checking -------------------------------------------------------------------------


def _read(path: Path) -> list[Row]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AccountError(f"{path}: can't be read: {error.strerror}") from error
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise AccountError(f"{path}:{line}: is not UTF-8: save the file in UTF-8") from error
    lines = _lines(path, text)
    _, header = next(lines, (1, []))
    columns = _columns(path, header)
    rows, mistakes = [], []
    for line, cells in lines:
        try:
            rows.append(Row(line, _names(cells, header, columns)))
        except AccountError as error:
            mistakes.append((line, str(error)))
    _complain(path, mistakes)
    return rows


def _lines(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """The cells of each line that has any, with the number at which it begins."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise AccountError(f"{path}:{line}: is not CSV: {error}") from error


def _columns(path: Path, header: list[str]) -> dict[str, int]:
    """Where each of the fields stands."""
    columns: dict[str, int] = {}
    for number, name in enumerate(header):
        if name in COLUMNS:
            if COLUMNS[name] in columns:
                raise AccountError(f"{path}:1: two columns hold the {COLUMNS[name]}")
            columns[COLUMNS[name]] = number
    if {*NAME_FIELDS} - {USERNAME} - {*columns}:
        raise AccountError(
            f"{path}:1: the first line must name the columns {_HEADER}, separated by commas; "
            f"found: {', '.join(header)[:200] or 'nothing'}"
        )
    return columns


def _names(cells: list[str], header: list[str], columns: Mapping[str, int]) -> Names:
    if len(cells) != len(header):
        raise AccountError(f"has {len(cells)} fields, and the first line {len(header)}")
    given = [field for field in USERNAME_FIELDS if field in columns]
    names: Names = {field: cells[columns[field]] or None for field in given}
    for field, name in names.items():
        if name is not None:
            checked_username(name, field)
    return names | {EMAIL_FIELD: checked_email(cells[columns[EMAIL_FIELD]])}


def _doubled(rows: Sequence[Row]) -> Iterator[tuple[int, str]]:
    first: dict[tuple[str, str], int] = {}
    for row in rows:
        for field, name in row.names.items():
            if name is not None and first.setdefault((field, name), row.line) != row.line:
                yield row.line, f"the {field} {name!r} stands on line {first[field, name]} already"


def _taken(rows: Sequence[Row], accounts: Mapping[str, Names]) -> Iterator[tuple[int, str]]:
    """Names that accounts bear which the file does not change."""
    in_file = {row.names[EMAIL_FIELD] for row in rows}
    others = {
        (field, names[field]): email
        for email, names in accounts.items()
        if email not in in_file
        for field in USERNAME_FIELDS
    }
    for row in rows:
        for field in USERNAME_FIELDS:
            name = row.names.get(field)
            if name is not None and (field, name) in others:
                owner = others[field, name]
                yield (
                    row.line,
                    f"{name!r} is already the {field} of {owner!r}, whom the file does not name",
                )


def _complain(path: Path, mistakes: Sequence[tuple[int, str]]) -> None:
    if not mistakes:
        return
    lines = [f"{path}:{line}: {mistake}" for line, mistake in sorted(mistakes)[:_MOST_MISTAKES]]
    if len(mistakes) > _MOST_MISTAKES:
        lines.append(f"{path}: and {len(mistakes) - _MOST_MISTAKES} more")
    lines.append(f"{path}: nothing was imported")
    raise AccountError("\n".join(lines))
