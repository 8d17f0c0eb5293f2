"""Unknown keys at any place of a record: a new release of Slurm can print one everywhere."""

import re

import pytest

from ingest.reading.records import Record
from ingest.slurm.keys import KeyTable
from ingest.slurm.kinds import JOBS, NODES, Kind
from tests.ingest.reading.attacks import job
from tests.support.reading import SEAL, read

NODE_TEXT = """NodeName=cn-a001 Arch=x86_64 CoresPerSocket=8{end}
   CPUAlloc=2 CPUEfctv=32 CPUTot=32 CPULoad=0.00
   AvailableFeatures=x
   ActiveFeatures=x
   Gres=(null)
   NodeAddr=cn-a001 NodeHostName=cn-a001 Port=28921 Version=25.05.0
   OS=Linux 6.1
   RealMemory=128000 AllocMem=10 FreeMem=N/A Sockets=2 Boards=1
   State=MIXED ThreadsPerCore=2 TmpDisk=1000 Weight=1 Owner=N/A MCS_label=N/A
   Partitions=main{end}
   BootTime=2026-11-23T20:13:41+0000{seal} SlurmdStartTime=2026-11-23T20:13:41+0000{seal}
   LastBusyTime=2026-11-23T20:13:41+0000{seal} ResumeAfterTime=None
   CfgTRES=cpu=32,mem=125G,billing=32
   AllocTRES=cpu=2,mem=10M
   Reason=bad disk [root@2026-11-23T20:13:41+0000{seal}]

"""


def jobs(*, sealed: bool) -> str:
    return job("1", "alice(1001)", sealed=sealed) + job("2", "bob(1002)", sealed=sealed)


def nodes(*, sealed: bool) -> str:
    one = NODE_TEXT.format(end=" ", seal=SEAL if sealed else "")
    return one + one.replace("cn-a001", "cn-a002")


def with_unknown(text: str, key: str, how: str) -> str:
    """*text* with unknown keys beside *key*, in each record."""
    if how == "behind the line":
        return re.sub(rf"(\n {{3}}{re.escape(key)}=[^\n]*)", r"\1\n   FutureN=12", text)
    new = {"before": "FutureN=12 ", "two": "FutureN=12 FutureT=abc ", "a line": "FutureN=12\n   "}
    return re.sub(rf"(?<=[ \n]){re.escape(key)}=", f"{new[how]}{key}=", text)


def keys_of(text: str, table: KeyTable) -> list[str]:
    found = re.findall(r"[ \n]([A-Z][A-Za-z:/_]*)=", text)
    return [key for key in dict.fromkeys(found) if key in table.keys and key != table.first]


def records(text: str, kind: Kind, *, sealed: bool) -> list[Record]:
    found = read(text.encode(), kind, seal=SEAL * sealed)
    whole = [each for each in found if isinstance(each, Record)]
    assert whole == found
    return whole


CASES = [
    (kind, sealed, key)
    for kind, text in ((JOBS, jobs), (NODES, nodes))
    for sealed in (False, True)
    for key in keys_of(text(sealed=False), kind.table)
]


@pytest.mark.parametrize(
    ("kind", "sealed", "key"),
    CASES,
    ids=[f"{kind.table.kind}-{key}-{sealed}" for kind, sealed, key in CASES],
)
def test_an_unknown_key_beside_any_key_is_read(kind: Kind, sealed: bool, key: str) -> None:
    text = (jobs if kind is JOBS else nodes)(sealed=sealed)
    known = [len(record.raw.pairs) for record in records(text, kind, sealed=sealed)]
    for how in ("before", "two", "a line", "behind the line"):
        changed = with_unknown(text, key, how)
        if changed == text:
            continue
        added = 2 if how == "two" else 1
        found = records(changed, kind, sealed=sealed)
        assert [len(record.raw.pairs) for record in found] == [n + added for n in known], how
        assert all(record.slurm["future_n"] == 12 for record in found), how
