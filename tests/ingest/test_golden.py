"""Every dump gives the documents that stand beside it, and loses nothing on the way."""

import json
from pathlib import Path

import pytest

from ingest.intake import JOBS, documents
from ingest.records import NoAnswer, Record, read_records
from tests.ingest.golden import DUMPS, FOLDER, cluster_of, kind_of, read


def dump_id(dump: Path) -> str:
    return str(dump.relative_to(FOLDER))


@pytest.mark.parametrize("dump", DUMPS, ids=dump_id)
def test_a_dump_gives_its_documents(dump: Path) -> None:
    assert read(dump) == json.loads(dump.with_suffix(".json").read_text())


@pytest.mark.parametrize("dump", DUMPS, ids=dump_id)
def test_the_raw_pairs_of_a_dump_are_its_text_again_byte_for_byte(dump: Path) -> None:
    text = dump.read_bytes()
    try:
        records = list(read_records([text], kind_of(dump).grammar))
    except NoAnswer:
        return
    again = b"".join(
        record.raw.text().encode("utf-8", "surrogateescape")
        if isinstance(record, Record)
        else record.text
        for record in records
    )
    assert again == text.lstrip() or not records


@pytest.mark.parametrize("dump", DUMPS, ids=dump_id)
def test_a_dump_in_pieces_of_any_size_gives_the_same(dump: Path) -> None:
    text = dump.read_bytes()
    grammar = kind_of(dump).grammar
    for size in (1, 100, 4096):
        chunks = [text[start : start + size] for start in range(0, len(text), size)]
        try:
            records = list(read_records(chunks, grammar))
        except NoAnswer:
            continue
        assert records == list(read_records([text], grammar)), size


@pytest.mark.parametrize("dump", DUMPS, ids=dump_id)
def test_every_pair_that_was_printed_is_in_the_document(dump: Path) -> None:
    try:
        records = list(read_records([dump.read_bytes()], kind_of(dump).grammar))
    except NoAnswer:
        return
    for record in records:
        if not isinstance(record, Record):
            continue
        (slurm,) = documents([record], kind_of(dump), cluster_of(dump))
        assert isinstance(slurm, dict)
        keys = {pair.key for pair in record.raw.pairs} - {"CPU_IDs", "Mem", "GRES", "GRES_IDX"}
        keys.discard("Reservation" if "resv_name" not in slurm else "")
        # UserId is two keys, cluster_name is the configuration's.
        assert len(slurm) == len(keys) + (2 if kind_of(dump) is JOBS else 1)
