"""What fuzzing, and the reading that it asked for, found: each stays found."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from ingest.reading.reader import NoAnswer, SealMissing
from ingest.reading.records import Record, SetAside, Unchanged
from ingest.reading.vouching import MAX_PLACES_OF_AN_OWNER, Vouching
from ingest.slurm.keys import JOB, NODE
from ingest.slurm.kinds import NODES
from ingest.slurm.values import duration
from tests.fuzz.oracle import check
from tests.ingest.reading.attacks import Attack, job, output
from tests.ingest.reading.printing import Printed, printed_by
from tests.ingest.reading.reference import document_of
from tests.support.reading import CLUSTER, SEAL, AskedCluster, read_lazily
from tests.support.reading import read as read_whole

ALICE, BOB = "alice(1001)", "bob(1002)"
OPTIONS = range(256)
"""Every first byte of an input of the fuzzer: kinds, seal or none, sizes of chunks, limits."""

Items = list[Record | SetAside | Unchanged]


def read(text: str, *, seal: str = "", size: int = 1 << 20, max_bytes: int = 1 << 20) -> Items:
    data = text.encode()
    chunks = (data[start : start + size] for start in range(0, len(data), size))
    return read_whole(chunks, seal=seal, max_bytes=max_bytes)


def values(item: Record | SetAside | Unchanged) -> dict[str, str]:
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


@pytest.mark.parametrize("line", ["Future=1", "UserId=bob(1002)"])
def test_a_line_in_the_first_jobs_name_can_not_pass_for_the_form_of_several_lines(
    line: str,
) -> None:
    attack = Attack("a line", "name", f"x\n   {line}")
    text = output(attack, sealed=False, one_line=True)
    assert ids(list(read_lazily([text]))) == ["19", "20", "21"]


@pytest.mark.parametrize("max_bytes", [1 << 20, 2000])
def test_without_any_seal_it_is_missing_however_long_the_output_is(max_bytes: int) -> None:
    text = "".join(job(str(number), ALICE, sealed=False) for number in range(10))
    with pytest.raises(SealMissing):
        read_whole(text.encode(), seal=SEAL, max_bytes=max_bytes)


def test_a_first_job_that_is_too_long_bears_the_seal_too() -> None:
    others = job("2", BOB, sealed=True) + job("3", BOB, sealed=True)
    text = job("1", ALICE, sealed=True, comment="x" * 5000) + others
    # What follows is not believed: what was not kept could end in what seems to be a job's start.
    aside, third = read(text, seal=SEAL, max_bytes=4000)
    assert isinstance(aside, SetAside)
    assert aside.ids == ("1", "2")
    assert values(third)["JobId"] == "3"


@pytest.mark.parametrize("size", [100, 1 << 20])
def test_a_fragment_before_a_job_that_is_too_long_says_nothing_of_the_seal(size: int) -> None:
    read(job("4", BOB, sealed=True), seal=SEAL)  # that its layout is known does not help
    command = "/r\n\nJobId=9 x" + "x" * 5000
    text = job("1", ALICE, sealed=True, name="x\n\nJobId=8 y", command=command)
    others = job("2", BOB, sealed=True) + job("3", BOB, sealed=True)
    # Job 9's name could hold what seems to be the start of job 2, so that one is not believed.
    aside, third = read(text + others, seal=SEAL, size=size, max_bytes=4000)
    assert isinstance(aside, SetAside)
    assert aside.ids == ("1", "8", "9", "2")
    assert values(third)["JobId"] == "3"


# --- where one chunk ends and the next begins -----------------------------------------------------


@pytest.mark.parametrize("spaces", [0, 3, 16, 17, 700])
def test_a_blank_line_of_many_spaces_is_the_same_in_chunks_of_any_size(spaces: int) -> None:
    comment = "x\n" + " " * spaces + "\nJobId=7 y"
    text = job("1", ALICE, sealed=True, comment=comment) + job("2", BOB, sealed=True)
    whole = read(text, seal=SEAL)
    assert ids(whole) == (["1", "2"] if spaces > 16 else [])
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
    (aside,) = whole
    assert isinstance(aside, SetAside)
    assert aside.ids == ("1", "2")
    assert read(text, seal=SEAL, size=100, max_bytes=70_000) == whole


# --- keys that are vouched for ------------------------------------------------------------------


def test_a_name_that_holds_another_owner_vouches_for_nothing() -> None:
    def future(job_id: str, name: str) -> str:
        return job(job_id, ALICE, sealed=True, name=name, comment="x\n   FutureKey=1")

    other = job("3", BOB, sealed=True)
    text = future("1", "train") + future("2", "x UserId=bob(1002)") + other
    assert ids(read(text, seal=SEAL)) == ["3"]
    text = future("1", "train") + future("2", "x\n   UserId=bob(1002) y") + other
    assert ids(read(text, seal=SEAL)) == ["3"]


def test_one_user_can_not_keep_the_keys_of_others_from_being_vouched_for() -> None:
    vouching = Vouching()
    places = [("Comment", f"Mine{number}") for number in range(10 * MAX_PLACES_OF_AN_OWNER)]
    for place in places:
        vouching.note(place, ALICE)
        vouching.note(place, BOB)
    assert sum(place in vouching for place in places) == MAX_PLACES_OF_AN_OWNER
    future = ("Comment", "FutureKey")
    vouching.note(future, "carol(1003)")
    assert future not in vouching
    vouching.note(future, ALICE)
    assert future in vouching


# --- a line that holds a key's name alone -------------------------------------------------------


ALL_LINES = printed_by(JOB, "26.05", with_optional=True)
ALONE = [keys[0] for _, keys in ALL_LINES.lines if len(keys) == 1]


@pytest.mark.parametrize("key", [key for key in ALONE if JOB.keys[key].value == "word"])
def test_a_line_of_text_that_is_the_name_of_a_key_is_text(key: str) -> None:
    job_with_it = ALL_LINES.with_values({key: "", "JobId": "1"})
    carrier = ALL_LINES.with_values({"Comment": f"x\n   {key}"})
    _, read_carrier = read(job_with_it.text(seal=SEAL) + carrier.text(seal=SEAL), seal=SEAL)
    assert values(read_carrier)["Comment"] == f"x\n   {key}"
    assert isinstance(read_carrier, Record)
    assert read_carrier.slurm == document_of(read_carrier, CLUSTER)


# --- spaces that end a record -------------------------------------------------------------------

SPACED = "gpu:1\n   "


@pytest.mark.parametrize("release", ["18.08", "25.11", "26.05"])
def test_lines_of_spaces_that_end_a_users_text_are_kept_where_slurm_prints_none(
    release: str,
) -> None:
    plain = printed_by(JOB, release, with_optional=False)
    spaced = with_last_text(plain, SPACED)
    texts = [job.text(seal=SEAL) for job in (plain.with_values({"JobId": "1"}), spaced)]
    for size in (7, 1 << 20):
        first, second = read("".join(texts), seal=SEAL, size=size)
        assert values(first)["JobId"] == "1"
        assert values(second)["TresPerNode"] == SPACED


@pytest.mark.parametrize("release", ["21.08", "25.05"])
def test_the_line_of_spaces_that_slurm_prints_is_no_part_of_a_text(release: str) -> None:
    plain = printed_by(JOB, release, with_optional=False)
    for text in ("gpu:1", SPACED):
        printed = plain.text(seal=SEAL) + with_last_text(plain, text).text(seal=SEAL)
        _, second = read(printed, seal=SEAL)
        assert values(second)["TresPerNode"] == text


def test_an_answer_about_one_job_ends_like_those_of_the_list() -> None:
    plain = printed_by(JOB, "26.05", with_optional=False)
    doubtful = with_last_text(plain, SPACED).with_values({"JobName": "x\n\nJobId=2 JobName=y"})
    jobs = [*(plain.with_values({"JobId": job_id}) for job_id in "13"), doubtful]
    texts = [job.text(seal=SEAL) for job in jobs]
    cluster = AskedCluster(*texts, owners=dict.fromkeys(("1", "3", "19"), "1105"))
    found = read_whole("".join(texts).encode(), seal=SEAL, inquiry=cluster)
    assert sorted(cluster.asked) == ["19", "3"]
    read_texts = {values(item)["JobId"]: values(item).get("TresPerNode") for item in found}
    assert read_texts == {"1": None, "3": None, "19": SPACED}


def test_a_last_job_that_is_cut_off_does_not_tell_how_jobs_end() -> None:
    plain = printed_by(JOB, "25.05", with_optional=False)
    doubtful = with_last_text(plain, "gpu:1").with_values({"JobName": "x\n\nJobId=2 JobName=y"})
    jobs = [*(plain.with_values({"JobId": job_id}) for job_id in "13"), doubtful]
    texts = [job.text(seal=SEAL) for job in jobs]
    cluster = AskedCluster(*texts, owners=dict.fromkeys(("1", "3", "19"), "1105"))
    last = with_last_text(plain.with_values({"JobId": "4"}), "gpu:1\n\n").text(seal=SEAL)
    cut = last[: last.index("gpu:1\n\n") + len("gpu:1\n\n")]
    found = read_whole("".join((*texts, cut)).encode(), seal=SEAL, inquiry=cluster)
    read_texts = {values(item)["JobId"]: values(item).get("TresPerNode") for item in found}
    assert read_texts["19"] == "gpu:1"


def with_last_text(printed: Printed, text: str) -> Printed:
    """*printed* with one line more, whose value is *text*."""
    lines = (*printed.lines, (3, ("TresPerNode",)))
    return replace(printed, lines=lines).with_values({"TresPerNode": text})


# --- values -------------------------------------------------------------------------------------


def test_a_number_of_more_digits_than_python_reads_is_no_duration() -> None:
    for digits in ("9" * 5000, "1-" + "9" * 5000, "9" * 5000 + ":00", "9" * 5000 + "-00:00:00"):
        assert duration(digits) is None


def test_bytes_behind_a_path_that_look_like_a_group_of_nodes_can_be_stored() -> None:
    stdout = "/o\n     Nodes=\udcff CPU_IDs=\udcff"
    text = job("1", ALICE, sealed=False, stdout=stdout)
    check(b"\0" + text.encode("utf-8", "surrogateescape"))


@pytest.mark.parametrize("key", ["Nodes", "CPU_IDs", "Mem", "GRES_IDX"])
@pytest.mark.parametrize("before", [" ", "\n   "])
def test_a_key_of_a_jobs_groups_is_an_unknown_key_of_a_node(key: str, before: str) -> None:
    printed = printed_by(NODE, "25.05", with_optional=False)
    text = printed.text().replace("\n   RealMemory=", f"{before}{key}=some-{key}\n   RealMemory=")
    (record,) = read_whole(text.encode(), NODES)
    assert isinstance(record, Record)
    assert record.slurm[key.lower()] == f"some-{key}"
    assert record.slurm == document_of(record, CLUSTER)


def test_a_longer_word_than_a_key_can_be_is_text() -> None:
    for length, is_key in ((64, True), (65, False)):
        key = "K" * length
        (record,) = read(job("1", ALICE, sealed=False, stdout=f"/o\n   {key}=1"))
        assert (key in values(record)) is is_key


# --- all of it, in every way of reading -----------------------------------------------------------


def with_new_keys(number: int, owner: str) -> str:
    """A job with unknown keys, known ones in other places, and a key twice in a group of nodes."""
    text = job(str(number), owner, sealed=True, comment="(null)", stdout="/o\n     Nodes=a Nodes=b")
    text = text.replace("\n   Comment=(null)", "\n   New=1" * (number % 2))
    return text.replace("\n   Power=", "\n   Comment=(null)\n   New=2\n   Power=")


def hard_texts() -> Iterator[str]:
    yield job("1", ALICE, sealed=True, name=NAME) + job("2", BOB, sealed=True)
    yield job("1", ALICE, sealed=False, name=NAME) + job("2", BOB, sealed=False)
    yield "banner\n" + job("1", ALICE, sealed=True, comment=SEAL + "\n" * 700)
    yield job("1", ALICE, sealed=True) + "\n" + " " * 700 + "\n" + job("1", BOB, sealed=True)
    yield "NodeName=a x=1\n   RealMemory=1\n   State=IDLE\n   BootTime=x\n\n\nNodeName=b c\n"
    yield f"NodeName=a\n   Port=1{' ' * 9}\n{' ' * 9}\n   RealMemory=1\n   State=IDLE\n"
    yield "".join(with_new_keys(number, owner) for number, owner in ((1, ALICE), (2, BOB)))
    yield "NodeName=\udcff x=1\n   RealMemory=1\n   State=IDLE\n   BootTime=x\n"
    yield "   \n\nJobId=1 " + "\nJobId=2 " * 50
    yield "No jobs in the system\nJobId=1 JobName=x\n"
    yield "No jobs in the system   \n\n"


@pytest.mark.parametrize("text", list(hard_texts()))
def test_a_hard_text_breaks_no_rule_in_any_way_of_reading(text: str) -> None:
    for options in OPTIONS:
        check(bytes([options]) + text.encode("utf-8", "surrogateescape"))


@pytest.mark.parametrize(
    ("usual", "odd"),
    [
        ("SpreadJob=No ExpeditedRequeue=No", "SpreadJob=No,ExpeditedRequeue=No New=1"),
        ("GresEnforceBind=No SpreadJob=No", "GresEnforceBind=No,New=1 SpreadJob=No"),
        (
            "GresEnforceBind=No ExpeditedRequeue=No",
            "GresEnforceBind=No,SpreadJob=No ExpeditedRequeue=No",
        ),
        ("Power= Other=1 ", "Power=a b Other=1"),
        ("Power= Other=1", "Power= Future=1"),
        ("Container=/a ContainerID=b", "Container=(null) ContainerID=b"),
        ("Power=a Future=b", "Power=a Future=1 "),
    ],
)
def test_a_line_like_one_before_is_read_as_it_is_written(usual: str, odd: str) -> None:
    lines = [usual, usual.replace("=a", "=c"), odd, odd.replace("=a", "=c")]
    text = job("1", ALICE, sealed=False)
    texts = [
        text.replace("JobId=1", f"JobId={number}").replace("Power=", line)
        for number, line in enumerate(lines, start=1)
    ]
    found = read("".join(texts))
    assert ids(found) == ["1", "2", "3", "4"]
    for item in found:
        assert isinstance(item, Record)
        assert item.slurm == document_of(item, CLUSTER)


def test_a_name_that_holds_the_seal_is_read_without_it() -> None:
    text = job("1", ALICE, sealed=True) + job("2", BOB, sealed=True, name=f"a{SEAL}b")
    for item in read(text, seal=SEAL):
        assert isinstance(item, Record)
        assert item.slurm == document_of(item, CLUSTER)
