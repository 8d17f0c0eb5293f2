"""Find the account of a token, and note when each token was last used.

An account is remembered as long as no account changes: every request reads the change token of the
accounts.  So a token that was revoked or has expired is refused, and a changed role holds, from the
next request on.  Whoever writes to ``users`` replaces the change token: see `change_accounts`.
"""

import hmac
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from pymongo.errors import PyMongoError
from pymongo.write_concern import WriteConcern

from ingest.accounts.tokens import Token, token_digest, token_of
from ingest.accounts.users import EMAIL_FIELD, NOBODY, User, user_of
from ingest.database.change_tokens import SeenTokens
from ingest.database.store import Document, Store

USE_NOTED_EVERY = timedelta(minutes=5)
"""Minimum interval between two updates of a token's ``last_used``."""
REMEMBERED_SECONDS = 60.0
"""How long an account is remembered at most: other programs may write to ``users`` too."""

_DIGEST = "tokens.sha256"
_MOST_REMEMBERED = 5000
_NOT_WAITED_FOR = WriteConcern(w=0)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Caller:
    """The account that sent a request, and the token that it sent.

    *token* is None for an account that a proxy has signed in.
    """

    user: User
    token: Token | None
    digest: str | None = None
    """The hash of the token."""


@dataclass(frozen=True)
class _Remembered:
    """A document of ``users``."""

    document: Document
    change_token: str | None
    """The token of the accounts that was read before the document."""
    read_at: float
    """On the clock of `Accounts`, in seconds."""


class Accounts:
    """The accounts in *store*, for many threads; *clock* is a monotonic one, in seconds."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._remembered: dict[tuple[str, str], _Remembered] = {}

    def of_token(self, token: str, now: datetime, seen: SeenTokens | None = None) -> Caller | None:
        """Return the account of *token*; None for any other text, and for a token that has expired.

        *now* is the time in UTC.  *seen* are the change tokens that the request reads, None: only
        that of the accounts.  Raises pymongo's errors.
        """
        digest = token_digest(token)
        document = None if digest is None else self._found(_DIGEST, digest, seen)
        if digest is None or document is None:
            return None
        for entry in document["tokens"]:
            if hmac.compare_digest(entry["sha256"], digest):
                known = token_of(entry)
                return None if known.is_expired(now) else Caller(user_of(document), known, digest)
        return None

    def of_name(self, field: str, name: str, seen: SeenTokens) -> User | None:
        """Return the account whose *field*, one of `NAME_FIELDS`, is *name*; None for no account.

        *seen* are the change tokens that the request reads.  Raises pymongo's errors.
        """
        # An index knows the names that are not empty.
        document = self._found(field, name, seen) if name not in ("", NOBODY) else None
        return None if document is None else user_of(document)

    def _found(self, path: str, value: str, seen: SeenTokens | None) -> Document | None:
        seen = seen or SeenTokens(self._store)
        change_token, key, now = seen.accounts, (path, value), self._clock()
        known = self._remembered.get(key)
        if (
            known is not None
            and known.change_token == change_token
            and now - known.read_at < REMEMBERED_SECONDS
        ):
            return known.document
        with seen.session() as session:
            document = self._store.users.find_one({path: value}, session=session)
        if document is None or change_token is None:
            self._remembered.pop(key, None)
            return document
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[key] = _Remembered(document, change_token, now)
        return document

    def note_use(self, caller: Caller, now: datetime) -> None:
        """Store that the caller's token was used, at most every `USE_NOTED_EVERY`.

        The write is not waited for, and raises nothing.  If it fails, a later request writes again.
        """
        token = caller.token
        if token is None or caller.digest is None:
            return
        noted = token.last_used
        if noted is not None and abs(now - noted) < USE_NOTED_EVERY:
            return
        this_token = {"name": token.name, "created": token.created, "last_used": noted}
        users = self._store.users.with_options(write_concern=_NOT_WAITED_FOR)
        try:
            users.update_one(
                {
                    EMAIL_FIELD: caller.user.mila_email_username,
                    "tokens": {"$elemMatch": this_token},
                },
                {"$set": {"tokens.$.last_used": now}},
            )
        except PyMongoError as error:
            logger.warning("accounts: could not store when a token was last used: %s", error)
        self._remembered.pop((_DIGEST, caller.digest), None)
