"""A token: 256 random bits that its owner alone keeps; only its SHA-256 is stored.

A hash without salt, by which an index finds it, is right for such a token: nobody can guess it or
list all of them, so the hash gives nothing away.  What the index's search takes longer or shorter
for depends on the hash of what was shown, not on the token: to learn a stored hash from the timing,
a letter at a time, one would need texts whose SHA-256 begin as wanted, and would then have a hash
and no token.  What was found is still compared in constant time, as a second lock.
"""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

_TOKEN = re.compile(r"cw_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class Token:
    """What is known of a token, never the token itself: its name, unique in its account, and when
    it was made and last used (UTC; None for never, exact to a few minutes)."""

    name: str
    created: datetime
    last_used: datetime | None = None


def new_token() -> str:
    """A token that was never there before."""
    return "cw_" + secrets.token_urlsafe(32)


def token_digest(text: str) -> str | None:
    """What is stored of the token *text*; None where no token can look like that."""
    if not _TOKEN.fullmatch(text):
        return None
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def token_of(entry: Mapping[str, Any]) -> Token:
    """The token of an entry of a user's document."""
    return Token(entry["name"], entry["created"], entry.get("last_used"))
