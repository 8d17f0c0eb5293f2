"""Unknown keys at any place of a record: a new release of Slurm can print one everywhere."""

import re
from collections.abc import Iterator

import pytest

from ingest.reading.records import Record, SetAside
from ingest.slurm.convert import SlurmDict
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


GROUPS = """
   JOB_GRES=gpu:1
     Nodes=cn-a001 CPU_IDs=0-1 Mem=1000 GRES=
     Nodes=cn-a002 CPU_IDs=0 Mem=500 GRES=gpu:1
   MinCPUsNode="""
OWNERS = {
    "two users": ("alice(1001)", "bob(1002)"),
    "one user": ("alice(1001)", "alice(1001)"),
    "one record": ("alice(1001)",),
}
FORMS = ("plain", "sealed", "one line")
USERS_TEXTS = {"JobName", "Command", "Comment", "MCS_label", "Account"}
"""Texts that a user wrote and that are not absent."""


def records_of(kind: Kind, form: str, owners: tuple[str, ...]) -> str:
    sealed = form == "sealed"
    if kind is NODES:
        end, seal = " ", SEAL if sealed else ""
        texts = [
            NODE_TEXT.format(end=end, seal=seal).replace("cn-a001", f"cn-a00{number}")
            for number in range(1, len(owners) + 1)
        ]
    else:
        texts = [
            job(str(number), owner, sealed=sealed, label="x").replace("\n   MinCPUsNode=", GROUPS)
            for number, owner in enumerate(owners, start=1)
        ]
    return "".join(texts)


def with_unknown(text: str, key: str, how: str) -> str:
    """*text* with unknown keys beside *key*, in each record."""
    if how == "behind the line":
        return re.sub(rf"(\n {{3}}{re.escape(key)}=[^\n]*)", r"\1\n   FutureN=12", text)
    new = {"before": "FutureN=12 ", "two": "FutureN=12 FutureT=abc ", "a line": "FutureN=12\n   "}
    return re.sub(rf"(?<=[ \n]){re.escape(key)}=", f"{new[how]}{key}=", text)


def one_line(text: str) -> str:
    return re.sub(r"\n {3,5}", " ", text.replace("\n\n", " \n").replace("\n   \n", " \n"))


def keys_of(text: str, table: KeyTable) -> list[str]:
    found = re.findall(r"[ \n]([A-Z][A-Za-z:/_]*)=", text)
    return [key for key in dict.fromkeys(found) if key in table.keys and key != table.first]


def ways(kind: Kind, text: str) -> Iterator[tuple[str, str]]:
    for key in keys_of(text, kind.table):
        for how in ("before", "two", "a line", "behind the line"):
            is_odd = key == "Nodes" or (key in kind.table.group_keys and how == "a line")
            if not is_odd and with_unknown(text, key, how) != text:
                yield key, how


def has_future(slurm: SlurmDict) -> bool:
    groups = slurm.get("alloc_groups", [])
    return slurm.get("future_n") == 12 or any(group.get("future_n") == 12 for group in groups)


@pytest.mark.parametrize("owners", OWNERS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", [JOBS, NODES], ids=["jobs", "nodes"])
def test_an_unknown_key_beside_any_key_is_read(kind: Kind, form: str, owners: str) -> None:
    """All records show the key, so none of them may take it for a part of a text in silence."""
    text = records_of(kind, form, OWNERS[owners])
    shape = one_line if form == "one line" else str
    seal = SEAL if form == "sealed" else ""
    known = keys_of(shape(text), kind.table)
    for key, how in ways(kind, text):
        changed = shape(with_unknown(text, key, how))
        for item in read(changed.encode(), kind, seal=seal):
            if isinstance(item, SetAside):
                assert form == "one line", (key, how, item.reason)
                assert owners != "two users", (key, how, item.reason)
                (carrier,) = re.findall("FutureN, .* the text of ([A-Za-z_]*) ", item.reason)
                assert carrier in USERS_TEXTS or owners == "one record", (key, how)
                continue
            assert isinstance(item, Record)
            assert has_future(item.slurm), (key, how)
            keys = [pair.key for pair in item.raw.pairs]
            assert set(known) <= set(keys), (key, how)
            assert how != "two" or "FutureT" in keys, (key, how)


@pytest.mark.parametrize("kind", [JOBS, NODES], ids=["jobs", "nodes"])
def test_in_the_o_form_a_key_that_few_records_show_is_a_part_of_the_text(kind: Kind) -> None:
    one, _, other = records_of(kind, "plain", OWNERS["two users"]).partition("\n\n")
    carrier = "Comment=hello" if kind is JOBS else "Reason=bad"
    assert carrier in one
    text = one_line(f"{one.replace(carrier, f'{carrier} FutureN=12')}\n\n{other}")
    for item in read(text.encode(), kind):
        assert isinstance(item, Record)
        assert "future_n" not in item.slurm


@pytest.mark.parametrize("absent", ["(null)", "N/A", ""])
def test_behind_an_absent_text_an_unknown_key_is_a_key_in_every_form(absent: str) -> None:
    usual = job("1", "alice(1001)", sealed=False)
    text = usual + job("2", "bob(1002)", sealed=False, network=f"{absent} FutureN=12 FutureT=x")
    for each in (text, one_line(text)):
        _, found = read(each.encode())
        assert isinstance(found, Record)
        values = {name: found.slurm[name] for name in ("network", "future_n", "future_t")}
        assert values == {"network": None, "future_n": 12, "future_t": "x"}


def test_an_unknown_key_of_a_group_of_nodes_belongs_to_the_group() -> None:
    text = records_of(JOBS, "plain", OWNERS["two users"])
    text = re.sub(r"( GRES=\S*)", r"\1 FutureN=12", text)
    for each in (text, one_line(text)):
        for item in read(each.encode()):
            assert isinstance(item, Record)
            assert [group["future_n"] for group in item.slurm["alloc_groups"]] == [12, 12]
            assert "future_n" not in item.slurm


@pytest.mark.parametrize("kept", ["x", ""])
def test_no_unknown_key_has_a_line_with_a_known_key_in_its_value(kept: str) -> None:
    """Such a line belongs to a text, so the line with the unknown key does, too."""
    for written, is_read in (
        (f"{kept}\n   FutureN=1\n   JobState=FAILED Reason=x", False),
        (kept, True),
    ):
        (item,) = read(job("1", "alice(1001)", sealed=True, stdout=written).encode(), seal=SEAL)
        assert isinstance(item, Record) == is_read
        if isinstance(item, SetAside):
            assert "FutureN" in item.reason


@pytest.mark.parametrize(("key", "owners"), [("Comment", "one record"), ("Command", "one user")])
def test_in_the_o_form_jobs_of_which_too_few_show_a_key_behind_a_text_are_set_aside(
    key: str, owners: str
) -> None:
    text = records_of(JOBS, "one line", OWNERS[owners])
    found = read(one_line(with_unknown(text, key, "behind the line")).encode(), JOBS)
    ids = [str(number) for number, _ in enumerate(OWNERS[owners], start=1)]
    assert [item.ids for item in found if isinstance(item, SetAside)] == [(each,) for each in ids]
    assert len(found) == len(ids)
    reasons = {item.reason for item in found if isinstance(item, SetAside)}
    assert reasons == {
        f"FutureN, an unknown key, stands behind the text of {key} in every record, and may be a"
        " part of the text"
    }
