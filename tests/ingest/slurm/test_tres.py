"""TRES and GRES strings: what sites printed, what is awkward, and made-up ones."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.reading.records import Record
from ingest.slurm.tres import Tres, read_tres
from tests.ingest.reading.golden import DUMPS, items_of

KEYS = {
    *("TRES", "ReqTRES", "AllocTRES", "CfgTRES", "Gres", "GresUsed", "GresDrain", "JOB_GRES"),
    *("GRES", "TresPerNode", "TresPerJob", "TresPerTask", "CpusPerTres"),
}

READ = {
    "cpu=2,mem=125G,node=1,gres/gpu:rtx8000=2,gres/gpu=2,license/matlab=1": Tres(
        cpus=2, gpus=2, gpus_by_type={"rtx8000": 2}
    ),
    "gres/gpu=8,gres/gpu:v100=8": Tres(gpus=8, gpus_by_type={"v100": 8}),
    "gres/gpu:v100=8,gres/gpu=8": Tres(gpus=8, gpus_by_type={"v100": 8}),
    "gres/gpu:v100=4,gres/gpu:a100=2": Tres(gpus=6, gpus_by_type={"v100": 4, "a100": 2}),
    "gres/gpu=8,gres/gpu:v100=4": Tres(gpus=8, gpus_by_type={"v100": 4}),
    "gres/gpu=8,gres/gpu:v100=8,mps:100": Tres(gpus=8, gpus_by_type={"v100": 8}),
    "gpu:2,gres/gpu:a100=1": Tres(gpus=3, gpus_by_type={"a100": 1}),
    "cpu=1,mem=187.50G,energy=11972": Tres(cpus=1),
    "energy=18446744073709551614": Tres(),
    "mem=0,node=1": Tres(),
    "license/net@slurmdb=1,bb/datawarp=10G,fs/disk=0.5": Tres(),
    "license/matlab=N/A": Tres(),
    "gpu:rtx8000:8(S:0-1)": Tres(gpus=8, gpus_by_type={"rtx8000": 8}),
    "gpu:a100:1": Tres(gpus=1, gpus_by_type={"a100": 1}),
    "gres:gpu:rtx8000:2": Tres(gpus=2, gpus_by_type={"rtx8000": 2}),
    "gres:gpu:rtx8000:2 ": Tres(gpus=2, gpus_by_type={"rtx8000": 2}),
    "gres:gpu:2": Tres(gpus=2),
    "gpu:2": Tres(gpus=2),
    "gpu:2(S:0-19)": Tres(gpus=2),
    "gpu": Tres(gpus=1),
    "gpu:a100": Tres(gpus=1, gpus_by_type={"a100": 1}),
    "gres/gpu:1": Tres(gpus=1),
    "gres/gpu:a100:2": Tres(gpus=2, gpus_by_type={"a100": 2}),
    "gpu:nvidia_h100_80gb_hbm3.1g.10gb:2(IDX:0-1)": Tres(
        gpus=2, gpus_by_type={"nvidia_h100_80gb_hbm3.1g.10gb": 2}
    ),
    "gpu:nvidia-rtx-3090:1": Tres(gpus=1, gpus_by_type={"nvidia-rtx-3090": 1}),
    "gpu:4,mps:400": Tres(gpus=4),
    "gpu:a100:4,mps:a100:400": Tres(gpus=4, gpus_by_type={"a100": 4}),
    "gpu:a100:2(IDX:0,2)": Tres(gpus=2, gpus_by_type={"a100": 2}),
    "gpu:a100:2(IDX:0,2),gpu:v100:1(IDX:4)": Tres(gpus=3, gpus_by_type={"a100": 2, "v100": 1}),
    "gpu:a100:2(S:0),gpu:a100:2(S:1)": Tres(gpus=4, gpus_by_type={"a100": 4}),
    "gpu:2,gpu:a100:1": Tres(gpus=3, gpus_by_type={"a100": 1}),
    "gpu:rtx8000:0(IDX:N/A)": Tres(gpus=0, gpus_by_type={"rtx8000": 0}),
    "gpu:(null):1(IDX:0)": Tres(gpus=1),
    "gpu:(null):0(IDX:N/A),shard:(null):0(0/2,0/2)": Tres(gpus=0),
    "gpu:tesla:2(S:0-1),gpu:(null):3": Tres(gpus=5, gpus_by_type={"tesla": 2}),
    "gpu:h100+sxm:4": Tres(gpus=4, gpus_by_type={"h100+sxm": 4}),
    "cpu=1,license/a+b=2,license/ansys/hpc=2,gres/gpu=1": Tres(cpus=1, gpus=1),
    "gpu:tesla:no_consume:4": Tres(gpus=4, gpus_by_type={"tesla": 4}),
    "bandwidth:lustre:no_consume:4G": Tres(),
    "Fs-a.b=1,license/a.b-c=2,gres/shard:a@b=3": Tres(),
    "craynetwork:1": Tres(),
    "cpu=8": Tres(cpus=8),
    "cpu=" + "9" * 18: Tres(cpus=10**18 - 1),
    "cpu:8": Tres(cpus=8),
    "cpu=1,gres/gpu:a100=1": Tres(cpus=1, gpus=1, gpus_by_type={"a100": 1}),
}
NONE = [
    *(
        "cpu",
        "cpu=",
        "=2",
        "cpu=two",
        "cpu=1.5",
        "cpu=-1",
        "cpu=1,cpu=2",
    ),
    *(
        "cpu=1,,mem=2G",
        ",cpu=1",
        "cpu=1,",
        "cpu=1 mem=2G",
        "cpu=1, mem=2G",
        "1=272",
    ),
    *(
        "gpu:(S:0",
        "gpu:a100:2(IDX:0,2",
        "gpu)",
        "gpu::2",
        "gres/gpu=x",
        "gres/gpu:v100=",
        "gpu:a b",
    ),
    *("(S:0)", "gpu(S:0)(S:1)", "(S:0)gpu"),
    *(
        "gres:",
        "gres/",
        "gres/gpu:a:b=2",
        "gres/gpu:v100=",
        "gres:gpu:x\n\nJobId=97 JobName=z",
        "cpu=\u0663",
    ),
    "cpu=" + "9" * 19,
]


@pytest.mark.parametrize("text", READ)
def test_a_tres_string_gives_its_numbers(text: str) -> None:
    assert read_tres(text) == READ[text]


@pytest.mark.parametrize("text", ["", " ", "(null)", "N/A", "(null) "])
def test_an_absent_marker_is_none(text: str) -> None:
    assert read_tres(text) is None


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_tres_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^no TRES: "):
        read_tres(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cpu", "no TRES: expected NAME=AMOUNT or GRES:COUNT, found 'cpu'"),
        (f"gpu:{'x ' * 100}", f"found 'gpu:{'x ' * 38}'"),
        (f"cpu=1,({'x' * 100}", f"an item was expected at '({'x' * 79}'"),
        (f"cpu={'9' * 100}", f"cpu is '{'9' * 80}', and no whole number"),
        (f"node=1,node=1,{'x' * 200}", f"node comes twice in 'node=1,node=1,{'x' * 186}'"),
    ],
)
def test_a_message_shows_the_beginning_of_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="no ") as caught:
        read_tres(text)
    assert message in str(caught.value)


def test_every_tres_of_the_dumps_is_read_or_was_forged() -> None:
    found = set()
    for dump in DUMPS:
        for record in items_of(dump):
            if isinstance(record, Record):
                found |= {pair.value for pair in record.raw.pairs if pair.key in KEYS}
    assert len(found) > 100
    for text in found:
        if "\n" not in text:
            read_tres(text)


words = st.from_regex(r"[a-z][a-z0-9_.\-]{0,8}", fullmatch=True).filter(lambda word: word != "gpu")
amounts = st.integers(0, 10**9)


@given(
    st.dictionaries(st.sampled_from(["cpu", "node", "billing"]), amounts),
    st.dictionaries(words, amounts, max_size=4),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_gpus_are_counted_once_in_any_order(
    plain: dict[str, int], types: dict[str, int], with_sum: bool, random: Random
) -> None:
    items = [f"{name}={amount}" for name, amount in plain.items()]
    items += [f"gres/gpu:{name}={amount}" for name, amount in types.items()]
    items += [f"gres/gpu={sum(types.values())}"] if with_sum and types else []
    random.shuffle(items)
    expected = Tres(cpus=plain.get("cpu"))
    if types:
        expected = replace(expected, gpus=sum(types.values()), gpus_by_type=types)
    assert read_tres(",".join(items)) == (expected if items else None)


@given(st.lists(st.tuples(words, st.integers(0, 1000), st.booleans()), min_size=1, max_size=4))
def test_gres_of_several_types_add(gres: list[tuple[str, int, bool]]) -> None:
    text = ",".join(f"gpu:{name}:{n}" + "(IDX:0,2-3)" * told for name, n, told in gres)
    found = read_tres(text)
    assert found is not None
    assert found.gpus == sum(n for _, n, _ in gres) == sum(found.gpus_by_type.values())


@given(st.text(st.sampled_from("cpugresm=:/,()0128.G "), max_size=30) | st.text(max_size=30))
def test_any_text_is_read_or_refused_with_a_clear_error(text: str) -> None:
    try:
        read_tres(text)
    except ValueError as error:
        assert str(error).startswith("no ")  # noqa: PT017 - either end is right
