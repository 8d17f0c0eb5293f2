"""A record read by its layout is what the careful reader makes of it, or is left to that."""

from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.reading import layouts as layouts_module
from ingest.reading import pieces, plans
from ingest.reading.documents import (
    DocumentError,
    job_document,
    node_document,
    time,
)
from ingest.reading.layouts import CREDIT, Layouts
from ingest.reading.layouts import SEAL as NO_CHARACTER
from ingest.reading.pairs import RawPairs, Unreadable, read_pairs
from ingest.reading.plans import Documents, _KnownTimes
from ingest.reading.record import Record
from ingest.reading.records import NoAnswer, SetAside, Vouching, read_records
from ingest.slurm.grammar import JOB, NODE, Grammar
from tests.fuzz.oracle import CLUSTER, careful
from tests.ingest.reading.attacks import SEAL, attacks, job, output
from tests.ingest.reading.golden import DUMPS, kind_of, listed_of, seal_of
from tests.ingest.reading.printing import JOB_LAYOUTS, NODE_LAYOUTS, plain_texts, printed, texts

slow = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

_WORDS = st.sampled_from(
    [
        *("", " ", "  ", "x", "a b", "X", "Xy=", " Xy=1", " xY=1", "x Y:Z=1", "a A", "Nice=3"),
        *(" NtasksPerTRES:0", " Next", " N", " NtasksPerTRE=1", "N NtasksPerTRES:", "1", "0", "1 "),
        *("(null)", "None", "N/A", "Unknown", '"None"', "2026-11-23T20:13:41", "\n", "\n   Z=1"),
        *("\n\n", "\n   ", "\t", "\r", "\x0b", "\u2028", "\u00a0", "\u00e9", "\U0001d6cc", "\0"),
        *("\0x", "x\0", "2026-11-23T20:13:41-0500\0", "10:00", "1-00:00:00", "bob(2)", "b(1)(2)"),
        *("\n   StdOut=/z", "\n   Comment=y", " BatchFlag=1 ", "\n   SubmitTime=x\0", "x" * 600),
    ]
)
_values = st.one_of(_WORDS, st.tuples(_WORDS, _WORDS, _WORDS).map("".join), texts, plain_texts)


def trained(raw: RawPairs, grammar: Grammar, seal: str) -> Layouts:
    """Layouts that know that of *raw*, if it is one to be known."""
    layouts = Layouts(grammar, sealed=bool(seal))
    text = printed(raw, {}, seal=seal)
    try:
        found = read_pairs(text, grammar, multi_line=True, seal=seal)
    except Unreadable:
        return layouts
    pairs = (pair._replace(value=pair.value.replace(seal, "")) for pair in found.pairs)
    layouts.learn(text, RawPairs(tuple(pairs), found.end))
    return layouts


def check_one(layouts: Layouts, text: str, grammar: Grammar, seal: str) -> bool:
    """Whether *text* was read by a layout; if so, it is as the careful reader has it."""
    reading = layouts.read(text)
    if reading is None:
        return False
    layout, groups = reading
    found = read_pairs(text, grammar, multi_line=True, seal=seal)
    pairs = (pair._replace(value=pair.value.replace(seal, "")) for pair in found.pairs)
    raw = RawPairs(tuple(pairs), found.end)
    assert layout.raw(groups) == raw
    record = Record(text.encode(), None, text.encode(), reading)
    assert record.text.decode() == raw.text()
    assert record.id == raw.pairs[0].value
    make = job_document if grammar is JOB else node_document
    try:
        expected = make(raw, CLUSTER)
    except DocumentError as error:
        with pytest.raises(DocumentError) as caught:
            Documents(grammar, CLUSTER).of(record)
        assert str(caught.value) == str(error)  # noqa: PT017 - the two are compared
        return True
    made = Documents(grammar, CLUSTER).of(record)
    assert made == expected
    assert list(made) == list(expected)
    return True


# Layouts are learnt once for all examples: compiling one takes longer than reading many records.
_TRAINED = [
    (raw, grammar, seal, trained(raw, grammar, seal))
    for grammar, found in ((JOB, JOB_LAYOUTS), (NODE, NODE_LAYOUTS))
    for raw in found
    for seal in ("", NO_CHARACTER)
]


def test_most_layouts_of_the_dumps_are_learnt() -> None:
    read = [
        check_one(layouts, printed(raw, {}, seal=seal), grammar, seal)
        for raw, grammar, seal, layouts in _TRAINED
    ]
    assert sum(read) > 0.6 * len(read)


@settings(slow, max_examples=250)
@given(st.sampled_from(_TRAINED), st.data())
def test_what_a_layout_takes_is_read_as_the_careful_reader_does(
    known: tuple[RawPairs, Grammar, str, Layouts], data: st.DataObject
) -> None:
    raw, grammar, seal, layouts = known
    keys = [pair.key for pair in raw.pairs]
    changed = data.draw(st.lists(st.sampled_from(keys), max_size=3, unique=True))
    chosen = {key: data.draw(_values, label=key) for key in changed}
    text = printed(raw, chosen, seal=seal)
    end = data.draw(st.sampled_from(["", "\n", "\n\n", "\n   \n\n", "\n   ", "\n\n\n", " \n"]))
    if data.draw(st.booleans()):
        text = text.removesuffix("\n   \n\n") + end
    check_one(layouts, text.replace("\udcff", "?"), grammar, seal)


@pytest.mark.parametrize("key", sorted({pair.key for raw in JOB_LAYOUTS for pair in raw.pairs}))
def test_each_key_with_each_kind_of_value(key: str) -> None:
    values = [*("x", "X", "a b", "a B=1", "a b=1", " a", "a ", "a  ", "", " ", "1", "2", "\0")]
    values += ["a NtasksPerTRES:0", "a\nb", "a\tb", "\u00e9 \u00e9", "(null)", "bob(2)", "x\0"]
    known = [each for each in _TRAINED if any(pair.key == key for pair in each[0].pairs)]
    for raw, grammar, seal, layouts in known[:3]:
        for value in values:
            check_one(layouts, printed(raw, {key: value}, seal=seal), grammar, seal)


# --- whole outputs ------------------------------------------------------------------------------


def both_ways(
    chunks: list[bytes], grammar: Grammar, seal: str, listed: frozenset[str] = frozenset()
) -> None:
    """Read *chunks* with layouts, cold and warm, and without."""

    def read() -> list[Record | SetAside] | str:
        try:
            return list(
                read_records(chunks, grammar, seal=seal, vouching=Vouching(), listed=lambda: listed)
            )
        except NoAnswer as error:
            return str(error)

    cold, warm = read(), read()
    with careful():
        assert cold == warm == read()


@pytest.mark.parametrize("dump", DUMPS, ids=lambda dump: dump.stem)
def test_a_dump_is_read_as_without_layouts(dump: object) -> None:
    text = dump.read_bytes()  # type: ignore[attr-defined]
    grammar = kind_of(dump).grammar  # type: ignore[arg-type]
    seal, listed = seal_of(dump), listed_of(dump)  # type: ignore[arg-type]
    for chunks in ([text], [text[start : start + 900] for start in range(0, len(text), 900)]):
        both_ways(chunks, grammar, seal, listed)


@pytest.mark.parametrize("attack", list(attacks()), ids=lambda attack: attack.name)
def test_an_attack_is_read_as_without_layouts(attack: object) -> None:
    usual = [job(str(number), "dave(1004)", sealed=True) for number in range(100, 104)]
    for sealed in (True, False):
        around = "".join(usual if sealed else [each.replace(SEAL, "") for each in usual]).encode()
        for place in range(3):
            text = output(attack, sealed=sealed, one_line=False, place=place)  # type: ignore[arg-type]
            for whole in (around + text, around + text + around.replace(b"JobId=1", b"JobId=2")):
                both_ways([whole], JOB, SEAL if sealed else "")


def test_a_layout_is_used_from_the_second_record_on() -> None:
    pieces._layouts_of.cache_clear()
    text = "".join(job(str(number), "dave(1004)", sealed=True) for number in range(6)).encode()
    found = [each for each in read_records([text], JOB, seal=SEAL) if isinstance(each, Record)]
    assert [each.id for each in found] == ["0", "1", "2", "3", "4", "5"]
    assert all(each.reading is not None for each in found[2:])
    assert all(each.sealed.count(b"\0" * len(SEAL)) == 4 for each in found)
    found = [each for each in read_records([text], JOB, seal=SEAL) if isinstance(each, Record)]
    assert all(each.reading is not None for each in found)


def test_a_layout_of_nodes_is_used_from_the_second_record_on() -> None:
    pieces._layouts_of.cache_clear()
    text = "".join(
        f"NodeName=cn-a{number} Arch=x\n   RealMemory=1\n   State=IDLE\n\n" for number in range(6)
    )
    found = [each for each in read_records([text.encode()], NODE) if isinstance(each, Record)]
    assert [each.id for each in found] == [f"cn-a{number}" for number in range(6)]
    assert all(each.reading is not None for each in found[2:])


def test_what_nobody_can_write_is_left_to_the_careful_reader() -> None:
    jobs = [job(str(number), "dave(1004)", sealed=True) for number in range(4)]
    forged = job("9", "eve(1005)", sealed=True).replace(SEAL, "\0")
    text = ("".join(jobs) + forged + job("5", "dave(1004)", sealed=True)).encode()
    both_ways([text], JOB, SEAL)
    found = list(read_records([text], JOB, seal=SEAL))
    assert [each.id for each in found if isinstance(each, Record)].count("9") == 0


def test_a_batch_job_without_its_end_is_left_to_the_careful_reader() -> None:
    lines = job("1", "dave(1004)", sealed=False).split("\n")
    text = "\n".join(line for line in lines if not line.startswith("   Std"))
    interactive = text.replace("BatchFlag=1", "BatchFlag=0")
    layouts = Layouts(JOB, sealed=False)
    layouts.learn(interactive, read_pairs(interactive, JOB, multi_line=True))
    assert layouts.read(interactive) is not None
    assert layouts.read(text) is None
    with pytest.raises(Unreadable, match="a batch job without StdOut"):
        read_pairs(text, JOB, multi_line=True)


@pytest.mark.parametrize(("length", "is_read"), [(0, False), (1, True), (40, True), (41, False)])
def test_the_seal_stands_as_close_behind_a_time_as_the_careful_reader_wants_it(
    length: int, is_read: bool
) -> None:
    raw = read_pairs(job("1", "dave(1004)", sealed=False), JOB, multi_line=True)
    layouts = trained(raw, JOB, NO_CHARACTER)
    text = printed(raw, {"SubmitTime": "x" * length}, seal=NO_CHARACTER)
    assert check_one(layouts, text, JOB, NO_CHARACTER) is is_read


@pytest.mark.parametrize("forged", [" Priority=2", " NtasksPerTRES:0", " Xy=1", "\0"])
def test_a_text_with_what_seems_a_key_is_left_to_the_careful_reader(forged: str) -> None:
    layouts = Layouts(JOB, sealed=False)
    plain, other = (
        job("1", "dave(1004)", sealed=False, name=name, comment="some words")
        for name in ("a name", f"a name{forged}")
    )
    layouts.learn(plain, read_pairs(plain, JOB, multi_line=True))
    assert layouts.read(plain) is not None
    assert layouts.read(other) is None


@pytest.mark.parametrize("field", ["name", "command", "network", "comment", "stdout"])
def test_a_space_behind_a_text_makes_another_layout(field: str) -> None:
    plain, spaced, twice = (
        job("1", "dave(1004)", sealed=False, **{field: f"some words{end}"})
        for end in ("", " ", "  ")
    )
    for learnt, other in ((plain, spaced), (spaced, plain)):
        layouts = Layouts(JOB, sealed=False)
        layouts.learn(learnt, read_pairs(learnt, JOB, multi_line=True))
        assert check_one(layouts, learnt, JOB, "")
        assert layouts.read(other) is None
        assert layouts.read(twice) is None
        layouts.learn(twice, read_pairs(twice, JOB, multi_line=True))
        assert layouts.read(twice) is None


def test_a_space_behind_one_text_is_none_behind_another() -> None:
    layouts = Layouts(JOB, sealed=False)
    spaced, other = (
        job("1", "dave(1004)", sealed=False, name=name, comment=comment)
        for name, comment in (("a ", "b"), ("a", "b "))
    )
    layouts.learn(spaced, read_pairs(spaced, JOB, multi_line=True))
    assert check_one(layouts, spaced, JOB, "")
    assert layouts.read(other) is None


def test_a_key_out_of_its_order_that_was_vouched_for_is_left_to_the_careful_reader() -> None:
    text = job("1", "dave(1004)", sealed=False).replace("\n   Comment=hello", "")
    text = text.replace("\n   Power=", "\n   Comment=hello\n   Power=")
    layouts = Layouts(JOB, sealed=False)
    layouts.learn(text, read_pairs(text, JOB, multi_line=True, vouched={"Comment"}))
    assert layouts.read(text) is None


# --- limits --------------------------------------------------------------------------------------


def with_lines(number: int) -> tuple[str, RawPairs]:
    """A job in one of many layouts."""
    extra = "".join(f"\n   {key}=x" for bit, key in enumerate(_EXTRA) if number >> bit & 1)
    text = job("1", "dave(1004)", sealed=False).replace("\n   Power=", extra + "\n   Power=")
    return text, read_pairs(text, JOB, multi_line=True)


_EXTRA = (
    "SegmentSize",
    "Switches",
    "CpusPerTres",
    "MemPerTres",
    "TresBind",
    "TresFreq",
    "TresPerJob",
)


def kept(tree: layouts_module._Tree) -> list[layouts_module.Layout]:
    if isinstance(tree, list):
        return tree
    return kept(tree[1]) + kept(tree[2])


def test_each_layout_is_found_among_many() -> None:
    layouts = Layouts(JOB, sealed=False)
    numbers = [1 << number for number in range(len(_EXTRA))] + [3, 5, 6, 7, 0]
    for number in numbers:
        layouts.learn(*with_lines(number))
    for number in numbers:
        text, raw = with_lines(number)
        reading = layouts.read(text)
        assert reading is not None
        assert reading[0].raw(reading[1]) == raw
    assert len(kept(layouts._tree)) == len(numbers)


def test_layouts_with_the_same_keys_have_a_limit() -> None:
    layouts = Layouts(JOB, sealed=False)
    for spaces in range(layouts_module.MAX_ALIKE + 4):
        text, _ = with_lines(2 ** len(_EXTRA) - 1)
        for number, key in enumerate(_EXTRA):
            space = " " if spaces >> number & 1 else ""
            text = text.replace(f"{key}=x", f"{key}=x{space}")
        layouts.learn(text, read_pairs(text, JOB, multi_line=True))
        assert layouts.read(text) is not None
    assert len(kept(layouts._tree)) == layouts_module.MAX_ALIKE


def test_how_many_layouts_are_learnt_and_kept_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    written = 0
    write = layouts_module._Writer.layout

    def counted(writer: layouts_module._Writer) -> layouts_module.Layout:
        nonlocal written
        written += 1
        return write(writer)

    monkeypatch.setattr(layouts_module._Writer, "layout", counted)
    monkeypatch.setattr(layouts_module, "MAX_LAYOUTS", 5)
    layouts = Layouts(JOB, sealed=False)
    for number in range(128):
        layouts.learn(*with_lines(number))
    assert written <= CREDIT + 2
    assert 1 <= len(kept(layouts._tree)) <= 5


def test_layouts_are_learnt_again_after_some_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts_module, "CREDIT", 2)
    monkeypatch.setattr(layouts_module, "RECORDS_A_CREDIT", 4)
    layouts = Layouts(JOB, sealed=False)
    learnt = []
    for number in range(10):
        text, raw = with_lines(number)
        layouts.learn(text, raw)
        learnt.append(layouts.read(text) is not None)
    assert [number for number, is_learnt in enumerate(learnt) if is_learnt] == [0, 1, 4, 8]


def test_with_one_layout_too_many_all_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts_module, "MAX_LAYOUTS", 3)
    layouts = Layouts(JOB, sealed=False)
    sizes = []
    for number in range(7):
        layouts.learn(*with_lines(number))
        sizes.append(len(kept(layouts._tree)))
    assert sizes == [1, 2, 3, 1, 2, 3, 1]


def test_blocks_that_are_remembered_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts_module, "MAX_SEEN", 10)
    layouts = Layouts(JOB, sealed=False)
    layouts.learn(*with_lines(0))
    sizes = []
    for number in range(100):
        text = job("1", f"user{number}({number})", sealed=False)
        assert layouts.read(text) is not None
        sizes.append(max(len(group.seen) for group in layouts._groups.values()))
    assert max(sizes) == 10


def test_values_that_are_remembered_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    known = plans._Known(str.upper, limit=3)
    sizes = []
    for number in range(10):
        assert known[f"x{number}"] == f"X{number}"
        sizes.append(len(known))
    assert max(sizes) == 3
    for length, is_kept in ((plans.MAX_KNOWN_LENGTH, True), (plans.MAX_KNOWN_LENGTH + 1, False)):
        assert known["x" * length] == "X" * length
        assert ("x" * length in known) is is_kept

    monkeypatch.setattr(plans, "MAX_KNOWN", 3)
    monkeypatch.setattr(plans, "MAX_KNOWN_HOURS", 2)
    times = _KnownTimes(_ZONES[0])
    for minute in range(10, 20):
        assert times.read(f"2026-11-23T20:{minute}:00") == f"2026-11-23T20:{minute}:00-05:00"
        assert len(times) <= 3
    for hour in range(10, 20):
        assert times.read(f"2026-11-23T{hour}:00:00") == f"2026-11-23T{hour}:00:00-05:00"
        assert len(times._hours) <= 2


# --- times and names -----------------------------------------------------------------------------

_ZONES = [ZoneInfo(name) for name in ("America/Montreal", "Australia/Lord_Howe", "UTC")]


@settings(deadline=None)
@given(
    st.sampled_from(_ZONES),
    st.lists(
        st.one_of(
            st.datetimes().map(lambda moment: moment.isoformat(timespec="seconds")),
            st.sampled_from(
                ["2026-04-05T01", "2026-10-04T02", "2026-11-01T01", "2026-03-08T02"]
            ).flatmap(lambda hour: st.from_regex(rf"{hour}:[0-6][0-9]:[0-6][0-9]", fullmatch=True)),
            _values,
        ),
        max_size=8,
    ),
    st.sampled_from(["", "-0500", "+0000", "+1030", "+1100", "x"]),
)
def test_times_by_the_hour_are_the_same(zone: ZoneInfo, moments: list[str], offset: str) -> None:
    known = _KnownTimes(zone)
    for text in [*moments, *moments, *(moment + offset for moment in moments)]:
        try:
            expected = time(text, zone)
        except DocumentError:
            with pytest.raises(DocumentError):
                known.read(text)
            assert text not in known
            continue
        assert known.read(text) == expected == known[text]


@pytest.mark.parametrize("offset", ["", "-0500", "+0000"])
def test_what_is_told_of_an_hour_is_not_asked_again(
    offset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    zone = _ZONES[0]
    asked: list[str] = []

    def read(text: str, zone: ZoneInfo) -> str | None:
        asked.append(text)
        return time(text, zone)

    monkeypatch.setattr(plans, "time", read)
    known = _KnownTimes(zone)
    for clock in ("13:41", "13:42", "00:00", "59:59"):
        text = f"2026-11-23T20:{clock}{offset}"
        assert known.read(text) == time(text, zone)
    assert asked == [f"2026-11-23T20:13:41{offset}"]
    for clock in ("60:00", "13:60", "1x:00", "13:4", "13:410"):
        with pytest.raises(DocumentError):
            known.read(f"2026-11-23T20:{clock}{offset}")


def test_an_hour_in_which_the_clock_changes_is_not_one() -> None:
    zone = ZoneInfo("Australia/Lord_Howe")  # where it changes by half an hour
    known = _KnownTimes(zone)
    for clock in ("02:10:00", "02:40:00", "02:20:00", "02:50:00"):
        text = f"2026-10-04T{clock}"
        assert known.read(text) == time(text, zone)


@pytest.mark.parametrize(
    "lines",  # in one block; and the last one by itself, which a plan fills in before the blocks
    [
        "Arch=x\n   Features=one\n   AvailableFeatures=two",
        "Arch=x\n   Features=one\n   CPULoad=0.1\n   AvailableFeatures=two\n   NodeAddr=a",
    ],
)
def test_two_keys_of_one_name_are_put_together_as_the_careful_reader_does(lines: str) -> None:
    text = f"NodeName=cn-a001 {lines}\n"
    text += "   RealMemory=1 AllocMem=0\n   State=IDLE ThreadsPerCore=1\n\n"
    layouts = Layouts(NODE, sealed=False)
    layouts.learn(text, read_pairs(text, NODE, multi_line=True))
    assert check_one(layouts, text, NODE, "")


@pytest.mark.parametrize(
    ("text", "grammar"),
    [
        ("NodeName=cn-a001 CoresPerSocket=1\n   RealMemory=1\n   State=UNKNOWN\n\n", NODE),
        (
            job("1", "dave(1004)", sealed=False).replace(" GroupId=dave(1004) MCS_label=N/A", ""),
            JOB,
        ),
        (
            job("1", "dave(1004)", sealed=False).replace(
                "Deadline=N/A", "Deadline=2026-11-24T08:00:00"
            ),
            JOB,
        ),
        (job("1", "dave(1004)", sealed=False, label="X", network="a b\t"), JOB),
    ],
    ids=[
        "one value by itself",
        "the owner by himself",
        "a time in a block",
        "other ends of values",
    ],
)
def test_a_layout_that_is_rare_is_read_as_the_careful_reader_does(
    text: str, grammar: Grammar
) -> None:
    layouts = Layouts(grammar, sealed=False)
    layouts.learn(text, read_pairs(text, grammar, multi_line=True))
    assert check_one(layouts, text, grammar, "")


def test_a_document_is_made_without_the_raw_pairs() -> None:
    text = job("1", "dave(1004)", sealed=False)
    layouts = Layouts(JOB, sealed=False)
    layouts.learn(text, read_pairs(text, JOB, multi_line=True))
    record = Record(text.encode(), None, text.encode(), layouts.read(text))
    documents = Documents(JOB, CLUSTER)
    with patch.object(Record, "raw", None):
        assert documents.of(record)["job_id"] == "1"
    with patch.object(Documents, "_plan", None):  # that of the layout is there
        assert documents.of(record)["job_id"] == "1"


def test_a_reserved_job_and_one_that_is_not() -> None:
    cluster = CLUSTER.model_copy(update={"username_field": "cc_account_username"})
    text = job("1", "dave(1004)", sealed=False)
    made = []
    layouts = Layouts(JOB, sealed=False)
    for value in ("(null)", "maintenance"):
        whole = text.replace("DelayBoot=00:00:00", f"DelayBoot=00:00:00 Reservation={value}")
        layouts.learn(whole, read_pairs(whole, JOB, multi_line=True))
        reading = layouts.read(whole)
        assert reading is not None
        made.append(
            Documents(JOB, cluster).of(Record(whole.encode(), None, whole.encode(), reading))
        )
    assert "resv_name" not in made[0]
    assert made[1]["resv_name"] == "maintenance"
    assert made[1]["cc_account_username"] == "dave"
