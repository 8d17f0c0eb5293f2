"""Sort a list, and cut it into pages that stay in step while documents change.

A page ends at a document.  The next page begins behind the sort value and the ``_id`` of that
document.  Nothing is counted or skipped: a document whose place does not change is on exactly one
page, whatever is added, removed or moved meanwhile.  A cursor is the place at which a page begins;
clients hand it back as it is.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import orjson
from pydantic import Field
from pymongo import ASCENDING, DESCENDING

from api.http.etags import EPOCH, milliseconds
from api.http.problems import Problem, bad_request
from api.lists.queries import Filter
from api.schema.arguments import Reads
from ingest.database.store import Document

MOST_ON_A_PAGE = 1000
"""A page is in memory as a whole."""

_LONGEST_CURSOR = 16 << 10


@dataclass(frozen=True)
class SortKey:
    """A path by which documents may be sorted.

    *floor* is the least value beside null that can stand at the path, and has the type of all
    values there: a string or a date.
    """

    path: str
    floor: Any = ""


BY_ID = SortKey("_id")


@dataclass(frozen=True)
class Place:
    """Where a document stands in an order: the value it is sorted by, and its ``_id``."""

    value: Any
    document_id: str

    @property
    def key(self) -> tuple[Any, str]:
        """The value and the ``_id``, as `ingest.database.embedded_pages` takes them."""
        return self.value, self.document_id


@dataclass(frozen=True)
class Order:
    """A sort key and a direction; documents with equal values come in the order of ``_id``."""

    key: SortKey = BY_ID
    descending: bool = False

    @property
    def sort(self) -> list[tuple[str, int]]:
        """The order as Mongo takes it."""
        direction = DESCENDING if self.descending else ASCENDING
        return [(path, direction) for path in dict.fromkeys((self.key.path, "_id"))]

    def behind(self, place: Place) -> list[Filter]:
        """Return the filters of the queries, one after another, for what comes behind *place*.

        Null has a query of its own: a comparison finds no value of another type.  These are several
        queries, and not one with ``$or``: `ingest.database.embedded_quirks` says why.
        """
        path = self.key.path
        beyond = "$lt" if self.descending else "$gt"
        if path == "_id":
            return [{"_id": {beyond: place.document_id}}]
        equal = {path: place.value, "_id": {beyond: place.document_id}}
        if not self.descending:
            rest = {"$gte": self.key.floor} if place.value is None else {"$gt": place.value}
            return [equal, {path: rest}]
        if place.value is None:
            return [equal]
        return [equal, {path: {"$lt": place.value}}, {path: None}]

    def place(self, document: Document) -> Place:
        """Return the place of *document*, as `api.lists.prefetch` reads it from Mongo."""
        value: Any = None
        if self.key is not BY_ID:
            value = document
            for name in self.key.path.split("."):
                value = value.get(name) if isinstance(value, dict) else None
        return Place(value, document["_id"])


def sort_argument(keys: Mapping[str, SortKey], words: str) -> Any:
    """Return the type of the argument ``sort`` of a list with these sort keys."""
    names = [sign + key for key in keys for sign in ("", "-")]
    description = f"The order; a minus before the key is descending. {words}"
    reads = Reads({"enum": names}, lambda name: read_order(name, keys))
    return Annotated[Any, reads, Field(description=description, examples=[names[-1]])]


def read_order(name: str, keys: Mapping[str, SortKey]) -> Order:
    """Return the order by one of *keys*, descending with a ``-`` before the key.

    Raises ValueError for any other name.
    """
    key = keys.get(name.removeprefix("-"))
    if key is None:
        raise ValueError(
            f"has the unknown key {name[:64]!r}; use one of: {', '.join(keys)}; a - before the"
            " key is descending"
        )
    return Order(key, name.startswith("-"))


def cursor_text(order: Order, place: Place) -> str:
    """Return the cursor of *place* in *order*, for a client to hand back."""
    value = place.value
    if isinstance(value, datetime):
        value = milliseconds(value.replace(tzinfo=timezone.utc))
    written = orjson.dumps([_name(order), value, place.document_id])
    return base64.urlsafe_b64encode(written).rstrip(b"=").decode("ascii")


def read_cursor(text: str, order: Order) -> Place:
    """Return the place that `cursor_text` wrote. Raises Problem 400 for any other text."""
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        if len(text) > _LONGEST_CURSOR:
            raise _no_cursor()
        name, value, document_id = orjson.loads(base64.b64decode(padded, b"-_", validate=True))
        if isinstance(order.key.floor, datetime) and isinstance(value, int):
            value = EPOCH + timedelta(milliseconds=value)
    except (ValueError, TypeError, OverflowError):
        raise _no_cursor() from None
    if not isinstance(document_id, str) or not isinstance(value, type(order.key.floor) | None):
        raise _no_cursor()
    if name != _name(order):
        raise bad_request(
            "this cursor belongs to another sort: ask for all pages with the same sort"
        )
    return Place(value, document_id)


def _name(order: Order) -> str:
    return "-" * order.descending + order.key.path


def _no_cursor() -> Problem:
    return bad_request('the cursor is malformed: follow the address in Link: <...>; rel="next"')


def next_link(path: bytes, arguments: Mapping[str, str]) -> str:
    """Return the value of the Link header field that leads to the next page."""
    return f'<{quote(path)}?{urlencode(arguments)}>; rel="next"'
