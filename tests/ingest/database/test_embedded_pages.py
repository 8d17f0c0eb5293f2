"""The ranges by which the embedded database reads pages: whatever the bounds, the list is whole."""

import time
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from operator import ge, gt, le, lt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo.errors import AutoReconnect

from ingest.database.embedded_pages import (
    BOUNDS_SECONDS,
    SPACING,
    Asked,
    Bounds,
    Key,
    Lacking,
    is_bound,
    page_filters,
)
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
    st.integers(1, 3 * SPACING),
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
    asked: int,
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
    matching = sum(passes(each, wanted) for n, each in enumerate(found) if n in bound)
    page = Asked(path, FLOOR, descending, wanted, bounds, matching)
    read: list[Document] = []
    lacking = Lacking(asked)
    for part in page_filters(page, key, lacking):
        read += in_order([each for each in found if passes(each, part)])
        lacking.number = max(1, asked - len(read))  # the whole list is read, page or not
    assert [each["_id"] for each in read] == [each["_id"] for each in expected]


def test_about_one_document_of_so_many_is_a_bound() -> None:
    ids = [f"mila/{number}" for number in range(100_000, 200_000)]
    bounds = [number for number, each in enumerate(sorted(ids)) if is_bound(each)]
    assert 0.8 < len(bounds) * SPACING / len(ids) < 1.25
    assert max(b - a for a, b in pairwise(bounds)) < 16 * SPACING


def spans(wanted: Document, asked: int, share: float, bounds: int) -> list[int]:
    """How many documents each range holds, of which *share* are wanted; 0: all by another index."""
    keys = [(None, f"a/{number:07}") for number in range(bounds)]
    page = Asked("_id", "", False, wanted, keys, int(bounds * share))
    lacking = Lacking(asked)
    found = [0]
    for part in page_filters(page, None, lacking):
        if "$lte" not in part.get("_id", {}):
            assert not wanted or next(iter(part)) == "k"
            return [*found[1:], 0]
        assert next(iter(part)) == "_id"
        found.append((int(part["_id"]["$lte"][2:]) + 1) * SPACING - sum(found))
        lacking.number -= min(lacking.number, int(found[-1] * share))
        if not lacking.number:
            break
    return found[1:]


def test_a_range_is_as_long_as_the_bounds_and_the_ranges_before_tell() -> None:
    assert spans({}, 51, 1, 400) == [SPACING]
    assert spans({}, 501, 1, 400) == [4 * SPACING]
    assert spans({"k": "x"}, 51, 0.5, 400) == [SPACING]
    assert spans({"k": "x"}, 51, 0.1, 400) == [4 * SPACING]
    assert spans({"k": "x"}, 51, 0, 400) == [0]
    assert spans({"k": "x"}, 51, 0.01, 400) == [0]
    assert spans({"k": "x"}, 51, 0.01, 40_000) == [40 * SPACING]
    assert spans({"k": "x"}, 51, 1, 0) == [0]


def test_a_range_that_gave_less_than_the_bounds_tell_is_followed_by_a_longer_one() -> None:
    keys = [(None, f"a/{number:07}") for number in range(400)]
    page = Asked("_id", "", False, {"k": "x"}, keys, 200)
    lacking = Lacking(51)
    parts = page_filters(page, None, lacking)
    assert next(parts)["_id"]["$lte"] == "a/0000000"
    lacking.number = 50
    assert next(parts)["_id"] == {"$gt": "a/0000000", "$lte": "a/0000050"}
    lacking.number = 49
    assert next(parts)["_id"] == {"$gt": "a/0000050"}
    assert [*parts] == []


def test_a_range_of_the_sort_value_is_read_from_its_own_begin() -> None:
    moments = [NOW + timedelta(hours=hour) for hour in range(100)]
    keys = [(moment, f"a/{number:03}") for number, moment in enumerate(moments)]
    page = Asked("t", FLOOR, False, {"t": {"$gte": moments[50]}}, keys, 50)
    parts = list(page_filters(page, None, Lacking(101)))
    assert parts[0]["t"] == {"$gte": moments[50], "$lt": moments[50]}
    assert parts[1] == {"t": moments[50], "_id": {"$lte": "a/050"}}


@pytest.mark.parametrize(
    ("value", "above"),
    [
        ("train", {"$gte": "train\0"}),
        (NOW, {"$gte": NOW + timedelta(milliseconds=1)}),
        (
            datetime.max.replace(tzinfo=timezone.utc),
            {"$gt": datetime.max.replace(tzinfo=timezone.utc)},
        ),
    ],
)
def test_what_is_above_a_value_is_asked_for_without_what_is_equal(
    value: Any, above: Document
) -> None:
    keys = [(value, "a/1")]
    page = Asked("t", FLOOR, False, {}, keys, 1)
    assert [*page_filters(page, keys[0], Lacking(1))] == [
        {"t": value, "_id": {"$gt": "a/1"}},
        {"t": above},
    ]


def test_bounds_are_read_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now, reads = [0.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    bounds = Bounds()

    def read() -> list[Key]:
        reads.append(now[0])
        return [(None, f"a/{len(reads)}")]

    def fails() -> list[Key]:
        raise AutoReconnect

    with pytest.raises(AutoReconnect):
        bounds.known("jobs _id", fails)
    assert bounds.known("jobs _id", read) == [(None, "a/1")]
    now[0] = BOUNDS_SECONDS - 1
    assert bounds.known("jobs _id", fails) == [(None, "a/1")]
    assert bounds.known("nodes _id", read) == [(None, "a/2")]
    now[0] = BOUNDS_SECONDS
    assert bounds.known("jobs _id", read) == [(None, "a/3")]

    def meanwhile() -> list[Key]:
        reads.append(now[0])
        return [*bounds.known("jobs _id", fails), (None, "a/4")]  # as another request would ask

    now[0] = 2 * BOUNDS_SECONDS
    assert bounds.known("jobs _id", meanwhile) == [(None, "a/3"), (None, "a/4")]
    now[0] = 3 * BOUNDS_SECONDS
    with pytest.raises(AutoReconnect):
        bounds.known("jobs _id", fails)
    assert bounds.known("jobs _id", read) == [(None, "a/5")]
    for number in range(2000):
        bounds.known(f"jobs {number}", read)
    assert len(vars(bounds)["_read"]) <= 1000
