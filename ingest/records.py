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
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, pairwise

from ingest.grammar import LONGEST_BOUNDARY, Grammar
from ingest.pairs import REPEATED, RawPairs, Unreadable, read_pairs

MAX_RECORD_BYTES = 1 << 20
"""A record longer than this is set aside; its text is kept up to `KEPT_BYTES`."""
KEPT_BYTES = 64 << 10
MAX_DEFERRED = 1000
"""Records that wait for a key to be vouched for; more are set aside at once."""
MAX_CONTESTED_BYTES = 32 << 20
"""Text that waits for the list of true ids; more is set aside at once."""
MAX_KEYS_OF_AN_OWNER = 100
"""Unknown keys that one user can be the first to show: his texts can hold any number of them."""

_EMPTY = re.compile(rb"\s*No (jobs|nodes) in the system\s*")
_SPOOL_BYTES = 8 << 20
_CONTESTED = (
    "a part of a record stands between two records and may belong to either: a text that a user "
    "wrote holds the start of a record"
)


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
    listed: Callable[[], Container[str]] = tuple,
    max_bytes: int = MAX_RECORD_BYTES,
) -> Iterator[Record | SetAside]:
    """The records of scontrol's output, in either form, as they come in.

    *chunks* is the output in pieces of any size.  With a *seal* (see `scraper.commands`) a forged
    record is a part of its carrier's text; without one, the output is read twice so that two
    records of one id can both be set aside.  *vouching* is kept by the caller from one output to
    the next.  *listed* gives the ids of all jobs that there are; with a seal it is called at the
    output's end, and only when text alone can't tell where a record begins.

    Raises `NoAnswer` for an output that says nothing, and `SealMissing` when there is a seal that
    scontrol ignored, both before the first record.
    """
    vouching = Vouching() if vouching is None else vouching
    if seal:
        output = _Output(chunks, grammar, seal, max_bytes)
        yield from _read(output, vouching, frozenset(), listed)
        return
    with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as spool:
        for chunk in chunks:  # writelines would look at the spool's size at its end alone
            spool.write(chunk)
        spool.seek(0)
        counts = Counter(
            record_id
            for piece in _Output(_chunks_of(spool), grammar, "", max_bytes).pieces()
            if not isinstance(piece, SetAside)
            for record_id in _ids(piece if isinstance(piece, bytes) else piece.text, grammar)
        )
        spool.seek(0)
        contested = frozenset(record_id for record_id, count in counts.items() if count > 1)
        output = _Output(_chunks_of(spool), grammar, "", max_bytes)
        yield from _read(output, vouching, contested, tuple)


def _chunks_of(file: "tempfile.SpooledTemporaryFile[bytes]") -> Iterator[bytes]:
    while chunk := file.read(1 << 16):
        yield chunk


def _read(
    output: "_Output",
    vouching: Vouching,
    doubled: frozenset[str],
    listed: Callable[[], Container[str]],
) -> Iterator[Record | SetAside]:
    deferred: list[bytes] = []
    for piece in _divided(output, listed):
        if isinstance(piece, SetAside):
            yield piece
            continue
        if doubled and doubled.intersection(_ids(piece, output.grammar)):
            yield output.set_aside(piece, "two records bear this id")
            continue
        try:
            yield _record(piece, output, vouching)
        except Unreadable as error:
            if error.unknown and len(deferred) < MAX_DEFERRED:
                deferred.append(piece)
                continue
            yield output.set_aside(piece, str(error))
    for piece in deferred:
        try:
            yield _record(piece, output, vouching)
        except Unreadable as error:
            yield output.set_aside(piece, str(error))


def _divided(output: "_Output", listed: Callable[[], Container[str]]) -> Iterator[bytes | SetAside]:
    """The pieces of *output*; those that are contested come last, divided by the ids *listed*."""
    waiting: list[_Contested] = []
    size = 0
    known: set[str] = set()  # ids of records that are there for certain
    for piece in _sealed(output):
        if isinstance(piece, _Contested):
            if output.certain and size < MAX_CONTESTED_BYTES:
                waiting.append(piece)
                size += len(piece.text)
                known.add(output.first_id(piece.parts[0][0]))
            else:
                yield output.contested(piece)
            continue
        if output.certain and isinstance(piece, bytes):
            known.add(output.first_id(piece))
        yield piece
    if not waiting:
        return
    ids = listed()
    for contested in waiting:
        starts = {"": 0}
        for number, (part, says) in enumerate(contested.parts):
            name = output.first_id(part)
            if name in ids and name not in known and (says or name not in starts):
                starts[name] = number
        records = contested.divided(sorted(starts.values()))
        yield from records
        if not records:
            yield output.contested(contested)


def _sealed(output: "_Output") -> Iterator["bytes | _Contested | SetAside"]:
    """The pieces, which wait for the first that bears the seal. Raises `SealMissing` if none does.

    One that lacks it says nothing: it may be a part of a user's text.
    """
    pieces = output.pieces()
    if output.certain:
        seal = output.seal.encode()
        first = []
        for piece in pieces:
            first.append(piece)
            if seal in (piece if isinstance(piece, bytes) else piece.text):
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
_NO_BATCH = "no batch job"
_BATCH_END = "end of a batch job"


@dataclass(frozen=True)
class _Contested:
    """Parts of records of which text alone can't tell where each record begins, but for the first.

    Each part comes with whether it is the one of its record that says what every record does.
    """

    parts: tuple[tuple[bytes, bool], ...]

    @property
    def text(self) -> bytes:
        return b"".join(part for part, _ in self.parts)

    def divided(self, starts: list[int]) -> list[bytes]:
        """The records that begin with the parts *starts*; none if these can't be the true ones."""
        groups = [self.parts[start:stop] for start, stop in pairwise([*starts, len(self.parts)])]
        if any(sum(says for _, says in group) != 1 for group in groups):
            return []
        return [b"".join(part for part, _ in group) for group in groups]


@dataclass
class _Group:
    """Parts that are joined while the output comes in."""

    parts: list[tuple[bytes, bool]] = field(default_factory=list)
    size: int = 0
    shown: set[str] = field(default_factory=set)
    """What the parts of its last record show."""
    torn: bool = False
    """A part stands behind what may be a whole record: the next one may be its end."""
    contested: bool = False
    lost: bool = False
    """What it belongs to was too long and is set aside: only the starts of its parts are kept."""

    def add(self, part: bytes, signs: set[str], *, begins: bool, may_be_over: bool) -> None:
        if begins and self.torn:
            self.contested, self.torn, self.shown = True, False, set()
        elif not begins and may_be_over:
            self.torn = True
        self.shown |= signs
        if not self.lost:
            self.parts.append((part, begins))
            self.size += len(part)
        elif len(self.parts) < MAX_DEFERRED:
            self.parts.append((part[:LONGEST_BOUNDARY], begins))

    def joined(self) -> Iterator["bytes | _Contested"]:
        if self.lost or not self.parts:
            return
        if self.contested:
            yield _Contested(tuple(self.parts))
        else:
            yield b"".join(part for part, _ in self.parts)


class _Output:
    """One output of scontrol, cut into records while it comes in."""

    def __init__(
        self, chunks: Iterable[bytes], grammar: Grammar, seal: str, max_bytes: int
    ) -> None:
        self.grammar = grammar
        self.seal = seal
        self.certain = bool(seal) and grammar.hostile
        """Each record shows the seal once, so that the text of none can pass for another."""
        self.multi_line = True
        """Its form; known from the first piece on. A scrape, which has a seal, asks for this."""
        self._chunks = _with_end(chunks)
        self._max_bytes = max_bytes
        self._needed = {_SEAL} if self.certain else {key for _, key in grammar.mandatory[1:]}
        """What a piece must show to be a record."""

    def pieces(self) -> Iterator[bytes | _Contested | SetAside]:
        """A piece a record; what only looked like the start of one is joined to its record."""
        group = _Group()
        for piece in self._cut():
            if isinstance(piece, SetAside):
                yield from group.joined()
                yield piece
                group = self._behind(piece)
                continue
            signs = self._signs(piece)
            begins = self._needed <= signs
            if begins and not group.torn and self._can_end(group.shown):
                yield from group.joined()
                group = _Group()
            elif begins and group.lost:
                yield self.contested(_Contested((*group.parts, (piece, True))))
                group = _Group(shown=signs, lost=True)
                continue
            group.add(piece, signs, begins=begins, may_be_over=self._may_be_over(group.shown))
            if group.size > self._max_bytes:
                parts = _Contested(tuple(group.parts))
                certain = not (group.torn or group.contested)
                yield self._too_long(parts.text) if certain else self.contested(parts)
                group = _Group(shown=group.shown, torn=group.torn, lost=True)
        yield from group.joined()

    def _behind(self, piece: SetAside) -> _Group:
        """What stands open behind *piece*, of whose end nothing is known."""
        if not piece.ids:
            return _Group()
        is_part = self.certain and _SEAL not in self._signs(piece.text)
        return _Group(shown=self._needed | {_BATCH_END}, torn=is_part, lost=True)

    def first_id(self, piece: bytes) -> str:
        """The id in the first line of *piece*."""
        return next(iter(_ids(piece[:300], self.grammar)), "")

    def set_aside(self, piece: bytes, reason: str) -> SetAside:
        """*piece*, which is one record if that is certain, and may hold others if it is not."""
        ids = _ids(piece, self.grammar)
        return SetAside(piece[:KEPT_BYTES], reason, ids[:1] if self.certain else ids)

    def contested(self, contested: _Contested) -> SetAside:
        """All of the parts together: each of their ids may be a job's."""
        ids = dict.fromkeys(self.first_id(part) for part, _ in contested.parts)
        return SetAside(contested.text[:KEPT_BYTES], _CONTESTED, tuple(ids))

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
        if b" BatchFlag=0 " in piece:
            signs.add(_NO_BATCH)
        if (b"\n   " if self.multi_line else b" ") + b"StdOut=" in piece:
            signs.add(_BATCH_END)
        return signs

    def _can_end(self, signs: set[str]) -> bool:
        """Whether nothing is missing at its end: its rest would be in the next piece."""
        if self.seal or not self.grammar.hostile:
            return self._needed <= signs  # the next piece, with its own SubmitTime, is no rest
        return self._needed <= signs and (_BATCH not in signs or _BATCH_END in signs)

    def _may_be_over(self, signs: set[str]) -> bool:
        """Whether what shows *signs* can be a whole record of a job.

        It can't be that of a batch job without its end; a text that says that it is one can't make
        that of another job seem so.
        """
        if not self.certain or not self._needed <= signs:
            return False
        return _BATCH not in signs or _NO_BATCH in signs or _BATCH_END in signs

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
        for chunk in chain((b"",), self._chunks):  # what is there may hold whole records already
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
        return self.set_aside(piece, f"it is longer than {self._max_bytes} bytes")


def _with_end(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """*chunks* without the empty ones, and an empty one at the end."""
    for chunk in chunks:
        if chunk:
            yield chunk
    yield b""
