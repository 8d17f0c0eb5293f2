"""The dumps of fake_slurm_outputs and the documents that they must give.

Beside ``jobs_21.08.txt`` stands ``jobs_21.08.json``: the ``slurm`` dicts of its records, and the
reasons of those set aside.  ``python -m tests.ingest.reading.golden`` writes the ones that are
missing, to be read by a person before they are committed; one that is there is never overwritten.
"""

import json
from pathlib import Path
from typing import Any

from config import ClusterSettings, SshSettings
from config.settings import UsernameField
from ingest.reading.reader import NoAnswer, Reader
from ingest.reading.records import Record, SetAside
from ingest.reading.squeue_check import read_list
from ingest.slurm.kinds import JOBS, NODES, Kind

FOLDER = Path(__file__).parents[3] / "fake_slurm_outputs"
DUMPS = sorted((*FOLDER.glob("*/jobs_*.txt"), *FOLDER.glob("*/nodes_*.txt")))
SEAL = "q7Rk2Xa"
"""The seal of the dumps whose names end in ``_sealed``."""


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
    return SEAL if dump.stem.endswith("_sealed") else ""


def listed_of(dump: Path) -> frozenset[str]:
    """The ids that squeue listed when the dump was made; none where it was not asked."""
    group = dump.stem.removeprefix("jobs_").removesuffix("_sealed")
    listed = dump.with_name(f"squeue_{group}.txt")
    return frozenset(read_list(listed.read_bytes()) if listed.exists() else ())


def read(dump: Path) -> list[Any]:
    """What the dump gives, as its golden file has it."""
    reader = Reader(kind_of(dump).table, cluster_of(dump))
    try:
        items = list(reader.read([dump.read_bytes()], seal=seal_of(dump)))
    except NoAnswer as error:
        return [{"no answer": str(error)}]
    return [
        {"set aside": item.reason, "ids": list(item.ids)}
        if isinstance(item, SetAside)
        else item.slurm
        for item in items
        if isinstance(item, Record | SetAside)
    ]


def main() -> None:
    for dump in DUMPS:
        golden = dump.with_suffix(".json")
        if not golden.exists():
            golden.write_text(json.dumps(read(dump), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
