"""The dumps of fake_slurm_outputs and the documents that they must give.

Beside ``jobs_21.08.txt`` stands ``jobs_21.08.json``: the ``slurm`` dicts of its records, and the
reasons of those set aside.  ``python -m tests.ingest.reading.golden`` writes the ones that are
missing, to be read by a person before they are committed; one that is there is never overwritten.
The dumps of `WITNESSED` need no such file: Slurm's own JSON stands beside them.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config import ClusterSettings, SshSettings
from config.settings import UsernameField
from ingest.programs.squeue_check import read_list
from ingest.reading.reader import NoAnswer, Reader
from ingest.reading.records import Answer, Record, SetAside, Unchanged
from ingest.reading.simple_records import read_simple_records
from ingest.slurm.kinds import JOBS, NODES, PARTITIONS, RESERVATIONS, Kind

FOLDER = Path(__file__).parents[3] / "fake_slurm_outputs"
DUMPS = sorted((*FOLDER.glob("*/jobs_*.txt"), *FOLDER.glob("*/nodes_*.txt")))
WITNESSED = frozenset({"real_25.05", "real_26.05"})
GOLDEN = [dump for dump in DUMPS if dump.parent.name not in WITNESSED]

SIMPLE = sorted((*FOLDER.glob("*/partitions*.txt"), *FOLDER.glob("*/reservations*.txt")))
"""Dumps of records that only administrators write."""

Items = list[Record | SetAside | Unchanged]


def dump_id(dump: Path) -> str:
    return str(dump.relative_to(FOLDER))


def kind_of(dump: Path) -> Kind:
    return JOBS if dump.name.startswith("jobs_") else NODES


def cluster_of(dump: Path) -> ClusterSettings:
    """The cluster that a dump counts as: beluga for its own folder, mila for the others."""
    beluga = dump.parent.name == "beluga"
    field: UsernameField = "cc_account_username" if beluga else "mila_cluster_username"
    return ClusterSettings(
        name="beluga" if beluga else "mila",
        timezone="America/Montreal",
        username_field=field,
        ssh=SshSettings(host="nowhere"),
    )


def seal_of(dump: Path) -> str:
    """The seal of the dumps whose names end in ``_sealed``."""
    if not dump.stem.endswith("_sealed"):
        return ""
    return "q7Rk2Xa" if dump.parent.name == "real_22.05" else "Ab3dE9x"


class DumpInquiry:
    """Answers about single jobs: squeue's list and the outputs that were stored beside a dump."""

    def __init__(self, dump: Path) -> None:
        group = dump.stem.removeprefix("jobs_").removesuffix("_sealed")
        listed = dump.with_name(f"squeue_{group}.txt")
        self._listed = read_list(listed.read_bytes()) if listed.exists() else None
        self._answers = dump.with_name(f"answers_{group}")
        self._seal = seal_of(dump)

    def owners(self) -> Mapping[str, str] | None:
        return self._listed

    def show(self, job_id: str) -> Answer | None:
        answer = self._answers / f"{job_id}.txt"
        return Answer([answer.read_bytes()], self._seal) if answer.exists() else None


def items_of(dump: Path, chunk_bytes: int = 1 << 20, *, reader: Reader | None = None) -> Items:
    """What a reader, a new one if none is given, makes of a dump; nothing if it holds no record."""
    text = dump.read_bytes()
    chunks = [text[start : start + chunk_bytes] for start in range(0, len(text), chunk_bytes)]
    reader = reader or Reader(kind_of(dump).table, cluster_of(dump))
    try:
        return list(reader.read(chunks, seal=seal_of(dump), inquiry=DumpInquiry(dump)))
    except NoAnswer:
        return []


def read(dump: Path) -> list[Any]:
    """What the dump gives, as its golden file has it."""
    reader = Reader(kind_of(dump).table, cluster_of(dump))
    try:
        items = list(
            reader.read([dump.read_bytes()], seal=seal_of(dump), inquiry=DumpInquiry(dump))
        )
    except NoAnswer as error:
        return [{"no answer": str(error)}]
    return [
        item.slurm if isinstance(item, Record) else {"set aside": item.reason, "ids": [*item.ids]}
        for item in items
        if not isinstance(item, Unchanged)
    ]


def read_simple(dump: Path) -> list[Any]:
    """What a dump of partitions or reservations gives."""
    kind = PARTITIONS if dump.name.startswith("partitions") else RESERVATIONS
    return read_simple_records(dump.read_bytes(), kind.table, cluster_of(dump))


def main() -> None:
    for dump in (*GOLDEN, *SIMPLE):
        golden = dump.with_suffix(".json")
        if not golden.exists():
            found = read_simple(dump) if dump in SIMPLE else read(dump)
            golden.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
