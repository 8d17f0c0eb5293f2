"""Forged records in MCS_label, the one text in a node's record that a user can choose.

``sbatch --exclusive=mcs --mcs-label=...`` puts the label onto each node that the job holds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, product

from ingest.reading.reader import Reader
from ingest.reading.records import Record, SetAside
from ingest.slurm.keys import NODE
from tests.ingest.reading.placements import BLANKS, CHUNK_BYTES
from tests.support.reading import CLUSTER, SEAL

_TIME = "2026-11-23T20:13:41+0000"
_LINES = {
    "22.05": """\
NodeName={name} Arch=x86_64 CoresPerSocket=1{space}
   CPUAlloc=0 CPUEfctv=2 CPUTot=2 CPULoad=0.10
   AvailableFeatures=(null)
   ActiveFeatures=(null)
   Gres=(null)
   NodeAddr={name} NodeHostName={name} Version=22.05.8
   OS=Linux 6.1 #1 SMP{space}
   RealMemory=1000 AllocMem=0 FreeMem=100 Sockets=2 Boards=1
   State={state} ThreadsPerCore=1 TmpDisk=0 Weight=1 Owner=N/A MCS_label={label}
   Partitions=main{space}
   BootTime={time} SlurmdStartTime={time}
   LastBusyTime={time}
   CfgTRES=cpu=2,mem=1000M,billing=2
   AllocTRES=
   CapWatts=n/a
   CurrentWatts=0 AveWatts=0
   ExtSensorsJoules=n/s ExtSensorsWatts=0 ExtSensorsTemp=n/s
   Comment=rack 7

""",
    "26.05": """\
NodeName={name} Arch=x86_64 CoresPerSocket=1{space}
   CPUAlloc=0 CPUEfctv=2 CPUTot=2 CPULoad=0.10
   AvailableFeatures=(null)
   ActiveFeatures=(null)
   Gres=(null)
   NodeAddr={name} NodeHostName={name} Version=26.05.3
   OS=Linux 6.1 #1 SMP{space}
   RealMemory=1000 AllocMem=0 FreeMem=100 Sockets=2 Boards=1
   State={state} ThreadsPerCore=1 TmpDisk=0 Weight=1 Owner=N/A MCS_label={label}
   Partitions=main{space}
   BootTime={time} SlurmdStartTime={time}
   LastBusyTime={time} ResumeAfterTime=None SuspendTime=INFINITE
   CfgTRES=cpu=2,mem=1000M,billing=2
   AllocTRES=
   CurrentWatts=0 AveWatts=0

""",
}
RELEASES = tuple(_LINES)


@dataclass(frozen=True)
class Node:
    """A node as Slurm knows it."""

    name: str = ""
    release: str = "26.05"
    state: str = "IDLE"
    label: str = "N/A"
    booted: bool = True


def printed(node: Node, seal: str = "") -> str:
    """Return the record of *node* as scontrol prints it, with *seal* behind every time."""
    time = _TIME + seal if node.booted else "None"
    return _LINES[node.release].format(
        name=node.name, state=node.state, label=node.label, time=time, space=" "
    )


HELD = (Node(state="ALLOCATED"), Node(state="MIXED+DRAIN"), Node(state="IDLE+COMPLETING"))
"""Nodes that a job holds."""
POWERING_UP = Node(state="ALLOCATED+CLOUD+POWERING_UP", booted=False)
_OTHERS = (
    Node(),
    Node(state="ALLOCATED"),
    Node(state="UNKNOWN+NOT_RESPONDING", booted=False),
    Node(state="IDLE+CLOUD+POWERED_DOWN", booted=False),
    Node(state="MIXED", label="a label"),
)


def labels(node: Node, target: Node, blank: str) -> Iterator[str]:
    """Yield labels of *node* that forge a record of *target*."""
    tail = printed(replace(node, label="\0")).partition("\0")[2]
    unbooted = printed(replace(node, label="\0", booted=False)).partition("\0")[2]
    head = printed(replace(target, label="\0")).partition("\0")[0]
    short = f"NodeName={target.name} CoresPerSocket=1\n   RealMemory=1\n   State=DOWN"
    whole = printed(replace(target, label="N/A"))
    for first in ("x", "N/A"):
        yield first
        yield f"{first}{blank}NodeName={target.name} "
        yield f"{first}{blank}{short}"
        yield f"{first}{blank}{head}N/A"
        for end in (tail, unbooted, tail.replace(_TIME, f"{_TIME}q7Rk999")):
            yield f"{first}{end}{short}"
            yield f"{first}{end}{head}y"
            yield f"{first}{end}{whole}{short}"
            yield f"{first}{end}{whole}{printed(replace(target, booted=False))}{head}N/A"
        yield f"{first}{blank}{short}\n   BootTime=2021-01-01T00:00:00 SlurmdStartTime=None"
        yield f"{first}\n   BootTime=2021-01-01T00:00:00 SlurmdStartTime=None{blank}{short}"


@dataclass(frozen=True)
class NodePlacement:
    """An output about nodes, one of which bears a forged label."""

    nodes: Sequence[Node]
    carrier: str
    chunk_bytes: int


def placements(holder: Node) -> Iterator[NodePlacement]:
    """Yield every label on a node like *holder*, at every place among other nodes."""
    kinds = cycle(_OTHERS)
    sizes = cycle(CHUNK_BYTES)
    for release, place, named, blank in product(RELEASES, range(3), _NAMES, BLANKS):
        carrier = replace(holder, name="a", release=release)
        for label in labels(carrier, Node(named, release), blank):
            nodes = [replace(next(kinds), name=name, release=release) for name in ("b0", "b1")]
            nodes.insert(place, replace(carrier, label=label))
            yield NodePlacement(nodes, "a", next(sizes))


_NAMES = ("b0", "b1", "a", "nobody")
"""Whose name a forgery bears."""


def read(placement: NodePlacement) -> tuple[dict[str, Record], set[str]]:
    """Return the records by name, and the names of the nodes that were set aside."""
    text = "".join(printed(node, SEAL) for node in placement.nodes).encode()
    size = placement.chunk_bytes
    chunks = (text[start : start + size] for start in range(0, len(text), size))
    records: dict[str, Record] = {}
    aside: set[str] = set()
    for item in Reader(NODE, CLUSTER).read(chunks, seal=SEAL):
        if isinstance(item, Record):
            assert item.id not in records, f"node {item.id} was read twice"
            records[item.id] = item
        elif isinstance(item, SetAside):
            aside.update(item.ids)
    return records, aside


def document(node: Node) -> dict[str, object]:
    """Return the true document of *node*."""
    (record,) = Reader(NODE, CLUSTER).read([printed(node, SEAL).encode()], seal=SEAL)
    assert isinstance(record, Record)
    assert record.slurm["state"] == node.state
    return record.slurm


def check(placement: NodePlacement) -> None:
    """Hold what is read of *placement* against the truth.

    Raises AssertionError where another node is missing or misread, or one is invented.
    """
    records, aside = read(placement)
    truth = {node.name: node for node in placement.nodes}
    assert records.keys() <= truth.keys(), "a node was invented"
    for name, node in truth.items():
        if name == placement.carrier:
            assert name in records or name in aside, "the carrier was lost"
        else:
            assert name in records, f"{name} is missing"
            assert records[name].slurm == document(node), f"{name} was misread"
