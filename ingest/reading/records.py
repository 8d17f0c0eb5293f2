"""A stream of scontrol's output to records, one at a time.

A record is handed on as soon as the next one is seen to begin, so that memory holds a few records
however long the output is.  In the multi-line form a record begins at the start of a line behind
a blank line, in ``-o`` at the start of a line; but a user's text can hold such a place too.  A
piece that lacks what every record has, or whose SubmitTime lacks the scrape's seal, is therefore
joined to the text before it, and so is one that follows such a piece.

What can't be read for certain is set aside with its text and the reason, and the rest goes on.
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from ingest.reading.pairs import REPEATED, RawPairs, Unreadable, read_pairs
from ingest.reading.parts import NoAnswer, ids_of
from ingest.reading.pieces import Contested, Output, Piece
from ingest.reading.record import KEPT_BYTES, Known, Record, SetAside, Unchanged, nothing_known
from ingest.slurm.grammar import LONGEST_BOUNDARY, Grammar

__all__ = [
    "KEPT_BYTES",
    "Known",
    "NoAnswer",
    "ReadingOptions",
    "Record",
    "SealMissing",
    "SetAside",
    "Unchanged",
    "Vouching",
    "nothing_known",
    "read_changes",
    "read_records",
]

MAX_RECORD_BYTES = 1 << 20
"""A record longer than this is set aside; its text is kept up to `KEPT_BYTES`."""
MAX_DEFERRED = 1000
"""Records that wait for a key to be vouched for; more are set aside at once."""
MAX_CONTESTED_BYTES = 32 << 20
"""Text that waits for the list of true ids; more is set aside at once."""
MAX_KEYS_OF_AN_OWNER = 100
"""Unknown keys that one user can be the first to show: his texts can hold any number of them."""

LATEST_IDS = 1000
"""Ids that are kept as they are before they are packed."""

_SPOOL_BYTES = 8 << 20
_DOUBLED = "two records bear this id"


class SealMissing(Exception):
    """scontrol printed its times without the seal that it was asked for."""


@dataclass
class Vouching:
    """Which keys unknown to the grammar are Slurm's own: records of two users have shown them."""

    _owners: dict[str, set[str]] = field(default_factory=dict)
    _firsts: Counter[str] = field(default_factory=Counter)
    """How many keys each owner was the first to show."""

    def note(self, key: str, owner: str) -> None:
        """*owner*'s record shows *key*."""
        owners = self._owners.get(key)
        if owners is not None and len(owners) < 2:
            owners.add(owner)
        elif owners is None and self._firsts[owner] < MAX_KEYS_OF_AN_OWNER:
            self._firsts[owner] += 1
            self._owners[key] = {owner}

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and len(self._owners.get(key, ())) > 1


class _AllVouchedFor:
    """Every key: to see what a record would say if its unknown keys were Slurm's own."""

    def __contains__(self, key: object) -> bool:
        return True


def read_records(
    chunks: Iterable[bytes],
    grammar: Grammar,
    *,
    seal: str = "",
    vouching: Vouching | None = None,
    listed: Callable[[], Container[str]] = tuple,
    max_bytes: int = MAX_RECORD_BYTES,
) -> Iterator[Record | SetAside]:
    """The records of scontrol's output, in either form, as they come in.

    *chunks* is the output in pieces of any size.  With a *seal* (see `scraper.slurm_commands`) a
    forged record is a part of its carrier's text; without one, the output is read twice so that two
    records of one id can both be set aside.  *vouching* is kept by the caller from one output to
    the next.  *listed* gives the ids of all jobs that there are; with a seal it is called at the
    output's end, and only when text alone can't tell where a record begins.

    Raises `NoAnswer` for an output that says nothing, and `SealMissing` when there is a seal that
    scontrol ignored, both before the first record.
    """
    options: ReadingOptions = {"seal": seal, "vouching": vouching, "listed": listed}
    for item in read_changes(chunks, grammar, nothing_known, max_bytes=max_bytes, **options):
        if not isinstance(item, Unchanged):
            yield item


class ReadingOptions(TypedDict, total=False):
    """Options of `read_records` and `read_changes`."""

    seal: str
    vouching: Vouching | None
    listed: Callable[[], Container[str]]


def read_changes(
    chunks: Iterable[bytes],
    grammar: Grammar,
    known: Known,
    *,
    seal: str = "",
    vouching: Vouching | None = None,
    listed: Callable[[], Container[str]] = tuple,
    max_bytes: int = MAX_RECORD_BYTES,
) -> Iterator[Record | SetAside | Unchanged]:
    """As `read_records`, but for the records whose texts are *known*, which are not read again.

    What is known holds good as long as *vouching* does: the caller keeps both, for one cluster and
    kind.
    """
    vouching = Vouching() if vouching is None else vouching
    if seal:
        output = Output(chunks, grammar, seal, max_bytes)
        yield from _read(output, vouching, frozenset(), listed, known)
    elif isinstance(chunks, Sequence):
        yield from _read_twice(lambda: chunks, grammar, known, vouching, max_bytes)
    else:
        with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as spool:
            for chunk in chunks:  # writelines would look at the spool's size at its end alone
                spool.write(chunk)
            yield from _read_twice(lambda: _chunks_of(spool), grammar, known, vouching, max_bytes)


def _read_twice(
    chunks: Callable[[], Iterable[bytes]],
    grammar: Grammar,
    known: Known,
    vouching: Vouching,
    max_bytes: int,
) -> Iterator[Record | SetAside | Unchanged]:
    doubled: frozenset[str] = frozenset()
    if _may_hold_doubles(chunks(), grammar):
        doubled = _doubled(Output(chunks(), grammar, "", max_bytes))
    output = Output(chunks(), grammar, "", max_bytes)
    yield from _read(output, vouching, doubled, tuple, nothing_known if doubled else known)


def _may_hold_doubles(chunks: Iterable[bytes], grammar: Grammar) -> bool:
    """Whether two records could bear one id: it stands twice where a record could begin."""
    seen: set[bytes] = set()
    rest = b"\n"
    for chunk in chunks:
        text = rest + chunk
        found = grammar.starting_id.findall(text)
        number = len(seen)
        seen.update(found)
        if len(seen) < number + len(found):
            return True
        # What may be the first part of a start, but no start that was found.
        rest = text[max(text.rfind(b"\n"), 0) :]
        if len(rest) > LONGEST_BOUNDARY or grammar.starting_id.match(rest):
            rest = b""
    return False


def _doubled(output: Output) -> frozenset[str]:
    """The ids that more than one piece of *output* may stand for."""
    counts: Counter[str] = Counter()
    for piece in output.pieces():
        if isinstance(piece, Record):
            counts[piece.id] += 1
        elif isinstance(piece, bytes | Contested):
            text = piece if isinstance(piece, bytes) else piece.text
            counts.update(ids_of(text, output.form.grammar))
    return frozenset(record_id for record_id, count in counts.items() if count > 1)


def _chunks_of(file: "tempfile.SpooledTemporaryFile[bytes]") -> Iterator[bytes]:
    file.seek(0)
    while chunk := file.read(1 << 16):
        yield chunk


def _read(
    output: Output,
    vouching: Vouching,
    doubled: frozenset[str],
    listed: Callable[[], Container[str]],
    known: Known,
) -> Iterator[Record | SetAside | Unchanged]:
    deferred: list[bytes] = []
    for piece in _divided(output, listed, known):
        if not isinstance(piece, bytes):
            if doubled and isinstance(piece, Record) and piece.id in doubled:
                yield output.form.set_aside(piece.text, _DOUBLED)
            else:
                yield piece
            continue
        if doubled and doubled.intersection(ids_of(piece, output.form.grammar)):
            yield output.form.set_aside(piece, _DOUBLED)
            continue
        sealed = output.form.normal(piece)
        if sealed and (record_id := known((sealed,))[0]) is not None:
            yield Unchanged((record_id,))
            continue
        try:
            yield _record(piece, output, vouching)
        except Unreadable as error:
            if error.unknown and len(deferred) < MAX_DEFERRED:
                deferred.append(piece)
                continue
            yield output.form.set_aside(piece, str(error))
    for piece in deferred:
        try:
            yield _record(piece, output, vouching)
        except Unreadable as error:
            yield output.form.set_aside(piece, str(error))


def _divided(
    output: Output, listed: Callable[[], Container[str]], known: Known
) -> Iterator[bytes | Record | SetAside | Unchanged]:
    """The pieces of *output*; those that are contested come last, divided by the ids *listed*."""
    waiting: list[Contested] = []
    size = 0
    latest: list[str] = []  # ids of records that are there for certain
    noted = bytearray()  # those before; a set of them takes much room
    for piece in _sealed(output, known):
        if isinstance(piece, Contested):
            if output.form.certain and size < MAX_CONTESTED_BYTES:
                waiting.append(piece)
                size += len(piece.text)
                noted += f"{output.form.first_id(piece.parts[0][0])}\n".encode()
            else:
                yield output.contested(piece)
            continue
        if output.form.certain:
            latest += _ids_for_certain(piece, output)
            if len(latest) >= LATEST_IDS:
                noted += "\n".join((*latest, "")).encode()
                latest.clear()
        yield piece
    if not waiting:
        return
    ids = listed()
    certain = {*latest, *noted.decode().split("\n")}
    for contested in waiting:
        starts = {"": 0}
        for number, (part, says) in enumerate(contested.parts):
            name = output.form.first_id(part)
            if name in ids and name not in certain and (says or name not in starts):
                starts[name] = number
        records = contested.divided(sorted(starts.values()))
        yield from records
        if not records:
            yield output.contested(contested)


def _ids_for_certain(piece: bytes | Record | SetAside | Unchanged, output: Output) -> Sequence[str]:
    """The ids of the records that *piece* is."""
    if isinstance(piece, Record):
        return (piece.id,)
    if isinstance(piece, Unchanged):
        return piece.ids
    return (output.form.first_id(piece),) if isinstance(piece, bytes) else ()


def _sealed(output: Output, known: Known) -> Iterator[Piece]:
    """The pieces, which wait for the first that bears the seal. Raises `SealMissing` if none does.

    One that lacks it says nothing: it may be a part of a user's text.
    """
    pieces = output.pieces(known)
    if output.form.certain:
        first = []
        for piece in pieces:
            first.append(piece)
            if output.bears_seal(piece):
                break
        else:
            if first:
                raise SealMissing
        yield from first
    yield from pieces


def _record(piece: bytes, output: Output, vouching: Vouching) -> Record:
    text = piece.decode("utf-8", "surrogateescape")
    form = output.form
    grammar, seal = form.grammar, form.seal

    def read(vouched: Container[str]) -> RawPairs:
        return read_pairs(text, grammar, multi_line=form.multi_line, seal=seal, vouched=vouched)

    try:
        raw = read(vouching)
    except Unreadable as error:
        if error.unknown:
            owner = _owner(read(_AllVouchedFor()))
            for key in error.unknown:
                vouching.note(key, owner)
        raise
    for pair in raw.pairs:
        if pair.key not in grammar.keys and pair.key not in REPEATED:
            vouching.note(pair.key, _owner(raw))
    if seal:
        pairs = tuple(pair._replace(value=pair.value.replace(seal, "")) for pair in raw.pairs)
        raw = RawPairs(pairs, raw.end)
    output.learn(piece, raw)
    return Record(raw.text().encode("utf-8", "surrogateescape"), raw, form.normal(piece) or b"")


def _owner(raw: RawPairs) -> str:
    return next((pair.value for pair in raw.pairs if pair.key == "UserId"), "")
