"""Every record of two real Slurms says what Slurm's own JSON of the same moment says.

Users of these clusters did what they could to be misread.  Their texts are told in the INDEX.md of
each folder.  Only jobs whose text can be read in more than one way are set aside, and what is read
is right.
"""

from functools import cache
from pathlib import Path

import pytest

from config import ClusterSettings
from ingest.reading.reader import Reader
from ingest.reading.records import Record, SetAside
from tests.ingest.reading.golden import DUMPS, WITNESSED, DumpInquiry, dump_id, kind_of, seal_of
from tests.ingest.reading.witness import differences, read_witness
from tests.support.reading import CLUSTER

REAL = [dump for dump in DUMPS if dump.parent.name in WITNESSED]
UTC: ClusterSettings = CLUSTER.model_copy(update={"timezone": "UTC"})
"""The time zone of the hosts."""

ASIDE = {
    # A text of several lines with a line of Slurm's own or with an unknown key, and a script's
    # argument that holds the end of a record.
    "real_25.05/jobs_sealed": {*("22", "94", "107", "187"), *("23", "48", "174", "185"), "145"},
    "real_26.05/jobs_sealed": {
        *("23", "98", "111", "115", "194"),
        *("24", "51", "113", "180", "192"),
        *("151", "153"),
    },
    # A text with a key of Slurm's own among its words.
    "real_25.05/jobs_oneline": {"22", "29", "94", "99", "107", "159", "187", "145"},
    "real_26.05/jobs_oneline": {
        *("23", "30", "98", "103", "111", "114", "115", "163", "194"),
        *("150", "151", "152", "153"),
    },
}
# Without the seal, a record that a text of its own cuts in two may belong to the job before, 150.
ASIDE["real_25.05/jobs_plain"] = ASIDE["real_25.05/jobs_sealed"]
ASIDE["real_26.05/jobs_plain"] = ASIDE["real_26.05/jobs_sealed"] | {"150", "152"}
for _folder in WITNESSED:
    ASIDE[f"{_folder}/jobs_detail"] = ASIDE[f"{_folder}/jobs_plain"]
    ASIDE[f"{_folder}/jobs_detail_oneline"] = ASIDE[f"{_folder}/jobs_oneline"]
    # A comment with "State=FAKE" on a line of its own, and a reason with "State=IDLE Comment=x".
    ASIDE[f"{_folder}/nodes_oneline"] = {"cn-a003"}
# SLUID stands between JobName and HetJobIdSet, so that "Lr=0.1 HetJobIdSet=3" is a name.
ASIDE["real_26.05/jobs_detail_oneline"] = ASIDE["real_26.05/jobs_oneline"] - {"103"}

FORGED = {"999901", "999902"}
"""Ids that stand in texts alone."""

OWN_KEYS = {("real_25.05", "109")}
"""A job whose user wrote a line with an unknown key behind a path of StdOut, where a later Slurm
would print such a key: it is read as a key of this job (docs/how_records_are_read.md)."""


@cache
def read(dump: Path) -> tuple[list[Record], set[str]]:
    """The records of a dump, and the ids of those set aside."""
    reader = Reader(kind_of(dump).table, UTC)
    found = list(reader.read([dump.read_bytes()], seal=seal_of(dump), inquiry=DumpInquiry(dump)))
    aside = {name for item in found if isinstance(item, SetAside) for name in item.ids}
    return [item for item in found if isinstance(item, Record)], aside


@pytest.mark.parametrize("dump", REAL, ids=dump_id)
def test_every_record_is_read_but_for_those_with_two_readings(dump: Path) -> None:
    witness = read_witness(dump.parent, kind_of(dump))
    records, aside = read(dump)
    expected = ASIDE.get(dump_id(dump).removesuffix(".txt"), set())
    assert aside - FORGED == expected
    assert sorted(record.id for record in records) == sorted(witness.keys() - expected)


@pytest.mark.parametrize("dump", REAL, ids=dump_id)
def test_what_is_read_is_what_slurm_says_in_json(dump: Path) -> None:
    kind = kind_of(dump)
    witness = read_witness(dump.parent, kind)
    has_details = "detail" in dump.stem
    wrong = {
        record.id: found
        for record in read(dump)[0]
        if (found := differences(record.slurm, witness[record.id], kind, details=has_details))
        and (dump.parent.name, record.id) not in OWN_KEYS
    }
    assert wrong == {}


@pytest.mark.parametrize("dump", REAL, ids=dump_id)
def test_no_key_is_invented(dump: Path) -> None:
    for record in read(dump)[0]:
        if (dump.parent.name, record.id) not in OWN_KEYS:
            assert record.slurm.keys() <= kind_of(dump).table.documents


VOLATILE = {"run_time", "cpu_load", "free_mem", "last_sched_eval"}
DETAILS = {"sluid", "derived_exit_code", "job_gres", "alloc_groups", "gres_used", "gres_drain"}


@pytest.mark.parametrize("folder", sorted(WITNESSED))
@pytest.mark.parametrize("plural", ["jobs", "nodes"])
def test_all_forms_give_the_same_documents(folder: str, plural: str) -> None:
    documents: dict[str, dict[str, object]] = {}
    dumps = [dump for dump in REAL if dump.parent.name == folder and plural in dump.name]
    for dump in dumps:
        for record in read(dump)[0]:
            if plural == "nodes" and "\n" in str(record.slurm.get("reason", "")):
                continue  # -o prints other spaces
            slurm = {
                name: value
                for name, value in record.slurm.items()
                if name not in VOLATILE | DETAILS
            }
            if (folder, record.id) not in OWN_KEYS:
                assert documents.setdefault(record.id, slurm) == slurm, (dump.name, record.id)
    assert len(dumps) == (5 if plural == "jobs" else 3)
    assert len(documents) > (190 if plural == "jobs" else 15)


def test_each_user_of_a_strange_name_is_read() -> None:
    records, _ = read(REAL[0].parent.parent / "real_26.05" / "jobs_plain.txt")
    owners = {record.slurm["mila_cluster_username"] for record in records}
    assert {"EXAMPLE\\jdoe", "jdoe@example.org", "john doe", "bob(x) y", "alice26"} <= owners
