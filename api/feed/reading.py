"""Read what follows a cursor, and answer it as JSON or as an event."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import Any

from pymongo.client_session import ClientSession

from api.feed.cursor import Scope, cursor_text, read_cursor, viewer_of
from api.http.json_text import json_bytes
from api.http.problems import Problem, unavailable
from api.http.request import EVENTS, Header, Response
from api.lists.fields import Fields
from api.lists.listing import Kind
from api.lists.queries import left_by
from api.schema.endpoint import MOST_WITHOUT_SLOT, Context
from ingest.database.changes import (
    Batch,
    PositionLost,
    position_at,
    read_after,
    read_heads,
    state_of,
)
from ingest.database.embedded_quirks import all_of, one_of
from ingest.database.transactions import batches
from ingest.documents.volatile_values import add_newest_values

MOST_DOCUMENTS = 500
"""Documents in one response, apart from the last entry's."""
STREAM_SECONDS = 600
"""Seconds after which a stream of events ends, and the client connects again."""
_AT_ONCE = 100
_NO_CACHE: Header = ("Cache-Control", "no-store")


@dataclass(frozen=True)
class Question:
    """What a client asks a feed."""

    kind: Kind
    id_key: str
    """The key of ``slurm`` that is the document's id."""
    cursor: str | None
    wait: int
    """Seconds."""
    cluster_name: str | None
    fields: Fields
    visible: dict[str, Any]
    """The filter for the documents that the client may see."""


@dataclass(frozen=True)
class Found:
    """What follows a cursor."""

    cursor: str
    state: str
    """Of the topic, for those that wait."""
    changed: list[dict[str, Any]]
    gone: list[dict[str, str]]
    more: bool

    @property
    def is_empty(self) -> bool:
        """Whether a client that waits goes on waiting."""
        return not (self.changed or self.gone or self.more)

    @cached_property
    def json(self) -> bytes:
        """The response as the manual shows it."""
        return json_bytes({"cursor": self.cursor, **self._changes})

    @cached_property
    def event(self) -> bytes:
        """The response as an event."""
        data = json_bytes(self._changes)
        return b"id: %s\nevent: changes\ndata: %s\n\n" % (self.cursor.encode(), data)

    @property
    def _changes(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in ("changed", "gone", "more")}


def feed_response(context: Context, question: Question) -> Response:
    """Answer what changed, at once or when something changes.

    Raises Problem 400 for a text that is no cursor, 410 for a cursor whose changes are no longer
    known, 503 when too many clients wait; pymongo's errors.
    """
    accepted = context.request.header("Accept") or ""
    if EVENTS in accepted:
        return _events(context, question)
    found = _found(context, question, question.cursor)
    if question.cursor is not None and found.is_empty and question.wait:
        _wish(context, question, found.state, question.wait)
    return Response(found.json, (_NO_CACHE,))


def _events(context: Context, question: Question) -> Response:
    """Answer what changed as an event; the server adds further events to the response."""
    hold = context.request.hold
    cursor = context.request.header("Last-Event-ID") or question.cursor
    found = _found(context, question, cursor)
    is_told = cursor is None or not found.is_empty
    body = found.event if is_told else b": nothing has changed\n\n"
    if hold is not None:
        # More follows at once, without waiting for a change.
        state = "" if found.more else found.state
        _wish(context, question, state, STREAM_SECONDS, found.cursor)
    return Response(body, (_NO_CACHE, ("X-Accel-Buffering", "no")), content_type=EVENTS)


def _wish(
    context: Context, question: Question, state: str, seconds: float, event: str | None = None
) -> None:
    hold = context.request.hold
    if hold is None:
        return
    account = context.user.mila_email_username
    if not hold.is_resumed and not hold.has_room(account):
        raise unavailable(
            "Too many requests wait for changes, all together or of this account. Try again in a"
            " moment, or ask without wait."
        )
    hold.wish(_topic(question), state, seconds, account, event)


def _topic(question: Question) -> str:
    feed, cluster_name = question.kind.name, question.cluster_name
    return feed if cluster_name is None else f"{feed}/{cluster_name}"


def _found(context: Context, question: Question, cursor: str | None) -> Found:
    """Return what follows a cursor, read once for all requests that are answered together."""
    scope = Scope(question.kind.name, question.cluster_name, viewer_of(question.visible))
    key = ("changes", scope, question.fields, cursor)
    found: Found = context.request.once(key, lambda: _read(context, question, scope, cursor))
    return found


def _read(context: Context, question: Question, scope: Scope, cursor: str | None) -> Found:
    feed = scope.feed
    # In one session: what is read later is at least as new, on every shard.
    with context.store.database.client.start_session() as session:
        heads = read_heads(context.store, session, feed, question.cluster_name)
        state = state_of(heads, _topic(question))
        if cursor is None:
            return Found(cursor_text(scope, position_at(heads)), state, [], [], more=False)
        position = read_cursor(cursor, scope)
        if position is None:
            raise _too_old(feed)
        try:
            batch = read_after(context.store, session, heads, position, MOST_DOCUMENTS)
        except PositionLost:
            raise _too_old(feed) from None
        with _slot(context, batch):
            documents = _documents(context, session, question, batch)
    gone = _gone(question, batch, documents)
    shown = [question.fields.shown(each) for each in documents.values()]
    more = not batch.is_whole
    return Found(cursor_text(scope, batch.position), state, shown, gone, more)


def _slot(context: Context, batch: Batch) -> AbstractContextManager[None]:
    """Return the context in which the documents of *batch* are read."""
    hold = context.request.hold
    has_own_thread = hold is not None and hold.is_resumed
    if has_own_thread or len(batch.changed) <= MOST_WITHOUT_SLOT:
        return nullcontext()
    return context.slot()


def _documents(
    context: Context, session: ClientSession, question: Question, batch: Batch
) -> dict[str, dict[str, Any]]:
    """Return the documents that changed, are there, and may be seen; by ``_id``, in order."""
    collection = context.store.database[question.kind.name]
    projection = question.fields.projection("_id")
    found = {}
    ids = [*batch.changed]
    for some in batches(ids, _AT_ONCE):
        these = all_of({"_id": one_of(some)}, question.visible)
        for apart in context.store.branches(these):
            for each in collection.find(apart, projection, session=session):
                found[each["_id"]] = each
    if question.fields.shows_volatile_values:
        add_newest_values(collection, found.values(), session)
    return {each: found[each] for each in ids if each in found}


def _gone(question: Question, batch: Batch, documents: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the documents that are gone for the client: deleted, or another's now."""
    missing = [each for each in batch.changed if each not in documents]
    if question.visible:
        owners = left_by(question.visible)
        missing = [each for each in missing if owners & batch.left.get(each, set())]
    names = [each.split("/", 1) for each in missing]
    return [{"cluster_name": cluster, question.id_key: its_id} for cluster, its_id in names]


def _too_old(feed: str) -> Problem:
    return Problem(
        HTTPStatus.GONE,
        f"the changes that follow this cursor are no longer known, or the cursor is not of these"
        f" {feed}: it is too old, a backup was restored, or it is of another cluster_name or"
        f" account. Ask {feed}/changes without a cursor for a new one, then {feed}/list for all,"
        " and go on from the new cursor",
    )
