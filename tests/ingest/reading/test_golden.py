"""Every dump gives the documents that stand beside it, and loses nothing on the way."""

import json
from pathlib import Path

import pytest

from ingest.reading.reader import Reader
from ingest.reading.records import Record, SetAside, Unchanged
from ingest.slurm.kinds import JOBS
from tests.ingest.reading.golden import (
    DUMPS,
    GOLDEN,
    cluster_of,
    dump_id,
    items_of,
    kind_of,
    read,
    seal_of,
)
from tests.ingest.reading.reference import decision_of, document_of


@pytest.mark.parametrize("dump", GOLDEN, ids=dump_id)
def test_a_dump_gives_its_documents(dump: Path) -> None:
    assert read(dump) == json.loads(dump.with_suffix(".json").read_text())


@pytest.mark.parametrize("dump", DUMPS, ids=dump_id)
def test_the_raw_pairs_of_a_dump_are_its_text_again_byte_for_byte(dump: Path) -> None:
    seal = seal_of(dump).encode()
    whole = dump.read_bytes().lstrip().replace(seal, b"") if seal else dump.read_bytes().lstrip()
    again = [
        item.raw.text().encode("utf-8", "surrogateescape")
        if isinstance(item, Record)
        else item.text.replace(seal, b"")
        for item in items_of(dump)
        if not isinstance(item, Unchanged)
    ]
    # In its order, but for records that could be told only at the end.
    again.sort(key=whole.find)
    assert b"".join(again) == whole or not again


@pytest.mark.parametrize("dump", DUMPS, ids=dump_id)
def test_a_record_and_its_raw_pairs_are_the_same_bytes(dump: Path) -> None:
    for item in items_of(dump):
        if isinstance(item, Record):
            assert item.raw.text().encode("utf-8", "surrogateescape") == item.text


@pytest.mark.parametrize("dump", DUMPS, ids=dump_id)
def test_a_dump_in_chunks_of_any_size_gives_the_same(dump: Path) -> None:
    whole = items_of(dump)
    sizes = (1, 100, 4096) if dump.stat().st_size < 20_000 else (900, 65536)
    for size in sizes:
        assert items_of(dump, size) == whole, size


@pytest.mark.parametrize("dump", DUMPS, ids=dump_id)
def test_every_pair_that_was_printed_is_in_the_document(dump: Path) -> None:
    table = kind_of(dump).table
    for item in items_of(dump):
        if not isinstance(item, Record):
            continue
        keys = {pair.key for pair in item.raw.pairs}
        groups = {key for key in keys if key in table.keys and table.keys[key].place == "group"}
        keys -= groups
        keys.discard("Reservation" if "resv_name" not in item.slurm else "")
        # UserId is two keys, cluster_name is the configuration's.
        own = 2 if kind_of(dump) is JOBS else 1
        assert len(item.slurm) == len(keys) + own + bool(groups)


@pytest.mark.parametrize("dump", DUMPS, ids=dump_id)
def test_the_short_way_through_a_record_gives_what_the_careful_way_gives(dump: Path) -> None:
    for item in items_of(dump):
        if isinstance(item, Record):
            assert decision_of(item) == item.decision, item.id
            assert document_of(item, cluster_of(dump)) == item.slurm, item.id


@pytest.mark.slow
def test_a_reader_that_read_other_outputs_reads_as_a_new_one() -> None:
    """What a reader keeps from one output to the next makes it fast, and changes nothing."""
    readers: dict[str, Reader] = {}
    for _ in range(2):
        for dump in DUMPS:
            new = items_of(dump)
            key = f"{kind_of(dump).plural} of {cluster_of(dump).name}"
            reader = readers.setdefault(key, Reader(kind_of(dump).table, cluster_of(dump)))
            kept = items_of(dump, reader=reader)
            if any("unknown key" in item.reason for item in new if isinstance(item, SetAside)):
                continue  # a place that other outputs have vouched for
            assert kept == new, dump.name
