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
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field

from ingest.grammar import LONGEST_BOUNDARY, Grammar
from ingest.pairs import REPEATED, RawPairs, Unreadable, read_pairs

MAX_RECORD_BYTES = 1 << 20
"""A record longer than this is set aside; its text is kept up to `KEPT_BYTES`."""
KEPT_BYTES = 64 << 10
MAX_DEFERRED = 1000
"""Records that wait for a key to be vouched for; more are set aside at once."""
MAX_KEYS_OF_AN_OWNER = 100
"""Unknown keys that one user can be the first to show: his texts can hold any number of them."""

_EMPTY = re.compile(rb"\s*No (jobs|nodes) in the system\s*")
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
        for chunk in chunks:  # writelines would look at the spool's size at its end alone
            spool.write(chunk)
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
    pieces = output.pieces()
    if seal and grammar.hostile:
        pieces = _sealed(pieces, seal.encode())
    for piece in pieces:
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


def _sealed(pieces: Iterator[bytes | SetAside], seal: bytes) -> Iterator[bytes | SetAside]:
    """*pieces*, which wait for the first that bears *seal*. Raises `SealMissing` if none does.

    One that lacks it says nothing: it may be a part of a user's text.
    """
    first = []
    for piece in pieces:
        first.append(piece)
        if seal in (piece.text if isinstance(piece, SetAside) else piece):
            break
    else:
        if first:
            raise SealMissing
    yield from first
    yield from pieces


def _record(piece: bytes, output: "_Output", vouching: Vouching) -> Record:
    text = piece.decode("utf-8", "surrogateescape")
    grammar, seal = output.grammar, output.seal

    def read(vouched: Container[str]) -> RawPairs:
        return read_pairs(text, grammar, multi_line=output.multi_line, seal=seal, vouched=vouched)

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
    return Record(raw.text().encode("utf-8", "surrogateescape"), raw)


def _owner(raw: RawPairs) -> str:
    return next((pair.value for pair in raw.pairs if pair.key == "UserId"), "")


def _set_aside(piece: bytes, reason: str, grammar: Grammar) -> SetAside:
    return SetAside(piece[:KEPT_BYTES], reason, _ids(piece, grammar))


def _ids(piece: bytes, grammar: Grammar) -> tuple[str, ...]:
    """The ids that *piece* may stand for: its own, and those of records that begin inside it."""
    starts = [0, *(match.end() for match in grammar.boundary_o.finditer(piece))]
    offset = len(grammar.first_key) + 1
    ids = (re.match(rb"[!-~]*", piece[start + offset : start + offset + 300]) for start in starts)
    return tuple(dict.fromkeys(found[0].decode() for found in ids if found))


# --- pieces ----------------------------------------------------------------------------------

# What a piece can show beside keys.
_SEAL = "seal"
_BATCH = "batch job"
_BATCH_END = "end of a batch job"


class _Output:
    """One output of scontrol, cut into records while it comes in."""

    def __init__(
        self, chunks: Iterable[bytes], grammar: Grammar, seal: str, max_bytes: int
    ) -> None:
        self.grammar = grammar
        self.seal = seal
        self.multi_line = True
        """Its form; known from the first piece on. A scrape, which has a seal, asks for this."""
        self._chunks = _with_end(chunks)
        self._max_bytes = max_bytes
        self._needed = {key for _, key in grammar.mandatory[1:]}
        """What a piece must show to be a record."""
        if seal and grammar.hostile:
            self._needed.add(_SEAL)

    def pieces(self) -> Iterator[bytes | SetAside]:
        """A piece a record; what only looked like the start of one is joined to its record."""
        held: list[bytes] = []  # what makes up one record, and what all of it shows
        size = 0
        shown: set[str] = set()
        dropping = False  # what is left of a record that was too long
        for piece in self._cut():
            if isinstance(piece, SetAside):
                if held:
                    yield b"".join(held)
                held, dropping = [], piece.ids != ()
                yield piece
                continue
            signs = self._signs(piece)
            begins = self._can_begin(signs)
            if dropping and not begins:
                continue
            if held and not (begins and self._can_end(shown)):
                held.append(piece)
                size += len(piece)
                shown |= signs
                if size > self._max_bytes:
                    yield self._too_long(b"".join(held))
                    held, dropping = [], True
                continue
            if held:
                yield b"".join(held)
            held, size, shown, dropping = [piece], len(piece), signs, False
        if held:
            yield b"".join(held)

    def _signs(self, piece: bytes) -> set[str]:
        """What *piece* shows: keys that every record has, each in its kind of place, and more."""
        signs = set()
        for _, key in self.grammar.mandatory[1:]:
            opens = self.multi_line and self.grammar.keys[key].opens_line
            if b"%s%s=" % (b"\n   " if opens else b" ", key.encode()) in piece:
                signs.add(key)
        if self.seal and re.search(rb"[ \n]SubmitTime=\S*" + self.seal.encode(), piece):
            signs.add(_SEAL)
        if b" BatchFlag=1 " in piece:
            signs.add(_BATCH)
        if (b"\n   " if self.multi_line else b" ") + b"StdOut=" in piece:
            signs.add(_BATCH_END)
        return signs

    def _can_begin(self, signs: set[str]) -> bool:
        """Whether what shows *signs* can be a record, perhaps without its end."""
        return self._needed <= signs

    def _can_end(self, signs: set[str]) -> bool:
        """Whether nothing is missing at its end: its rest would be in the next piece."""
        if self.seal or not self.grammar.hostile:
            return self._needed <= signs  # the next piece, with its own SubmitTime, is no rest
        return self._needed <= signs and (_BATCH not in signs or _BATCH_END in signs)

    def _cut(self) -> Iterator[bytes | SetAside]:
        """The output cut wherever a record could begin; what is no record is set aside."""
        buffer, noise = self._first_record()
        if noise.strip():
            yield SetAside(noise[:KEPT_BYTES], "it stands before the first record", ())
        if not buffer:
            return
        boundary = self.grammar.boundary if self.multi_line else self.grammar.boundary_o
        too_long = b""
        scanned = 0
        for chunk in self._chunks:
            buffer += chunk
            begin = 0
            for match in boundary.finditer(buffer, scanned):
                piece = too_long or bytes(buffer[begin : match.end()])
                begin = match.end()
                whole = not too_long and len(piece) <= self._max_bytes
                yield piece if whole else self._too_long(piece[:KEPT_BYTES])
                too_long = b""
            del buffer[:begin]
            if len(buffer) > self._max_bytes and not too_long:
                too_long = bytes(buffer[:KEPT_BYTES])
            if too_long:
                del buffer[:-LONGEST_BOUNDARY]
            scanned = max(0, len(buffer) - LONGEST_BOUNDARY)
        yield self._too_long(too_long) if too_long else bytes(buffer)

    def _first_record(self) -> tuple[bytearray, bytes]:
        """The output from its first record on, enough to tell its form; what stood before that."""
        _, last_key = self.grammar.mandatory[-1]
        steps = (
            self.grammar.start,
            re.compile(rb"[ \n]%s=" % last_key.encode()),  # a start before this is a user's text
            self.grammar.boundary_o,
        )
        found: list[int] = []  # where each step was found
        buffer = bytearray()
        for chunk in self._chunks:
            scanned = max(0, len(buffer) - LONGEST_BOUNDARY)
            buffer += chunk
            for step in steps[len(found) :]:
                match = step.search(buffer, max([scanned, *found]))
                if match is None:
                    break
                found.append(match.end())
            if len(found) == len(steps) or len(buffer) > self._max_bytes:
                break
        if not found:
            if _EMPTY.fullmatch(buffer):
                return bytearray(), b""
            raise NoAnswer(f"no record in the output, which begins {bytes(buffer[:200])!r}")
        if not self.seal:
            record = buffer[found[0] : found[2] if len(found) == len(steps) else None]
            key = b"UserId" if self.grammar.hostile else b"[A-Z][A-Za-z]*"
            self.multi_line = re.search(rb"\n {3}%s=" % key, record) is not None
        noise = bytes(buffer[: found[0]])
        del buffer[: found[0]]
        return buffer, noise

    def _too_long(self, piece: bytes) -> SetAside:
        return _set_aside(piece, f"it is longer than {self._max_bytes} bytes", self.grammar)


def _with_end(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """*chunks* without the empty ones, and an empty one at the end."""
    for chunk in chunks:
        if chunk:
            yield chunk
    yield b""
