"""A stream of scontrol's output to records, one at a time.

A record is handed on as soon as the next one is seen to begin, so that memory holds a few records
however long the output is.  In the multi-line form a record begins at the start of a line behind
a blank line, in ``-o`` at the start of a line; but a user's text can hold such a place too.  A
piece that lacks what every record has, or whose SubmitTime lacks the scrape's seal, is therefore
joined to the text before it, and so is one that follows such a piece.

What can't be read for certain is set aside with its text and the reason, and the rest goes on.
"""

import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from ingest.grammar import Grammar
from ingest.pairs import REPEATED, RawPairs, Unreadable, read_pairs

MAX_RECORD_BYTES = 1 << 20
"""A record longer than this is set aside; its text is kept up to `KEPT_BYTES`."""
KEPT_BYTES = 64 << 10
MAX_DEFERRED = 1000
"""Records that wait for a key to be vouched for; more are set aside at once."""

_EMPTY = re.compile(rb"\s*No (jobs|nodes) in the system\s*")
_OVERLAP = 600  # longer than any place where a record begins, so none is missed between chunks
_USER_ID = re.compile(r"[\n ]UserId=(\S+)")
_SPOOL_BYTES = 8 << 20


@dataclass(frozen=True)
class Record:
    """One record as scontrol printed it, and its raw pairs. The seal is taken off both."""

    text: bytes
    raw: RawPairs


@dataclass(frozen=True)
class SetAside:
    """Text that is no record, or none that can be read for certain."""

    text: bytes
    """At most `KEPT_BYTES` of it."""
    reason: str
    ids: tuple[str, ...]
    """Ids (JobId or NodeName) of the records that it may hold: known to be there, not read."""


class NoAnswer(Exception):
    """An output without a record, in which scontrol does not say that there is none."""


class SealMissing(Exception):
    """scontrol printed its times without the seal that it was asked for."""


@dataclass
class Vouching:
    """Which keys unknown to the grammar are Slurm's own: records of two users have shown them."""

    owners: dict[str, set[str]] = field(default_factory=dict)

    def note(self, key: str, owner: str) -> None:
        """*owner*'s record shows *key*."""
        owners = self.owners.setdefault(key, set())
        if len(owners) < 2 and len(self.owners) <= 1000:
            owners.add(owner)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and len(self.owners.get(key, ())) > 1


def read_records(
    chunks: Iterable[bytes],
    grammar: Grammar,
    *,
    seal: str = "",
    vouching: Vouching | None = None,
    max_bytes: int = MAX_RECORD_BYTES,
) -> Iterator[Record | SetAside]:
    """The records of scontrol's output, in either form, as they come in.

    *chunks* is the output in pieces of any size.  With a *seal* (see `scraper.commands`) a forged
    record is a part of its carrier's text; without one, the output is read twice so that two
    records of one id can both be set aside.  *vouching* is kept by the caller from one output to
    the next.

    Raises `NoAnswer` for an output that says nothing, and `SealMissing` when there is a seal that
    scontrol ignored, both before the first record.
    """
    vouching = Vouching() if vouching is None else vouching
    if seal:
        yield from _read(chunks, grammar, seal, vouching, max_bytes, frozenset())
        return
    with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as spool:
        spool.writelines(chunks)
        spool.seek(0)
        counts = Counter(
            record_id
            for piece in _Output(_chunks_of(spool), grammar, "", max_bytes).pieces()
            if not isinstance(piece, SetAside)
            for record_id in _ids(piece, grammar)
        )
        spool.seek(0)
        contested = frozenset(record_id for record_id, count in counts.items() if count > 1)
        yield from _read(_chunks_of(spool), grammar, "", vouching, max_bytes, contested)


def _chunks_of(file: "tempfile.SpooledTemporaryFile[bytes]") -> Iterator[bytes]:
    while chunk := file.read(1 << 16):
        yield chunk


def _read(
    chunks: Iterable[bytes],
    grammar: Grammar,
    seal: str,
    vouching: Vouching,
    max_bytes: int,
    contested: frozenset[str],
) -> Iterator[Record | SetAside]:
    output = _Output(chunks, grammar, seal, max_bytes)
    deferred: list[bytes] = []
    for piece in output.pieces():
        if isinstance(piece, SetAside):
            yield piece
            continue
        if contested and contested.intersection(_ids(piece, grammar)):
            yield _set_aside(piece, "two records bear this id", grammar)
            continue
        try:
            yield _record(piece, output, vouching)
        except Unreadable as error:
            if error.unknown and len(deferred) < MAX_DEFERRED:
                deferred.append(piece)
                continue
            yield _set_aside(piece, str(error), grammar)
    for piece in deferred:
        try:
            yield _record(piece, output, vouching)
        except Unreadable as error:
            yield _set_aside(piece, str(error), grammar)


def _record(piece: bytes, output: "_Output", vouching: Vouching) -> Record:
    text = piece.decode("utf-8", "surrogateescape")
    grammar, seal = output.grammar, output.seal
    owner = _USER_ID.search(text)
    try:
        raw = read_pairs(text, grammar, multi_line=output.multi_line, seal=seal, vouched=vouching)
    except Unreadable as error:
        for key in error.unknown:
            vouching.note(key, owner[1] if owner else "")
        raise
    for pair in raw.pairs:
        if pair.key not in grammar.keys and pair.key not in REPEATED:
            vouching.note(pair.key, owner[1] if owner else "")
    if seal:
        piece = piece.replace(seal.encode(), b"")
        pairs = tuple(pair._replace(value=pair.value.replace(seal, "")) for pair in raw.pairs)
        raw = RawPairs(pairs, raw.end)
    return Record(piece, raw)


def _set_aside(piece: bytes, reason: str, grammar: Grammar) -> SetAside:
    return SetAside(piece[:KEPT_BYTES], reason, _ids(piece, grammar))


def _ids(piece: bytes, grammar: Grammar) -> tuple[str, ...]:
    """The ids that *piece* may stand for: its own, and those of records that begin inside it."""
    starts = [0, *(match.end() for match in grammar.boundary_o.finditer(piece))]
    offset = len(grammar.first_key) + 1
    ids = (re.match(rb"[^ \n]*", piece[start + offset : start + offset + 300]) for start in starts)
    return tuple(dict.fromkeys(found[0].decode("utf-8", "replace") for found in ids if found))


# --- pieces ----------------------------------------------------------------------------------


class _Output:
    """One output of scontrol, cut into records while it comes in."""

    def __init__(
        self, chunks: Iterable[bytes], grammar: Grammar, seal: str, max_bytes: int
    ) -> None:
        self.grammar = grammar
        self.seal = seal
        self.multi_line = True
        """Its form; known from the first piece on."""
        self._chunks = _with_end(chunks)
        self._max_bytes = max_bytes

    def pieces(self) -> Iterator[bytes | SetAside]:
        """A piece a record; what only looked like the start of one is joined to its record."""
        held = b""
        dropping = False  # what is left of a record that was too long
        for piece in self._cut():
            if isinstance(piece, SetAside):
                if held:
                    yield held
                held, dropping = b"", piece.ids != ()
                yield piece
            elif dropping and not self._can_begin(piece):
                continue
            elif not held:
                held, dropping = piece, False
            elif self._can_end(held) and self._can_begin(piece):
                yield held
                held = piece
            else:
                held += piece
                if len(held) > self._max_bytes:
                    yield self._too_long(held)
                    held, dropping = b"", True
        if held:
            yield held

    def _can_begin(self, piece: bytes) -> bool:
        """Whether *piece* holds every key that a record must have, each in its kind of place."""
        for _, key in self.grammar.mandatory[1:]:
            opens = self.multi_line and self.grammar.keys[key].opens_line
            if b"%s%s=" % (b"\n   " if opens else b" ", key.encode()) not in piece:
                return False
        if self.seal and self.grammar.hostile:
            return re.search(rb"[ \n]SubmitTime=\S*" + self.seal.encode(), piece) is not None
        return True

    def _can_end(self, piece: bytes) -> bool:
        """Whether nothing is missing at the end of *piece*: its rest would be in the next one."""
        if not self._can_begin(piece):
            return False
        if self.seal or not self.grammar.hostile:
            return True  # the next piece has a SubmitTime of its own, so it is no rest of this one
        separator = b"\n   " if self.multi_line else b" "
        return b" BatchFlag=1 " not in piece or separator + b"StdOut=" in piece

    def _cut(self) -> Iterator[bytes | SetAside]:
        """The output cut wherever a record could begin; what is no record is set aside."""
        buffer, noise = self._first_record()
        if noise is not None:
            yield noise
        if not buffer:
            return
        boundary = self.grammar.boundary if self.multi_line else self.grammar.boundary_o
        too_long = b""
        scanned = 0
        for chunk in chain([b""], self._chunks):
            buffer += chunk
            begin = 0
            for match in boundary.finditer(buffer, scanned):
                piece = too_long or buffer[begin : match.end()]
                begin = match.end()
                whole = not too_long and len(piece) <= self._max_bytes
                yield piece if whole else self._too_long(piece)
                too_long = b""
            buffer = buffer[begin:]
            if len(buffer) > self._max_bytes and not too_long:
                too_long = buffer[:KEPT_BYTES]
            if too_long:
                buffer = buffer[-_OVERLAP:]
            scanned = max(0, len(buffer) - _OVERLAP)
        yield self._too_long(too_long) if too_long else buffer

    def _first_record(self) -> tuple[bytes, SetAside | None]:
        """The output from its first record on, enough to tell its form; what stood before that."""
        buffer = b""
        first = None
        for chunk in self._chunks:
            buffer += chunk
            first = re.search(rb"(?:\A|\n)(?=%s=)" % self.grammar.first_key.encode(), buffer)
            second = first and self.grammar.boundary_o.search(buffer, first.end())
            if second or len(buffer) > self._max_bytes:
                break
        if first is None:
            if _EMPTY.fullmatch(buffer):
                return b"", None
            raise NoAnswer(f"no record in the output, which begins {buffer[:200]!r}")
        noise, buffer = buffer[: first.end()], buffer[first.end() :]
        self._look_at(buffer)
        if not noise.strip():
            return buffer, None
        return buffer, SetAside(noise[:KEPT_BYTES], "it stands before the first record", ())

    def _look_at(self, buffer: bytes) -> None:
        """Tell the form from the first record, and whether scontrol printed the seal."""
        end = self.grammar.boundary_o.search(buffer)
        record = buffer[: end.start()] if end else buffer
        key = b"UserId" if self.grammar.hostile else b"[A-Z][A-Za-z]*"
        self.multi_line = re.search(rb"\n {3}%s=" % key, record) is not None
        if self.seal and self.grammar.hostile and self.seal.encode() not in buffer:
            raise SealMissing

    def _too_long(self, piece: bytes) -> SetAside:
        return _set_aside(piece, f"it is longer than {self._max_bytes} bytes", self.grammar)


def _with_end(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """*chunks* without the empty ones, and an empty one at the end."""
    for chunk in chunks:
        if chunk:
            yield chunk
    yield b""
