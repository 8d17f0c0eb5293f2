"""A list as a request asks for it: which documents, what of them, in which order, how written.

What jobs/list and nodes/list have in common; what the arguments mean stands in `api.app`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING
from pymongo.client_session import ClientSession
from pymongo.collection import Collection

from api.http.arguments import (
    Arguments,
    choice_argument,
    listed_argument,
    number_argument,
    text_argument,
)
from api.http.etags import (
    CACHE_CONTROL,
    Cutoffs,
    digest,
    milliseconds,
    tag_headers,
    tagged,
    unchanged,
)
from api.http.problems import bad_request
from api.http.request import JSON, Answer, Call
from api.lists import queries
from api.lists.fields import Fields, read_fields
from api.lists.json_stream import Document, json_bytes, json_lines, json_list
from api.lists.paging import (
    MOST_ON_A_PAGE,
    Order,
    Place,
    SortKey,
    cursor_text,
    next_link,
    read_cursor,
    read_order,
)
from api.lists.prefetch import DOCUMENTS_PER_BATCH, in_batches
from api.lists.queries import Filter, all_of, any_of
from ingest.database.change_tokens import read_marks

NDJSON = "application/x-ndjson"

LOOK_AHEAD = timedelta(minutes=10)
"""A tag of a list with ``time`` holds for so long at most."""

ARGUMENTS = ("fields", "sort", "limit", "cursor", "format", "count")
"""Of every list."""


@dataclass(frozen=True)
class ListFilter:
    """An argument by which a list is filtered: where in a document its values stand, and how its
    text is read as one of them. *read* raises ValueError, saying what was expected."""

    argument: str
    path: str
    read: Callable[[str], Any] = str


@dataclass(frozen=True)
class Kind:
    """Jobs or nodes: what a list of them can be filtered and sorted by, and what it shows."""

    filters: Sequence[ListFilter]
    sort_keys: Mapping[str, SortKey]
    fields: Fields

    @property
    def arguments(self) -> tuple[str, ...]:
        """The names of a list's arguments, but for those that its endpoint reads by itself."""
        return (*(each.argument for each in self.filters), *ARGUMENTS)


@dataclass(frozen=True)
class Listing:
    """What a request asks for beside the filters; without a *limit*, everything in one stream."""

    fields: Fields
    order: Order
    limit: int | None
    place: Place | None
    """Behind which document the list begins."""
    in_lines: bool

    @property
    def content_type(self) -> str:
        """What the answer is."""
        return NDJSON if self.in_lines else JSON

    def write(self, batches: Iterable[Sequence[Document]]) -> Iterator[bytes]:
        """What goes out, in chunks."""
        write = json_lines if self.in_lines else json_list
        return write(batches, self.fields.shown)


@dataclass(frozen=True)
class Question:
    """Which documents are asked for, and on what the answer depends beside the arguments."""

    wanted: Filter
    cluster_name: str | None
    """Of all of them; None for any."""
    visible: Filter
    """What the user may see of them, {} for all; part of *wanted*."""
    cutoff: datetime | None = None
    """Where jobs that finished earlier are left out: it moves with the time."""


def chosen(arguments: Arguments, kind: Kind) -> list[Filter]:
    """The filters of *kind* that the arguments give. Raises Problem 400 for a malformed one."""
    return [any_of(each.path, _values(arguments, each)) for each in kind.filters]


def list_answer(
    call: Call, collection: Collection[Document], kind: Kind, question: Question
) -> Answer:
    """The documents that are asked for, or their number, as the arguments of the call say; 304
    where the client has the same already.

    Raises Problem 400 for a bad argument; pymongo's errors here or in the middle of the stream.
    """
    listing = _read_listing(call.arguments, kind)
    with ExitStack() as ending:
        session = ending.enter_context(call.store.database.client.start_session())
        headers: Mapping[str, str] = CACHE_CONTROL
        if not question.visible:
            tag = _tag(call, collection, session, question)
            if isinstance(tag, Answer):
                return tag
            headers = tag
        if listing is None:
            number = collection.count_documents(question.wanted, session=session)
            answer = Answer(json_bytes({"count": number}), headers)
        else:
            found = _found(collection, session, listing, question.wanted)
            if listing.limit is None:
                stream = listing.write(found)
                ending.pop_all()  # it ends the session
                return Answer(stream, headers, content_type=listing.content_type)
            answer = _page(call, listing, listing.limit, found, headers)
        return tagged(call.environ, answer) if question.visible else answer


def _tag(
    call: Call, collection: Collection[Document], session: ClientSession, question: Question
) -> Answer | dict[str, str]:
    """The header fields with the list's tag; the answer 304 where the client has the list."""
    cutoff = question.cutoff
    marks = read_marks(call.store, session, collection.name, question.cluster_name)
    value = digest(collection.name, marks, sorted(call.arguments.items()))
    same = unchanged(call.environ, value, None if cutoff is None else milliseconds(cutoff))
    if same is not None:
        return same
    cutoffs = None if cutoff is None else _cutoffs(collection, session, question, cutoff)
    return tag_headers(value, cutoffs)


def _page(
    call: Call,
    listing: Listing,
    limit: int,
    found: Iterable[Sequence[Document]],
    headers: Mapping[str, str],
) -> Answer:
    page = [document for batch in found for document in batch]
    if len(page) > limit:
        page.pop()
        headers = {**headers, "Link": _link(call, listing.order, page[-1])}
    body = b"".join(listing.write([page]))
    return Answer(body, headers, content_type=listing.content_type)


def _cutoffs(
    collection: Collection[Document], session: ClientSession, question: Question, cutoff: datetime
) -> Cutoffs:
    """For how long no job drops out of the list by itself, looking a few minutes ahead."""
    path = "cw.filters.finished_at"
    ahead = cutoff + LOOK_AHEAD
    ending = {**queries.of_cluster(question.cluster_name), path: {"$gte": cutoff, "$lt": ahead}}
    found = collection.find_one(ending, {path: 1}, sort=[(path, ASCENDING)], session=session)
    last = ahead if found is None else found["cw"]["filters"]["finished_at"]
    return Cutoffs(milliseconds(cutoff), milliseconds(last))


def _values(arguments: Arguments, wanted: ListFilter) -> list[Any] | None:
    values = listed_argument(arguments, wanted.argument)
    if values is None:
        return None
    try:
        return [wanted.read(value) for value in values]
    except ValueError as error:
        raise bad_request(f"{wanted.argument}: {error}") from error


def _read_listing(arguments: Arguments, kind: Kind) -> Listing | None:
    """How the list is wanted; None where only the number is."""
    if choice_argument(arguments, "count", ("false", "true")) == "true":
        useless = [name for name in ARGUMENTS if name != "count" and name in arguments]
        if useless:
            raise bad_request(f"count=true answers a number: leave out {', '.join(useless)}")
        return None
    order = read_order(text_argument(arguments, "sort"), kind.sort_keys)
    limit = number_argument(arguments, "limit", 1, MOST_ON_A_PAGE)
    cursor = text_argument(arguments, "cursor")
    if cursor is not None and limit is None:
        raise bad_request("cursor goes with limit: give the limit of the page before")
    in_lines = choice_argument(arguments, "format", ("json", "ndjson")) == "ndjson"
    return Listing(
        fields=read_fields(listed_argument(arguments, "fields"), kind.fields),
        order=order,
        limit=limit,
        place=None if cursor is None else read_cursor(cursor, order),
        in_lines=in_lines,
    )


def _found(
    collection: Collection[Document], session: ClientSession, listing: Listing, wanted: Filter
) -> Iterator[list[Document]]:
    """The documents behind the listing's place, one more than its limit where there are so many,
    in batches.

    The session ends with them.
    """
    order, missing = listing.order, 0 if listing.limit is None else listing.limit + 1
    projection = listing.fields.projection(order.key.path if missing else None)
    with session:
        for rest in [{}] if listing.place is None else order.behind(listing.place):
            found = collection.find_raw_batches(
                all_of(wanted, rest), projection, limit=missing, session=session
            )
            # Sorted even where nobody asked: in the order of an index whose values change, a slow
            # client would miss a job that ends meanwhile, or get it twice.  On disk, where there
            # are more documents than the database likes to sort in memory.
            found = found.sort(order.sort).allow_disk_use(True).batch_size(DOCUMENTS_PER_BATCH)
            for batch in in_batches(found):
                missing -= len(batch)
                yield batch
                del batch  # before the next one is decoded
            if not missing:
                return


def _link(call: Call, order: Order, last: Document) -> str:
    path = call.environ.get("SCRIPT_NAME", "") + call.environ.get("PATH_INFO", "")
    cursor = cursor_text(order, order.place(last))
    return next_link(path.encode("latin-1"), {**call.arguments, "cursor": cursor})
