"""Texts that are known: told by all but their volatile values, and never in spite of a change."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.documents.fingerprints import Fingerprint, fingerprint, hash_of
from ingest.documents.volatile_values import volatile_values
from ingest.reading.records import Record, SetAside
from ingest.slurm.keys import JOB, NODE, KeyTable
from ingest.sync.seen_records import (
    NO_TEXT,
    Due,
    Entry,
    SeenRecords,
    TextFingerprint,
    text_fingerprint,
)
from tests.ingest.reading.attacks import job
from tests.ingest.reading.golden import DUMPS, cluster_of, dump_id, items_of, kind_of
from tests.support.reading import CLUSTER, SEAL, read_lazily

PRINT = Fingerprint(5, -6, 1, 2, 3, 4, -(2**63), (1 << 32) - 1, "RUNNING")
OWNER = "alice(1001)"
NODE_TEXT = (
    "NodeName=cn-a001 Arch=x86_64 CoresPerSocket=1 \n   CPUAlloc=0 CPUTot=4 CPULoad=0.12\n"
    "   RealMemory=1000 AllocMem=0 FreeMem=512 Sockets=1 Boards=1\n"
    "   State=IDLE Weight=1\n   Reason=bad CPULoad=0.12 [root@2026-11-23T20:13:46]\n\n"
)


def read(text: str, table: KeyTable = JOB) -> Record:
    (record,) = read_lazily([text.encode()], table, seal=SEAL if SEAL in text else "")
    assert isinstance(record, Record)
    return record


def seen_of(text: str, table: KeyTable = JOB) -> SeenRecords:
    record = read(text, table)
    seen = SeenRecords(table, CLUSTER)
    seen[record.id] = Entry(PRINT, 100.0, 7, text_fingerprint(record))
    return seen


def sealed(text: str) -> bytes:
    return text.replace(SEAL, "\0" * len(SEAL)).encode()


def with_scheduler(text: str, time: str) -> str:
    line = f"   SuspendTime=None SecsPreSuspend=0 LastSchedEval={time} Scheduler=Main\n"
    return text.replace("   Partition=", f"{line}   Partition=", 1)


def test_which_keys_are_volatile() -> None:
    assert set(JOB.volatile) == {"RunTime", "Priority", "LastSchedEval"}
    assert {"CPULoad", "FreeMem", "LastBusyTime", "CurrentWatts"} <= set(NODE.volatile)


@pytest.mark.parametrize("is_sealed", [True, False])
def test_a_text_is_known_whatever_its_volatile_values_are(is_sealed: bool) -> None:
    end = SEAL if is_sealed else ""
    text = with_scheduler(job("1", OWNER, sealed=is_sealed), f"2026-11-23T20:13:41+0000{end}")
    seen = seen_of(text)
    assert seen.known([sealed(text)]) == ["1"]
    later = (
        text.replace("RunTime=00:10:00", "RunTime=23:59:59")
        .replace("Priority=10 ", "Priority=11 ")
        .replace("Eval=2026-11-23T20:13:41", "Eval=2026-11-24T01:00:00")
    )
    assert seen.known([sealed(later)]) == ["1"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("JobId=1 ", "JobId=2 "),
        ("JobState=RUNNING", "JobState=PENDING"),
        ("RunTime=00:10:00", "RunTime=1-00:10:00"),
        ("RunTime=00:10:00", "RunTime=00:10:0x"),
        ("RunTime=00:10:00", "RunTime=00:1\n:00"),
        ("Priority=10 ", "Priority=1= "),
        ("TimeLimit=03:00:00", "TimeLimit=03:00:01"),
        ("Comment=hello", "Comment=hellO"),
        ("Power=\n   \n\n", "Power=\n\n"),
    ],
)
def test_a_text_with_any_other_difference_is_not_known(before: str, after: str) -> None:
    text = job("1", OWNER, sealed=True)
    assert before in text
    assert seen_of(text).known([sealed(text.replace(before, after, 1))]) == [None]


@pytest.mark.parametrize("field", ["name", "comment", "command"])
@pytest.mark.parametrize("forged", ["x RunTime=00:10:00", "x Priority=10 y", "RunTime=00:10:00"])
def test_a_volatile_value_in_a_users_text_is_a_part_of_the_text(field: str, forged: str) -> None:
    text = job("1", OWNER, sealed=True, **{field: forged})
    seen = seen_of(text)
    changed = job("1", OWNER, sealed=True, **{field: forged.replace("10", "11")})
    assert seen.known([sealed(text)]) == ["1"]
    assert seen.known([sealed(changed)]) == [None]


def test_a_key_that_is_seen_twice_has_no_place() -> None:
    text = job("1", OWNER, sealed=True, comment="x\n   RunTime=00:10:00")
    seen = seen_of(text)
    assert seen.known([sealed(text)]) == ["1"]
    for number in (1, 2):
        changed = text.replace("RunTime=00:10:00", "RunTime=00:11:00", number)
        assert seen.known([sealed(changed)]) == [None]
    text = NODE_TEXT.replace("Reason=bad", "Reason=bad FreeMem=1")
    seen = seen_of(text, NODE)
    assert seen.known([text.encode()]) == ["cn-a001"]
    for changed in ("CPULoad=0.13", "FreeMem=513"):
        key, _ = changed.split("=")
        old = "0.12" if key == "CPULoad" else "512"
        assert seen.known([text.replace(f"{key}={old}", changed, 1).encode()]) == [None]


def test_a_nodes_load_is_volatile() -> None:
    text = NODE_TEXT.replace(" CPULoad=0.12 [", " [")
    seen = seen_of(text, NODE)
    assert seen.known([text.replace("CPULoad=0.12", "CPULoad=9.87").encode()]) == ["cn-a001"]
    assert seen.known([text.replace("FreeMem=512", "FreeMem=100").encode()]) == ["cn-a001"]
    assert seen.known([text.replace("CPULoad=0.12", "CPULoad=N/A ").encode()]) == [None]
    assert seen.known([text.replace("State=IDLE", "State=DOWN").encode()]) == [None]


def test_a_nodes_fourth_value_that_moves_has_it_read_again() -> None:
    text = NODE_TEXT.replace(" CPULoad=0.12 [", " [").replace(
        "State=IDLE Weight=1\n",
        "State=IDLE Weight=1\n   LastBusyTime=2026-11-23T20:13:41\n   CurrentWatts=10\n",
    )
    seen = seen_of(text, NODE)
    moved = text.replace("FreeMem=512", "FreeMem=510").replace("20:13:41\n", "20:15:41\n")
    assert seen.known([text.encode(), moved.encode()]) == ["cn-a001", "cn-a001"]
    assert seen.known([text.replace("Watts=10", "Watts=11").encode()]) == [None]


def test_a_volatile_value_that_is_no_number_has_no_place() -> None:
    text = NODE_TEXT.replace(" CPULoad=0.12 [", " [").replace("CPULoad=0.12", "CPULoad=N/A")
    seen = seen_of(text, NODE)
    moved = text.replace("FreeMem=512", "FreeMem=100")
    assert seen.known([text.encode(), moved.encode()]) == ["cn-a001", "cn-a001"]
    assert seen.known([text.replace("CPULoad=N/A", "CPULoad=0.1").encode()]) == [None]


@pytest.mark.parametrize("length", [1 << 15, 1 << 16])
def test_a_volatile_value_far_down_a_long_text_has_no_place(length: int) -> None:
    text = job("1", OWNER, sealed=True, name="x" * length)
    seen = seen_of(text)
    moved = text.replace("RunTime=00:10:00", "RunTime=00:11:00")
    assert seen.known([sealed(text)]) == ["1"]
    assert seen.known([sealed(moved)]) == ["1" if length < 1 << 16 else None]


def test_each_of_many_texts_has_its_answer() -> None:
    one, other, two = (job(job_id, OWNER, sealed=True) for job_id in ("1", "9", "2"))
    seen = seen_of(one)
    seen["2"] = Entry(PRINT, 100.0, 7, text_fingerprint(read(two)))
    assert seen.known([sealed(text) for text in (one, other, two)]) == ["1", None, "2"]


def due(seen: SeenRecords, text: str, now: float = 1100.0) -> list[dict[str, object] | None]:
    """What a text says of the volatile values that are due; None if it has to be read."""
    seen.begin(now, interval=1000)
    ids = seen.known([sealed(text)])
    found = seen.due_of(each for each in ids if each)
    return [found[each].values if each else None for each in ids]


def test_what_is_due_is_told_without_reading_the_text() -> None:
    text = with_scheduler(job("1", OWNER, sealed=True), f"2026-11-23T20:13:41+0000{SEAL}")
    seen = seen_of(text)
    later = text.replace("RunTime=00:10:00", "RunTime=23:59:59").replace("=10 ", "=11 ", 1)
    assert seen.begin(1099.0, interval=1000) == {"1"}
    assert seen.known([sealed(later)]) == ["1"]
    assert seen.due_of(["1"]) == {}
    values = {"priority": 11, "run_time": 86_399, "last_sched_eval": "2026-11-23T15:13:41-05:00"}
    for now in (1100.0, -900.0):  # a clock can be set back
        assert due(seen, later, now) == [values]
    assert seen.due_of(["1"]) == {}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("RunTime=00:10:00", "RunTime=INVALID"),
        ("Priority=10 ", "Priority=(null) "),
        ("Priority=10 ", f"Priority={'1' * 65} "),
        ("Priority=10 ", "Priority=10  "),
        ("Comment=hello", "Comment=x\n   RunTime=00:10:00"),
        ("Comment=hello", "Comment=two\nlines"),
    ],
)
def test_a_text_with_a_volatile_value_that_has_no_place_is_read_when_it_is_due(
    before: str, after: str
) -> None:
    text = job("1", OWNER, sealed=True).replace(before, after, 1)
    assert after in text
    assert due(seen_of(text), text) == [None]


def test_a_text_with_a_volatile_value_that_slurm_does_not_print_is_read() -> None:
    text = with_scheduler(job("1", OWNER, sealed=True), f"2026-11-23T20:13:41+0000{SEAL}")
    odd = text.replace("2026-11-23T20:13:41+0000", "2026-11-23T20:13:41+00::")
    assert due(seen_of(text), odd) == [None]


def test_the_values_of_a_finished_job_that_moved_are_read() -> None:
    text = job("1", OWNER, sealed=True, state="COMPLETED")
    seen = seen_of(text)
    ended = PRINT._replace(state="COMPLETED")
    values = {"priority": 10, "run_time": 600}
    for volatile, expected in ((hash_of(values), [values]), (7, [None])):
        seen["1"] = seen["1"]._replace(fingerprint=ended._replace(volatile=volatile))
        assert due(seen, text) == expected


@pytest.mark.parametrize("dump", DUMPS, ids=dump_id)
def test_what_is_due_is_what_reading_the_dump_tells(dump: Path) -> None:
    table = kind_of(dump).table
    records = {each.id: each for each in items_of(dump) if isinstance(each, Record)}
    seen = SeenRecords(table, cluster_of(dump))
    for record in records.values():
        seen[record.id] = Entry(fingerprint(record.slurm), 100.0, 7, text_fingerprint(record))
    seen.begin(1100.0, interval=1000)
    known = seen.known([record.sealed for record in records.values()])
    found = seen.due_of(each for each in known if each)
    assert set(found) == {each for each in known if each}
    for record_id, each in found.items():
        slurm = records[record_id].slurm
        assert each == Due(volatile_values(slurm), fingerprint(slurm).volatile)


def test_a_text_without_a_mark_is_read_each_time() -> None:
    seen = SeenRecords(JOB, CLUSTER)
    seen["1"] = Entry(PRINT, 100.0, 7, NO_TEXT)
    assert seen.known([job("1", OWNER, sealed=False).encode()]) == [None]
    assert seen.known([b""]) == [None]
    assert seen.known([b"\xff=\xff"]) == [None]
    one_line = job("1", OWNER, sealed=False).replace("\n   ", " ")
    assert text_fingerprint(read(one_line)) == NO_TEXT


@pytest.mark.parametrize("state", [None, "", "RUNNING", "COMPLETED,é"])
def test_an_entry_comes_back_as_it_went_in(state: str | None) -> None:
    seen = SeenRecords(JOB, CLUSTER)
    entry = Entry(
        PRINT._replace(state=state),
        1.5,
        -(2**40),
        TextFingerprint(-(2**63), (1, 2, 3, 4, 0xFFFF, 0xFFFF), is_whole=True),
    )
    seen["cn-a001"] = entry
    assert seen["cn-a001"] == seen.get("cn-a001") == entry
    assert list(seen) == ["cn-a001"]
    del seen["cn-a001"]
    assert seen.get("cn-a001") is None


def test_what_needs_to_be_written() -> None:
    def entry(written: float = 0, **values: object) -> Entry:
        return Entry(fingerprint({"job_state": "RUNNING", **values}), written, 0, NO_TEXT)

    first = entry(100, run_time=1)
    moved, ended = entry(500, run_time=2), entry(500, run_time=1, job_state="FAILED")
    assert not first.needs_write(entry(500, run_time=1), interval=0)
    assert not first.needs_write(moved, interval=401)
    assert first.needs_write(moved, interval=400)
    assert moved.needs_write(first, interval=400)
    assert first.needs_write(ended, interval=1000)
    text = TextFingerprint(1, (1, 2, 3, 4, 5, 6))
    assert first.seen_as(moved._replace(text=text)) == first._replace(text=text)
    assert first.seen_as(entry(500, run_time=1)) == first._replace(written=500)


_EDITS = st.tuples(
    st.sampled_from(["RunTime=", "Priority=", "LastSchedEval=", "JobName=", "Comment="]),
    st.integers(-4, 40),
    st.text("0123456789:-T\n =\0RunTimePriority", min_size=1, max_size=8),
    st.booleans(),
)


@settings(deadline=None)
@given(st.lists(_EDITS, min_size=1, max_size=3), st.sampled_from(["x", "RunTime=00:10:00"]))
def test_a_text_that_is_known_is_read_as_the_first_one_was(
    edits: list[tuple[str, int, str, bool]], comment: str
) -> None:
    text = with_scheduler(job("1", OWNER, sealed=False, comment=comment), "2026-11-23T20:13:41")
    other = text
    for key, offset, new, inserted in edits:
        start = other.find(key) + len(key) + offset
        other = other[:start] + new + other[start + (0 if inserted else len(new)) :]
    if seen_of(text).known([other.encode()]) != [None]:
        (found,) = read_lazily([other.encode()], JOB, seal=SEAL if SEAL in other else "")
        if isinstance(found, SetAside):  # for a volatile value that scontrol does not print
            assert found.reason.partition(": ")[0] in JOB.volatile
        else:
            assert stable_values(other) == stable_values(text)


def stable_values(text: str) -> dict[str, str]:
    volatile = JOB.volatile
    return {pair.key: pair.value for pair in read(text).raw.pairs if pair.key not in volatile}
