"""Make API tokens of 256 random bits; only the SHA-256 of a token is stored.

The hash needs no salt, because nobody can guess or list such tokens.  So an index can find it.  The
time that the index takes depends on the hash of the text that was sent, not on the token.  An
attacker who learned a stored hash from the timing would have a hash, and no token.  The hash that
was found is still compared in constant time.
"""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

LONGEST_DAYS = 3650
"""Days after which a token with an expiry expires at the latest."""

PREFIX = "cw_"
"""What every token begins with."""

_TOKEN = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class Token:
    """The stored facts about a token, without the token itself.

    The name is unique in its account.  The times are in UTC; *last_used* is exact to a few minutes,
    and None for a token that was never used.  The token is refused from *expires* on; None: never.
    """

    name: str
    created: datetime
    last_used: datetime | None = None
    expires: datetime | None = None

    def is_expired(self, now: datetime) -> bool:
        """Return whether the token is refused at *now*."""
        return self.expires is not None and self.expires <= now


def new_token() -> str:
    """Return a new random token."""
    return PREFIX + secrets.token_urlsafe(32)


def token_digest(text: str) -> str | None:
    """Return the hash that is stored for the token *text*; None if *text* can't be a token."""
    if not _TOKEN.fullmatch(text):
        return None
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def token_entry(name: str | None, digest: str, now: datetime, days: int | None) -> dict[str, Any]:
    """Return the entry, in a user's document, of a token that is made at *now*.

    Without *name*, the token is named after the first eight digits of *digest*, its hash.  It
    expires after so many *days*; None: never.
    """
    expiry = {} if days is None else {"expires": now + timedelta(days=days)}
    name = digest[:8] if name is None else name
    return {"name": name, "sha256": digest, "created": now, "last_used": None, **expiry}


def token_of(entry: Mapping[str, Any]) -> Token:
    """Return the token of an entry of a user's document."""
    return Token(entry["name"], entry["created"], entry.get("last_used"), entry.get("expires"))
