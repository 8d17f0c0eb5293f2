"""Nodes that Slurm powers up and down: read whole, whatever they do not have yet.

The texts are constructed: the lines and keys are those that each release prints
(``releases.json``), and the values are what the printing function of ``scontrol show node`` gives
for a node that has not booted, in the states that Slurm's power saving passes through.
"""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from ingest.reading.records import Record
from ingest.slurm.keys import NODE
from ingest.slurm.kinds import NODES
from tests.ingest.reading.printing import Printed, printed_by
from tests.ingest.slurm.releases import RELEASES
from tests.support.reading import SEAL, read

_UNKNOWN_BEFORE_THE_BOOT = {"Arch", "CpuBind", "Version", "OS", "BcastAddr", "Port", "Reason"}
_VALUES = {
    "CPULoad": "N/A",
    "FreeMem": "N/A",
    "BootTime": "None",
    "SlurmdStartTime": "None",
    "LastBusyTime": "Unknown",
    "ResumeAfterTime": "None",
    "SuspendTime": "INFINITE",
    "Owner": "N/A",
    "MCS_label": "N/A",
    "AllocTRES": "",
    "NextState": "IDLE",
}
STATES = (
    *("IDLE+CLOUD+POWERED_DOWN", "IDLE+CLOUD+POWERING_DOWN", "IDLE+CLOUD+POWERING_UP"),
    *("ALLOCATED+CLOUD+NOT_RESPONDING+POWERING_UP", "IDLE+CLOUD+POWER", "ALLOCATED#+CLOUD"),
    "DOWN+CLOUD+POWERED_DOWN",
)


def unbooted(release: str, name: str, left_out: Iterable[str] = ()) -> Printed:
    """A node that has not booted, with every line that *release* then prints but *left_out*."""
    printed = printed_by(NODE, release, with_optional=True)
    missing = _UNKNOWN_BEFORE_THE_BOOT.union(left_out)
    kept = [
        (indent, tuple(key for key in keys if key not in missing)) for indent, keys in printed.lines
    ]
    lines = tuple(line for line in kept if line[1])
    values = {key: value for key, value in _VALUES.items() if key in printed.keys}
    return replace(printed, lines=lines).with_values({**values, "NodeName": name})


@pytest.mark.parametrize(("seal", "one_line"), [(SEAL, False), ("", False), ("", True)])
@pytest.mark.parametrize("release", RELEASES)
def test_each_state_of_a_cloud_node_is_read(release: str, seal: str, *, one_line: bool) -> None:
    """A node's address is absent or its name at first, and another one later."""
    nodes = [
        unbooted(release, f"cloud-{number}-{at}", left_out).with_values({"State": state})
        for number, state in enumerate(STATES)
        for at, left_out in enumerate([(), ("NextState",), ("NextState", "NodeAddr", "Partitions")])
    ]
    booted = printed_by(NODE, release, with_optional=True).with_values({"State": "IDLE+CLOUD"})
    nodes.append(booted)
    text = "".join(node.text(seal=seal, one_line=one_line) for node in nodes)
    found = read(text.encode(), NODES, seal=seal)
    records = [item for item in found if isinstance(item, Record)]
    assert len(records) == len(found)
    assert [record.slurm["state"] for record in records] == [node.values["State"] for node in nodes]
    assert all(record.slurm.keys() <= NODE.documents for record in records)
    for record, node in zip(records, nodes, strict=True):
        assert [pair.key for pair in record.raw.pairs] == node.keys
    for record in records[:-1]:
        assert record.slurm["boot_time"] is None
        assert record.slurm["memory"] == "word"
    assert records[-1].slurm["boot_time"] is not None
