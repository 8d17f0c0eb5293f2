"""What fuzzing, and the reading that it asked for, found: each stays found."""

from collections.abc import Iterator

import pytest
from ingest.reading.pairs import read_pairs
from ingest.slurm.grammar import JOB, NODE

from ingest.reading.records import (
    MAX_KEYS_OF_AN_OWNER,
    NoAnswer,
    Record,
    SealMissing,
    SetAside,
    Vouching,
    read_records,
)
from ingest.slurm.values import duration
from tests.fuzz.oracle import check
from tests.ingest.reading.attacks import SEAL, Attack, job, output

ALICE, BOB = "alice(1001)", "bob(1002)"
OPTIONS = range(256)
"""Every first byte of an input of the fuzzer: kinds, seal or none, sizes of chunks, limits."""

Items = list[Record | SetAside]


def read(text: str, *, seal: str = "", size: int = 1 << 20, max_bytes: int = 1 << 20) -> Items:
    data = text.encode()
    chunks = (data[start : start + size] for start in range(0, len(data), size))
    return list(read_records(chunks, JOB, seal=seal, max_bytes=max_bytes))


def values(item: Record | SetAside) -> dict[str, str]:
    assert isinstance(item, Record)
    return {pair.key: pair.value for pair in item.raw.pairs}


def ids(found: Items) -> list[str]:
    return [values(item)["JobId"] for item in found if isinstance(item, Record)]


# --- a job's name that holds the beginning of a record ------------------------------------------

NAME = "x\nJobId=7 y"


@pytest.mark.parametrize("size", [1, 19, 100, 1 << 20])
@pytest.mark.parametrize("name", [NAME, "x\n\nJobId=7 y", "x\n\nJobId=7 y\n   UserId=bob(1002)"])
def test_the_first_jobs_name_can_not_pass_for_a_missing_seal(name: str, size: int) -> None:
    text = job("1", ALICE, sealed=True, name=name) + job("2", BOB, sealed=True)
    assert "2" in ids(read(text, seal=SEAL, size=size))


@pytest.mark.parametrize("seal", ["", SEAL])
def test_the_first_jobs_name_can_not_pass_for_the_o_form(seal: str) -> None:
    other = job("2", BOB, sealed=bool(seal), command="/r WorkDir=/y")
    first, second = read(job("1", ALICE, sealed=bool(seal), name=NAME) + other, seal=seal)
    assert values(first)["JobName"] == NAME
    assert values(second)["Command"] == "/r WorkDir=/y"


def test_a_line_in_the_first_jobs_name_can_not_pass_for_the_form_of_several_lines() -> None:
    attack = Attack("a line", "name", "x\n   Future=1")
    text = output(attack, sealed=False, one_line=True)
    assert ids(list(read_records([text], JOB))) == ["19", "20", "21"]


@pytest.mark.parametrize("max_bytes", [1 << 20, 2000])
def test_without_any_seal_it_is_missing_however_long_the_output_is(max_bytes: int) -> None:
    text = "".join(job(str(number), ALICE, sealed=False) for number in range(10))
    stream = read_records([text.encode()], JOB, seal=SEAL, max_bytes=max_bytes)
    with pytest.raises(SealMissing):
        next(stream)


def test_a_first_job_that_is_too_long_bears_the_seal_too() -> None:
    text = job("1", ALICE, sealed=True, comment="x" * 5000) + job("2", BOB, sealed=True)
    aside, second = read(text, seal=SEAL, max_bytes=4000)
    assert isinstance(aside, SetAside)
    assert values(second)["JobId"] == "2"


@pytest.mark.parametrize("size", [100, 1 << 20])
def test_a_fragment_before_a_job_that_is_too_long_says_nothing_of_the_seal(size: int) -> None:
    read(job("4", BOB, sealed=True), seal=SEAL)  # that its layout is known does not help
    command = "/r\n\nJobId=9 x" + "x" * 5000
    text = job("1", ALICE, sealed=True, name="x\n\nJobId=8 y", command=command)
    others = job("2", BOB, sealed=True) + job("3", BOB, sealed=True)
    # Job 9's name could hold what seems to be the start of job 2, so that one is not believed.
    *aside, third = read(text + others, seal=SEAL, size=size, max_bytes=4000)
    assert [each.ids for each in aside if isinstance(each, SetAside)] == [("1",), ("9",), ("2",)]
    assert values(third)["JobId"] == "3"


# --- where one chunk ends and the next begins -----------------------------------------------------


@pytest.mark.parametrize("spaces", [0, 3, 16, 17, 700])
def test_a_blank_line_of_many_spaces_is_the_same_in_chunks_of_any_size(spaces: int) -> None:
    comment = "x\n" + " " * spaces + "\nJobId=7 y"
    text = job("1", ALICE, sealed=True, comment=comment) + job("2", BOB, sealed=True)
    whole = read(text, seal=SEAL)
    assert ids(whole) == ["1", "2"]
    for size in (1, 7, 100, 500):
        assert read(text, seal=SEAL, size=size) == whole


@pytest.mark.parametrize("number", ["", "x", "1" * 21, "1" * 700, "1_2"])
def test_what_is_no_id_begins_no_record(number: str) -> None:
    for size in (1, 100, 1 << 20):
        with pytest.raises(NoAnswer):
            read(f"JobId={number} JobName=x\n", size=size)


def test_a_record_that_is_too_long_is_set_aside_alike_in_chunks_of_any_size() -> None:
    text = job("1", ALICE, sealed=True, comment="x\nJobId=7 y" * 9000) + job("2", BOB, sealed=True)
    whole = read(text, seal=SEAL, max_bytes=70_000)
    assert ids(whole) == ["2"]
    assert read(text, seal=SEAL, size=100, max_bytes=70_000) == whole


# --- keys that are vouched for ------------------------------------------------------------------


def test_a_name_that_holds_another_owner_vouches_for_nothing() -> None:
    def future(job_id: str, name: str) -> str:
        return job(job_id, ALICE, sealed=True, name=name, comment="x\n   FutureKey=1")

    text = future("1", "train") + future("2", "x UserId=bob(1002)")
    assert ids(read(text, seal=SEAL)) == []
    text = future("1", "train") + future("2", "x\n   UserId=bob(1002) y")
    assert ids(read(text, seal=SEAL)) == []


def test_one_user_can_not_keep_the_keys_of_others_from_being_vouched_for() -> None:
    vouching = Vouching()
    for number in range(10 * MAX_KEYS_OF_AN_OWNER):
        vouching.note(f"Mine{number}", ALICE)
        vouching.note(f"Mine{number}", BOB)
    assert sum(f"Mine{number}" in vouching for number in range(1000)) == MAX_KEYS_OF_AN_OWNER
    vouching.note("FutureKey", "carol(1003)")
    assert "FutureKey" not in vouching
    vouching.note("FutureKey", ALICE)
    assert "FutureKey" in vouching


def test_a_record_that_can_not_be_read_vouches_for_nothing() -> None:
    def broken(job_id: str, owner: str) -> str:
        text = job(job_id, owner, sealed=True, comment="x\n   FutureKey=1")
        return text.replace("\n   StdOut=", "\n   FutureKey=2\n   StdOut=")

    vouching = Vouching()
    text = broken("1", ALICE) + broken("2", BOB)
    found = list(read_records([text.encode()], JOB, seal=SEAL, vouching=vouching))
    assert ids(found) == []
    assert "FutureKey" not in vouching


# --- values -------------------------------------------------------------------------------------


def test_a_number_of_more_digits_than_python_reads_is_no_duration() -> None:
    for digits in ("9" * 5000, "1-" + "9" * 5000, "9" * 5000 + ":00", "9" * 5000 + "-00:00:00"):
        assert duration(digits) is None


def test_bytes_behind_a_path_that_look_like_a_group_of_nodes_can_be_stored() -> None:
    stdout = "/o\n     Nodes=\udcff CPU_IDs=\udcff"
    text = job("1", ALICE, sealed=False, stdout=stdout)
    check(b"\0" + text.encode("utf-8", "surrogateescape"))


def test_a_longer_word_than_a_key_can_be_is_text() -> None:
    for length, is_key in ((64, True), (65, False)):
        key = "K" * length
        text = job("1", ALICE, sealed=False, stdout=f"/o\n   {key}=1")
        raw = read_pairs(text, JOB, multi_line=True)
        assert (key in [pair.key for pair in raw.pairs]) is is_key


def test_many_empty_lines_in_a_node_are_a_part_of_its_text() -> None:
    text = (
        "NodeName=a Arch=x\n   RealMemory=1\n   State=IDLE\n   Reason=r\n\n\n\n\n\n   Comment=x\n"
    )
    raw = read_pairs(text, NODE, multi_line=True)
    assert raw.text() == text


# --- all of it, in every way of reading -----------------------------------------------------------


def hard_texts() -> Iterator[str]:
    yield job("1", ALICE, sealed=True, name=NAME) + job("2", BOB, sealed=True)
    yield job("1", ALICE, sealed=False, name=NAME) + job("2", BOB, sealed=False)
    yield "banner\n" + job("1", ALICE, sealed=True, comment=SEAL + "\n" * 700)
    yield job("1", ALICE, sealed=True) + "\n" + " " * 700 + "\n" + job("1", BOB, sealed=True)
    yield "NodeName=a x=1\n   RealMemory=1\n   State=IDLE\n   BootTime=x\n\n\nNodeName=b c\n"
    yield "NodeName=\udcff x=1\n   RealMemory=1\n   State=IDLE\n   BootTime=x\n"
    yield "   \n\nJobId=1 " + "\nJobId=2 " * 50
    yield "No jobs in the system\nJobId=1 JobName=x\n"
    yield "No jobs in the system   \n\n"


@pytest.mark.parametrize("text", list(hard_texts()))
def test_a_hard_text_breaks_no_rule_in_any_way_of_reading(text: str) -> None:
    for options in OPTIONS:
        check(bytes([options]) + text.encode("utf-8", "surrogateescape"))
