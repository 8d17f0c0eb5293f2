"""Outputs to frames: where one record ends and the next begins, while the output comes in."""

from itertools import count

import pytest

from ingest.reading.framing import Frame, NoAnswer, Output, SealMissing
from ingest.reading.records import Doubt, SetAside, Unchanged
from ingest.slurm.keys import JOB, NODE, KeyTable
from tests.ingest.reading.attacks import job
from tests.support.reading import SEAL

ALICE, BOB = "alice(1001)", "bob(1002)"
MAX_BYTES = 1 << 20


def frames(
    text: str, table: KeyTable = JOB, *, seal: str = "", size: int = 1 << 20
) -> list[Frame | Unchanged | Doubt | SetAside]:
    data = text.encode()
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    return list(Output(chunks, table, seal, MAX_BYTES).frames())


def texts(found: list[Frame | Unchanged | Doubt | SetAside]) -> list[str]:
    return [each.text.replace(b"\0", b"").decode() for each in found if isinstance(each, Frame)]


def doubts(found: list[Frame | Unchanged | Doubt | SetAside]) -> list[list[str]]:
    return [list(each.ids) for each in found if isinstance(each, Doubt)]


def unsealed(job_id: str, owner: str = ALICE, **texts: str) -> str:
    return job(job_id, owner, sealed=False, **texts)


def one_line(text: str) -> str:
    return text.rstrip().replace("\n   ", " ") + "\n"


@pytest.mark.parametrize("size", [1, 100, 1 << 20])
@pytest.mark.parametrize("seal", ["", SEAL])
def test_each_record_is_a_frame(size: int, seal: str) -> None:
    jobs = [job(job_id, ALICE, sealed=bool(seal)) for job_id in "123"]
    found = frames("".join(jobs), seal=seal, size=size)
    assert texts(found) == [each.replace(SEAL, "") for each in jobs]
    assert len(found) == 3


@pytest.mark.parametrize("size", [1, 100, 1 << 20])
def test_each_line_of_the_o_form_is_a_frame(size: int) -> None:
    jobs = [one_line(unsealed(job_id)) for job_id in "123"]
    assert texts(frames("".join(jobs), size=size)) == jobs


def test_the_letters_of_the_seal_are_nuls_in_a_frame() -> None:
    (frame,) = frames(job("1", ALICE, sealed=True), seal=SEAL)
    assert isinstance(frame, Frame)
    assert SEAL.encode() not in frame.text
    assert frame.text.count(b"\0" * len(SEAL)) == 4


def test_a_start_in_the_last_text_of_a_record_is_a_part_of_the_record() -> None:
    one = unsealed("1", comment="two\n\nJobId=99 JobName=evil ")
    assert texts(frames(one + unsealed("2"))) == [one, unsealed("2")]


def test_without_a_seal_a_part_with_some_keys_is_in_doubt_with_its_neighbours() -> None:
    cut = unsealed("2", command=f"/r\n\n{unsealed('9', BOB, end='')}\n\n")
    found = frames(unsealed("1") + cut + unsealed("3") + unsealed("4"))
    assert doubts(found) == [["1", "2", "9"]]
    assert texts(found) == [unsealed("3"), unsealed("4")]


def test_a_part_with_some_keys_takes_the_next_record_into_doubt() -> None:
    part = "JobId=2 JobName=x\n   UserId=alice(1001) GroupId=alice(1001) MCS_label=N/A\n\n"
    found = frames(unsealed("1") + part + unsealed("3") + unsealed("4"))
    assert doubts(found) == [["1", "2", "3"]]
    assert texts(found) == [unsealed("4")]


def test_nodes_that_lack_some_keys_are_in_doubt_too() -> None:
    whole = "NodeName=a Arch=x\n   RealMemory=1\n   State=IDLE\n   Reason=x [root@now]\n\n"
    cut = "NodeName=b Arch=x\n   RealMemory=1\n"
    assert doubts(frames(whole + cut, NODE)) == [["a", "b"]]


@pytest.mark.parametrize("until", ["JobId=2 JobName", "JobId=2 JobName=x", "\n   WorkDir="])
def test_an_output_that_ends_inside_a_record_leaves_it_in_doubt(until: str) -> None:
    last = unsealed("2", name="x")
    cut = last[: last.index(until) + len(until)] if until[0] == "\n" else until
    found = frames(unsealed("0") + unsealed("1") + cut)
    assert doubts(found) == [["1", "2"]] or "WorkDir" in until
    if "WorkDir" in until:  # all keys that every record has, and no StdOut
        assert doubts(found) == [["2"]]


def test_a_first_line_alone_is_a_part_of_the_text_before_when_more_follows() -> None:
    one = unsealed("1", comment="x").replace("BatchFlag=1", "BatchFlag=0")
    part = "JobId=9 JobName=y\n\n"
    assert texts(frames(one + part + unsealed("2"))) == [one + part, unsealed("2")]
    assert doubts(frames(one + part)) == [["1", "9"]]


def test_with_the_seal_a_part_without_it_leaves_both_sides_in_doubt() -> None:
    one = job("1", ALICE, sealed=True, comment="x\n\nJobId=9 y")
    two, three = (job(job_id, BOB, sealed=True) for job_id in "23")
    found = frames(one + two + three, seal=SEAL)
    assert doubts(found) == [["1", "9", "2"]]
    assert texts(found) == [three.replace(SEAL, "")]
    alone = frames(one, seal=SEAL)
    assert texts(alone) == [one.replace(SEAL, "")]


def test_frames_that_were_seen_are_told_together() -> None:
    text = "".join(job(job_id, ALICE, sealed=True) for job_id in "123").encode()
    output = Output([text], JOB, SEAL, MAX_BYTES)
    numbers = count(1)
    found = list(output.frames(lambda parts: [str(next(numbers)) for _ in parts]))
    told = [name for each in found if isinstance(each, Unchanged) for name in each.ids]
    told += [each.id for each in found if isinstance(each, Frame) and each.id]
    assert told == ["1", "2", "3"]
    assert all(not isinstance(each, Unchanged) or each.ids for each in found)


def test_a_missing_seal_and_a_missing_answer_are_told() -> None:
    with pytest.raises(SealMissing):
        frames(unsealed("1"), seal=SEAL)
    with pytest.raises(NoAnswer, match="no record in the output, which begins b'hello'"):
        frames("hello")
    assert frames("No jobs in the system\n") == []


def test_a_part_with_some_keys_before_the_end_of_a_batch_job_is_a_part_of_the_job() -> None:
    one = unsealed("1", comment="x\n\nJobId=9 JobName=y\n   UserId=bob(2)")
    assert texts(frames(one + unsealed("2"))) == [one, unsealed("2")]
