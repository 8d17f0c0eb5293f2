"""Find the account of a token, and note when each token was last used.

Nothing is remembered between two requests.  So a token that was revoked or has expired is refused,
and a changed role holds, from the next request on.
"""

import hmac
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from pymongo.errors import PyMongoError
from pymongo.write_concern import WriteConcern

from ingest.accounts.tokens import Token, token_digest, token_of
from ingest.accounts.users import EMAIL_FIELD, NOBODY, User, user_of
from ingest.database.embedded_quirks import one_of
from ingest.database.store import Document, Store
from ingest.database.transactions import batches

USE_NOTED_EVERY = timedelta(minutes=5)
"""Minimum interval between two updates of a token's ``last_used``."""

_AT_ONCE = 100
_NOT_WAITED_FOR = WriteConcern(w=0)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Caller:
    """The account that sent a request, and the token that it sent.

    *token* is None for an account that a proxy has signed in.
    """

    user: User
    token: Token | None


Accounts = Mapping[str, Document]
"""Documents of ``users``, by the hash of each of their tokens."""


def read_accounts(store: Store, emails: Sequence[str]) -> Accounts:
    """Return the accounts of these addresses, for `authenticate`. Raises pymongo's errors."""
    found: dict[str, Document] = {}
    for some in batches(emails, _AT_ONCE):
        for document in store.users.find({EMAIL_FIELD: one_of(some)}):
            found |= {entry["sha256"]: document for entry in document["tokens"]}
    return found


def authenticate(
    store: Store, token: str, now: datetime | None = None, among: Accounts | None = None
) -> Caller | None:
    """Return the account of *token*; None for any other text, and for a token that has expired.

    *now* is the time in UTC; None: the machine's.  *among* are accounts that were just read, so
    that they need not be read again.  Raises pymongo's errors.
    """
    digest = token_digest(token)
    if digest is None:
        return None
    document = (among or {}).get(digest) or store.users.find_one({"tokens.sha256": digest})
    if document is None:
        return None
    for entry in document["tokens"]:
        if hmac.compare_digest(entry["sha256"], digest):
            known = token_of(entry)
            expired = known.is_expired(now or datetime.now(timezone.utc))
            return None if expired else Caller(user_of(document), known)
    return None


def authenticate_basic(
    store: Store,
    email: str,
    token: str,
    now: datetime | None = None,
    among: Accounts | None = None,
) -> Caller | None:
    """Return the account of *token*, as `authenticate` does, if it is the account of *email*.

    Returns None otherwise.  Raises pymongo's errors.
    """
    caller = authenticate(store, token, now, among)
    if caller is None or caller.user.mila_email_username != email:
        return None
    return caller


def account_of(store: Store, field: str, name: str) -> User | None:
    """Return the account whose *field*, one of `NAME_FIELDS`, is *name*; None if there is none.

    Raises pymongo's errors.
    """
    # An index knows the names that are not empty.
    document = store.users.find_one({field: name}) if name not in ("", NOBODY) else None
    return None if document is None else user_of(document)


def note_use(store: Store, caller: Caller, now: datetime) -> None:
    """Store that the caller's token was used, at most every `USE_NOTED_EVERY`.

    The write is not waited for, and raises nothing.  If it fails, a later request writes again.
    """
    token = caller.token
    if token is None:
        return
    noted = token.last_used
    if noted is not None and abs(now - noted) < USE_NOTED_EVERY:
        return
    this_token = {"name": token.name, "created": token.created, "last_used": noted}
    users = store.users.with_options(write_concern=_NOT_WAITED_FOR)
    try:
        users.update_one(
            {EMAIL_FIELD: caller.user.mila_email_username, "tokens": {"$elemMatch": this_token}},
            {"$set": {"tokens.$.last_used": now}},
        )
    except PyMongoError as error:
        logger.warning("accounts: could not store when a token was last used: %s", error)
