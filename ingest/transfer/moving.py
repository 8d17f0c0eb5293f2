"""Move everything into another, empty database; an interrupted move goes on where it was.

Nothing may write to the two databases meanwhile.
"""

from collections.abc import Iterable
from datetime import datetime

from pymongo import DeleteOne
from pymongo.collection import Collection

from ingest.database.change_tokens import replace_all_tokens
from ingest.database.store import Document, Store
from ingest.database.transactions import batches
from ingest.transfer.digests import (
    Digest,
    Progress,
    TransferError,
    copied_collections,
    reported,
    require_empty,
)
from ingest.transfer.unfinished import MOVE, require_whole

_AT_ONCE = 500


def move(source: Store, target: Store, now: datetime, progress: Progress) -> dict[str, Digest]:
    """Make *target* hold what *source* holds, and compare both; return the digests.

    *target* is empty, or was left by a move that was interrupted.  *source* stays as it is.  Raises
    TransferError; pymongo's errors.
    """
    unfinished = target.database[MOVE]
    if unfinished.find_one() is None:
        require_whole(target)
        require_empty(target, "a move needs an empty one")
        unfinished.insert_one({"_id": "move", "started": now})
    target.ensure_indexes()
    digests = {}
    for here in copied_collections(source):
        there = target.database[here.name]
        _delete_others(here, there)
        _copy(reported(here.name, here.find(), progress), there)
    for here in copied_collections(source):
        expected = digests[here.name] = Digest.of(here.find())
        if Digest.of(target.database[here.name].find()) != expected:
            raise TransferError(
                f"{here.name}: the two databases differ after the move: something writes to one of "
                "them. Stop it, and give the same command again"
            )
    replace_all_tokens(target)
    unfinished.delete_many({})
    return digests


def _delete_others(here: Collection[Document], there: Collection[Document]) -> None:
    """Delete from *there* what is not the same *here*."""
    for batch in batches(there.find(), _AT_ONCE):
        same = {each["_id"]: each for each in _with_ids_of(here, batch)}
        others = [each["_id"] for each in batch if same.get(each["_id"]) != each]
        if others:
            there.bulk_write([DeleteOne({"_id": each}) for each in others])


def _copy(documents: Iterable[Document], there: Collection[Document]) -> None:
    for batch in batches(documents, _AT_ONCE):
        held = {each["_id"] for each in _with_ids_of(there, batch)}
        missing = [each for each in batch if each["_id"] not in held]
        if missing:
            there.insert_many(missing, ordered=False)


def _with_ids_of(collection: Collection[Document], batch: Iterable[Document]) -> list[Document]:
    return list(collection.find({"_id": {"$in": [each["_id"] for each in batch]}}))
