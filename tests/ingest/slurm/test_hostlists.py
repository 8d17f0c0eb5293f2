"""Hostlists: every node list of the dumps, what scontrol itself made of some, and made-up ones."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.reading.records import Record
from ingest.slurm.hostlists import MAX_NAMES, HostlistError, Range, count, expand, parse
from tests.ingest.reading.golden import DUMPS, items_of

KEYS = {"NodeList", "SchedNodeList", "ReqNodeList", "ExcNodeList", "Nodes", "BatchHost", "NodeName"}

# What `scontrol show hostnames` of Slurm 22.05.8 printed.
PRINTED_BY_SLURM = {
    "cn-a[001-003,011],login1": "cn-a001 cn-a002 cn-a003 cn-a011 login1",
    "tux[0-1][0-2]": "tux00 tux01 tux02 tux10 tux11 tux12",
    "rack[1-2]node[09-10]": "rack1node09 rack1node10 rack2node09 rack2node10",
    "cn[08-12]": "cn08 cn09 cn10 cn11 cn12",
    "cn[8-12]": "cn8 cn9 cn10 cn11 cn12",
    "cn[998-1002]": "cn998 cn999 cn1000 cn1001 cn1002",
    "cn[1-2,08]": "cn1 cn2 cn08",
    "cn[09-11,9]": "cn09 cn10 cn11 cn9",
    "n[1-010]": "n1 n2 n3 n4 n5 n6 n7 n8 n9 n10",
    "n[01-3]": "n01 n02 n03",
    "n[1,1]": "n1 n1",
    "n[1-2],n[2-3]": "n1 n2 n2 n3",
    "b2,a1": "b2 a1",
    "[1-3]": "1 2 3",
    "vagrant": "vagrant",
}
OURS = {
    "cn[1-2]-ib": "cn1-ib cn2-ib",
    "x[1-2]y[3-4]z": "x1y3z x1y4z x2y3z x2y4z",
    "a-b[1-2].c.d": "a-b1.c.d a-b2.c.d",
    " cn1 ": "cn1",
    "a" * 255: "a" * 255,
    f"n[{'9' * 18}-{'9' * 18}]": f"n{'9' * 18}",
    "": "",
    "(null)": "",
    "N/A": "",
}
NONE = [
    *("a[[1-2]]", "a[1-2", "a1-2]", "a[]", "a[1-]", "a[-1]", "a[3-1]", "a[1-x]", "a[1-4/2]"),
    *(
        "a1,,b2",
        ",a1",
        "a1,",
        "a1 b2",
        "a[1, 3]",
        "a[1 - 3]",
        "a1, b2",
        "a\nb",
        "a\u2028b",
        "bgl[000x133]",
    ),
    *(
        "a[\u0663-\u0665]",
        "bgl[000x133]",
        "no one",
        "a=b",
        *("node(3)", "node(3", "node3)"),
        "a" * 256,
        *(f"a[1-{'9' * 19}]", f"a[{'9' * 19}]"),
    ),
    "[0-9]" * 256,
]


def node_lists() -> set[str]:
    found = set()
    for dump in DUMPS:
        records = items_of(dump)
        raws = (record.raw for record in records if isinstance(record, Record))
        found |= {pair.value for raw in raws for pair in raw.pairs if pair.key in KEYS}
    return found


@pytest.mark.parametrize("text", [*PRINTED_BY_SLURM, *OURS])
def test_a_hostlist_gives_its_names(text: str) -> None:
    names = {**PRINTED_BY_SLURM, **OURS}[text].split()
    assert expand(text) == names
    assert count(text) == len(names)


@pytest.mark.parametrize("text", NONE, ids=lambda text: text[:20])
def test_what_is_no_hostlist_is_refused(text: str) -> None:
    with pytest.raises(HostlistError, match="no hostlist"):
        expand(text)
    with pytest.raises(HostlistError):
        count(text)


def test_every_node_list_of_the_dumps_is_read() -> None:
    lists = node_lists()
    assert len(lists) > 70
    for text in lists:
        assert len(expand(text)) == count(text)
        assert all(re.fullmatch(r"[\w.-]+", name) for name in expand(text))


def test_a_list_of_too_many_names_is_counted_and_not_expanded() -> None:
    assert len(expand(f"n[1-{MAX_NAMES}]")) == MAX_NAMES
    for text, total in {
        f"n[0-{MAX_NAMES}]": MAX_NAMES + 1,
        "n[0-999999999999999999]": 10**18,
        "n[0-9999][0-9999][0-9999]": 10**12,
        f"a,n[1-{MAX_NAMES}]": MAX_NAMES + 1,
    }.items():
        assert count(text) == total
        with pytest.raises(HostlistError, match=f"of {total} names"):
            expand(text)


def test_many_ranges_are_read_in_one_pass() -> None:
    text = "n[" + ",".join(str(number) for number in range(0, 90_000, 2)) + "]"
    assert count(text) == 45_000
    with pytest.raises(HostlistError):
        count("n[1," * 50_000)


names = st.text("abcxyz-_.0123456789", min_size=1, max_size=5)
ranges = st.tuples(st.integers(0, 2000), st.integers(0, 30), st.integers(1, 6)).map(
    lambda drawn: Range(drawn[0], drawn[0] + drawn[1], max(drawn[2], len(str(drawn[0]))))
)
brackets = st.lists(ranges, min_size=1, max_size=3)
parts = st.lists(st.one_of(names, brackets), min_size=1, max_size=3)


def written(part: list[str | list[Range]]) -> str:
    return "".join(
        piece
        if isinstance(piece, str)
        else "[" + ",".join(f"{each.number(each.low)}-{each.high}" for each in piece) + "]"
        for piece in part
    )


def combined(part: list[str | list[Range]]) -> list[str]:
    made = [""]
    for piece in part:
        ends = [piece] if isinstance(piece, str) else [number for each in piece for number in each]
        made = [start + end for start in made for end in ends]
    return made


@given(st.lists(parts, min_size=1, max_size=4))
def test_a_list_stands_for_all_combinations_in_their_order(
    hostlist: list[list[str | list[Range]]],
) -> None:
    text = ",".join(written(part) for part in hostlist)
    expected = [name for part in hostlist for name in combined(part)]
    assert count(text) == len(expected)
    if len(expected) <= MAX_NAMES:
        assert expand(text) == expected


@given(st.text(st.sampled_from("a1-,[]0 ("), max_size=20) | st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        total = count(text)
    except HostlistError:
        return
    assert total == sum(1 for _ in parse(text)) or "[" in text
    if total <= MAX_NAMES:
        assert len(expand(text)) == total
