"""Write in a transaction, all or nothing; read in a session, nothing older; read in batches."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure

from ingest.database import embedded_quirks
from ingest.database.store import Store

_T = TypeVar("_T")


def batches(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Yield *items* in lists of *size*, of which the last may be shorter.

    They are taken when a list is asked for, so a cursor is read no further than needed.
    """
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def as_new_as(session: ClientSession) -> ClientSession:
    """Return a new session, whose reads are at least as new as those of *session*.

    *session* may have ended.  The caller ends the new one.
    """
    beside = session.client.start_session()
    if session.cluster_time is not None:
        beside.advance_cluster_time(session.cluster_time)
    if session.operation_time is not None:
        beside.advance_operation_time(session.operation_time)
    return beside


def in_transaction(store: Store, write: Callable[[ClientSession], _T]) -> _T:
    """Call *write* with a session whose transaction holds its writes; return its result.

    *write* is called again when the transaction met another writer, so *write* must have no other
    effect than its writes.  Raises what *write* raises, and pymongo's errors; nothing is written
    then.
    """
    with store.database.client.start_session() as session:
        tries = 0
        while True:
            tries += 1
            try:
                result: _T = session.with_transaction(write)
            except OperationFailure as error:
                if tries == embedded_quirks.TRIES or not embedded_quirks.is_undone(error):
                    raise
            else:
                return result
