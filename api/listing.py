"""A list as a request asks for it: which documents, what of them, in which order, how written.

What jobs/list and nodes/list have in common; what the arguments mean stands in `api.app`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo.collection import Collection

from api.arguments import (
    Arguments,
    choice_argument,
    listed_argument,
    number_argument,
    text_argument,
)
from api.call import JSON, Answer, Call
from api.documents import DOCUMENTS_PER_CHUNK, Document, json_bytes, json_lines, json_list
from api.fields import Fields, read_fields
from api.paging import (
    MOST_ON_A_PAGE,
    Order,
    Place,
    SortKey,
    cursor_text,
    next_link,
    read_cursor,
    read_order,
)
from api.problems import bad_request
from api.queries import Filter, all_of, any_of

NDJSON = "application/x-ndjson"

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
    """Those that leave the fewest documents first."""
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
    content_type: str


def chosen(arguments: Arguments, kind: Kind) -> list[Filter]:
    """The filters of *kind* that the arguments give. Raises Problem 400 for a malformed one."""
    return [any_of(each.path, _values(arguments, each)) for each in kind.filters]


def list_answer(call: Call, collection: Collection[Document], kind: Kind, wanted: Filter) -> Answer:
    """The documents that *wanted* holds for, or their number, as the arguments of the call say.

    Raises Problem 400 for a bad argument; pymongo's errors here or in the middle of the stream.
    """
    if choice_argument(call.arguments, "count", ("false", "true")) == "true":
        return _count(call.arguments, collection, wanted)
    listing = _read_listing(call.arguments, kind)
    write = json_lines if listing.content_type == NDJSON else json_list
    if listing.limit is None:
        documents = _found(collection, listing, wanted)
        return Answer(write(documents, listing.fields.shown), content_type=listing.content_type)
    page = list(_found(collection, listing, wanted))
    headers = {}
    if len(page) > listing.limit:
        page.pop()
        headers["Link"] = _link(call, listing.order, page[-1])
    body = b"".join(write(page, listing.fields.shown))
    return Answer(body, headers, content_type=listing.content_type)


def _values(arguments: Arguments, wanted: ListFilter) -> list[Any] | None:
    values = listed_argument(arguments, wanted.argument)
    if values is None:
        return None
    try:
        return [wanted.read(value) for value in values]
    except ValueError as error:
        raise bad_request(f"{wanted.argument}: {error}") from error


def _count(arguments: Arguments, collection: Collection[Document], wanted: Filter) -> Answer:
    useless = [name for name in ARGUMENTS if name != "count" and name in arguments]
    if useless:
        raise bad_request(f"count=true answers a number: leave out {', '.join(useless)}")
    return Answer(json_bytes({"count": collection.count_documents(wanted)}))


def _read_listing(arguments: Arguments, kind: Kind) -> Listing:
    order = read_order(text_argument(arguments, "sort"), kind.sort_keys)
    limit = number_argument(arguments, "limit", 1, MOST_ON_A_PAGE)
    cursor = text_argument(arguments, "cursor")
    if cursor is not None and limit is None:
        raise bad_request("cursor goes with limit: give the limit of the page before")
    written = choice_argument(arguments, "format", ("json", "ndjson"))
    return Listing(
        fields=read_fields(listed_argument(arguments, "fields"), kind.fields),
        order=order,
        limit=limit,
        place=None if cursor is None else read_cursor(cursor, order),
        content_type=NDJSON if written == "ndjson" else JSON,
    )


def _found(
    collection: Collection[Document], listing: Listing, wanted: Filter
) -> Iterator[Document]:
    """The documents behind the listing's place, one more than its limit where there are so many."""
    order, missing = listing.order, 0 if listing.limit is None else listing.limit + 1
    projection = listing.fields.projection(order.key.path if missing else None)
    for rest in [{}] if listing.place is None else order.behind(listing.place):
        # On disk, where there are more documents than the database likes to sort in memory.
        found = collection.find(
            all_of(wanted, rest), projection, limit=missing, allow_disk_use=True
        )
        for document in found.sort(order.sort).batch_size(DOCUMENTS_PER_CHUNK):
            yield document
            missing -= 1
        if not missing:
            return


def _link(call: Call, order: Order, last: Document) -> str:
    path = call.environ.get("SCRIPT_NAME", "") + call.environ.get("PATH_INFO", "")
    cursor = cursor_text(order, order.place(last))
    return next_link(path.encode("latin-1"), {**call.arguments, "cursor": cursor})
