"""Records printed as scontrol would, from values that we choose: for tests that know the truth."""

from pathlib import Path

from hypothesis import strategies as st

from ingest.reading.parsing import RawPairs
from ingest.reading.reader import NoAnswer
from ingest.reading.records import Record
from ingest.slurm.keys import JOB, KeyTable
from tests.ingest.reading.golden import DUMPS, kind_of, seal_of
from tests.support.reading import read_lazily


def _layouts(kind: str) -> list[RawPairs]:
    """One record of every layout (keys and what stands before them) in the multi-line dumps."""
    found: dict[tuple[tuple[str, str], ...], RawPairs] = {}
    for dump in DUMPS:
        if kind_of(dump).table.kind != kind or seal_of(dump) or "forged" in dump.name:
            continue
        for record in _read(dump, kind_of(dump).table):
            layout = tuple((pair.lead, pair.key) for pair in record.raw.pairs)
            if any(lead.startswith("\n") for lead, _ in layout):
                found.setdefault(layout, record.raw)
    return list(found.values())


def _read(dump: Path, table: KeyTable) -> list[Record]:
    try:
        records = list(read_lazily([dump.read_bytes()], table))
    except NoAnswer:
        return []
    return [record for record in records if isinstance(record, Record)]


JOB_LAYOUTS = _layouts("job")
NODE_LAYOUTS = _layouts("node")

USER_KEYS = sorted(name for name, key in JOB.keys.items() if key.is_users_text)
PATH_KEYS = ["WorkDir", "StdErr", "StdIn", "StdOut"]

_BITS = st.sampled_from(
    [
        *("\n", "\n   ", "\n\n", "   ", " ", "=", "(null)", "N/A"),
        *("JobId=7 JobName=x", "\n\nJobId=7 JobName=x\n   UserId=bob(2)", "UserId=bob(2)"),
        *(
            "\n   JobState=FAILED Reason=x",
            " QOS=high",
            "\n   Comment=y",
            "\n   StdOut=/z\n   Power=",
        ),
        *(
            "\n   FutureKey=1",
            "SubmitTime=2021-01-01T00:00:00",
            "\n   SubmitTime=2021-01-01T00:00:00",
        ),
        *("\x1b[31m", "\r", "\t", "\u2028", "é", "𝛌", "\udcff"),
    ]
)
texts = st.lists(st.one_of(_BITS, st.text(max_size=8)), max_size=6).map("".join)
"""What users write: any Unicode, newlines, ``=``, keys, parts of records."""

plain_texts = st.text(
    st.characters(exclude_characters="\n\0", exclude_categories=["Cs"]), max_size=30
)
"""What users mostly write: any text of one line."""


def printed(
    raw: RawPairs, values: dict[str, str], *, seal: str = "", one_line: bool = False
) -> str:
    """The record *raw* with other values, sealed or in ``-o`` form where wanted."""
    pairs = []
    for pair in raw.pairs:
        value = values.get(pair.key, pair.value)
        if seal and pair.key == "SubmitTime":
            value += seal
        lead = " " if one_line and pair.lead.startswith("\n") else pair.lead
        pairs.append(pair._replace(lead=lead, value=value))
    return RawPairs(tuple(pairs), "\n" if one_line else "\n   \n\n").text()
