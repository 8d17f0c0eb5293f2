"""Mark a database that a copy fills, so that nobody takes a part of it for the whole.

The mark is a document.  It comes before all others and goes when everything is there, so a copy
that is killed leaves its mark.
"""

from ingest.database.store import Store
from ingest.transfer.digests import TransferError

LOAD = "unfinished_load"
"""The collection of the mark that a database has while a backup is loaded."""
MOVE = "unfinished_move"
"""The collection of the mark that the target of a move has until it holds everything."""

_TO_DO = {
    LOAD: "`clockwork backup load` is still running, or was interrupted. Wait for its end; if it "
    "no longer runs, drop the database (of the embedded one, remove the folder), and load the "
    "backup again",
    MOVE: "`clockwork move` is still running, or was interrupted. Wait for its end; if it no "
    "longer runs, give the same command again: it copies the rest",
}


def require_whole(store: Store) -> None:
    """Raise TransferError if *store* holds only a part of a copy. Raises pymongo's errors."""
    for name, what in _TO_DO.items():
        if store.database[name].find_one() is not None:
            raise TransferError(
                f"the database {store.database.name} does not hold everything yet: {what}"
            )
