"""What must hold for the reader whatever it is given: for the fuzzer, and for what it found."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from unittest.mock import patch

import orjson
from bson import Binary, encode

from config import ClusterSettings, SshSettings
from ingest.reading.layouts import Layouts
from ingest.reading.records import NoAnswer, Record, SealMissing, SetAside, read_records
from ingest.slurm.kinds import JOBS, NODES, Kind, documents
from ingest.sync.fingerprints import finished_at
from tests.ingest.reading.attacks import SEAL

Items = list[Record | SetAside]

CLUSTER = ClusterSettings(
    name="mila",
    timezone="America/Montreal",
    username_field="mila_cluster_username",
    ssh=SshSettings(host="nowhere"),
)
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
        """The way that a number below 256 stands for."""
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
        """What the reader makes of *text*. Raises `NoAnswer` and `SealMissing`."""
        chunks = (
            text[start : start + self.chunk_bytes]
            for start in range(0, len(text), self.chunk_bytes)
        )
        grammar = self.kind.grammar
        return list(read_records(chunks, grammar, seal=self.seal, max_bytes=self.max_bytes))


@contextmanager
def careful() -> Iterator[None]:
    """No record is read by the layout of others."""
    with patch.object(Layouts, "read", _nothing), patch.object(Layouts, "learn", _nothing):
        yield


def _nothing(*_: object) -> None:
    pass


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
    with careful():
        assert items == _outcome(reading, text), "a record is read otherwise by its layout"
    if isinstance(items, str):
        return
    if not is_cut_short:
        _check_nothing_is_lost(items, text, reading.seal.encode())
    for item in items:
        if isinstance(item, Record):
            again = item.raw.text().encode("utf-8", "surrogateescape")
            assert again == item.text, "the pairs are not the text"
    for made in _stored(items, reading.kind):
        encode(made)
    assert list(documents(items, reading.kind, CLUSTER)) == _carefully_made(items, reading.kind)


def _outcome(reading: Reading, text: bytes) -> Items | str:
    """The records, or which error says that there are none."""
    try:
        return reading.items(text)
    except (NoAnswer, SealMissing) as error:
        return type(error).__name__


def _check_nothing_is_lost(items: Items, text: bytes, seal: bytes) -> None:
    """Every byte is in a record or set aside; empty lines before the first record are nothing."""
    if not items:
        return
    kept = b"".join(item.text for item in items)
    if seal:
        kept, text = kept.replace(seal, b""), text.replace(seal, b"")
        if seal in kept + text:
            return  # what stood around a seal made another one
    lost = len(text) - len(kept)
    assert lost >= 0
    assert not text[:lost].strip(), "a text was lost"
    assert sorted(kept) == sorted(text[lost:]), "a text was changed"


def _carefully_made(items: Items, kind: Kind) -> list[object]:
    """The documents made of raw pairs alone."""
    whole = [Record(each.text, each.raw) if isinstance(each, Record) else each for each in items]
    return list(documents(whole, kind, CLUSTER))


def _stored(items: Items, kind: Kind) -> Iterator[dict[str, object]]:
    """What would be sent to Mongo."""
    for found in documents(items, kind, CLUSTER):
        if isinstance(found, SetAside):
            assert found.reason
            yield {"ids": list(found.ids), "reason": found.reason, "text": Binary(found.text)}
            continue
        assert found["cluster_name"] == CLUSTER.name
        assert found[kind.id_key]
        orjson.dumps(found)
        finished_at(found, datetime(2026, 11, 24, tzinfo=timezone.utc))
        yield found
