"""Outputs of scontrol to records: each whole, each once, and what is in doubt told."""

import re
import tracemalloc
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import pytest

from ingest.reading import reader as reader_module
from ingest.reading.reader import NoAnswer, Reader, SealMissing
from ingest.reading.records import (
    EVIDENCE_BYTES,
    Answer,
    NotAsked,
    Record,
    Seen,
    SetAside,
    Unchanged,
    nothing_seen,
)
from ingest.slurm.keys import JOB, NODE
from ingest.slurm.kinds import JOBS, NODES, Kind
from tests.ingest.reading.attacks import job
from tests.support.reading import CLUSTER, SEAL, AskedCluster
from tests.support.reading import read as read_output

DUMPS = Path(__file__).parents[3] / "fake_slurm_outputs"
ALICE, BOB = "alice(1001)", "bob(1002)"
Items = list[Record | SetAside | Unchanged]


def read(text: str | bytes, *, seal: str = "", max_bytes: int = 1 << 20) -> Items:
    data = text.encode() if isinstance(text, str) else text
    return read_output(data, JOBS, seal=seal, max_bytes=max_bytes)


def captured(name: str) -> tuple[bytes, Kind]:
    """A captured dump, by its path without the ending, and what it is of."""
    return (DUMPS / f"{name}.txt").read_bytes(), NODES if "/nodes" in name else JOBS


def ids(found: Items) -> list[str]:
    return [item.id for item in found if isinstance(item, Record)]


def unchanged_ids(found: Items) -> list[str]:
    return [name for item in found if isinstance(item, Unchanged) for name in item.ids]


def aside(found: Items) -> list[SetAside]:
    return [item for item in found if isinstance(item, SetAside)]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b"No jobs in the system\n", JOBS),
        (b"No jobs in the system", JOBS),
        (b"No nodes in the system\n", NODES),
    ],
)
def test_an_empty_cluster_is_an_answer(text: bytes, kind: Kind) -> None:
    assert read_output(text, kind) == []


@pytest.mark.parametrize(
    "text",
    [b"", b"\n", b"Welcome to the cluster!\n", b"slurm_load_jobs error: down\n", b"JobId", b"\0"],
)
def test_an_output_that_says_nothing_is_no_answer(text: bytes) -> None:
    with pytest.raises(NoAnswer):
        read(text)


def test_a_banner_before_the_first_record_is_set_aside() -> None:
    found = read("Welcome!\nbe nice\n" + job("1", ALICE, sealed=False))
    assert ids(found) == ["1"]
    assert aside(found) == [
        SetAside(b"Welcome!\nbe nice\n", "it stands before the first record", ())
    ]


def test_empty_lines_before_the_first_record_are_nothing() -> None:
    found = read("\n  \n" + job("1", ALICE, sealed=False))
    assert ids(found) == ["1"]
    assert aside(found) == []


def test_a_record_is_handed_on_when_the_next_one_begins() -> None:
    taken = []

    def chunks() -> Iterator[bytes]:
        for number in range(1, 5):
            taken.append(number)
            yield job(str(number), ALICE, sealed=True).encode()

    records = Reader(JOB, CLUSTER).read(chunks(), seal=SEAL)
    assert ids([next(records)]) == ["1"]
    assert taken[-1] < 4
    assert ids(list(records)) == ["2", "3", "4"]


def test_records_that_are_there_are_handed_on_before_more_is_asked_for() -> None:
    def chunks() -> Iterator[bytes]:
        yield "".join(job(job_id, ALICE, sealed=True) for job_id in "123").encode()
        raise AssertionError

    assert ids([next(Reader(JOB, CLUSTER).read(chunks(), seal=SEAL))]) == ["1"]


def test_an_error_of_the_source_ends_the_stream_without_the_record_in_hand() -> None:
    def chunks() -> Iterator[bytes]:
        yield (job("1", ALICE, sealed=True) + job("2", ALICE, sealed=True)[:300]).encode()
        raise ConnectionError

    records = Reader(JOB, CLUSTER).read(chunks(), seal=SEAL)
    with pytest.raises(ConnectionError):
        list(records)


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\n   \n", "\n   \n\n"])
def test_the_last_record_may_end_in_any_way(end: str) -> None:
    (record,) = read(job("1", ALICE, sealed=False, end=end))
    assert isinstance(record, Record)
    assert record.raw.end == end
    assert record.raw.pairs[-1].value == ""


def test_the_seal_is_taken_off_text_and_values() -> None:
    (record,) = read(job("1", ALICE, sealed=True), seal=SEAL)
    assert isinstance(record, Record)
    assert SEAL.encode() not in record.text
    assert record.text.decode() == record.raw.text() == job("1", ALICE, sealed=False)


def test_a_seal_that_scontrol_ignored_is_told_before_the_first_record() -> None:
    with pytest.raises(SealMissing):
        read(job("1", ALICE, sealed=False), seal=SEAL)


def test_nodes_need_no_seal() -> None:
    text = "NodeName=a CoresPerSocket=1\n   RealMemory=1\n   State=UNKNOWN\n\n"
    (record,) = Reader(NODE, CLUSTER).read([text.encode()], seal=SEAL)
    assert isinstance(record, Record)


def test_two_records_of_one_id_are_both_set_aside_without_a_seal() -> None:
    text = "".join(job(job_id, ALICE, sealed=False) for job_id in ("1", "2", "1"))
    found = read(text)
    assert ids(found) == ["2"]
    assert [(item.reason, item.ids) for item in aside(found)] == [
        ("two records bear this id", ("1",))
    ] * 2


def test_a_record_beside_two_of_one_id_is_read_whatever_it_looks_like() -> None:
    one = job("1", ALICE, sealed=False)
    for comment in ("hello", "two\nlines"):
        assert ids(read(one + job("2", ALICE, sealed=False, comment=comment) + one)) == ["2"]


@pytest.mark.parametrize("into", range(9))
def test_two_records_of_one_id_are_found_wherever_the_output_is_cut(into: int) -> None:
    text = "".join(job(job_id, ALICE, sealed=False) for job_id in ("1", "2", "1")).encode()
    for cut in (into, text.rindex(b"\nJobId=1 ") + into):
        assert ids(list(Reader(JOB, CLUSTER).read([text[:cut], text[cut:]]))) == ["2"]


def test_without_a_seal_an_output_that_comes_only_once_is_read_twice_too() -> None:
    text = "".join(job(job_id, ALICE, sealed=False) for job_id in ("1", "2", "1")).encode()
    assert list(Reader(JOB, CLUSTER).read(iter([text[:100], text[100:]]))) == read(text)


def test_a_record_behind_one_without_an_end_is_not_believed() -> None:
    cut = job("1", ALICE, sealed=False)
    cut = cut[: cut.index("\n   StdErr=")] + "\n\n"
    found = read(cut + job("2", BOB, sealed=False) + job("3", BOB, sealed=False))
    assert ids(found) == ["3"]
    assert aside(found)[0].ids == ("1", "2")


def test_a_record_that_is_too_long_leaves_itself_and_its_neighbours_in_doubt() -> None:
    texts = [job(job_id, ALICE, sealed=True) for job_id in "12345"]
    texts[2] = job("3", ALICE, sealed=True, comment="x" * 200_000)
    text = "".join(texts).encode()
    for size in (100, 4096, 1 << 20):
        chunks = [text[start : start + size] for start in range(0, len(text), size)]
        found = list(Reader(JOB, CLUSTER, 100_000).read(chunks, seal=SEAL))
        (long,) = aside(found)
        assert long.reason == "it is longer than 100000 bytes"
        assert len(long.text) == EVIDENCE_BYTES
        assert long.ids == ("2", "3", "4")
        assert ids(found) == ["1", "5"]


def test_a_job_in_doubt_beside_a_record_that_is_too_long_is_asked_for() -> None:
    texts = [job(job_id, ALICE, sealed=True) for job_id in "12345"]
    texts[2] = job("3", ALICE, sealed=True, comment="x" * 200_000)
    cluster = AskedCluster(*texts)
    reader = Reader(JOB, CLUSTER, 100_000)
    text = "".join(texts).encode()
    chunks = [text[start : start + 4096] for start in range(0, len(text), 4096)]
    found = list(reader.read(chunks, seal=SEAL, inquiry=cluster))
    assert sorted(ids(found)) == ["1", "2", "4", "5"]
    (long,) = aside(found)
    assert long.ids == ("3",)


def test_a_long_record_made_of_many_beginnings_hurts_nobody_but_its_neighbours() -> None:
    many = "x\n\nJobId=9 JobName=y" * 5000
    text = job("1", ALICE, sealed=True, comment=many)
    text += job("2", BOB, sealed=True) + job("3", BOB, sealed=True)
    found = read(text, seal=SEAL, max_bytes=20_000)
    assert ids(found) == ["3"]
    assert [item.ids for item in aside(found)] == [("1", "9", "2")]
    assert aside(found)[0].reason == "it is longer than 20000 bytes"


def test_a_long_noise_without_a_record_is_no_answer_and_not_kept() -> None:
    with pytest.raises(NoAnswer) as caught:
        list(Reader(JOB, CLUSTER, 100_000).read(iter([b"x" * 1000] * 300)))
    assert len(str(caught.value)) < 1000


def with_future(job_id: str, owner: str) -> str:
    return job(job_id, owner, sealed=True).replace("\n   StdErr=", "\n   FutureKey=7\n   StdErr=")


def without_future(job_id: str, owner: str) -> str:
    return job(job_id, owner, sealed=True)


def read_in_turn(*outputs: str) -> list[Items]:
    """What one reader makes of outputs that follow each other."""
    reader = Reader(JOB, CLUSTER)
    return [list(reader.read([output.encode()], seal=SEAL)) for output in outputs]


def test_a_new_key_behind_a_users_text_is_believed_once_two_users_show_it() -> None:
    usual = without_future("9", BOB)  # so that not every record shows the key
    one = with_future("1", ALICE) + with_future("2", ALICE) + usual
    first, both, later = read_in_turn(one, one + with_future("3", BOB), one)
    assert ids(first) == ["9"]
    assert "FutureKey, an unknown key, stands behind the text of Comment" in aside(first)[0].reason
    assert sorted(ids(both)) == ["1", "2", "3", "9"]
    assert sorted(ids(later)) == ["1", "2", "9"]


def test_a_new_key_that_every_record_shows_is_believed_in_that_output_alone() -> None:
    one = with_future("1", ALICE) + with_future("2", ALICE)
    first, other = read_in_turn(one, one + without_future("9", BOB))
    assert sorted(ids(first)) == ["1", "2"]
    assert ids(other) == ["9"]
    assert [item.ids for item in aside(other)] == [("1",), ("2",)]


def test_records_that_were_not_read_may_lack_a_new_key() -> None:
    usual = without_future("9", BOB)
    reader = Reader(JOB, CLUSTER)
    (record,) = reader.read([usual.encode()], seal=SEAL)
    assert isinstance(record, Record)
    seen = of({record.sealed: "9"})
    output = [(usual + with_future("1", ALICE)).encode()]
    found = list(reader.read(output, seal=SEAL, seen=seen))
    assert unchanged_ids(found) == ["9"]
    assert [item.ids for item in aside(found)] == [("1",)]


def test_a_known_key_in_a_new_place_is_believed_once_two_users_show_it() -> None:
    def moved(job_id: str, owner: str) -> str:
        text = job(job_id, owner, sealed=True, comment="(null)")
        return text.replace("\n   Comment=(null)", "").replace(
            "\n   Power=", "\n   Comment=(null)\n   Power="
        )

    found = read(moved("1", ALICE) + moved("2", ALICE), seal=SEAL)
    assert ids(found) == []
    assert "Comment is out of order" in aside(found)[0].reason
    found = read(moved("1", ALICE) + moved("2", BOB), seal=SEAL)
    assert sorted(ids(found)) == ["1", "2"]


def test_a_known_key_in_its_own_place_vouches_for_no_other() -> None:
    usual = (job(job_id, ALICE, sealed=True, comment="a\nb") for job_id in ("1", "2"))
    text = "".join(usual).replace(ALICE, BOB, 2)
    moved = job("3", ALICE, sealed=True, comment="x\n   Network=y").replace(" Network=(null)", "")
    found = read(text + moved, seal=SEAL)
    assert ids(found) == ["1", "2"]
    assert "Network is out of order" in aside(found)[0].reason


@pytest.mark.parametrize("size", [1, 2, 7, 1 << 20])
@pytest.mark.parametrize("form", ["many lines", "-o"])
def test_what_a_terminal_or_windows_did_to_the_ends_of_the_lines_is_undone(
    form: str, size: int
) -> None:
    text = job("1", ALICE, sealed=False, comment="a\rb\r") + job("2", BOB, sealed=False)
    if form == "-o":
        text = text.replace("\n   \n\n", "\0").replace("\n  ", "").replace("\0", "\n")
    printed = text.encode()
    expected = read_output(printed)
    behind = printed.replace(b"\n", b"\r\n")
    chunks = [behind[start : start + size] for start in range(0, len(behind), size)]
    assert read_output(chunks) == read_output(iter(chunks)) == expected
    assert ids(expected) == ["1", "2"]


@pytest.mark.parametrize("size", [1, 2, 7, 1 << 20])
@pytest.mark.parametrize("returns", [False, True], ids=["LF", "CR LF"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16-le", "utf-16-be"])
def test_a_file_with_a_byte_order_mark_is_read_as_the_mark_says(
    encoding: str, size: int, *, returns: bool
) -> None:
    text = job("1", ALICE, sealed=False, name="é😀") + job("2", BOB, sealed=False)
    expected = read_output(text.encode())
    mark = "" if encoding == "utf-8-sig" else "\ufeff"
    saved = (mark + (text.replace("\n", "\r\n") if returns else text)).encode(encoding)
    chunks = [saved[start : start + size] for start in range(0, len(saved), size)]
    assert read_output(chunks) == read_output(iter(chunks)) == expected
    assert ids(expected) == ["1", "2"]
    twice = (mark + text.replace("JobId=2", "JobId=1")).encode(encoding)
    assert ids(read_output(twice)) == []


def test_bytes_behind_a_byte_order_mark_are_kept() -> None:
    text = job("1", ALICE, sealed=False, name="NAME").encode().replace(b"NAME", b"a\xffb")
    (record,) = read_output(b"\xef\xbb\xbf" + text)
    assert [record] == read_output(text)


TRES = "\n   TresPerTask=cpu=1\n\n"
"""The end of a job, with a text in its last value."""
BEHIND = [
    "[me@login ~]$ exit\nlogout",
    "[me@login ~]$ ",
    "[me@login ~]$ squeue -u me STATE=RUNNING Nodes=cn1\n",
    "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n",
    "\nScript done on 2022-01-01 00:00:01-05:00\n",
    "```\n",
]


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize(
    "name",
    [
        *("beluga/jobs_24.05", "mila/jobs_21.08", "mila/nodes_21.08", "real_22.05/jobs_states"),
        *("real_22.05/nodes_plain", "real_25.05/jobs_detail", "real_25.05/nodes_plain"),
        *("real_26.05/jobs_plain", "real_26.05_records/nodes_reason_lines"),
    ],
)
def test_what_a_terminal_shows_behind_the_last_record_is_no_part_of_it(
    name: str, behind: str
) -> None:
    dump, kind = captured(name)
    found = read_output(dump + behind.encode(), kind)
    noise = SetAside(behind.strip(" \n").encode(), "it stands behind the last record", ())
    found.remove(noise)
    assert found == read_output(dump, kind)


@pytest.mark.parametrize("behind", ["\n", "\n\n\n", " ", "   \n", "\t\n", "\n   \n\n"])
@pytest.mark.parametrize(
    "name",
    [
        *("beluga/jobs_24.05", "mila/jobs_21.08", "mila/nodes_21.08", "real_22.05/jobs_states"),
        *("real_25.05/jobs_oneline", "real_25.05/nodes_oneline", "real_26.05/nodes_plain"),
    ],
)
def test_blank_lines_behind_the_last_record_are_no_part_of_it(name: str, behind: str) -> None:
    dump, kind = captured(name)
    assert read_output(dump + behind.encode(), kind) == read_output(dump, kind)


@pytest.mark.parametrize("behind", [each for each in BEHIND if "=" not in each])
@pytest.mark.parametrize("name", ["real_22.05/jobs_states", "real_22.05/nodes_states"])
def test_what_stands_behind_a_last_word_on_one_line_is_no_part_of_it(
    name: str, behind: str
) -> None:
    dump, kind = captured(f"{name}_oneline")
    found = read_output(dump + behind.encode(), kind)
    assert [item for item in found if isinstance(item, Record)] == read_output(dump, kind)


def test_what_can_be_the_end_of_a_last_text_keeps_the_record_out() -> None:
    """The user's text has such an end, or a script printed it."""
    first, last = (job(each, ALICE, sealed=False, end=TRES) for each in "12")
    text = first + last.replace("Task=cpu=1", "Task=cpu=1\n\nlogout")
    found = read(text)
    assert ids(found) == ["1"]
    assert aside(found)[0].ids == ("2",)
    assert "may be a part of its last text" in aside(found)[0].reason
    [*records, noise] = read(text.rstrip())
    assert ids(records) == ["1", "2"]
    assert isinstance(noise, SetAside)
    assert noise.text == b"logout"


@pytest.mark.parametrize("size", [1, 2, 7, 1 << 20])
@pytest.mark.parametrize("name", ["mila/jobs_21.08", "real_22.05/jobs_states", "beluga/jobs_24.05"])
def test_spaces_that_an_editor_removed_change_nothing(name: str, size: int) -> None:
    dump = (DUMPS / f"{name}.txt").read_bytes().replace(b"JobName= \n", b"JobName=x\n")[-9000:]
    stripped = re.sub(rb" +\n", b"\n", dump)
    chunks = [stripped[start : start + size] for start in range(0, len(stripped), size)]
    expected = [each.slurm for each in read_output(dump) if isinstance(each, Record)]
    assert len(expected) > 1
    for output in (chunks, iter(chunks), [stripped.rstrip(b"\n")]):
        found = [each.slurm for each in read_output(output) if isinstance(each, Record)]
        assert found == expected


def test_a_newline_at_the_end_of_a_text_stays() -> None:
    """Most jobs of the dump have no line of spaces at their end."""
    jobs = [job(str(n), ALICE, sealed=False, end=TRES) for n in range(1, 4)]
    jobs[1] = jobs[1].replace("Task=cpu=1", "Task=cpu=1\n")
    found = read("".join(jobs))
    assert [each.slurm["tres_per_task"] for each in found if isinstance(each, Record)] == [
        *("cpu=1", "cpu=1\n", "cpu=1")
    ]


@pytest.mark.parametrize("size", [1, 2, 8, 9])
def test_a_dump_is_not_taken_for_an_edited_one_by_the_size_of_its_chunks(size: int) -> None:
    dump = "".join(job(str(n), ALICE, sealed=False, end=TRES) for n in range(1, 3)).encode()
    for stripped in (dump, dump.replace(b"\n\nJobId=2", b"\n\n\nJobId=2")):
        chunks = [stripped[start : start + size] for start in range(0, len(stripped), size)]
        forms = {each.form for each in read_output(chunks) if isinstance(each, Record)}
        assert forms == {each.form for each in read_output(stripped) if isinstance(each, Record)}


@pytest.mark.parametrize("one_line", [False, True])
@pytest.mark.parametrize(
    "lines", [b"Node zz not found\n", b"Node zz not found\nNode y not found\n"]
)
def test_nodes_that_do_not_exist_are_named_between_the_records(
    lines: bytes, *, one_line: bool
) -> None:
    dump, kind = captured(f"real_22.05/nodes_states{'_oneline' * one_line}")
    expected = read_output(dump, kind)
    starts = [match.start() for match in re.finditer(rb"(?m)^NodeName=", dump)]
    for start in starts[1:]:
        *records, message = sorted(
            read_output(dump[:start] + lines + dump[start:], kind),
            key=lambda each: type(each).__name__,
        )
        assert message == SetAside(lines, "scontrol found no such node", ())
        assert records == expected


def test_a_return_of_a_users_own_stays() -> None:
    text = job("1", ALICE, sealed=False, name="a\r", comment="b\r\nc\r")
    (record,) = read(text)
    assert isinstance(record, Record)
    assert (record.slurm["name"], record.slurm["comment"]) == ("a\r", "b\r\nc\r")


def test_bytes_that_are_not_utf_8_are_kept() -> None:
    text = job("1", ALICE, sealed=False, name="NAME").encode().replace(b"NAME", b"\xff\xfe\x1b[31m")
    (record,) = read(text)
    assert isinstance(record, Record)
    assert record.text == text
    assert record.slurm["name"] == "\\xff\\xfe\x1b[31m"
    assert record.raw.text().encode("utf-8", "surrogateescape") == text


def test_the_time_for_many_places_that_look_like_keys_stays_small() -> None:
    text = job("1", ALICE, sealed=True, comment="\n   JobState=x" * 20_000)
    found = read(text, seal=SEAL)
    assert ids(found) == []
    assert "places look like keys" in aside(found)[0].reason


# --- what is a record of its own ------------------------------------------------------------------

CRUDE = "x\n\nJobId=9 JobName=y UserId=b(2) JobState=F SubmitTime=1 Partition=p WorkDir=/"


def interactive(job_id: str, **texts: str) -> str:
    return job(job_id, ALICE, sealed=False, **texts).replace("BatchFlag=1", "BatchFlag=0")


def test_no_seal_is_the_default() -> None:
    assert ids(list(Reader(JOB, CLUSTER).read([job("1", ALICE, sealed=False).encode()]))) == ["1"]


def test_keys_in_a_line_make_no_record() -> None:
    (record,) = read(interactive("1", comment=CRUDE))
    assert isinstance(record, Record)
    assert CRUDE in record.raw.text()


def test_a_piece_without_a_name_is_no_record() -> None:
    forged = interactive("9", end="").replace(" JobName=train", "")
    forged = forged[: forged.index("\n   StdErr=")]
    (item,) = read(interactive("1", comment=f"x\n\n{forged}"))
    assert isinstance(item, SetAside)


@pytest.mark.parametrize("end", ["\n\n", "\n   \n", "\n   \n\n"])
@pytest.mark.parametrize("seal", ["", SEAL])
def test_a_line_of_spaces_is_a_blank_line(end: str, seal: str) -> None:
    text = "".join(job(job_id, ALICE, sealed=bool(seal), end=end) for job_id in "123")
    assert ids(read(text, seal=seal)) == ["1", "2", "3"]


def test_an_end_inside_a_line_is_no_end() -> None:
    cut = job("1", ALICE, sealed=False, comment="x StdOut=/forged")
    cut = cut[: cut.index("\n   StdErr=")] + "\n\n"
    found = read(cut + job("2", BOB, sealed=False) + job("3", BOB, sealed=False))
    assert ids(found) == ["3"]


@pytest.mark.parametrize("before", ["x\n", "\nX\n", "\n X \n", "\n\t\n"])
def test_a_record_begins_behind_a_blank_line_alone(before: str) -> None:
    forged = interactive("77", end="")
    (item,) = read(interactive("1", comment=f"{before}{forged}"))
    assert isinstance(item, SetAside)
    assert item.ids == ("1", "77")


def test_parts_are_joined_without_anything_between_them() -> None:
    name = "x\n\nJobId=8 y\n\nJobId=7 z"
    broken = job("1", ALICE, sealed=True, name=name, command="/r\n\nJobId=9 " + "x" * 5000)
    for text, limit in (
        (broken, 4000),
        (job("1", ALICE, sealed=True, comment="x\n\nJobId=9 y" * 100), 2000),
    ):
        (joined,) = read(text, seal=SEAL, max_bytes=limit)
        assert isinstance(joined, SetAside)
        assert joined.text.replace(b"\0", b"") == text.replace(SEAL, "").encode()[: len(text)]


def test_a_record_of_just_the_limit_is_read() -> None:
    text = job("1", ALICE, sealed=True, comment="x\n\nJobId=9 y")
    assert ids(read(text, seal=SEAL, max_bytes=len(text))) == ["1"]
    text = job("1", ALICE, sealed=True, comment="x")
    after = job("2", BOB, sealed=True, comment="")
    assert ids(read(text, seal=SEAL, max_bytes=len(text))) == ["1"]
    assert ids(read(text + after, seal=SEAL, max_bytes=len(text))) == ["1", "2"]
    chunks = [text[:100].encode(), text[100:].encode(), after.encode()]
    assert ids(list(Reader(JOB, CLUSTER, len(text)).read(chunks, seal=SEAL))) == ["1", "2"]
    too_long = [text[:-1].encode(), text[-1:].encode() + after.encode()]
    assert ids(list(Reader(JOB, CLUSTER, len(text) - 2).read(too_long, seal=SEAL))) == []


def test_a_key_behind_a_path_does_not_vouch_for_the_key_behind_a_text() -> None:
    def behind_path(job_id: str, owner: str) -> str:
        text = job(job_id, owner, sealed=True)
        return text.replace("\n   Power=", "\n   FutureKey=7\n   Power=")

    behind_text = job("3", ALICE, sealed=True, comment="x\n   FutureKey=7")
    found = read(behind_path("1", ALICE) + behind_path("2", BOB) + behind_text, seal=SEAL)
    assert ids(found) == ["1", "2"]
    assert [item.ids for item in aside(found)] == [("3",)]


def test_no_answer_shows_how_the_output_begins() -> None:
    with pytest.raises(NoAnswer, match=r"no record in the output, which begins b'Welcome!\\n'$"):
        read("Welcome!\n")


def test_a_nodes_lines_may_come_in_another_order() -> None:
    text = "NodeName=a\n   State=IDLE\n   RealMemory=1\n   Gres=(null)\n\n"
    (record,) = Reader(NODE, CLUSTER).read([text.encode()])
    assert isinstance(record, Record)
    assert [pair.key for pair in record.raw.pairs] == ["NodeName", "State", "RealMemory", "Gres"]


def test_a_key_of_nodes_that_is_unknown_so_far_is_kept() -> None:
    text = "NodeName=a\n   RealMemory=1\n   Future=1\n   State=IDLE\n\n"
    for found in (
        Reader(NODE, CLUSTER).read([text.encode()], seal=SEAL),
        Reader(NODE, CLUSTER).read([text.encode()]),
        Reader(NODE, CLUSTER).read(iter([text.encode()])),
    ):
        (record,) = found
        assert isinstance(record, Record)
        assert record.raw.pairs[2][1:] == ("Future", "=", "1")


def test_an_endless_record_takes_little_memory() -> None:
    def chunks() -> Iterator[bytes]:
        yield job("1", ALICE, sealed=True, end="").encode()
        for _ in range(320):
            yield b"x" * 100_000
        yield ("\n\n" + job("2", BOB, sealed=True) + job("3", BOB, sealed=True)).encode()

    tracemalloc.start()
    try:
        found = list(Reader(JOB, CLUSTER, 1_000_000).read(chunks(), seal=SEAL))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert ids(found) == ["3"]
    assert peak < 8_000_000


def test_how_many_records_wait_for_a_key_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [with_future(job_id, owner) for job_id, owner in (("1", ALICE), ("2", ALICE))]
    monkeypatch.setattr(reader_module, "MAX_WAITING_BYTES", len(texts[0]) + 1)
    found = read("".join(texts) + with_future("3", BOB) + with_future("4", BOB), seal=SEAL)
    assert ids(found) == ["1", "2"]
    assert [item.ids for item in aside(found)] == [("3",), ("4",)]


SPLIT = "x\n\nJobId=9 JobName=y"
"""A name that holds the start of a record, so that its own record seems to be job 9's."""
BLANK = "x\n\n" + "y" * 3000
"""A text with a blank line."""


@pytest.mark.parametrize(
    ("texts", "kind", "seal"),
    [
        ([job("1", ALICE, sealed=True), job("2", BOB, sealed=True, comment=BLANK)], JOBS, SEAL),
        ([job("1", ALICE, sealed=True), job("2", BOB, sealed=True, comment=SPLIT)], JOBS, SEAL),
        ([job("1", ALICE, sealed=False), job("2", BOB, sealed=False, comment=BLANK)], JOBS, ""),
        (
            [
                f"NodeName={each} Arch=x86_64\n   RealMemory=1\n   State=IDLE ThreadsPerCore=1"
                f" Owner=N/A MCS_label=N/A\n   BootTime=2026-11-23T20:13:41+0000{SEAL}\n"
                f"   Reason={reason} [root@2026-11-23T20:13:41+0000{SEAL}]\n\n"
                for each, reason in (("a", "x"), ("b", BLANK))
            ],
            NODES,
            SEAL,
        ),
    ],
)
@pytest.mark.parametrize("size", [100, 1 << 20])
def test_a_record_may_be_as_long_as_the_limit(
    texts: list[str], kind: Kind, seal: str, size: int
) -> None:
    data = "".join(texts).encode()
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    longest = max(map(len, texts))
    for max_bytes, are_read in ((longest, True), (longest - 1, False)):
        found = list(Reader(kind.table, CLUSTER, max_bytes).read(chunks, seal=seal))
        assert all(isinstance(item, Record) for item in found) is are_read


def test_a_prompt_behind_a_key_of_a_later_release_is_no_part_of_it() -> None:
    """The key waits until it is vouched for."""
    texts = [
        job(job_id, owner, sealed=False).replace("\n   StdErr=", "\n   FutureKey=7\n   StdErr=")
        for job_id, owner in (("1", ALICE), ("2", ALICE), ("3", BOB))
    ]
    found = read("".join(texts) + "[admin@login ~]$ ")
    assert [item.raw.pairs[-1] for item in found if isinstance(item, Record)] == [
        item.raw.pairs[-1] for item in read("".join(texts)) if isinstance(item, Record)
    ]
    assert [item.text for item in aside(found)] == [b"[admin@login ~]$"]


# --- where one record ends and the next begins ---------------------------------------------------


@pytest.mark.parametrize("comment", ["x" * 30_000, f"{SPLIT}{'x' * 3000}" * 8])
def test_a_start_in_a_name_behind_a_record_that_is_too_long_is_not_believed(comment: str) -> None:
    text = (
        job("1", ALICE, sealed=True, comment=comment)
        + job("2", ALICE, sealed=True, name=SPLIT, comment="x\n\nJobId=8 y")
        + job("3", BOB, sealed=True)
        + job("4", BOB, sealed=True)
    )
    found = read(text, seal=SEAL, max_bytes=20_000)
    assert ids(found) == ["4"]
    assert {"1", "2", "3"} <= {name for item in aside(found) for name in item.ids}


def sealed_interactive(job_id: str, *, name: str) -> str:
    """A record of a job that is no batch job."""
    text = job(job_id, ALICE, sealed=True, name=name)
    text = text.replace(" BatchFlag=1 Reboot", " BatchFlag=0 Reboot")
    return "".join(line for line in text.splitlines(keepends=True) if "   Std" not in line)


def contested(job_id: str, next_id: str, name: str = SPLIT) -> str:
    """Two records of which the text does not tell where the second begins."""
    return sealed_interactive(job_id, name="a BatchFlag=1 b") + job(
        next_id, ALICE, sealed=True, name=name
    )


def asked(text: str, cluster: AskedCluster, seen: Seen = nothing_seen) -> Items:
    reader = Reader(JOB, CLUSTER)
    return list(reader.read([text.encode()], seal=SEAL, inquiry=cluster, seen=seen))


def pair_of_contested(name: str = SPLIT) -> tuple[str, str]:
    whole = contested("1", "2", name)
    at = whole.index("JobId=2 ")
    return whole[:at], whole[at:]


def test_where_records_meet_is_in_doubt_without_an_inquiry() -> None:
    text = contested("1", "2") + job("3", BOB, sealed=True)
    found = read(text, seal=SEAL)
    assert ids(found) == ["3"]
    assert [item.ids for item in aside(found)] == [("1", "2", "9")]


def test_a_job_in_doubt_is_asked_for_alone() -> None:
    one, two = pair_of_contested()
    three = job("3", ALICE, sealed=True)
    cluster = AskedCluster(one, two, three)
    found = asked(one + two + three, cluster)
    assert ids(found) == ["3", "1", "2"]
    assert aside(found) == []
    assert sorted(cluster.asked) == ["1", "2"]
    (_, second, _) = (item for item in found if isinstance(item, Record))
    assert second.text == one.replace(SEAL, "").encode()


def test_nothing_is_asked_where_nothing_is_in_doubt() -> None:
    cluster = AskedCluster(job("1", ALICE, sealed=True))
    assert ids(asked(job("1", ALICE, sealed=True), cluster)) == ["1"]
    assert cluster.asked == []


def test_a_job_that_ended_meanwhile_is_gone() -> None:
    one, two = pair_of_contested()
    cluster = AskedCluster(one, two)
    cluster.texts["2"] = ""
    found = asked(one + two, cluster)
    assert ids(found) == ["1"]
    assert aside(found) == []


def test_a_job_in_doubt_that_was_certain_before_is_not_asked_for() -> None:
    one, two = pair_of_contested("x\n\nJobId=3 JobName=y")
    three = job("3", ALICE, sealed=True)
    cluster = AskedCluster(one, two, three)
    found = asked(one + two + three, cluster)
    assert ids(found) == ["3", "1", "2"]
    assert sorted(cluster.asked) == ["1", "2"]


def test_a_job_in_doubt_beside_one_that_did_not_change() -> None:
    one, two = pair_of_contested("x\n\nJobId=3 JobName=y")
    three = job("3", ALICE, sealed=True)
    (record,) = read(three, seal=SEAL)
    assert isinstance(record, Record)
    cluster = AskedCluster(one, two, three)
    found = asked(one + two + three, cluster, of({record.sealed: "3"}))
    assert unchanged_ids(found) == ["3"]
    assert ids(found) == ["1", "2"]
    assert sorted(cluster.asked) == ["1", "2"]


def test_an_answer_about_a_job_of_another_user_is_set_aside() -> None:
    one, two = pair_of_contested()
    cluster = AskedCluster(one, two, owners={"1": "1001", "2": "1002"})
    found = asked(one + two, cluster)
    assert ids(found) == ["1"]
    assert [(item.reason, item.ids) for item in aside(found)] == [
        ("squeue's list gives this job to another user", ("2",))
    ]


def test_an_answer_of_a_whole_array_is_taken_once() -> None:
    one, two = pair_of_contested()
    cluster = AskedCluster(one, two)
    three = job("3", ALICE, sealed=True)
    cluster.texts = {"1": one, "2": two + three, "3": two + three}
    found = asked(one + two, cluster)
    assert ids(found) == ["1", "2", "3"]
    assert cluster.asked == ["1", "2"]


def new_key(text: str) -> str:
    return text.replace("\n   Comment=hello", "\n   Comment=hello\n   FutureKey=7")


@pytest.mark.parametrize(
    ("second", "usual", "is_read"), [(ALICE, False, True), (ALICE, True, False), (BOB, True, True)]
)
def test_a_new_key_in_answers_is_vouched_for_as_in_any_output(
    second: str, *, usual: bool, is_read: bool
) -> None:
    one, two = map(new_key, pair_of_contested())
    two = two.replace(ALICE, second)
    other = job("3", BOB, sealed=True) if usual else ""
    cluster = AskedCluster(one, two, owners={"1": "1001", "2": second[-5:-1], "3": "1002"})
    cluster.texts["3"] = other
    found = asked(one + two + other, cluster)
    read = [item for item in found if isinstance(item, Record) and item.id != "3"]
    assert [item.slurm["future_key"] for item in read] == ([7, 7] if is_read else [])
    assert [item.ids for item in aside(found)] == ([] if is_read else [("1",), ("2",)])


def test_an_answer_that_waits_for_a_new_key_is_held_against_the_list_too() -> None:
    one, two = map(new_key, pair_of_contested())
    found = asked(one + two, AskedCluster(one, two, owners={"1": "1001", "2": "1002"}))
    assert ids(found) == ["1"]
    assert [item.reason for item in aside(found)] == [
        "squeue's list gives this job to another user"
    ]


def test_a_waiting_answer_of_a_whole_array_is_taken_once() -> None:
    one, two = map(new_key, pair_of_contested())
    three = new_key(job("3", ALICE, sealed=True))
    cluster = AskedCluster(one, two)
    cluster.texts = {"1": one, "2": two + three, "3": two + three}
    assert ids(asked(one + two, cluster)) == ["1", "2", "3"]


class SilentCluster(AskedCluster):
    """A cluster that can't be asked for one job."""

    def __init__(self, *texts: str, answer: bytes | None) -> None:
        super().__init__(*texts)
        self.answer = answer

    def show(self, job_id: str) -> Answer | None:
        self.asked.append(job_id)
        if self.answer is None:
            raise NotAsked("the command is not allowed")
        return Answer([self.answer], "Zz1")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "the command is not allowed"),
        (b"", "asked for alone, scontrol gave no record: "),
        (job("1", ALICE, sealed=False).encode(), "asked for alone, scontrol gave no record: "),
    ],
)
def test_a_job_that_can_not_be_asked_for_is_set_aside(answer: bytes | None, reason: str) -> None:
    one, two = pair_of_contested()
    found = asked(one + two, SilentCluster(one, two, answer=answer))
    assert ids(found) == []
    assert [item.ids for item in aside(found)] == [("1",), ("2",)]
    assert all(item.reason.startswith(reason) for item in aside(found))


def test_what_is_wrong_in_an_answer_is_set_aside_with_its_reason() -> None:
    one, two = pair_of_contested()
    cluster = AskedCluster(one, two)
    cluster.texts["2"] = job("2", ALICE, sealed=True, comment="x\n   StdErr=/y")
    found = asked(one + two, cluster)
    assert ids(found) == ["1"]
    assert "StdErr could stand" in aside(found)[0].reason


# --- an output that was cut, and records that a text cuts, without a seal ------------------------


def test_a_dump_that_is_cut_gives_nothing_that_is_wrong() -> None:
    text = "".join(job(job_id, ALICE, sealed=False) for job_id in ("1", "2", "3"))
    right = {item.id: item.slurm for item in read(text) if isinstance(item, Record)}
    start = text.index("JobId=3 ") + len("JobId=3 ")
    # Behind its last line, nothing tells that a record is cut.
    for cut in range(start, text.index("\n   StdOut=", start)):
        found = read(text[:cut])
        for item in found:
            if isinstance(item, Record):
                assert item.slurm == right[item.id], cut
        assert "1" in ids(found)
        assert "3" not in ids(found)
        assert {"2", "3"} <= {*ids(found), *(name for each in aside(found) for name in each.ids)}


def test_a_record_that_its_own_text_cuts_is_no_part_of_the_record_before() -> None:
    forged = job("9", BOB, sealed=False, end="")
    carrier = job("2", ALICE, sealed=False, command=f"/r\n\n{forged}\n\n")
    found = read(job("1", BOB, sealed=False) + carrier + job("3", BOB, sealed=False))
    assert ids(found) == ["3"]
    assert {"1", "2"} <= {name for item in aside(found) for name in item.ids}


def test_a_dump_with_a_part_in_doubt_and_doubled_ids_is_read() -> None:
    forged = job("9", BOB, sealed=False, end="")
    carrier = job("2", ALICE, sealed=False, command=f"/r\n\n{forged}\n\n")
    one = job("1", BOB, sealed=False)
    found = read(one + carrier + job("3", BOB, sealed=False) * 2 + job("4", BOB, sealed=False))
    assert ids(found) == ["4"]


# --- texts that are known already ----------------------------------------------------------------


def texts_of(output: str) -> dict[bytes, str]:
    """The ids of the records of a sealed *output*, by their texts as `Seen` is asked for them."""
    found = Reader(JOB, CLUSTER).read([output.encode()], seal=SEAL)
    return {item.sealed: item.id for item in found if isinstance(item, Record)}


def of(known: dict[bytes, str]) -> Seen:
    return lambda texts: [known.get(text) for text in texts]


def test_a_known_text_is_not_read_again_whatever_the_seal_is() -> None:
    def output(seal: str, state: str = "RUNNING") -> bytes:
        text = job("1", ALICE, sealed=True) + job("2", BOB, sealed=True, state=state)
        return text.replace(SEAL, seal).encode()

    def changes(seal: str, known: dict[bytes, str], state: str = "RUNNING") -> Items:
        return list(Reader(JOB, CLUSTER).read([output(seal, state)], seen=of(known), seal=seal))

    known = texts_of(output(SEAL).decode())
    assert list(known.values()) == ["1", "2"]
    again = changes("Zz1Yy2X", known)
    assert [name for item in again if isinstance(item, Unchanged) for name in item.ids] == [
        "1",
        "2",
    ]
    *others, record = changes("Zz1Yy2X", known, "COMPLETED")
    assert unchanged_ids(others) == ["1"]
    assert isinstance(record, Record)
    assert (record.id, record.sealed in known) == ("2", False)


def test_a_known_text_that_holds_the_start_of_a_record_is_read_again() -> None:
    text = job("1", ALICE, sealed=True, comment="x\n\nJobId=9 y").encode()
    (record,) = Reader(JOB, CLUSTER).read([text], seal=SEAL)
    assert isinstance(record, Record)
    known = {record.sealed: "1"}
    found = list(Reader(JOB, CLUSTER).read([text], seen=of(known), seal=SEAL))
    assert (unchanged_ids(found), ids(found)) == ([], ["1"])  # two parts, each of them new


def test_without_a_seal_a_known_text_is_not_read_again_but_where_two_bear_one_id() -> None:
    one, two = (job(job_id, ALICE, sealed=False) for job_id in ("1", "2"))
    known = {one.encode(): "1"}
    output = [(one + two).encode()]
    for chunks in (output, iter(output)):
        found = list(Reader(JOB, CLUSTER).read(chunks, seen=of(known)))
        assert (unchanged_ids(found), ids(found)) == (["1"], ["2"])
    doubled = list(Reader(JOB, CLUSTER).read([(one + two + one).encode()], seen=of(known)))
    assert [type(item) for item in doubled] == [SetAside, Record, SetAside]


def test_a_known_text_in_a_comment_is_a_part_of_the_comment() -> None:
    whole = job("1", ALICE, sealed=True) + job("2", BOB, sealed=True)
    known = texts_of(whole)
    text = job("1", ALICE, sealed=True, comment="x\n\n" + job("2", BOB, sealed=False))
    found = list(Reader(JOB, CLUSTER).read([text.encode()], seen=of(known), seal=SEAL))
    assert not any(isinstance(item, Unchanged) for item in found)


KINDS = {
    "known": "hello",
    "read": "hello",
    "read carefully": "two\nlines",
    "set aside": "two\n   StdErr=/texts",
}
"""What becomes of a record with this comment."""

ORDERS: list[Sequence[str]] = [
    *product(list(KINDS)[:3], repeat=4),
    *product(KINDS, repeat=3),
    *(["known"] * 5 + [kind] + ["known"] * 5 for kind in KINDS),
    *(["set aside", "set aside"] + ["read"] * 4 + [kind] for kind in KINDS),
]


@pytest.mark.parametrize("size", [100, 2500, 6000, 1 << 20])
def test_each_record_comes_once_and_in_its_order_whatever_becomes_of_it(size: int) -> None:
    read(job("1", ALICE, sealed=True), seal=SEAL)  # its layout is known from now on
    for kinds in ORDERS:
        texts = [
            job(str(number), ALICE, sealed=True, comment=KINDS[kind])
            for number, kind in enumerate(kinds, start=1)
        ]
        known = {
            text.replace(SEAL, "\0" * len(SEAL)).encode(): str(number)
            for number, text in enumerate(texts, start=1)
            if kinds[number - 1] == "known"
        }
        text = "".join(texts).encode()
        chunks = [text[start : start + size] for start in range(0, len(text), size)]
        told: list[tuple[str, str]] = []
        for item in Reader(JOB, CLUSTER).read(chunks, seen=of(known), seal=SEAL):
            if isinstance(item, Record):
                told.append(("read", item.id))
            else:
                how = "known" if isinstance(item, Unchanged) else "set aside"
                told += [(how, record_id) for record_id in item.ids]
        assert told == [
            (kind if kind in ("known", "set aside") else "read", str(number))
            for number, kind in enumerate(kinds, start=1)
        ]


def test_what_stands_for_the_seal_in_the_output_itself_is_not_taken_for_it() -> None:
    text = job("1", ALICE, sealed=True) + job("2", BOB, sealed=True)
    known = texts_of(text)
    forged = job("1", ALICE, sealed=True) + job("2", BOB, sealed=True).replace(
        SEAL, "\0" * len(SEAL)
    )
    too_long = job("3", ALICE, sealed=True, comment="x" * 5000) + job("4", BOB, sealed=True)
    ways: tuple[Seen, ...] = (of(known), nothing_seen)
    for behind in ("", too_long):
        for of_before in ways:
            output = [(forged + behind).encode()]
            found = list(Reader(JOB, CLUSTER, 4000).read(output, seen=of_before, seal=SEAL))
            assert "2" not in [*unchanged_ids(found), *ids(found)]


def test_a_nul_in_an_output_stands_for_no_seal() -> None:
    (record,) = read(job("1", ALICE, sealed=False, name="a\0b"))
    assert isinstance(record, Record)
    assert record.slurm["name"] == "a\\xc0\\x80b"
