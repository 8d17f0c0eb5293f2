"""Accounts: the usernames of each user, and the tokens that users send to the API.

A user document::

    {mila_email_username: str,                      the account's key
     mila_cluster_username: str or null,
     cc_account_username: str or null,
     username: str or null,                         absent: null
     role: "user", "admin" or "service"              absent: "user"
     coordinates: [str]                              accounts of Slurm; absent: none
     tokens: [{name: str, sha256: str, created: date, last_used: date or null,
               expires: date}]}                     absent: never

No two users share a name.  `ingest.accounts.tokens` makes tokens, and `ingest.accounts.access`
finds the account of a token.  Every write replaces the change token of the accounts, but for the
note of when a token was last used: see `change_accounts`.

A job belongs to the user who has the name that Slurm gave, under the username field of the job's
cluster.  The ingest copies the names of that user into the job's ``cw`` (`names_in_job`).  When an
account changes, `refresh_jobs` updates the copies in the jobs that are already stored.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import chain
from typing import Any, TypeVar, get_args

from pymongo import ASCENDING, ReturnDocument, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from config import OperatorError
from config.settings import UsernameField
from ingest.accounts.tokens import (
    LONGEST_DAYS,
    Token,
    new_token,
    token_digest,
    token_entry,
    token_of,
)
from ingest.database.change_tokens import ACCOUNTS, bulk_write, replace_token
from ingest.database.changes import Changed
from ingest.database.search_fields import names_field
from ingest.database.store import Document, Store
from ingest.database.transactions import batches, in_transaction

EMAIL_FIELD = "mila_email_username"
USERNAME = "username"
USERNAME_FIELDS: tuple[str, ...] = get_args(UsernameField)
NAME_FIELDS = (*USERNAME_FIELDS, EMAIL_FIELD)

ROLES = ("user", "admin", "service")
"""What an account may do.  A user reads, and writes the user dicts of their own jobs.  An admin
does the same and always sees all jobs.  A service always sees all jobs and writes no user dict.
Every role manages its own tokens."""

NOBODY = "nobody"
"""The name that Slurm gives to a deleted account: it belongs to nobody."""

MOST_TOKENS = 20
"""Tokens of an account beyond which it makes no more for itself."""

_EMAIL = re.compile(r"[^\s@:]+@[^\s@:]+")
_LONGEST_EMAIL = 254
LONGEST_NAME = 128
"""Characters of a username or of a token's name."""
MOST_COORDINATED = 100
"""Accounts of Slurm that a user can coordinate."""
_JOBS_AT_ONCE = 100
_T = TypeVar("_T")

Names = dict[str, str | None]
"""A user's names by their field; None for a name that the user lacks."""


class AccountError(OperatorError, ValueError):
    """An account can't be made, changed or found; the message is for the operator."""


@dataclass(frozen=True)
class User:
    """An account: its names and its tokens."""

    mila_email_username: str
    mila_cluster_username: str | None = None
    cc_account_username: str | None = None
    username: str | None = None
    tokens: tuple[Token, ...] = ()
    role: str = "user"
    coordinates: tuple[str, ...] = ()
    """The accounts of Slurm whose jobs the user sees even where users see only their own."""

    @property
    def names(self) -> Names:
        """All names, by their field."""
        return {field: getattr(self, field) for field in NAME_FIELDS}

    @property
    def usernames(self) -> dict[str, str]:
        """The names that Slurm gives to jobs, by their field."""
        given = {field: getattr(self, field) for field in USERNAME_FIELDS}
        return {field: name for field, name in given.items() if name not in (None, NOBODY)}

    @property
    def may_write(self) -> bool:
        """Whether the role allows writing; ownership is checked elsewhere."""
        return self.role in ("user", "admin")

    @property
    def always_sees_all(self) -> bool:
        """Whether the user sees all jobs even where users see only their own."""
        return self.role in ("admin", "service")

    def owns(self, slurm: Mapping[str, Any]) -> bool:
        """Return whether the job with this ``slurm`` dict belongs to the user."""
        return any(slurm.get(field) == name for field, name in self.usernames.items())


def change_accounts(store: Store, write: Callable[[Collection[Document], ClientSession], _T]) -> _T:
    """Call *write* with ``users`` and the session for its writes, and return its result.

    The change token of the accounts is replaced in the same transaction, so no process goes on with
    accounts that it remembers.  Raises what *write* raises, and pymongo's errors; nothing is
    written then.
    """

    def written(session: ClientSession) -> _T:
        result = write(store.users, session)
        replace_token(store, session, ACCOUNTS)
        return result

    return in_transaction(store, written)


def add_user(
    store: Store,
    email: str,
    mila_cluster_username: str | None = None,
    cc_account_username: str | None = None,
    token_name: str | None = None,
    role: str | None = None,
    *,
    username: str | None = None,
    rename: bool = False,
    days: int | None = None,
    coordinates: Sequence[str] | None = None,
) -> tuple[User, str]:
    """Add the account of *email*, or change it, and add a token to it.

    A username or a role (one of `ROLES`) that is None stays as it is; a new account's role is then
    "user".  A username replaces another one of the account only with *rename*.  Without
    *token_name* the token is named after the first eight digits of its hash.  It expires after so
    many *days*, or never for None.  The accounts of Slurm that the user *coordinates* replace those
    from before; None: they stay.  Returns the account and the token, which is stored nowhere.
    The user's jobs show the account afterwards.

    Raises AccountError for a malformed name, a name of another user, a name in place of another
    one, a token name that the account has already, an unknown role, a number of days that is not
    from 1 to `LONGEST_DAYS`, and more than `MOST_COORDINATED` or malformed accounts of Slurm.
    Raises pymongo's errors.
    """
    if role not in (None, *ROLES):
        raise AccountError(f"there is no role {role!r}; the roles are: {', '.join(ROLES)}")
    given = {
        "mila_cluster_username": mila_cluster_username,
        "cc_account_username": cc_account_username,
        USERNAME: username,
    }
    usernames = {
        field: checked_username(name, field) for field, name in given.items() if name is not None
    }
    coordinated = None if coordinates is None else _checked_accounts(coordinates)
    token, entry = _made_token(token_name, datetime.now(timezone.utc), days)
    name = entry["name"]
    try:
        # An account that has a token of this name, or another username, is not matched: the insert
        # that follows instead collides with it.
        this = {
            EMAIL_FIELD: checked_email(email),
            "tokens.name": {"$ne": name},
            **({} if rename else {field: {"$in": [None, n]} for field, n in usernames.items()}),
        }
        addition = _addition(usernames, role, coordinated, entry)
        before = change_accounts(
            store,
            lambda users, session: users.find_one_and_update(
                this, addition, upsert=True, session=session
            ),
        )
    except DuplicateKeyError as error:
        raise _collision(store, email, usernames, name, rename=rename) from error
    user = _found(store, email)
    for field in USERNAME_FIELDS:
        for each in {(before or {}).get(field), user.names[field]}:
            if each is not None:
                refresh_jobs(store, field, each)
    return user, token


def add_own_token(
    store: Store, email: str, by: Token | None, name: str, now: datetime, days: int | None = None
) -> tuple[Token, str]:
    """Add a token to the account of *email*, which asks for it with its token *by*.

    *by* is None if a proxy has signed the account in.

    The token is made at *now*, and expires after so many *days*, or never for None.  Returns what
    is known of the token, and the token, which is stored nowhere.

    Raises AccountError for a malformed name or number of days, for a name that a token of the
    account has, and where the account has `MOST_TOKENS` tokens.  Raises pymongo's errors.
    """
    token, entry = _made_token(name, now, days)
    still_there = [] if by is None else [{"name": by.name, "created": by.created}]
    # All conditions stand in the write.  A token that was revoked meanwhile makes none.
    this = {
        EMAIL_FIELD: email,
        "$and": [
            *({"tokens": {"$elemMatch": each}} for each in still_there),
            {"tokens.name": {"$ne": name}},
            {f"tokens.{MOST_TOKENS - 1}": {"$exists": False}},
        ],
    }
    after = change_accounts(
        store,
        lambda users, session: users.find_one_and_update(
            this,
            {"$push": {"tokens": entry}},
            return_document=ReturnDocument.AFTER,
            session=session,
        ),
    )
    if after is None:
        if len(_found(store, email).tokens) >= MOST_TOKENS:
            raise AccountError(
                f"{email!r} has {MOST_TOKENS} tokens or more, and {MOST_TOKENS} are allowed:"
                " revoke one first"
            )
        raise _collision(store, email, {}, name, rename=False)
    [added] = (each for each in user_of(after).tokens if each.name == name)
    return added, token


def list_users(store: Store) -> list[User]:
    """Return all accounts, sorted by e-mail address. Raises pymongo's errors."""
    return [user_of(document) for document in store.users.find({}).sort(EMAIL_FIELD, ASCENDING)]


def revoke(store: Store, email: str, token_name: str | None = None) -> int:
    """Revoke one token of the account of *email*, or all its tokens for None.

    The account and its usernames stay, so its jobs still belong to it.  Returns how many tokens
    were revoked.  Raises AccountError for an unknown account or token, and pymongo's errors.
    """
    chosen: dict[str, Any] = {} if token_name is None else {"name": token_name}
    pull = {"$pull": {"tokens": chosen}}
    before = change_accounts(
        store,
        lambda users, session: users.find_one_and_update(
            {EMAIL_FIELD: email}, pull, session=session
        ),
    )
    if before is None:
        raise _unknown(email)
    tokens = user_of(before).tokens
    revoked = [token for token in tokens if token_name in (None, token.name)]
    if token_name is not None and not revoked:
        names = ", ".join(repr(token.name) for token in tokens) or "none"
        raise AccountError(f"{email!r} has no token named {token_name!r}; its tokens: {names}")
    return len(revoked)


def remove(store: Store, email: str) -> User:
    """Remove the account of *email* with its tokens. Return what the account was.

    The jobs under its usernames stay, and belong to nobody.  Raises AccountError for an unknown
    account, and pymongo's errors.
    """
    found = change_accounts(
        store,
        lambda users, session: users.find_one_and_delete({EMAIL_FIELD: email}, session=session),
    )
    if found is None:
        raise _unknown(email)
    user = user_of(found)
    for field, username in user.usernames.items():
        refresh_jobs(store, field, username)
    return user


def username_map(store: Store, username_field: str) -> dict[str, Names]:
    """Return the names of each user who has a name under *username_field*, by that name.

    Raises pymongo's errors.
    """
    return {
        username: user.names
        for user in list_users(store)
        if (username := user.usernames.get(username_field)) is not None
    }


def refresh_changed(store: Store, username_field: str, before: Mapping[str, Names]) -> None:
    """Call `refresh_jobs` for every name whose account changed since *before*.

    *before* is what `username_map` returned then.  Raises pymongo's errors.
    """
    now = username_map(store, username_field)
    for name in now.keys() | before.keys():
        if now.get(name) != before.get(name):
            refresh_jobs(store, username_field, name)


def _addition(
    usernames: Mapping[str, str],
    role: str | None,
    coordinated: Sequence[str] | None,
    token: Mapping[str, Any],
) -> dict[str, Any]:
    changes = {"role": role, "coordinates": coordinated}
    given = {**usernames, **{key: value for key, value in changes.items() if value is not None}}
    absent = {**dict.fromkeys(USERNAME_FIELDS), "role": "user"}
    defaults = {field: value for field, value in absent.items() if field not in given}
    parts = {"$set": given, "$setOnInsert": defaults, "$push": {"tokens": token}}
    return {operator: fields for operator, fields in parts.items() if fields}


def names_in_job(names: Mapping[str, str | None]) -> Names:
    """Return the names of a job's owner as the ``cw`` of the job bears them.

    `USERNAME` is left out where it is unknown, the others are None then.
    """
    found = {field: names.get(field) for field in NAME_FIELDS}
    if found[USERNAME] is None:
        del found[USERNAME]
    return found


def set_names(names: Mapping[str, str | None]) -> dict[str, Any]:
    """Return the operators of an update that gives a job's ``cw`` these names."""
    shown = names_in_job(names)
    fresh = {f"cw.{field}": name for field, name in shown.items()}
    update = {"$set": {**fresh, "cw.filters.names": names_field(shown.values())}}
    return update if USERNAME in shown else {**update, "$unset": {f"cw.{USERNAME}": ""}}


def refresh_jobs(store: Store, field: str, username: str) -> None:
    """Update the names in the ``cw`` of *username*'s jobs, former ones too, from the accounts.

    *field* is the username field of the jobs' clusters.  Raises pymongo's errors.
    """
    owner = store.users.find_one({field: username})
    names: Names = dict.fromkeys(NAME_FIELDS) | {field: username}
    if owner is not None:
        names = user_of(owner).names
    update = set_names(names)
    # What Slurm said stands among the names, and those are indexed.
    of_username = {"cw.filters.names": username, f"slurm.{field}": username}
    key = ("job_id", "cluster_name")
    shown = [*(f"cw.{each}" for each in NAME_FIELDS), *(f"slurm.{each}" for each in key)]
    for collection in (store.jobs, store.former_jobs):
        outdated = [
            job
            for job in collection.find(of_username, shown)
            if any(job["cw"].get(name_field) != name for name_field, name in names.items())
        ]
        # In small transactions: a user may have very many jobs, and scrapes write them too.
        for batch in batches(outdated, _JOBS_AT_ONCE):
            operations = [
                UpdateOne(
                    {
                        "_id": job["_id"],
                        **{f"slurm.{each}": job["slurm"][each] for each in key},
                        f"slurm.{field}": username,
                    },
                    update,
                )
                for job in batch
            ]
            changed: dict[str, Changed] = {}
            for job in batch if collection.name == store.jobs.name else ():
                slurm = job["slurm"]
                changed.setdefault(slurm["cluster_name"], Changed()).ids.append(slurm["job_id"])
            bulk_write(store, collection, operations, changed)


def refresh_outdated_jobs(store: Store) -> None:
    """Call `refresh_jobs` for every name whose jobs differ from the accounts.

    The database reads all jobs once for each username field.  Raises pymongo's errors.
    """
    shown = {name_field: f"$cw.{name_field}" for name_field in NAME_FIELDS}
    for field in USERNAME_FIELDS:
        accounts = username_map(store, field)
        by_names = [{"$group": {"_id": {**shown, "username": f"$slurm.{field}"}}}]
        outdated = set()
        for group in chain.from_iterable(
            collection.aggregate(by_names, allowDiskUse=True)
            for collection in (store.jobs, store.former_jobs)
        ):
            username = group["_id"].get("username")
            names = accounts.get(username) or dict.fromkeys(NAME_FIELDS) | {field: username}
            if username is not None and any(
                group["_id"].get(name_field) != name for name_field, name in names.items()
            ):
                outdated.add(username)
        for username in outdated:
            refresh_jobs(store, field, username)


def user_of(document: Mapping[str, Any]) -> User:
    """Return the account of a user document."""
    return User(
        mila_email_username=document[EMAIL_FIELD],
        mila_cluster_username=document.get("mila_cluster_username"),
        cc_account_username=document.get("cc_account_username"),
        username=document.get(USERNAME),
        tokens=tuple(token_of(entry) for entry in document.get("tokens", ())),
        role=document.get("role", "user"),
        coordinates=tuple(document.get("coordinates", ())),
    )


def _made_token(name: str | None, now: datetime, days: int | None) -> tuple[str, dict[str, Any]]:
    """Return a new token and its entry. Raises AccountError for a malformed name or number."""
    if days is not None and not 1 <= days <= LONGEST_DAYS:
        raise AccountError(f"a token can't expire in {days} days: give 1 to {LONGEST_DAYS} days")
    if name is not None:
        _checked_name(name, "token name")
    token = new_token()
    return token, token_entry(name, str(token_digest(token)), now, days)


def _found(store: Store, email: str) -> User:
    document = store.users.find_one({EMAIL_FIELD: email})
    if document is None:
        raise AccountError(f"the account {email!r} is being changed by someone else: try again")
    return user_of(document)


def _unknown(email: str) -> AccountError:
    return AccountError(f"there is no account {email!r}: see `clockwork user list`")


def _collision(
    store: Store, email: str, usernames: Mapping[str, str], token_name: str, *, rename: bool
) -> AccountError:
    for field, username in usernames.items():
        other = store.users.find_one({field: username, EMAIL_FIELD: {"$ne": email}})
        if other is not None:
            return AccountError(f"{username!r} is already the {field} of {other[EMAIL_FIELD]!r}")
    account = store.users.find_one({EMAIL_FIELD: email}) or {}
    renamed = [
        f"{field} from {account[field]!r} to {username!r}"
        for field, username in usernames.items()
        if account.get(field) not in (None, username)
    ]
    if renamed and not rename:
        return AccountError(
            f"this would change {email!r}: {', '.join(renamed)}. The jobs of the old name would no"
            " longer be the account's. Give --rename to change it, or leave the name out"
        )
    if store.users.find_one({EMAIL_FIELD: email, "tokens.name": token_name}) is not None:
        return AccountError(
            f"{email!r} has a token named {token_name!r}: revoke it first, or choose another name"
        )
    return AccountError(f"the account {email!r} is being changed by someone else: try again")


def checked_email(email: str) -> str:
    """Return *email* if it is an e-mail address. Raises AccountError otherwise."""
    if len(email) > _LONGEST_EMAIL or not email.isprintable() or not _EMAIL.fullmatch(email):
        raise AccountError(f"{email!r} is not an e-mail address: expected NAME@HOST")
    return email


def _checked_name(name: str, what: str) -> str:
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or " " in name:
        raise AccountError(
            f"{name!r} is no {what}: expected 1 to {LONGEST_NAME} printable characters"
            " without spaces"
        )
    return name


def _checked_accounts(accounts: Sequence[str]) -> list[str]:
    if len(accounts) > MOST_COORDINATED:
        raise AccountError(f"a user can coordinate {MOST_COORDINATED} accounts of Slurm at most")
    return sorted({_checked_name(each, "account of Slurm") for each in accounts})


def checked_username(name: str, field: str) -> str:
    """Return *name* if it can be a username under *field*. Raises AccountError otherwise."""
    if name == NOBODY:
        raise AccountError(f"{name!r} can't be anyone's {field}: Slurm gives it to lost accounts")
    return _checked_name(name, field)
