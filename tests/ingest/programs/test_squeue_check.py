"""squeue's list: how it is read, and what it says of records."""

from collections.abc import Mapping

import pytest

from ingest.programs import squeue_check as second_list
from ingest.programs.squeue_check import ListUnreadable, hold_against, read_list
from ingest.reading.parsing import Decision, Form
from ingest.reading.records import Record, SetAside, Unchanged
from ingest.slurm.keys import JOB

LISTED = {"1": "1001", "2": "1002"}


def record(job_id: str, uid: str = "1001") -> Record:
    form = Form(JOB, multi_line=True, sealed=False)
    text = f"text of {job_id}".encode()
    return Record(job_id, {"uid": uid}, text, form, Decision((), frozenset()), ())


def never() -> Mapping[str, str]:
    raise AssertionError("the list was asked for again")


def held(
    *records: Record | SetAside, newer: Mapping[str, str]
) -> list[Record | SetAside | Unchanged]:
    return list(hold_against(records, LISTED, lambda: newer))


def test_a_list_is_uids_by_id() -> None:
    assert read_list(b"1:1001\n23:0\n") == {"1": "1001", "23": "0"}
    assert read_list(b"1:1001") == {"1": "1001"}
    assert read_list(b"\n1:1001\n\n2:1002\n") == {"1": "1001", "2": "1002"}
    assert read_list(b"") == {}


@pytest.mark.parametrize(
    "line",
    [
        *(b"slurm_load_jobs error: down", b"1 1001", b"1:", b":1001", b"1:1001 ", b" 1:1001"),
        *(b"1_2:1001", b"1:alice", b"1:1001:1", "\u0661:1001".encode(), b"1:1001\r", b"-1:5"),
        *(b"1" * 21 + b":1", b"1:" + b"1" * 21),
    ],
)
def test_a_line_of_another_shape_is_refused(line: bytes) -> None:
    with pytest.raises(ListUnreadable):
        read_list(b"1:1001\n" + line + b"\n")


def test_the_refusal_shows_the_line_and_not_all_of_a_long_one() -> None:
    with pytest.raises(ListUnreadable, match=r"^expected id:uid, found 'down \\\\xff'$"):
        read_list(b"1:1001\ndown \xff\n")
    with pytest.raises(ListUnreadable, match=f"^expected id:uid, found '{'x' * 80}'$"):
        read_list(b"x" * 500)


def test_ids_and_uids_of_twenty_digits_are_read() -> None:
    assert read_list(b"1" * 20 + b":" + b"2" * 20) == {"1" * 20: "2" * 20}


def test_listed_records_pass_at_once_and_nothing_is_asked() -> None:
    records = [record("1"), record("2", "1002")]
    assert list(hold_against(records, LISTED, never)) == records
    assert list(hold_against([], LISTED, never)) == []


def test_what_was_set_aside_before_passes() -> None:
    aside = SetAside(b"x", "why", ("9",))
    assert held(aside, newer={}) == [aside]


def test_a_job_that_is_newer_than_the_list_comes_last() -> None:
    new = record("3", "1003")
    found = held(record("1"), new, record("2", "1002"), newer={**LISTED, "3": "1003"})
    assert found == [record("1"), record("2", "1002"), new]


@pytest.mark.parametrize(
    ("before", "named"),
    [
        ([], "the first record"),
        ([record("1")], "job 1"),
        ([record("1"), record("2", "1002")], "job 2"),
        ([record("1"), SetAside(b"x", "why", ("8", "9"))], "job 8"),
        ([record("1"), SetAside(b"x", "why", ())], "job 1"),
        ([SetAside(b"x", "why", ())], "the first record"),
    ],
)
def test_a_job_that_no_list_has_is_set_aside_and_the_one_before_it_is_named(
    before: list[Record | SetAside], named: str
) -> None:
    *_, found = held(*before, record("77"), newer=LISTED)
    assert found == SetAside(
        b"text of 77",
        f"squeue lists no such job of this user; its record stands behind that of {named}",
        ("77",),
    )


def test_a_forged_record_is_named_by_the_one_behind_it() -> None:
    *_, first, second = held(record("77"), record("78"), newer={})
    assert isinstance(first, SetAside)
    assert isinstance(second, SetAside)
    assert first.reason.endswith("behind that of the first record")
    assert second.reason.endswith("behind that of job 77")


@pytest.mark.parametrize("owner", ["1002", "", "10011"])
def test_a_job_of_another_user_is_contradicted(owner: str) -> None:
    (found,) = held(record("1", owner), newer=LISTED)
    assert isinstance(found, SetAside)
    assert found.ids == ("1",)


def test_a_record_of_no_job_is_contradicted() -> None:
    (found,) = held(record("9"), newer=LISTED)
    assert isinstance(found, SetAside)


def test_what_did_not_change_passes() -> None:
    unchanged = Unchanged(("7", "8"))
    assert list(hold_against([unchanged, record("1")], LISTED, never)) == [unchanged, record("1")]


def test_the_list_is_asked_for_again_once_and_at_the_end() -> None:
    asked = []

    def ask() -> Mapping[str, str]:
        asked.append(1)
        return {"5": "1001", "6": "1001"}

    stream = hold_against([record("5"), record("1"), record("6")], LISTED, ask)
    assert next(stream) == record("1")
    assert asked == []
    assert list(stream) == [record("5"), record("6")]
    assert asked == [1]


def test_no_more_than_so_many_jobs_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_list, "MAX_UNLISTED", 2)
    newer = {"5": "1001", "6": "1001", "7": "1001"}
    found = held(record("5"), record("6"), record("7"), newer=newer)
    assert isinstance(found[0], SetAside)
    assert found[0].ids == ("7",)
    assert found[0].reason.endswith("behind that of job 6")
    assert found[1:] == [record("5"), record("6")]
