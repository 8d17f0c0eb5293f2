"""The ranges by which the embedded database reads pages: whatever the bounds, the list is whole."""

from datetime import datetime, timedelta, timezone
from itertools import pairwise
from operator import ge, gt, le, lt
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ingest.database.embedded_pages import SPACING, is_bound, page_filters
from ingest.database.store import Document

FLOOR = datetime(1, 1, 1, tzinfo=timezone.utc)
NOW = datetime(2026, 11, 24, tzinfo=timezone.utc)
COMPARE = {"$gt": gt, "$gte": ge, "$lt": lt, "$lte": le}

moments = st.one_of(st.none(), st.integers(0, 5).map(lambda hours: NOW + timedelta(hours=hours)))
documents = st.lists(
    st.tuples(moments, st.integers(0, 99), st.sampled_from("xy")),
    max_size=40,
    unique_by=lambda each: each[1],
).map(lambda found: [{"_id": f"a/{n}", "t": moment, "k": kind} for moment, n, kind in found])


def passes(document: Document, conditions: Document) -> bool:
    for path, condition in conditions.items():
        if path == "$and":
            if not all(passes(document, each) for each in condition):
                return False
            continue
        value = document[path]
        if not isinstance(condition, dict):
            if value != condition:
                return False
        elif value is None or not all(
            COMPARE[name](value, other) for name, other in condition.items()
        ):
            return False
    return True


def rank(document: Document, path: str) -> Any:
    value = document[path]
    return value is not None, value, document["_id"]


@given(
    documents,
    st.sampled_from(["t", "_id"]),
    st.booleans(),
    st.sets(st.integers(0, 39)),
    st.integers(-1, 39),
    st.sampled_from(
        [
            {},
            {"k": "x"},
            {"t": {"$gte": NOW + timedelta(hours=2)}},
            {"t": {"$lt": NOW + timedelta(hours=3)}},
            {"t": {"$gte": NOW + timedelta(hours=1), "$lte": NOW + timedelta(hours=3)}},
        ]
    ),
)
def test_the_ranges_are_the_list_in_its_order(
    found: list[Document],
    path: str,
    descending: bool,
    bound: set[int],
    place: int,
    wanted: Document,
) -> None:
    bounds = [(each[path], each["_id"]) for n, each in enumerate(found) if n in bound]
    begin = found[place] if 0 <= place < len(found) else None
    key = None if begin is None else (begin[path], begin["_id"])

    def in_order(some: list[Document]) -> list[Document]:
        return sorted(some, key=lambda each: rank(each, path), reverse=descending)

    expected = in_order([each for each in found if passes(each, wanted)])
    if begin is not None:
        mine = rank(begin, path)
        expected = [
            each
            for each in expected
            if (rank(each, path) < mine if descending else rank(each, path) > mine)
        ]
    read = [
        each
        for part in page_filters(bounds, path, FLOOR, key, wanted, descending=descending)
        for each in in_order([each for each in found if passes(each, part)])
    ]
    assert [each["_id"] for each in read] == [each["_id"] for each in expected]


def test_about_one_document_of_so_many_is_a_bound() -> None:
    ids = [f"mila/{number}" for number in range(100_000, 200_000)]
    bounds = [number for number, each in enumerate(sorted(ids)) if is_bound(each)]
    assert 0.8 < len(bounds) * SPACING / len(ids) < 1.25
    assert max(b - a for a, b in pairwise(bounds)) < 16 * SPACING
