"""What holds for every record: read right or set aside, never wrong in silence."""

import re
from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from ingest.reading.reader import NoAnswer, Reader
from ingest.reading.records import Record, SetAside, Unchanged
from ingest.slurm.keys import JOB, NODE, Key
from ingest.slurm.kinds import JOBS, NODES, Kind
from ingest.slurm.values import ABSENT
from tests.ingest.reading.printing import Printed, plain_texts, printed_by, printed_records, texts
from tests.ingest.reading.reference import decision_of, document_of
from tests.ingest.slurm.releases import RELEASES
from tests.support.reading import CLUSTER, SEAL, AskedCluster, read

KINDS = pytest.mark.parametrize("kind", [JOBS, NODES], ids=["jobs", "nodes"])
slow = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

WARM = {
    (kind.plural, seal): Reader(kind.table, CLUSTER)
    for kind in (JOBS, NODES)
    for seal in ("", SEAL)
}
"""Readers that are kept from one example to the next, as a scraper keeps its own."""


def bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def values_of(record: Record) -> dict[str, str]:
    """The values by key; without the spaces that -o prints before a group of nodes."""
    behind = [*[pair.key for pair in record.raw.pairs][1:], ""]
    return {
        pair.key: pair.value.removesuffix("  ") if after == "Nodes" else pair.value
        for pair, after in zip(record.raw.pairs, behind, strict=True)
    }


def the_record(text: str, kind: Kind, *, seal: str = "") -> Record:
    (item,) = read(bytes_of(text), kind, seal=seal)
    assert isinstance(item, Record), item
    return item


def shown(printed: Printed) -> dict[str, str]:
    """The values of *printed* as raw pairs have them: comments up to 25.05 with Slurm's space."""
    values = dict(printed.values)
    for key in values.keys() & {"AdminComment", "SystemComment", "Comment", "Extra"}:
        if printed.table is JOB and printed.release <= "25.05":
            values[key] += " "
    return values


# --- every record that a release can print --------------------------------------------------------


def check_whole(printed: Printed, kind: Kind, *, seal: str, one_line: bool) -> None:
    """*printed* is read, and nothing of it is lost, by a new reader and by one that is kept."""
    text = printed.text(seal=seal, one_line=one_line)
    record = the_record(text, kind, seal=seal)
    assert [pair.key for pair in record.raw.pairs] == printed.keys
    assert values_of(record) == shown(printed)
    assert record.raw.text() == text.replace(SEAL, "")
    assert decision_of(record) == record.decision
    assert document_of(record, CLUSTER) == record.slurm
    kept = WARM[kind.plural, seal]
    assert list(kept.read([bytes_of(text)], seal=seal)) == [record]


@KINDS
@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("with_optional", [False, True])
@pytest.mark.parametrize(("seal", "one_line"), [("", False), (SEAL, False), ("", True)])
def test_the_smallest_and_the_largest_record_of_each_release(
    kind: Kind, release: str, seal: str, *, with_optional: bool, one_line: bool
) -> None:
    printed = printed_by(kind.table, release, with_optional=with_optional)
    check_whole(printed, kind, seal=seal, one_line=one_line)


@slow
@given(printed_records(JOB), st.sampled_from([("", False), (SEAL, False), ("", True)]))
def test_every_job_that_a_release_can_print_is_read(
    printed: Printed, form: tuple[str, bool]
) -> None:
    check_whole(printed, JOBS, seal=form[0], one_line=form[1])


@slow
@given(printed_records(NODE), st.sampled_from([("", False), (SEAL, False), ("", True)]))
def test_every_node_that_a_release_can_print_is_read(
    printed: Printed, form: tuple[str, bool]
) -> None:
    check_whole(printed, NODES, seal=form[0], one_line=form[1])


MARKERS = st.sampled_from(["(null)", "N/A", "", "None", "Unknown"])


@slow
@given(printed_records(JOB), st.data())
def test_values_that_are_absent_are_read_alike_by_both_ways(
    printed: Printed, data: st.DataObject
) -> None:
    keys = [
        key for key in printed.keys if key not in {"JobId", "UserId"} and not JOB.keys[key].flag
    ]
    chosen = data.draw(st.dictionaries(st.sampled_from(keys), MARKERS, max_size=8))
    assume(printed.release != "20.11" or chosen.get("NtasksPerTRES") is None)
    changed = printed.with_values(chosen)
    record = the_record(changed.text(), JOBS)
    assert values_of(record) == shown(changed)
    assert document_of(record, CLUSTER) == record.slurm


# --- a user's texts -----------------------------------------------------------------------------


def users_keys(printed: Printed) -> list[str]:
    return [key for key in dict.fromkeys(printed.keys) if printed.table.keys[key].is_text]


def check_read_whole(printed: Printed, keys: list[str], kind: Kind, data: st.DataObject) -> None:
    """Give *keys* any text of one line: every value and the document are as they were printed."""
    chosen = {key: data.draw(plain_texts, label=key) for key in keys}
    changed = printed.with_values(chosen)
    record = the_record(changed.text(), kind)
    assert values_of(record) == shown(changed)
    assert document_of(record, CLUSTER) == record.slurm


@slow
@given(printed_records(JOB), st.data())
def test_text_of_one_line_is_always_read_whole(printed: Printed, data: st.DataObject) -> None:
    keys = [key for key in users_keys(printed) if key == "JobName" or key in JOB.whole_lines]
    check_read_whole(printed, keys, JOBS, data)


@slow
@given(printed_records(NODE), st.data())
def test_a_nodes_texts_of_one_line_are_read_whole(printed: Printed, data: st.DataObject) -> None:
    keys = [key for key in users_keys(printed) if key in NODE.whole_lines]
    check_read_whole(printed, keys, NODES, data)


@slow
@given(printed_records(JOB), st.data())
def test_in_the_o_form_text_is_read_whole_or_set_aside(
    printed: Printed, data: st.DataObject
) -> None:
    words = st.lists(st.sampled_from(["x", "a=b", "Foo=Bar", "JobState=F", "\u00e9", "--lr=0.1"]))
    keys = [key for key in users_keys(printed) if key in {"JobName", "Command", "Comment"}]
    chosen = {key: data.draw(words.map(" ".join), label=key) for key in keys}
    changed = printed.with_values(chosen)
    (item,) = read(bytes_of(changed.text(one_line=True)), JOBS)
    if isinstance(item, Record):
        assert values_of(item) == shown(changed)
        assert document_of(item, CLUSTER) == item.slurm


# Two texts are the same, byte for byte, as those of a job that has the keys they show, and nobody
# could tell (docs/how_records_are_read.md): a line with a key that Slurm prints only at times, or
# that no release prints yet, where Slurm would print such a line.
_LINE_WITH_KEY = re.compile(r"\n {3,6}[A-Z]")
_KEY = re.compile(r"(?:\n {3,6}| )[A-Z][A-Za-z0-9_/:]*=")


def could_be_true(key: Key, value: str) -> bool:
    """Whether Slurm would print the same bytes for a job without this text."""
    return any(value[: match.start()] in ABSENT for match in _KEY.finditer(value)) or (
        _LINE_WITH_KEY.search(value) is not None and (not key.always or key.holds == "path")
    )


@slow
@given(printed_records(JOB), st.data())
def test_any_text_is_read_whole_or_its_record_is_set_aside(
    printed: Printed, data: st.DataObject
) -> None:
    drawn = {key: data.draw(texts, label=key) for key in users_keys(printed)}
    chosen = {
        key: "x" if could_be_true(JOB.keys[key], text) else text for key, text in drawn.items()
    }
    carrier = printed.with_values(chosen)
    jobs = {
        "18": printed.with_values({"JobId": "18"}),
        "19": carrier,
        "20": printed.with_values({"JobId": "20"}),
    }
    printed_jobs = {job_id: job.text(seal=SEAL) for job_id, job in jobs.items()}
    output = bytes_of("".join(printed_jobs.values()))
    cluster = AskedCluster(*printed_jobs.values(), owners=dict.fromkeys(printed_jobs, "1105"))
    found = read(output, JOBS, seal=SEAL, inquiry=cluster)
    read_ids = []
    for item in found:
        if isinstance(item, Record):
            read_ids.append(item.id)
            assert values_of(item) == shown(jobs[item.id])
    aside = {job_id for item in found if isinstance(item, SetAside) for job_id in item.ids}
    assert sorted(read_ids) in (["18", "20"], ["18", "19", "20"])
    assert "19" in aside or "19" in read_ids


# --- keys of later releases -----------------------------------------------------------------------


@slow
@given(printed_records(JOB), st.integers(0, 100), st.sampled_from(["7", "some words k=v", ""]))
def test_a_new_line_behind_anything_but_a_users_text_is_kept(
    printed: Printed, place: int, value: str
) -> None:
    at = 1 + place % len(printed.lines)
    last = JOB.keys[printed.lines[at - 1][1][-1]]
    assume(not last.is_users_text and last.place != "group")
    assume(at == len(printed.lines) or printed.lines[at][0] == 3)
    new_lines = (*printed.lines[:at], (3, ("FutureKey",)), *printed.lines[at:])
    later = Printed(JOB, printed.release, new_lines, {**printed.values, "FutureKey": value})
    record = the_record(later.text(), JOBS)
    assert values_of(record)["FutureKey"] == value
    assert [pair.key for pair in record.raw.pairs] == later.keys
    expected = {"7": 7, "": None}.get(value, value)
    assert record.slurm["future_key"] == expected
    assert document_of(record, CLUSTER) == record.slurm


# --- whatever is read -----------------------------------------------------------------------------


@slow
@given(printed_records(JOB), st.data())
def test_a_record_and_its_text_are_the_same_bytes(printed: Printed, data: st.DataObject) -> None:
    chosen = {key: data.draw(texts, label=key) for key in users_keys(printed)}
    text = printed.with_values(chosen).text()
    items = [item for item in read(bytes_of(text), JOBS) if not isinstance(item, Unchanged)]
    again = [bytes_of(item.raw.text()) if isinstance(item, Record) else item.text for item in items]
    left = Counter(bytes_of(text))
    left.subtract(b"".join(again))
    # Blank lines at a dump's end belong to no value (docs/how_records_are_read.md).
    blank = Counter(bytes_of(text[len(text.rstrip(" \n")) :]))
    assert +left <= blank
    assert not -left
    for item in items:
        if isinstance(item, Record):
            assert document_of(item, CLUSTER) == item.slurm


@slow
@given(
    st.lists(st.tuples(printed_records(JOB), texts), min_size=1, max_size=4),
    st.sampled_from([1, 3, 100, 1000]),
    st.sampled_from([("", False), (SEAL, False), ("", True)]),
)
def test_an_output_in_chunks_of_any_size_gives_the_same(
    jobs: list[tuple[Printed, str]], size: int, form: tuple[str, bool]
) -> None:
    seal, one_line = form
    output = b"".join(
        bytes_of(
            printed.with_values({"JobId": str(number), "JobName": name}).text(
                seal=seal, one_line=one_line
            )
        )
        for number, (printed, name) in enumerate(jobs, start=1)
    )
    chunks = [output[start : start + size] for start in range(0, len(output), size)]
    assert read(chunks, JOBS, seal=seal) == read(output, JOBS, seal=seal)
    assert read(iter(chunks), JOBS, seal=seal) == read(output, JOBS, seal=seal)


@slow
@given(st.binary(max_size=400), st.sampled_from([(JOBS, b"JobId=1 "), (NODES, b"NodeName=a ")]))
@example(b"\n\nJobId=2 JobName=y\n", (JOBS, b"JobId=1 "))
def test_no_bytes_break_the_reader(noise: bytes, kind_and_start: tuple[Kind, bytes]) -> None:
    kind, start = kind_and_start
    for text in (noise, start + noise, noise + b"\n\n" + start + noise):
        for max_bytes in (1 << 20, 50):
            with suppress(NoAnswer):
                read(text, kind, max_bytes=max_bytes)
