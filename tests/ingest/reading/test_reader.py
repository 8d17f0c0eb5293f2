"""A stream of output to records: cut where records begin, whole, and never more than there are."""

import tracemalloc
from collections.abc import Iterator, Sequence
from itertools import product

import pytest

from ingest.reading import records
from ingest.reading.records import (
    KEPT_BYTES,
    Known,
    NoAnswer,
    Record,
    SealMissing,
    SetAside,
    Unchanged,
    Vouching,
    nothing_known,
    read_changes,
    read_records,
)
from ingest.slurm.grammar import JOB, NODE
from tests.ingest.reading.attacks import SEAL, job

ALICE, BOB = "alice(1001)", "bob(1002)"


def read(text: str | bytes, *, seal: str = "", **options: int) -> list[Record | SetAside]:
    data = text.encode() if isinstance(text, str) else text
    return list(read_records([data], JOB, seal=seal, **options))  # type: ignore[arg-type]


def ids(found: list[Record | SetAside]) -> list[str]:
    return [item.raw.pairs[0].value for item in found if isinstance(item, Record)]


def aside(found: list[Record | SetAside]) -> list[SetAside]:
    return [item for item in found if isinstance(item, SetAside)]


@pytest.mark.parametrize(
    ("text", "grammar"),
    [
        (b"No jobs in the system\n", JOB),
        (b"No jobs in the system", JOB),
        (b"No nodes in the system\n", NODE),
    ],
)
def test_an_empty_cluster_is_an_answer(text: bytes, grammar: object) -> None:
    assert list(read_records([text], JOB if grammar is JOB else NODE)) == []


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

    records = read_records(chunks(), JOB, seal=SEAL)
    assert ids([next(records)]) == ["1"]
    assert taken[-1] < 4
    assert ids(list(records)) == ["2", "3", "4"]


def test_records_that_are_there_are_handed_on_before_more_is_asked_for() -> None:
    def chunks() -> Iterator[bytes]:
        yield "".join(job(job_id, ALICE, sealed=True) for job_id in "123").encode()
        raise AssertionError

    assert ids([next(read_records(chunks(), JOB, seal=SEAL))]) == ["1"]


def test_an_error_of_the_source_ends_the_stream_without_the_record_in_hand() -> None:
    def chunks() -> Iterator[bytes]:
        yield (job("1", ALICE, sealed=True) + job("2", ALICE, sealed=True)[:300]).encode()
        raise ConnectionError

    records = read_records(chunks(), JOB, seal=SEAL)
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
    (record,) = read_records([text.encode()], NODE, seal=SEAL)
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
        assert ids(list(read_records([text[:cut], text[cut:]], JOB))) == ["2"]


def test_without_a_seal_an_output_that_comes_only_once_is_read_twice_too() -> None:
    text = "".join(job(job_id, ALICE, sealed=False) for job_id in ("1", "2", "1")).encode()
    assert list(read_records(iter([text[:100], text[100:]]), JOB)) == read(text)


def test_a_record_behind_one_without_an_end_is_not_believed() -> None:
    cut = job("1", ALICE, sealed=False)
    cut = cut[: cut.index("\n   StdErr=")] + "\n\n"
    found = read(cut + job("2", BOB, sealed=False) + job("3", BOB, sealed=False))
    assert ids(found) == ["3"]
    assert aside(found)[0].ids == ("1", "2")


def test_a_record_that_is_too_long_is_set_aside_and_the_others_are_read() -> None:
    outputs = [
        job("1", ALICE, sealed=True),
        job("2", ALICE, sealed=True, comment="x" * 200_000),
        job("3", ALICE, sealed=True),
    ]
    text = "".join(outputs).encode()
    for size in (100, 4096, 1 << 20):
        chunks = [text[start : start + size] for start in range(0, len(text), size)]
        found = list(read_records(chunks, JOB, seal=SEAL, max_bytes=100_000))
        assert ids(found) == ["1", "3"]
        (long,) = aside(found)
        assert long.reason == "it is longer than 100000 bytes"
        assert long.ids == ("2",)
        assert len(long.text) == KEPT_BYTES


def test_what_is_left_of_a_long_record_made_of_many_beginnings_hurts_nobody() -> None:
    many = "x\n\nJobId=9 JobName=y" * 5000
    text = job("1", ALICE, sealed=True, comment=many) + job("2", BOB, sealed=True)
    found = read(text, seal=SEAL, max_bytes=20_000)
    assert ids(found) == ["2"]
    assert "1" in aside(found)[0].ids
    assert all(item.reason == "it is longer than 20000 bytes" for item in aside(found))


def test_a_long_noise_without_a_record_is_no_answer_and_not_kept() -> None:
    with pytest.raises(NoAnswer) as caught:
        list(read_records(iter([b"x" * 1000] * 300), JOB, max_bytes=100_000))
    assert len(str(caught.value)) < 1000


def with_future(job_id: str, owner: str) -> str:
    return job(job_id, owner, sealed=True).replace("\n   StdErr=", "\n   FutureKey=7\n   StdErr=")


def test_a_new_key_behind_a_users_text_is_believed_once_two_users_show_it() -> None:
    one = with_future("1", ALICE) + with_future("2", ALICE)
    vouching = Vouching()
    found = list(read_records([one.encode()], JOB, seal=SEAL, vouching=vouching))
    assert ids(found) == []
    assert "FutureKey, a key unknown so far, follows the text of Comment" in aside(found)[0].reason
    both = one + with_future("3", BOB)
    found = list(read_records([both.encode()], JOB, seal=SEAL, vouching=vouching))
    assert sorted(ids(found)) == ["1", "2", "3"]
    later = list(read_records([one.encode()], JOB, seal=SEAL, vouching=vouching))
    assert ids(later) == ["1", "2"]


def test_a_known_key_in_a_new_place_is_believed_once_two_users_show_it() -> None:
    def moved(job_id: str, owner: str) -> str:
        text = job(job_id, owner, sealed=True, comment="(null)")
        return text.replace("\n   Comment=(null)", "").replace(
            "\n   Power=", "\n   Comment=(null)\n   Power="
        )

    found = read(moved("1", ALICE) + moved("2", ALICE), seal=SEAL)
    assert ids(found) == []
    assert "Comment stands out of its order" in aside(found)[0].reason
    found = read(moved("1", ALICE) + moved("2", BOB), seal=SEAL)
    assert sorted(ids(found)) == ["1", "2"]


def test_a_known_key_in_its_own_place_vouches_for_no_other() -> None:
    usual = (job(job_id, ALICE, sealed=True, comment="a\nb") for job_id in ("1", "2"))
    text = "".join(usual).replace(ALICE, BOB, 2)
    moved = job("3", ALICE, sealed=True, comment="x\n   Network=y").replace(" Network=(null)", "")
    found = read(text + moved, seal=SEAL)
    assert ids(found) == ["1", "2"]
    assert "Network stands out of its order" in aside(found)[0].reason


def test_bytes_that_are_not_utf_8_are_kept() -> None:
    text = job("1", ALICE, sealed=False, name="NAME").encode().replace(b"NAME", b"\xff\xfe\x1b[31m")
    (record,) = read(text)
    assert isinstance(record, Record)
    assert record.text == text
    assert not record.raw.is_utf8()
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
    assert ids(list(read_records([job("1", ALICE, sealed=False).encode()], JOB))) == ["1"]


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


def test_with_the_seal_a_record_without_an_end_hurts_itself_alone() -> None:
    cut = job("1", ALICE, sealed=True)
    cut = cut[: cut.index("\n   StdErr=")] + "\n\n"
    found = read(cut + job("2", BOB, sealed=True), seal=SEAL)
    assert ids(found) == ["2"]
    assert [item.ids for item in aside(found)] == [("1",)]


def test_pieces_are_joined_without_anything_between_them() -> None:
    name = "x\n\nJobId=8 y\n\nJobId=7 z"
    broken = job("1", ALICE, sealed=True, name=name, command="/r\n\nJobId=9 " + "x" * 5000)
    first, second = read(broken, seal=SEAL, max_bytes=4000)
    assert isinstance(first, SetAside)
    assert broken.encode().startswith(first.text)
    assert isinstance(second, SetAside)
    many = job("1", ALICE, sealed=True, comment="x\n\nJobId=9 y" * 100)
    (joined,) = read(many, seal=SEAL, max_bytes=len(many) - 1)
    assert isinstance(joined, SetAside)
    assert many.encode().startswith(joined.text)


@pytest.mark.parametrize("comment", ["x", "x\n\nJobId=9 y"])
def test_a_record_of_just_the_limit_is_read(comment: str) -> None:
    text = job("1", ALICE, sealed=True, comment=comment)
    after = job("2", BOB, sealed=True)
    assert ids(read(text, seal=SEAL, max_bytes=len(text))) == ["1"]
    assert ids(read(text, seal=SEAL, max_bytes=len(text) - 1)) == []
    assert ids(read(text + after, seal=SEAL, max_bytes=len(text))) == ["1", "2"]
    chunks = [text[:100].encode(), text[100:].encode(), after.encode()]
    assert ids(list(read_records(chunks, JOB, seal=SEAL, max_bytes=len(text)))) == ["1", "2"]
    longer = job("3", BOB, sealed=True, comment="x" * len(text))
    assert ids(read(text + longer + after, seal=SEAL, max_bytes=len(text))) == ["1", "2"]


def test_a_key_that_slurm_showed_behind_paths_is_believed_behind_a_users_text() -> None:
    def behind_path(job_id: str, owner: str) -> str:
        text = job(job_id, owner, sealed=True)
        return text.replace("\n   Power=", "\n   FutureKey=7\n   Power=")

    behind_text = job("3", ALICE, sealed=True, comment="x\n   FutureKey=7")
    one = behind_path("1", ALICE) + behind_path("2", ALICE) + behind_text
    assert ids(read(one, seal=SEAL)) == ["1", "2"]
    two = behind_path("1", ALICE) + behind_path("2", BOB) + behind_text
    assert ids(read(two, seal=SEAL)) == ["1", "2", "3"]


def test_no_answer_shows_how_the_output_begins() -> None:
    with pytest.raises(NoAnswer, match=r"no record in the output, which begins b'Welcome!\\n'$"):
        read("Welcome!\n")


def test_a_nodes_lines_may_come_in_another_order() -> None:
    text = "NodeName=a\n   State=IDLE\n   RealMemory=1\n   Gres=(null)\n\n"
    (record,) = read_records([text.encode()], NODE)
    assert isinstance(record, Record)
    assert [pair.key for pair in record.raw.pairs] == ["NodeName", "State", "RealMemory", "Gres"]


def test_a_key_of_nodes_that_is_unknown_so_far_is_kept() -> None:
    text = "NodeName=a\n   RealMemory=1\n   Future=1\n   State=IDLE\n\n"
    for found in (
        read_records([text.encode()], NODE, seal=SEAL),
        read_records([text.encode()], NODE),
        read_records(iter([text.encode()]), NODE),
    ):
        (record,) = found
        assert isinstance(record, Record)
        assert record.raw.pairs[2][1:] == ("Future", "=", "1")


def test_an_endless_record_takes_little_memory() -> None:
    def chunks() -> Iterator[bytes]:
        yield job("1", ALICE, sealed=True, end="").encode()
        for _ in range(320):
            yield b"x" * 100_000
        yield ("\n\n" + job("2", BOB, sealed=True)).encode()

    tracemalloc.start()
    try:
        found = list(read_records(chunks(), JOB, seal=SEAL, max_bytes=1_000_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert ids(found) == ["2"]
    assert peak < 8_000_000


def test_how_many_records_wait_for_a_key_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_DEFERRED", 1)
    text = with_future("1", ALICE) + with_future("2", ALICE) + with_future("3", BOB)
    found = read(text, seal=SEAL)
    assert ids(found) == ["1"]
    assert [item.ids for item in aside(found)] == [("2",), ("3",)]


# --- where one record ends and the next begins ---------------------------------------------------

SPLIT = "x\n\nJobId=9 JobName=y"
"""A name that holds the start of a record, so that its own record seems to be job 9's."""


@pytest.mark.parametrize("comment", ["x" * 30_000, f"{SPLIT}{'x' * 3000}" * 8])
def test_behind_a_record_that_is_too_long_a_start_in_a_name_is_not_believed(comment: str) -> None:
    text = (
        job("1", ALICE, sealed=True, comment=comment)
        + job("2", ALICE, sealed=True, name=SPLIT, comment="x\n\nJobId=8 y")
        + job("3", BOB, sealed=True)
    )
    found = read(text, seal=SEAL, max_bytes=20_000)
    assert ids(found) == ["3"]
    told = {name for item in aside(found) for name in item.ids}
    assert {"1", "2"} <= told
    assert "8" not in told  # job 2 is set aside, with all that belongs to it


def test_a_record_that_is_too_long_together_with_parts_of_the_next_is_set_aside_with_it() -> None:
    text = (
        job("1", ALICE, sealed=True, comment="x" * 19_000)
        + job("2", ALICE, sealed=True, name="x" * 900 + SPLIT)
        + job("3", BOB, sealed=True)
    )
    found = read(text, seal=SEAL, max_bytes=20_000)
    assert ids(found) == ["3"]
    assert {"1", "2"} <= {name for item in aside(found) for name in item.ids}


def sealed_interactive(job_id: str, *, name: str) -> str:
    """A record of a job that is no batch job."""
    text = job(job_id, ALICE, sealed=True, name=name)
    text = text.replace(" BatchFlag=1 Reboot", " BatchFlag=0 Reboot")
    return "".join(line for line in text.splitlines(keepends=True) if "   Std" not in line)


def contested(job_id: str, next_id: str, name: str = SPLIT) -> str:
    """Two records of which only the list of ids tells where the second begins."""
    return sealed_interactive(job_id, name="a BatchFlag=1 b") + job(
        next_id, ALICE, sealed=True, name=name
    )


def test_another_kind_of_job_can_not_seem_to_lack_its_end() -> None:
    text = contested("1", "2") + job("3", BOB, sealed=True)
    assert ids(read(text, seal=SEAL)) == ["3"]
    listed = read_records([text.encode()], JOB, seal=SEAL, listed=lambda: {"1", "2", "3", "9"})
    assert ids(list(listed)) == ["3"]
    listed = read_records([text.encode()], JOB, seal=SEAL, listed=lambda: {"1", "2", "3"})
    assert ids(list(listed)) == ["3", "1", "2"]


@pytest.mark.parametrize("latest", [1, 2, 1000])
def test_a_job_that_is_there_for_certain_does_not_begin_in_a_text(
    monkeypatch: pytest.MonkeyPatch, latest: int
) -> None:
    monkeypatch.setattr(records, "LATEST_IDS", latest)  # the others are packed
    text = job("9", BOB, sealed=True) + contested("1", "2") + job("3", BOB, sealed=True)
    listed = read_records([text.encode()], JOB, seal=SEAL, listed=lambda: {"1", "2", "3", "9"})
    assert ids(list(listed)) == ["9", "3", "1", "2"]


@pytest.mark.parametrize("comment", ["hello", "two\nlines"])
def test_a_job_that_is_there_for_certain_does_not_begin_in_a_name_too(comment: str) -> None:
    third = job("3", BOB, sealed=True, comment=comment)
    text = contested("1", "2", name="x\n\nJobId=3 JobName=y") + third
    (first,) = read_records([third.encode()], JOB, seal=SEAL)
    assert isinstance(first, Record)

    def read_again(known: dict[bytes, str]) -> list[Record | SetAside | Unchanged]:
        listed = {"1", "2", "3"}
        return list(read_changes([text.encode()], JOB, of(known), seal=SEAL, listed=lambda: listed))

    found = read_again({})
    assert [item.id for item in found if isinstance(item, Record)] == ["3", "1", "2"]
    unchanged, *others = read_again({first.sealed: "3"})
    assert unchanged == Unchanged(("3",))
    assert others == found[1:]


def test_how_much_text_waits_for_the_list_of_ids_has_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = [contested("1", "2"), contested("3", "4"), contested("5", "6")]
    monkeypatch.setattr(records, "MAX_CONTESTED_BYTES", len(texts[0]) + len(texts[1]))
    between = job("7", BOB, sealed=True)
    text = between.join(texts).replace("JobId=7", "JobId=8", 1).encode()
    found = list(read_records([text], JOB, seal=SEAL, listed=lambda: set("12345678")))
    assert ids(found) == ["8", "7", "1", "2", "3", "4"]
    assert [item.ids for item in aside(found)] == [("5", "6", "9")]
    assert "may belong to either" in aside(found)[0].reason


# --- texts that are known already ----------------------------------------------------------------


def texts_of(output: str) -> dict[bytes, str]:
    """The ids of the records of a sealed *output*, by their texts as `Known` is asked for them."""
    found = read_records([output.encode()], JOB, seal=SEAL)
    return {item.sealed: item.id for item in found if isinstance(item, Record)}


def of(known: dict[bytes, str]) -> Known:
    return lambda texts: [known.get(text) for text in texts]


def test_a_known_text_is_not_read_again_whatever_the_seal_is() -> None:
    def output(seal: str, state: str = "RUNNING") -> bytes:
        text = job("1", ALICE, sealed=True) + job("2", BOB, sealed=True, state=state)
        return text.replace(SEAL, seal).encode()

    def changes(seal: str, known: dict[bytes, str], state: str = "RUNNING") -> list[object]:
        return list(read_changes([output(seal, state)], JOB, of(known), seal=seal))

    known = texts_of(output(SEAL).decode())
    assert list(known.values()) == ["1", "2"]
    again = changes("Zz1Yy2X", known)
    assert [name for item in again if isinstance(item, Unchanged) for name in item.ids] == [
        "1",
        "2",
    ]
    unchanged, record = changes("Zz1Yy2X", known, "COMPLETED")
    assert unchanged == Unchanged(("1",))
    assert isinstance(record, Record)
    assert (record.id, record.sealed in known) == ("2", False)


def test_a_known_text_that_holds_the_start_of_a_record_is_not_read_again() -> None:
    text = job("1", ALICE, sealed=True, comment="x\n\nJobId=9 y").encode()
    (record,) = read_records([text], JOB, seal=SEAL)
    assert isinstance(record, Record)
    known = {record.sealed: "1"}
    assert list(read_changes([text], JOB, of(known), seal=SEAL)) == [Unchanged(("1",))]


def test_without_a_seal_a_known_text_is_not_read_again_but_where_two_bear_one_id() -> None:
    one, two = (job(job_id, ALICE, sealed=False) for job_id in ("1", "2"))
    known = {one.encode(): "1"}
    output = [(one + two).encode()]
    for chunks in (output, iter(output)):
        first, second = read_changes(chunks, JOB, of(known))
        assert first == Unchanged(("1",))
        assert isinstance(second, Record)
    doubled = list(read_changes([(one + two + one).encode()], JOB, of(known)))
    assert [type(item) for item in doubled] == [SetAside, Record, SetAside]


def test_a_known_text_in_a_comment_is_a_part_of_the_comment() -> None:
    whole = job("1", ALICE, sealed=True) + job("2", BOB, sealed=True)
    known = texts_of(whole)
    text = job("1", ALICE, sealed=True, comment="x\n\n" + job("2", BOB, sealed=False))
    found = list(read_changes([text.encode()], JOB, of(known), seal=SEAL))
    assert not any(isinstance(item, Unchanged) for item in found)


KINDS = {
    "known": "hello",
    "read": "hello",
    "read carefully": "two\nlines",
    "read in parts": "x\n\nJobId=9 y",
    "set aside": "x" * 5000,
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
            for number, kind in enumerate(kinds)
        ]
        known = {
            text.replace(SEAL, "\0" * len(SEAL)).encode(): str(number)
            for number, text in enumerate(texts)
            if kinds[number] == "known"
        }
        text = "".join(texts).encode()
        chunks = [text[start : start + size] for start in range(0, len(text), size)]
        told: list[tuple[str, str]] = []
        for item in read_changes(chunks, JOB, of(known), seal=SEAL, max_bytes=4000):
            if isinstance(item, Record):
                told.append(("read", item.id))
            else:
                how = "known" if isinstance(item, Unchanged) else "set aside"
                told += [(how, record_id) for record_id in item.ids]
        assert told == [
            (kind if kind in ("known", "set aside") else "read", str(number))
            for number, kind in enumerate(kinds)
        ]


def test_what_stands_for_the_seal_in_the_output_itself_is_not_taken_for_it() -> None:
    text = job("1", ALICE, sealed=True) + job("2", BOB, sealed=True)
    known = texts_of(text)
    forged = job("1", ALICE, sealed=True) + job("2", BOB, sealed=True).replace(
        SEAL, "\0" * len(SEAL)
    )
    too_long = job("3", ALICE, sealed=True, comment="x" * 5000) + job("4", BOB, sealed=True)
    ways: tuple[Known, ...] = (of(known), nothing_known)
    for behind in ("", too_long):
        for of_before in ways:
            output = [(forged + behind).encode()]
            found = list(read_changes(output, JOB, of_before, seal=SEAL, max_bytes=4000))
            assert not any(isinstance(item, Unchanged) for item in found)
            read_right = [item.id for item in found if isinstance(item, Record)]
            assert read_right == (["4"] if behind else [])


def test_a_text_that_holds_what_no_text_can_is_read_each_time() -> None:
    (record,) = read(job("1", ALICE, sealed=False, name="a\0b"))
    assert isinstance(record, Record)
    assert record.sealed == b""
