"""Partitions and reservations: a real Slurm's, those of every release, and what is no record."""

import json
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.reading.framing import NoAnswer
from ingest.reading.simple_records import read_simple_records
from ingest.slurm.convert import TYPES, AnyCluster, DocumentError
from ingest.slurm.keys import PARTITION, RESERVATION, KeyTable
from tests.ingest.reading.golden import SIMPLE, dump_id, read_simple
from tests.ingest.slurm.releases import RELEASES, lines_of

CLUSTER = AnyCluster("mila", ZoneInfo("America/Montreal"))
MADE_UP = {
    "word": "x1",
    "verbatim": "main",
    "integer": "7",
    "duration": "1-00:00:00",
    "time": "2026-11-24T08:00:00+0000",
    "text": "some = words",
}
"""A value for each reader."""


@pytest.mark.parametrize("dump", SIMPLE, ids=dump_id)
def test_what_real_slurms_printed(dump: Path) -> None:
    assert read_simple(dump) == json.loads(dump.with_suffix(".json").read_text())


def printed(table: KeyTable, release: str) -> str:
    """A record with every key that *release* can print."""
    lines = []
    for line in lines_of(table, release):
        pairs = (f"{name}={MADE_UP[table.keys[name].value]}" for name, _ in line.keys)
        lines.append(" " * line.indent + " ".join(pairs))
    return "\n".join(lines) + "\n\n"


@pytest.mark.parametrize("table", [PARTITION, RESERVATION], ids=lambda table: str(table.kind))
@pytest.mark.parametrize("release", RELEASES)
def test_every_key_of_every_release_is_read(table: KeyTable, release: str) -> None:
    [slurm] = read_simple_records(printed(table, release).encode(), table, CLUSTER)
    keys = [table.keys[name] for name in table.printed_by(release)]
    names = {key.document for key in keys if key.place != "group"}
    assert slurm.keys() - {"alloc_groups"} == names | {"cluster_name"}
    for key in keys:
        if key.place != "group":
            assert type(slurm[key.document]) in TYPES[key.value]
            assert slurm[key.document] is not None


def test_a_comment_with_lines_of_its_own() -> None:
    output = (
        b"ReservationName=one StartTime=2026-11-24T08:00:00 EndTime=2026-11-24T09:00:00\n"
        b"   MaxStartDelay=(null)\n"
        b"   Comment=for Bob\n\nsee State=old, and ask = Carol\n"
        b"   NewKey=5\n\n"
        b"ReservationName=two StartTime=2026-11-24T08:00:00 EndTime=2026-11-24T09:00:00\n"
        b"   Comment=(null)\n\n"
    )
    one, two = read_simple_records(output, RESERVATION, CLUSTER)
    assert one["comment"] == "for Bob\n\nsee State=old, and ask = Carol"
    assert one["new_key"] == 5
    assert (two["name"], two["comment"]) == ("two", None)


def test_a_reservation_of_cores_a_name_with_spaces_and_a_comment() -> None:
    output = (
        b"ReservationName=my own StartTime=2026-11-24T08:00:00 EndTime=2026-11-24T09:00:00\n"
        b"   Nodes=cn-a[001-002] NodeCnt=2\n"
        b"     NodeName=cn-a001 CoreIDs=0-3\n"
        b"     NodeName=cn-a002 CoreIDs=4\n"
        b"   NewKey=5 State=ACTIVE\n"
        b"   Comment=for Bob State=old Users=x\n\n"
    )
    [slurm] = read_simple_records(output, RESERVATION, CLUSTER)
    assert slurm["name"] == "my own"
    assert slurm["start_time"] == "2026-11-24T08:00:00-05:00"
    assert slurm["alloc_groups"] == [
        {"node_name": "cn-a001", "core_ids": "0-3"},
        {"node_name": "cn-a002", "core_ids": "4"},
    ]
    assert (slurm["new_key"], slurm["state"]) == (5, "ACTIVE")
    assert slurm["comment"] == "for Bob State=old Users=x"


def test_none_is_an_empty_list_and_silence_is_no_answer() -> None:
    assert read_simple_records(b"No reservations in the system\n", RESERVATION, CLUSTER) == []
    for output in (b"", b"Welcome\n", b"Welcome\nPartitionName=main\n   State=UP\n"):
        with pytest.raises(NoAnswer):
            read_simple_records(output, PARTITION, CLUSTER)


@pytest.mark.parametrize(
    "output",
    [
        b"PartitionName=main\n   AllowGroups=ALL\n",
        b"PartitionName=main\n   State=UP State=UP\n",
        b"PartitionName=main\n   State=UP\n   words\n",
    ],
)
def test_what_scontrol_cannot_have_printed_is_refused(output: bytes) -> None:
    with pytest.raises(DocumentError):
        read_simple_records(output, PARTITION, CLUSTER)


@given(st.binary(max_size=200))
def test_no_output_raises_anything_else(noise: bytes) -> None:
    for output in (noise, b"PartitionName=main\n   State=UP " + noise):
        try:
            found = read_simple_records(output, PARTITION, CLUSTER)
        except (NoAnswer, DocumentError):
            continue
        assert all(slurm["name"] and slurm["state"] for slurm in found)
