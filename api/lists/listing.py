"""Respond to jobs/list and nodes/list: choose the documents and fields, sort, page and write them.

Both endpoints share everything here; a `Kind` says what differs.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, islice
from typing import Annotated, Any, cast

from pydantic import Field, create_model, model_validator
from pymongo import ASCENDING
from pymongo.client_session import ClientSession
from pymongo.collection import Collection

from api.http.etags import (
    CACHE_CONTROL,
    Cutoffs,
    digest,
    milliseconds,
    tag_headers,
    tagged,
    unchanged,
)
from api.http.json_text import json_response
from api.http.problems import bad_request
from api.http.request import JSON, Header, Response
from api.lists.csv_stream import CSV, csv_lines
from api.lists.fields import Fields, fields_argument, read_fields
from api.lists.filters import ListFilter, filter_arguments
from api.lists.json_stream import json_lines, json_list
from api.lists.paging import (
    MOST_ON_A_PAGE,
    Order,
    Place,
    SortKey,
    cursor_text,
    next_link,
    read_cursor,
    sort_argument,
)
from api.lists.prefetch import DOCUMENTS_PER_BATCH, in_batches
from api.lists.queries import CLUSTER_PATH, FINISHED_PATH, Filter
from api.schema.arguments import FLAG, Arguments, Reads, choice, integer
from api.schema.endpoint import Context
from ingest.database.embedded_pages import Asked, Key, Lacking, page_filters, rank
from ingest.database.embedded_quirks import all_of
from ingest.database.store import Document, Store
from ingest.database.transactions import as_new_as, batches
from ingest.documents.volatile_values import add_newest_values

NDJSON = "application/x-ndjson"

LOOK_AHEAD = timedelta(minutes=10)
"""The longest time for which a tag of a list with ``time`` holds."""

_TIMES = ("time", "relative_time")
_ENDS = ("ended_since", "ended_before")
"""Filters that do not go with those of `_TIMES`: both are about the end of a job."""
_WRITTEN = ("fields", "sort", "limit", "cursor", "format")
"""The arguments that say how a list is written."""


class ListArguments(Arguments):
    """What every list can be asked for beside its filters."""

    excluding = tuple(("count", name) for name in _WRITTEN)

    fields: Any = None
    sort: Any = None
    limit: Annotated[
        int | None,
        integer(1, MOST_ON_A_PAGE),
        Field(examples=[100]),
    ] = None
    """At most so many. Where there are more, `Link: <...>; rel="next"` is the address of the next
    page."""
    cursor: Annotated[str | None, Reads({"type": "string", "pattern": "^[A-Za-z0-9_-]+$"})] = None
    """Where a page begins: taken from the address in a `Link` as it is. It goes with `limit` and
    with the `sort` of the page that it comes from."""
    format: Annotated[str | None, choice("json", "ndjson", "csv"), Field(examples=["json"])] = None
    """`ndjson`: a document in each line. `csv`: a line of names, then the `fields` of a document in
    each line; a text that a spreadsheet would run as a formula begins with a `'`."""
    count: Annotated[str | None, FLAG, Field(examples=[False])] = None
    """Only how many there are. Not together with what says how a list is written."""

    @model_validator(mode="after")
    def _go_together(self) -> "ListArguments":
        useless = [name for name in _WRITTEN if name in self.model_fields_set]
        if self.count == "true" and useless:
            raise ValueError(f"count=true returns a number: leave out {', '.join(useless)}")
        if self.cursor is not None and self.limit is None:
            raise ValueError("cursor needs limit: give the same limit as for the page before")
        ends = self.model_fields_set & {*_ENDS}
        if "time" in self.model_fields_set and ends:
            raise ValueError(
                f"time cannot be combined with {', '.join(sorted(ends))}: leave one out"
            )
        return self


@dataclass(frozen=True)
class Kind:
    """Jobs or nodes: what a list of them can be filtered and sorted by, and what it shows."""

    name: str
    """The name of the collection."""
    filters: Sequence[ListFilter]
    sort_keys: Mapping[str, SortKey]
    sort_words: str
    """Documents without a sort value, in words."""
    fields: Fields
    fields_example: Sequence[str]
    csv_fields: Sequence[str]
    """The columns of CSV where nobody names fields."""

    def arguments(self) -> type[ListArguments]:
        """Return the model of a list's arguments."""
        model = create_model(
            f"{self.name.capitalize()}List",
            __base__=(ListArguments, filter_arguments(self.name, self.filters)),
            fields=(fields_argument(self.fields, self.fields_example), None),
            sort=(sort_argument(self.sort_keys, self.sort_words), None),
        )
        names = {each.name for each in self.filters}
        ends = [(time, end) for time in _TIMES for end in _ENDS if {"time", end} <= names]
        made = cast("type[ListArguments]", model)
        made.excluding = (*ListArguments.excluding, *ends)
        return made

    def wanted(self, arguments: ListArguments, visible: Filter, now: datetime) -> Filter:
        """Return the filter for the documents that the arguments ask for and the user may see."""
        values = ((each, getattr(arguments, each.name)) for each in self.filters)
        given = [(each, value) for each, value in values if value is not None]
        for each, _ in given:
            if each.beside and all(getattr(arguments, name) is None for name in each.beside):
                also = ", ".join(each.beside)
                raise bad_request(f"{each.shown_name} needs another filter too: give one of {also}")
        return all_of(visible, *(each.wanted(value, now) for each, value in given))

    def leaves_many(self, arguments: ListArguments) -> bool:
        """Return whether many documents may pass the filters that the arguments give."""
        return all(getattr(arguments, each.name) is None for each in self.filters if each.few)

    def shown_fields(self, arguments: ListArguments) -> Fields:
        """Return what of each document the arguments ask for."""
        if arguments.fields is None and arguments.format == "csv":
            return read_fields(self.csv_fields, self.fields)
        return arguments.fields or self.fields


def list_response(
    context: Context, arguments: ListArguments, kind: Kind, visible: Filter
) -> Response:
    """Answer the documents that *arguments* ask for, or their number; 304 for an unchanged list.

    *visible* is the filter for the documents that the user may see, {} for all.  Raises Problem 400
    for a bad cursor, 503 while too many costly queries run; pymongo's errors here or in the middle
    of the stream.
    """
    order = arguments.sort or Order()
    place = None if arguments.cursor is None else read_cursor(arguments.cursor, order)
    wanted = kind.wanted(arguments, visible, context.now)
    with ExitStack() as ending:
        headers: tuple[Header, ...] = (CACHE_CONTROL,)
        if not visible:
            tag = _tag(context, arguments, kind.name, wanted)
            if isinstance(tag, Response):
                return tag
            headers = tag
        collection = context.store.database[kind.name]
        session = ending.enter_context(context.seen.session())
        ending.enter_context(context.slot())
        if arguments.count == "true":
            apart = context.store.branches(wanted)
            number = sum(collection.count_documents(each, session=session) for each in apart)
            response = json_response({"count": number}).with_headers(*headers)
        else:
            listing = _Listing(
                kind.shown_fields(arguments),
                order,
                arguments.limit,
                place,
                format=arguments.format or "json",
            )
            if listing.format == "csv":
                saved = f'attachment; filename="{kind.name}.csv"'
                headers = (*headers, ("Content-Disposition", saved))
            # Who sees their own jobs alone sees few: the index of owners finds them.
            sees_many = not visible or "$or" in visible
            in_ranges = sees_many and kind.leaves_many(arguments) and context.store.is_embedded
            # One more than the page has: whether another page follows.
            lacking = Lacking(0 if listing.limit is None else listing.limit + 1)
            parts = _parts(context.store, collection, listing, wanted, lacking, in_ranges=in_ranges)
            side_by_side = map(context.store.branches, parts)
            found = _found(collection, session, listing, side_by_side, lacking, ending.pop_all())
            if listing.limit is None:
                stream = listing.write(found)
                return Response(stream, headers, content_type=listing.content_type)
            response = _page(context, listing, listing.limit, found, headers)
        return _retagged(response) if visible else response


@dataclass(frozen=True)
class _Listing:
    """How a list is written; without a *limit*, all documents in one stream."""

    fields: Fields
    order: Order
    limit: int | None
    place: Place | None
    """The place behind which the list begins."""
    format: str

    @property
    def content_type(self) -> str:
        return {"json": JSON, "ndjson": NDJSON, "csv": CSV}[self.format]

    def write(self, batches: Iterable[Sequence[Document]]) -> Iterator[bytes]:
        """Return the list in chunks."""
        if self.format == "csv":
            return csv_lines(batches, self.fields.shown, self.fields.paths or ())
        write = json_lines if self.format == "ndjson" else json_list
        return write(batches, self.fields.shown)


def _tag(
    context: Context,
    arguments: ListArguments,
    kind: str,
    wanted: Filter,
) -> Response | tuple[Header, ...]:
    """Return the header fields with the list's tag; the response 304 for an unchanged list."""
    cluster_name: str | None = wanted.get(CLUSTER_PATH)
    cutoff: datetime | None = None
    if getattr(arguments, "time", None) is not None:
        cutoff = wanted[FINISHED_PATH]["$gte"]
    tokens = context.seen.listed(kind, cluster_name)
    # `user=me` stands for another user in each user's request.
    given = {**context.given, "user": getattr(arguments, "user", None)}
    value = digest(kind, tokens, sorted(given.items()))
    same = unchanged(context.request, value, None if cutoff is None else milliseconds(cutoff))
    if same is not None:
        return same
    if cutoff is None:
        return tag_headers(value)
    collection = context.store.database[kind]
    with context.seen.session() as session:
        return tag_headers(value, _cutoffs(collection, session, cluster_name, cutoff))


def _retagged(response: Response) -> Response:
    """Return a whole response to a user who sees their own jobs, with a digest as its tag."""
    links = tuple(each for each in response.headers if each != CACHE_CONTROL)
    return tagged(Response(response.body, links, content_type=response.content_type))


def _page(
    context: Context,
    listing: _Listing,
    limit: int,
    found: Iterable[Sequence[Document]],
    headers: tuple[Header, ...],
) -> Response:
    page = [document for batch in found for document in batch]
    if len(page) > limit:
        page.pop()
        headers = (*headers, ("Link", _link(context, listing.order, page[-1])))
    body = b"".join(listing.write([page]))
    return Response(body, headers, content_type=listing.content_type)


def _cutoffs(
    collection: Collection[Document],
    session: ClientSession,
    cluster_name: str | None,
    cutoff: datetime,
) -> Cutoffs:
    """Return for how long no job drops out of the list by itself, up to `LOOK_AHEAD`."""
    ahead = cutoff + LOOK_AHEAD
    of_cluster = {} if cluster_name is None else {CLUSTER_PATH: cluster_name}
    ending = {**of_cluster, FINISHED_PATH: {"$gte": cutoff, "$lt": ahead}}
    sort = [(FINISHED_PATH, ASCENDING)]
    found = collection.find_one(ending, {FINISHED_PATH: 1}, sort=sort, session=session)
    last = ahead if found is None else found["cw"]["filters"]["finished_at"]
    return Cutoffs(milliseconds(cutoff), milliseconds(last))


def _parts(
    store: Store,
    collection: Collection[Document],
    listing: _Listing,
    wanted: Filter,
    lacking: Lacking,
    *,
    in_ranges: bool,
) -> Iterator[Filter]:
    """Return the filters of the queries, one after another, for what is behind the place.

    *in_ranges* is how the embedded database reads a page.
    """
    order, place = listing.order, listing.place
    if in_ranges and listing.limit is not None:
        asked = _asked(store, collection, order, wanted)
        yield from page_filters(asked, None if place is None else place.key, lacking)
        return
    for rest in [{}] if place is None else order.behind(place):
        yield all_of(wanted, rest)


def _asked(store: Store, collection: Collection[Document], order: Order, wanted: Filter) -> Asked:
    """Return the request for a page, as the embedded database reads it. Raises pymongo's errors."""
    path = order.key.path
    is_bound = {"cw.filters.bound": True}
    matching = store.branches(all_of(is_bound, wanted))

    def bounds() -> list[Key]:
        return [order.place(each).key for each in collection.find(is_bound, {path: 1})]

    def count() -> int:
        return sum(map(collection.count_documents, matching)) if wanted else 0

    return Asked(
        path,
        order.key.floor,
        order.descending,
        wanted,
        store.bounds.known(f"{collection.name} {path}", bounds),
        store.bounds.known(f"{collection.name} {wanted}", count),
    )


def _found(
    collection: Collection[Document],
    session: ClientSession,
    listing: _Listing,
    parts: Iterable[Sequence[Filter]],
    lacking: Lacking,
    held: ExitStack,
) -> Iterator[list[Document]]:
    """Return the documents of all *parts* in batches, as many as are *lacking*; all if that is 0.

    A part has several filters if its documents are found side by side.  *held* ends with the
    iterator: the session, and the slot of the query.
    """
    order = listing.order
    projection = listing.fields.projection(order.key.path)
    shows_volatile_values = listing.fields.shows_volatile_values
    with held, as_new_as(session) as beside:
        for part in parts:
            streams: list[Iterator[list[Document]]] = []
            for each in part:
                # Each has a thread, and a session is for one thread.
                own = held.enter_context(as_new_as(session)) if streams else session
                found = collection.find_raw_batches(
                    each, projection, limit=lacking.number, session=own
                )
                # Sorted even where nobody asked: in the order of an index whose values change, a
                # slow client would miss a job that ends meanwhile, or get it twice.  On disk, where
                # there are more documents than the database likes to sort in memory.
                found = found.sort(order.sort).allow_disk_use(True).batch_size(DOCUMENTS_PER_BATCH)
                streams.append(in_batches(found))
            for batch in _merged(streams, order, listing.limit and lacking.number):
                lacking.number -= len(batch)
                if shows_volatile_values:
                    add_newest_values(collection, batch, beside)
                yield batch
                del batch  # before the next one is decoded
            if not lacking.number:
                return


def _merged(
    streams: Sequence[Iterator[list[Document]]], order: Order, most: int | None
) -> Iterator[list[Document]]:
    """Return the documents of several *streams*, each in the order, in one; *most* of them."""
    if len(streams) == 1:
        return streams[0]
    documents = heapq.merge(
        *map(chain.from_iterable, streams),
        key=lambda each: rank(order.place(each).key),
        reverse=order.descending,
    )
    return batches(islice(documents, most), DOCUMENTS_PER_BATCH)


def _link(context: Context, order: Order, last: Document) -> str:
    cursor = cursor_text(order, order.place(last))
    return next_link(context.request.path.encode("latin-1"), {**context.given, "cursor": cursor})
