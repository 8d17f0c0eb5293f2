"""What must hold for the reader whatever it is given: for the fuzzer, and for what it found."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timezone

import orjson
from bson import Binary, encode

from ingest.documents.fingerprints import finished_at
from ingest.reading.reader import NoAnswer, Reader, SealMissing
from ingest.reading.records import Record, SetAside, Unchanged
from ingest.slurm.kinds import JOBS, NODES, Kind
from tests.ingest.reading.reference import document_of
from tests.support.reading import CLUSTER, SEAL

Items = list[Record | SetAside | Unchanged]

CHUNK_BYTES = (1, 2, 7, 64, 1000, 1 << 20)
MAX_BYTES = (1 << 20, 300)
OPTIONS_BYTES = 1
"""What of an input says how the rest is read."""


@dataclass(frozen=True)
class Reading:
    """One way to read an output."""

    kind: Kind
    seal: str
    chunk_bytes: int
    max_bytes: int

    @classmethod
    def of(cls, options: int) -> "Reading":
        """Return the way that a number below 256 stands for."""
        options, kind = divmod(options, 2)
        options, sealed = divmod(options, 2)
        options, limit = divmod(options, 8)
        return cls(
            (JOBS, NODES)[kind],
            SEAL if sealed else "",
            CHUNK_BYTES[options % len(CHUNK_BYTES)],
            MAX_BYTES[limit == 7],
        )

    def items(self, text: bytes) -> Items:
        """Return what the reader makes of *text*. Raises `NoAnswer` and `SealMissing`."""
        chunks = (
            text[start : start + self.chunk_bytes]
            for start in range(0, len(text), self.chunk_bytes)
        )
        reader = Reader(self.kind.table, CLUSTER, self.max_bytes)
        return list(reader.read(chunks, seal=self.seal))


def check(data: bytes) -> None:
    """Read *data* in the way that its first byte stands for; AssertionError where a rule breaks."""
    if len(data) < OPTIONS_BYTES:
        return
    reading, text = Reading.of(data[0]), data[OPTIONS_BYTES:]
    whole = Reading(reading.kind, reading.seal, max(1, len(text)), reading.max_bytes)
    is_cut_short = len(text) > reading.max_bytes
    items = _outcome(reading, text)
    if not is_cut_short:
        assert items == _outcome(whole, text), "the size of the chunks matters"
    if isinstance(items, str):
        return
    if not is_cut_short:
        _check_nothing_is_lost(items, text, reading.seal.encode())
    for item in items:
        if isinstance(item, Record):
            again = item.raw.text().encode("utf-8", "surrogateescape")
            assert again == item.text, "the pairs are not the text"
            assert item.slurm == document_of(item, CLUSTER), "a record is read otherwise by itself"
            assert item.slurm["cluster_name"] == CLUSTER.name
            assert item.slurm[reading.kind.id_key] == item.id
            orjson.dumps(item.slurm)
            finished_at(item.slurm, datetime(2026, 11, 24, tzinfo=timezone.utc))
            encode(item.slurm)
        elif isinstance(item, SetAside):
            assert item.reason
            encode({"ids": list(item.ids), "reason": item.reason, "text": Binary(item.text)})


def _outcome(reading: Reading, text: bytes) -> Items | str:
    """The records, or which error says that there are none."""
    try:
        return reading.items(text)
    except (NoAnswer, SealMissing) as error:
        return type(error).__name__


def _check_nothing_is_lost(items: Items, text: bytes, seal: bytes) -> None:
    """Every byte is in a record or set aside, but for spaces and newlines before the first record,
    behind the last one, and around what else stands there."""
    if not items:
        return
    kept = b"".join(item.text for item in items if not isinstance(item, Unchanged))
    text = text.replace(b"\0", b"\xc0\x80")
    if seal:
        kept, text = kept.replace(seal, b""), text.replace(seal, b"")
        if seal in kept + text:
            return  # what stood around a seal made another one
    lost = Counter(text) - Counter(kept)
    assert not Counter(kept) - Counter(text), "a text was changed"
    assert not bytes(lost).strip(), "a text was lost"
    spaces = len(text) - len(text.lstrip())
    if not seal:
        # A record that waited for a key to be vouched for comes behind what stands behind it.
        aside = [item.text for item in items if isinstance(item, SetAside)]
        noise = min((each for each in aside if text.rstrip().endswith(each)), key=len, default=b"")
        before = text.rstrip().removesuffix(noise)
        spaces += len(text) - len(text.rstrip()) + len(before) - len(before.rstrip())
    assert lost.total() <= spaces, "spaces were lost inside"
