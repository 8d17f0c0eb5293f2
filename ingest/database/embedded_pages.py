"""Read a page from the embedded database at the cost of a page.

The embedded database reads everything that an index range and the first condition hold, and sorts
and cuts only then.  So a page of a list would cost as much as the whole list.  But it reads a small
range of values quickly.  Therefore one document in `SPACING` is a bound: it has the search field
``cw.filters.bound``.  The sort values of all bounds divide a list into ranges of about `SPACING`
documents.  A page is read range by range until it is full.

Bounds decide how much is read, never what is found: with any bounds, the ranges are the whole list,
in its order.  MongoDB needs none of this and gets none of it: an index gives it the order.
"""

import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import ge, gt, le, lt
from typing import Any

from pymongo import ASCENDING, IndexModel

from ingest.database.embedded_quirks import all_of

SPACING = 256
"""Documents for one bound, on average."""
INDEXES: Mapping[str, Sequence[IndexModel]] = {
    name: (
        IndexModel([("cw.filters.bound", ASCENDING)], sparse=True),
        # The database has no index for a range of _id, unless another one begins with it.
        IndexModel([("_id", ASCENDING), ("cw.filters.bound", ASCENDING)]),
    )
    for name in ("jobs", "nodes")
}
"""The indexes that the embedded database alone needs, by collection."""

_SPANS = (1, 1, 2, 4)
"""Bounds in the first ranges; behind them, each range has twice as many."""

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {"$gt": gt, "$gte": ge, "$lt": lt, "$lte": le}
_Filter = dict[str, Any]
Key = tuple[Any, str]
"""Where a document stands: the value that it is sorted by, and its ``_id``."""


def is_bound(document_id: str) -> bool:
    """Return whether the document with this ``_id`` is a bound."""
    return zlib.crc32(document_id.encode()) % SPACING == 0


def page_filters(
    bounds: Sequence[Key],
    path: str,
    floor: Any,
    place: Key | None,
    wanted: _Filter,
    *,
    descending: bool,
) -> Iterator[_Filter]:
    """Return filters that find, one after another, the *wanted* documents behind *place* in order.

    *bounds* are those of all documents; *path* is what the list is sorted by, and *floor* the least
    value there beside null.  If the first ranges do not fill a page because *wanted* leaves most
    documents out, the last filters have no bound: then the index of *wanted* finds fewer documents.
    """
    ahead = _ahead(bounds, place, descending=descending)
    spans = iter(_SPANS)
    span, after, begin = 1, place, 0
    while True:
        span = next(spans, 0 if wanted else 2 * span)
        end = begin + span - 1
        until = ahead[end] if span and end < len(ahead) else None
        pieces = _pieces(path, floor, after, until, descending=descending)
        for piece in _clipped(pieces, path, wanted.get(path)):
            rest = {key: value for key, value in wanted.items() if key != path}
            if rest and path != "_id" and "_id" in piece and _ids_leave_fewer(bounds, piece, path):
                piece = dict(reversed(piece.items()))  # noqa: PLW2901 - the first condition decides
            yield all_of(piece, rest) if span else all_of(rest, piece)
        if until is None:
            return
        after, begin = until, end + 1


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
        between = {"$gte": floor} if low is None or low[0] is None else {"$gt": low[0]}
        pieces.append({path: between if high is None else {**between, "$lt": high[0]}})
    if high is not None:
        pieces.append({path: high[0], "_id": {below: high[1]}})
    return pieces[::-1] if descending else pieces


def _ids_leave_fewer(bounds: Sequence[Key], piece: _Filter, path: str) -> bool:
    """Return whether the ids of *piece* leave fewer documents than its value, by an estimate."""
    low, high = (
        next((ids for name, ids in piece["_id"].items() if name in names), None)
        for names in (("$gt", "$gte"), ("$lt", "$lte"))
    )
    with_id = sum((low or "") <= each and (high is None or each <= high) for _, each in bounds)
    with_value = sum(bool(value == piece[path]) for value, _ in bounds)
    return bool(with_id < with_value)


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
        elif piece[path] is not None and all(
            _COMPARE[name](piece[path], value) for name, value in condition.items()
        ):
            yield piece


def _both(one: _Filter, other: _Filter) -> _Filter:
    """Return the range that is in both of two ranges."""
    given = [*one.items(), *other.items()]
    lows = [(value, name == "$gt", name) for name, value in given if name in ("$gt", "$gte")]
    highs = [(value, name == "$lte", name) for name, value in given if name in ("$lt", "$lte")]
    ends = [*([max(lows)] if lows else []), *([min(highs)] if highs else [])]
    return {name: value for value, _, name in ends}
