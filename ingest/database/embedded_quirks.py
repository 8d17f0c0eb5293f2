"""What the embedded database does in another way than MongoDB, and what is done about it.

Everything here also works on MongoDB, where it does no harm.

- A transaction that met another writer fails at its commit with code 1, "internal server error",
  and without the label by which pymongo tries again: see `is_undone`.
- A range of ``_id`` is found by reading the whole collection: see `one_of`.
- A plain write waits for a transaction that a killed process left open, and such a transaction
  ends only when the next transaction comes by.  So `ingest.database.leases` takes a lease over in
  a transaction, which fails at once.
- A query finds an index only by ``$eq``, ``$in``, ``$gt`` and the like, and never by ``$ne``:
  `ingest.database.migrations` asks for outdated versions one by one.
"""

from collections.abc import Iterable
from typing import Any

from pymongo.errors import OperationFailure

TRIES = 5
"""How often a transaction is tried that the database undid without a label."""

_INTERNAL_ERROR = 1


def is_undone(error: OperationFailure) -> bool:
    """Return whether *error* says, without a label, that a transaction was undone as a whole."""
    return error.code == _INTERNAL_ERROR


def one_of(values: Iterable[Any]) -> dict[str, list[Any]]:
    """Return the condition for one of *values*, to be used instead of a range of ``_id``."""
    return {"$in": list(values)}
