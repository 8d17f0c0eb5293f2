"""Every dump gives the documents that stand beside it, and loses nothing on the way."""

import json
from pathlib import Path

import pytest

from ingest.reading.records import NoAnswer, Record, SetAside, read_records
from ingest.slurm.kinds import JOBS, documents
from tests.ingest.reading.golden import DUMPS, FOLDER, cluster_of, kind_of, listed_of, read, seal_of


def dump_id(dump: Path) -> str:
    return str(dump.relative_to(FOLDER))


@pytest.mark.parametrize("dump", DUMPS, ids=dump_id)
def test_a_dump_gives_its_documents(dump: Path) -> None:
    assert read(dump) == json.loads(dump.with_suffix(".json").read_text())


def records_of(dump: Path, chunk_bytes: int = 1 << 20) -> list[Record | SetAside]:
    text = dump.read_bytes()
    chunks = [text[start : start + chunk_bytes] for start in range(0, len(text), chunk_bytes)]
    try:
        grammar, listed = kind_of(dump).grammar, listed_of(dump)
        return list(read_records(chunks, grammar, seal=seal_of(dump), listed=lambda: listed))
    except NoAnswer:
        return []


@pytest.mark.parametrize("dump", DUMPS, ids=dump_id)
def test_the_raw_pairs_of_a_dump_are_its_text_again_byte_for_byte(dump: Path) -> None:
    seal = seal_of(dump).encode()
    whole = dump.read_bytes().lstrip().replace(seal, b"")
    again = [
        record.raw.text().encode("utf-8", "surrogateescape")
        if isinstance(record, Record)
        else record.text.replace(seal, b"")
        for record in records_of(dump)
    ]
    # In its order, but for records that could be told only at the end.
    again.sort(key=whole.find)
    assert b"".join(again) == whole or not again


@pytest.mark.parametrize("dump", DUMPS, ids=dump_id)
def test_a_dump_in_pieces_of_any_size_gives_the_same(dump: Path) -> None:
    for size in (1, 100, 4096):
        assert records_of(dump, size) == records_of(dump), size


@pytest.mark.parametrize("dump", DUMPS, ids=dump_id)
def test_every_pair_that_was_printed_is_in_the_document(dump: Path) -> None:
    for record in records_of(dump):
        if not isinstance(record, Record):
            continue
        (slurm,) = documents([record], kind_of(dump), cluster_of(dump))
        assert isinstance(slurm, dict)
        keys = {pair.key for pair in record.raw.pairs} - {"CPU_IDs", "Mem", "GRES", "GRES_IDX"}
        keys.discard("Reservation" if "resv_name" not in slurm else "")
        # UserId is two keys, cluster_name is the configuration's.
        assert len(slurm) == len(keys) + (2 if kind_of(dump) is JOBS else 1)
