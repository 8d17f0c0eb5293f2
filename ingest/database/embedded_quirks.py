"""Do what the embedded database needs and MongoDB does not.

All of it also works on MongoDB, where it does no harm.

Writes:

- A transaction that met another writer fails at its commit with code 1, "internal server error",
  and without the label by which pymongo tries again: see `is_undone`.
- An update in a transaction that meets another writer of the same document can fail with code
  11000, "duplicate key", because of the document that it updates: see `is_undone`.
- A plain write waits for a transaction that a killed process left open, and such a transaction
  ends only when the next transaction comes by.  So `ingest.database.leases` takes a lease over in
  a transaction, which fails at once.
- A plain insert that takes too long is sent again by pymongo.  If the first one still runs, the
  second one fails with code 11000, "duplicate key", for an ``_id`` that pymongo chose: the document
  is there.

Queries.  The embedded database finds an index for one condition of a query: the first that is an
equality, ``$in``, or a comparison such as ``$gt``.  For an equality and a comparison, it prefers an
index of both.

- It has no index for ``$ne``, nor for a range of ``_id``: see `one_of`.
- It has no index for a query that has an ``$and`` or an ``$or`` anywhere: see `all_of` and
  `branches`.  For the same reason `api.lists.paging` continues a list by several queries.
- Of several conditions, the first one decides.  So the tables of `api.lists.filters` stand in the
  order of their conditions, the filter that leaves the fewest documents first.
- For ``$gt``, it reads all documents with the value itself, too: see
  `ingest.database.embedded_pages`.
- It takes longer to leave a small part of a document out than to send it.  So `api.lists.fields`
  asks for whole documents, unless the client asks for some fields only.
"""

from collections.abc import Iterable
from typing import Any

from pymongo.errors import BulkWriteError, OperationFailure

TRIES = 5
"""How often a transaction is tried that the database undid without a label."""

_INTERNAL_ERROR = 1
_DUPLICATE_KEY = 11000

_Filter = dict[str, Any]


def is_undone(error: OperationFailure) -> bool:
    """Return whether *error* can mean that a transaction met another writer, and has no label.

    The transaction was undone as a whole.  A key that really is there twice has the same error, and
    has it again at every try; so an insert that finds its key is not tried again.
    """
    codes = {error.code}
    if isinstance(error, BulkWriteError):
        failed = error.details["writeErrors"]
        codes = {each["code"] for each in failed if {"q", "u"} <= each["op"].keys()}
    return not codes.isdisjoint((_INTERNAL_ERROR, _DUPLICATE_KEY))


def one_of(values: Iterable[Any]) -> dict[str, list[Any]]:
    """Return the condition for one of *values*.

    It is used instead of a range of ``_id``, and instead of "other than" where the other values
    are known.
    """
    return {"$in": list(values)}


def all_of(*filters: _Filter) -> _Filter:
    """Return the filter for the documents that match every one of *filters*, in their order.

    The result is flat, ``{path: condition}``, unless two conditions on one path have an operator in
    common.
    """
    merged: _Filter = {}
    apart: list[_Filter] = []
    for path, condition in (item for each in filters for item in each.items()):
        if path not in merged:
            merged[path] = condition
            continue
        both, other = _operators(merged[path]), _operators(condition)
        if any(both[operator] != other[operator] for operator in both.keys() & other.keys()):
            apart.append({path: condition})
        else:
            merged[path] = both | other
    return {**merged, "$and": apart} if apart else merged


def branches(wanted: _Filter) -> list[_Filter]:
    """Return filters for the documents that match *wanted*, each of which matches one of them.

    They are several if *wanted* has an ``$or`` of conditions ``{path: {"$in": [...]}}``, each on
    another path, where a document has one value.  An index then serves each.  A condition that no
    document can meet beside the others of *wanted* has no filter.
    """
    if "$or" not in wanted:
        return [wanted]
    paths = [*wanted]
    at = paths.index("$or")
    found: list[_Filter] = []
    others: _Filter = {}
    for each in wanted["$or"]:
        [(path, condition)] = each.items()
        before, after = (
            {name: wanted[name] for name in part if name != path}
            for part in (paths[:at], paths[at + 1 :])
        )
        given = _operators(wanted.get(path, {}))
        allowed = [value for value in condition["$in"] if _is_allowed(value, given)]
        rest = {name: value for name, value in given.items() if name not in ("$eq", "$in")}
        if allowed:
            found.append(all_of(before, {path: {**one_of(allowed), **rest}}, others, after))
        others = {**others, path: {"$nin": condition["$in"]}}
    return found


def _is_allowed(value: Any, given: _Filter) -> bool:
    return value == given.get("$eq", value) and value in given.get("$in", (value,))


def _operators(condition: Any) -> _Filter:
    return condition if isinstance(condition, dict) else {"$eq": condition}
