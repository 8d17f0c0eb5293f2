"""Read a page from the embedded database at the cost of a page.

The embedded database reads everything that an index range and the first condition hold, and sorts
and cuts only then.  So a page of a list would cost as much as the whole list.  But it reads a small
range of values quickly.  Therefore one document in `SPACING` is a bound: it has the search field
``cw.filters.bound``.  The sort values of all bounds divide a list into ranges of about `SPACING`
documents.  A page is read range by range until it is full.  Where a filter and the sort value have
an index together, a range costs the documents that it finds; otherwise, all that it holds.

Bounds decide how much is read, never what is found: with any bounds, the ranges are the whole list,
in its order.  So a process reads them once a minute (`Bounds`).  MongoDB needs none of this and
gets none of it: an index gives it the order.
"""

import time
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from operator import ge, gt, le, lt
from typing import Any, TypeVar, cast

from pymongo import ASCENDING, IndexModel

from ingest.database.embedded_quirks import all_of

SPACING = 128
"""Documents for one bound, on average."""
_BY_ID = (
    IndexModel([("cw.filters.bound", ASCENDING)], sparse=True),
    # The database has no index for a range of _id, unless another one begins with it.
    IndexModel([("_id", ASCENDING), ("cw.filters.bound", ASCENDING)]),
)
INDEXES: Mapping[str, Sequence[IndexModel]] = {
    "jobs": (
        *_BY_ID,
        IndexModel([("cw.filters.names", ASCENDING), ("cw.filters.submit_time", ASCENDING)]),
    ),
    "nodes": _BY_ID,
}
"""The indexes that the embedded database alone needs, by collection."""

BOUNDS_SECONDS = 60.0
"""Seconds after which the bounds are read again."""
_MOST_KNOWN = 1000
"""Values that `Bounds` keeps; with more, all are read again."""
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {"$gt": gt, "$gte": ge, "$lt": lt, "$lte": le}
_Filter = dict[str, Any]
_Known = TypeVar("_Known")
Key = tuple[Any, str]
"""Where a document stands: the value that it is sorted by, and its ``_id``."""


def is_bound(document_id: str) -> bool:
    """Return whether the document with this ``_id`` is a bound."""
    return zlib.crc32(document_id.encode()) % SPACING == 0


class Bounds:
    """What is known of the bounds, as it was read within `BOUNDS_SECONDS`."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[float, Any]] = {}

    def known(self, what: str, read: Callable[[], _Known]) -> _Known:
        """Return what *read* returned under the name *what*; call *read* if that is too old.

        Meanwhile, other threads have what was known before.  Raises what *read* raises.
        """
        now = time.monotonic()
        before = self._read.get(what)
        if before is not None:
            at, known = before
            if now - at < BOUNDS_SECONDS:
                return cast("_Known", known)
            self._read[what] = now, known
        try:
            found = read()
        except BaseException:
            self._read.pop(what, None)
            raise
        if len(self._read) >= _MOST_KNOWN:
            self._read.clear()
        self._read[what] = now, found
        return found


@dataclass
class Lacking:
    """How many documents a page still lacks; whoever reads the page counts them down."""

    number: int


@dataclass(frozen=True)
class Asked:
    """A request for a page: what the page shows, and what the bounds say about it."""

    path: str
    """What the list is sorted by."""
    floor: Any
    """The least value there beside null."""
    descending: bool
    wanted: _Filter
    bounds: Sequence[Key]
    """Those of all documents."""
    matching: int
    """How many of them are documents that are wanted."""


def page_filters(asked: Asked, place: Key | None, lacking: Lacking) -> Iterator[_Filter]:
    """Return filters that find, one after another, the documents behind *place* in their order.

    Each range should hold as many wanted documents as the page still lacks.  The share of wanted
    bounds tells how long the first range must be; what the ranges gave tells how long the next one
    must be.  If the index of a filter finds fewer documents, the last range reaches to the end of
    the list.
    """
    bounds = _within(asked.bounds, asked.wanted.get(asked.path))
    ahead = _ahead(bounds, place, descending=asked.descending)
    missing, after, begin = lacking.number, place, 0
    share = asked.matching / max(1, len(bounds))
    while True:
        span = _span(asked, share, lacking.number)
        end = begin + span - 1
        until = ahead[end] if span and end < len(ahead) else None
        pieces = _pieces(asked.path, asked.floor, after, until, descending=asked.descending)
        for piece in _clipped(pieces, asked.path, asked.wanted.get(asked.path)):
            yield _in_order(asked, piece, span or len(ahead) - begin)
        if until is None:
            return
        after, begin = until, end + 1
        share = (missing - lacking.number) / (begin * SPACING)


def _span(asked: Asked, share: float, lacking: int) -> int:
    """Return how many bounds the next range has; 0: it reaches to the end.

    *share* of the documents in it are wanted, by what is known.
    """
    if not asked.wanted:
        return ceil(lacking / SPACING)
    needed = lacking / SPACING / max(share, 1e-9)
    # Another index finds a document in twice the time, and all of them are sorted.
    return ceil(needed) if needed <= 2 * asked.matching else 0


def _in_order(asked: Asked, piece: _Filter, reach: int) -> _Filter:
    """Return the filter for what is wanted in *piece*. The first condition decides on the index.

    *reach* is how many bounds the range has of which the piece is a part.
    """
    size = reach
    if asked.path != "_id" and "_id" in piece:
        with_id, with_value = _alike(asked.bounds, piece, asked.path)
        size = min(with_id, with_value)
        if with_id < with_value:
            piece = dict(reversed(piece.items()))
    rest = {path: condition for path, condition in asked.wanted.items() if path != asked.path}
    is_small = not rest or (bool(asked.bounds) and size <= asked.matching)
    return all_of(piece, rest) if is_small else all_of(rest, piece)


def _within(bounds: Sequence[Key], condition: Any) -> Sequence[Key]:
    """Return the bounds whose values meet the *condition* on what the list is sorted by."""
    if not isinstance(condition, dict) or not condition.keys() <= _COMPARE.keys():
        return bounds
    return [each for each in bounds if _meets(each[0], condition)]


def _meets(value: Any, condition: _Filter) -> bool:
    return value is not None and all(
        _COMPARE[name](value, other) for name, other in condition.items()
    )


def _ahead(bounds: Sequence[Key], place: Key | None, *, descending: bool) -> list[Key]:
    """Return the bounds behind *place*, in the order of the list."""
    ordered = sorted(bounds, key=rank)
    if place is not None:
        at = bisect_right(ordered, rank(place), key=rank)
        ordered = ordered[:at] if descending else ordered[at:]
    return [each for each in reversed(ordered) if each != place] if descending else ordered


def rank(key: Key) -> tuple[bool, Any, str]:
    """Return what sorts keys as the database does: null first."""
    return key[0] is not None, key[0], key[1]


def _pieces(
    path: str, floor: Any, after: Key | None, until: Key | None, *, descending: bool
) -> list[_Filter]:
    """Return the filters for what stands behind *after* and up to *until*, which belongs to it.

    None is the begin, or the end, of the list.
    """
    low, high = (until, after) if descending else (after, until)
    above, below = ("$gte", "$lt") if descending else ("$gt", "$lte")
    if path == "_id":
        ids = {operator: key[1] for operator, key in ((above, low), (below, high)) if key}
        return [{"_id": ids} if ids else {}]
    if low is not None and high is not None and low[0] == high[0]:
        return [{path: low[0], "_id": {above: low[1], below: high[1]}}]
    pieces: list[_Filter] = []
    if low is not None:
        pieces.append({path: low[0], "_id": {above: low[1]}})
    elif high is None or high[0] is not None:
        pieces.append({path: None})
    if high is None or high[0] is not None:
        between = {"$gte": floor} if low is None or low[0] is None else _above(low[0])
        pieces.append({path: between if high is None else {**between, "$lt": high[0]}})
    if high is not None:
        pieces.append({path: high[0], "_id": {below: high[1]}})
    return pieces[::-1] if descending else pieces


def _above(value: Any) -> _Filter:
    """Return the condition for values above *value*: a time in milliseconds, or a text.

    For ``$gt``, the database also reads all documents with *value* itself.
    """
    if isinstance(value, str):
        return {"$gte": value + "\0"}
    try:
        return {"$gte": value + timedelta(milliseconds=1)}
    except OverflowError:  # the last moment that there is
        return {"$gt": value}


def _alike(bounds: Sequence[Key], piece: _Filter, path: str) -> tuple[int, int]:
    """Return how many bounds have an id of *piece*, and how many have its value."""
    low, high = (
        next((ids for name, ids in piece["_id"].items() if name in names), None)
        for names in (("$gt", "$gte"), ("$lt", "$lte"))
    )
    with_id = sum((low or "") <= each and (high is None or each <= high) for _, each in bounds)
    return with_id, sum(bool(value == piece[path]) for value, _ in bounds)


def _clipped(pieces: Sequence[_Filter], path: str, condition: Any) -> Iterator[_Filter]:
    """Return the *pieces* of which documents also meet *condition* on *path*.

    A piece has each operator once: with an ``$and``, the database would find no index.
    """
    for piece in pieces:
        if path == "_id" or condition is None:
            yield piece
        elif not isinstance(condition, dict) or not condition.keys() <= _COMPARE.keys():
            yield all_of(piece, {path: condition})
        elif isinstance(piece[path], dict):
            yield {**piece, path: _both(piece[path], condition)}
        elif _meets(piece[path], condition):
            yield piece


def _both(one: _Filter, other: _Filter) -> _Filter:
    """Return the range that is in both of two ranges."""
    given = [*one.items(), *other.items()]
    lows = [(value, name == "$gt", name) for name, value in given if name in ("$gt", "$gte")]
    highs = [(value, name == "$lte", name) for name, value in given if name in ("$lt", "$lte")]
    ends = [*([max(lows)] if lows else []), *([min(highs)] if highs else [])]
    return {name: value for value, _, name in ends}
