"""The cursor of a feed: which entries a client has had, as a text that only the service reads.

A cursor is the base64url of compressed JSON: ``[feed, cluster, viewer, {cluster: {slot: number}},
check]``.  *viewer* stands for which jobs the client may see.
"""

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from api.http.json_text import json_bytes, read_json
from api.http.problems import bad_request
from ingest.database.changes import Position

_LONGEST = 1 << 20
"""Bytes of the JSON of a cursor."""


@dataclass(frozen=True)
class Scope:
    """Which changes a client asks for."""

    feed: str
    """``jobs`` or ``nodes``."""
    cluster_name: str | None
    """None: of all clusters."""
    viewer: str
    """Stands for which jobs the client may see."""


def viewer_of(visible: dict[str, Any]) -> str:
    """Return the text that stands for the filter *visible*; empty for one who sees all."""
    return blake2b(json_bytes(visible), digest_size=8).hexdigest() if visible else ""


def cursor_text(scope: Scope, position: Position) -> str:
    """Return the cursor for a position."""
    numbers: dict[str, dict[str, int]] = {}
    for row, number in position.numbers.items():
        _, cluster_name, slot = row.split("/")
        numbers.setdefault(cluster_name, {})[slot] = number
    parts = [scope.feed, scope.cluster_name, scope.viewer, numbers, position.check]
    return urlsafe_b64encode(zlib.compress(json_bytes(parts))).rstrip(b"=").decode()


def read_cursor(text: str, scope: Scope) -> Position | None:
    """Return the position of a cursor, None if the cursor is of another *scope*.

    Raises Problem 400 for a text that is no cursor.
    """
    try:
        packed = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        packing = zlib.decompressobj()
        parts = read_json((packing.decompress(packed, _LONGEST) if packed else b"").decode(), "it")
        if not packing.eof:
            raise ValueError("cut")  # noqa: TRY301
        feed, cluster_name, viewer, clusters, check = parts
        numbers = {
            f"{feed}/{name}/{slot}": int(number)
            for name, slots in clusters.items()
            for slot, number in slots.items()
        }
    except (ValueError, TypeError, AttributeError, zlib.error):
        raise bad_request(
            "cursor is not valid: use the cursor of an earlier response, unchanged"
        ) from None
    if Scope(feed, cluster_name, viewer) != scope or min(numbers.values(), default=0) < 0:
        return None
    return Position(numbers, str(check))
