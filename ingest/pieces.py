"""scontrol's output cut into pieces, one a record, while it comes in.

In the multi-line form a record begins at the start of a line behind a blank line, in ``-o`` at the
start of a line; but a user's text can hold such a place too.  A part that lacks what every record
has, or whose SubmitTime lacks the scrape's seal, is therefore joined to the text before it, and so
is one that follows such a part.

Most parts are whole records by themselves, and are known for such at once: when the caller has
seen their texts before, or by a layout that others have had (`ingest.layouts`).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, pairwise
from operator import sub
from typing import NamedTuple, cast

from ingest.grammar import JOB, LONGEST_BOUNDARY, MAX_BLANKS, NODE, Grammar
from ingest.layouts import SEAL, Layouts
from ingest.pairs import RawPairs
from ingest.record import KEPT_BYTES, Known, Record, SetAside, Unchanged, nothing_known

MAX_PARTS_KEPT = 1000
"""Parts whose starts are kept when what they belong to is too long."""

_NEWLINE = ord("\n")
_CHUNK_BYTES = 1 << 18
_SEAL = SEAL.encode()
_START = re.Match.start
_EMPTY = re.compile(rb"\s*No (jobs|nodes) in the system\s*")
_CONTESTED = (
    "a part of a record stands between two records and may belong to either: a text that a user "
    "wrote holds the start of a record"
)

# What a part can show beside keys.
_SEALED = "seal"
_BATCH = "batch job"
_NO_BATCH = "no batch job"
_BATCH_END = "end of a batch job"


class NoAnswer(Exception):
    """An output without a record, in which scontrol does not say that there is none."""


@cache
def _layouts_of(kind: str, *, sealed: bool) -> Layouts:
    """What the outputs of all clusters have shown."""
    return Layouts({"job": JOB, "node": NODE}[kind], sealed=sealed)


@dataclass(frozen=True)
class Contested:
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


Piece = Record | Unchanged | bytes | Contested | SetAside
"""A record read already, or known; or one's text as it was printed; or what may be several."""


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
        elif len(self.parts) < MAX_PARTS_KEPT:
            self.parts.append((part[:LONGEST_BOUNDARY], begins))

    def joined(self) -> Iterator[bytes | Contested]:
        if self.lost or not self.parts:
            return
        if self.contested:
            yield Contested(tuple(self.parts))
        else:
            yield b"".join(part for part, _ in self.parts)


class _Run(NamedTuple):
    """Parts that follow each other."""

    parts: list[bytes]
    normal: bool
    """They are as `Output.normal` makes them; else as they were printed."""


class Output:
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
        self._needed = {_SEALED} if self.certain else {key for _, key in grammar.mandatory[1:]}
        """What a part must show to be a record."""
        self._raw_seal = seal.encode()
        self._no_seal = _SEAL * len(self._raw_seal)
        """Stands for it; as long, so that one pass over the text puts it in."""
        self._layouts = _layouts_of(grammar.kind, sealed=bool(seal))
        self._group = _Group()
        """What the parts belong to that are being joined."""

    # --- texts whose seal is that of every output ------------------------------------------------

    def normal(self, piece: bytes) -> bytes | None:
        r"""*piece* with ``\0`` for the letters of every seal.

        None where it holds such a thing already, and in ``-o`` form.
        """
        if not self.multi_line or _SEAL in piece:
            return None
        return piece.replace(self._raw_seal, self._no_seal) if self.seal else piece

    def learn(self, piece: bytes, raw: RawPairs) -> None:
        """Learn from *piece*, read as *raw*, how others of its layout are to be read."""
        normal = self.normal(piece)
        signs = self._signs(piece)
        if normal is not None and self._needed <= signs and self._can_end(signs):
            self._layouts.learn(normal.decode("utf-8", "surrogateescape"), raw)

    def _by_layout(self, normal: bytes) -> Record | None:
        """The record of a part, where it is a whole one in a layout that others had."""
        try:
            reading = self._layouts.read(normal.decode())
        except UnicodeDecodeError:
            return None
        return reading and Record(normal, None, normal, reading)

    # --- parts to pieces -------------------------------------------------------------------------

    def pieces(self, known: Known = nothing_known) -> Iterator[Piece]:
        """A piece a record; what only looked like the start of one is joined to its record.

        Those whose texts are *known* are not read.
        """
        ids: list[str] = []  # of known ones in the run in hand
        waiting: Record | str | None = None  # the part behind it may still belong to it
        last = b""  # the part that it is
        for run in self._cut():
            if isinstance(run, SetAside):
                yield from self._group.joined() if waiting is None else _settled(waiting)
                yield run
                self._group, waiting = self._behind(run), None
                continue
            # No part of a run that is not normal can be told for a whole record at once.
            names = known(run.parts) if run.normal else nothing_known(run.parts)
            if isinstance(waiting, str) and None not in names:  # as in most rounds
                told = cast(list[str], names)
                yield Unchanged((waiting, *told[:-1]))
                waiting, last = told[-1], run.parts[-1]
                continue
            for part, name in zip(run.parts, names, strict=True):
                whole = name or (self._by_layout(part) if run.normal else None)
                if whole is not None and (waiting is not None or self._is_over(self._group)):
                    if isinstance(waiting, str):
                        ids.append(waiting)
                    elif waiting is not None:
                        if ids:
                            yield Unchanged(tuple(ids))
                            ids = []
                        yield waiting
                    else:
                        yield from self._group.joined()
                    waiting, last = whole, part
                    continue
                if ids:
                    yield Unchanged(tuple(ids))
                    ids = []
                if waiting is not None:
                    self._group, waiting = _Group(), None
                    yield from self._add(self._printed(last))
                yield from self._add(self._printed(part) if run.normal else part)
            if ids:
                yield Unchanged(tuple(ids))
                ids = []
        yield from self._group.joined() if waiting is None else _settled(waiting)

    def _printed(self, normal: bytes) -> bytes:
        """A part that is `normal` as it was printed."""
        return normal.replace(self._no_seal, self._raw_seal) if self.seal else normal

    def _add(self, part: bytes) -> Iterator[bytes | Contested | SetAside]:
        """Put *part* into the group, or into a new one; what is complete thereby comes out."""
        signs = self._signs(part)
        begins = self._needed <= signs
        if begins and not self._group.torn and self._can_end(self._group.shown):
            yield from self._group.joined()
            self._group = _Group()
        elif begins and self._group.lost:
            yield self.contested(Contested((*self._group.parts, (part, True))))
            self._group = _Group(shown=signs, lost=True)
            return
        group = self._group
        group.add(part, signs, begins=begins, may_be_over=self._may_be_over(group.shown))
        if group.size > self._max_bytes:
            parts = Contested(tuple(group.parts))
            certain = not (group.torn or group.contested)
            yield self._too_long(parts.text) if certain else self.contested(parts)
            self._group = _Group(shown=group.shown, torn=group.torn, lost=True)

    def _is_over(self, group: _Group) -> bool:
        """Whether a part that begins a record can't belong to *group*."""
        is_empty = not group.parts and not group.lost
        return is_empty or (not group.torn and self._can_end(group.shown))

    def _behind(self, piece: SetAside) -> _Group:
        """What stands open behind *piece*, of whose end nothing is known."""
        if not piece.ids:
            return _Group()
        is_part = self.certain and _SEALED not in self._signs(piece.text)
        return _Group(shown=self._needed | {_BATCH_END}, torn=is_part, lost=True)

    def bears_seal(self, piece: Piece) -> bool:
        """Whether the seal stands anywhere in *piece*."""
        if isinstance(piece, Record | Unchanged):
            return True
        return self._raw_seal in (piece if isinstance(piece, bytes) else piece.text)

    def first_id(self, piece: bytes) -> str:
        """The id in the first line of *piece*."""
        return ids_of(piece[:300], self.grammar)[0]

    def set_aside(self, piece: bytes, reason: str) -> SetAside:
        """*piece*, which is one record if that is certain, and may hold others if it is not."""
        ids = ids_of(piece, self.grammar)
        return SetAside(piece[:KEPT_BYTES], reason, ids[:1] if self.certain else ids)

    def contested(self, contested: Contested) -> SetAside:
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
            signs.add(_SEALED)
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

    # --- chunks to parts -------------------------------------------------------------------------

    def _cut(self) -> Iterator[_Run | SetAside]:
        """The output cut wherever a record could begin; what is no record is set aside."""
        buffer, noise = self._first_record()
        if noise.strip():
            yield SetAside(noise[:KEPT_BYTES], "it stands before the first record", ())
        if not buffer:
            return
        too_long = b""
        scanned = 0
        for chunk in chain((b"",), self._chunks):  # what is there may hold whole records already
            buffer += chunk
            ends = self._starts(buffer, scanned)
            if ends and too_long:
                yield self._too_long(too_long)
                too_long = b""
                del buffer[: ends[0]]
                ends = [end - ends[0] for end in ends[1:]]
            if ends:
                text = bytes(memoryview(buffer)[: ends[-1]])
                del buffer[: ends[-1]]
                yield from self._runs(text, ends)
            if len(buffer) > self._max_bytes and not too_long:
                too_long = bytes(buffer[:KEPT_BYTES])
            if too_long:
                del buffer[:-LONGEST_BOUNDARY]
            scanned = max(0, len(buffer) - LONGEST_BOUNDARY)
        if too_long:
            yield self._too_long(too_long)
        else:
            yield from self._runs(bytes(buffer), [len(buffer)])

    def _starts(self, buffer: bytearray, scanned: int) -> list[int]:
        """Where records can begin in *buffer*, but for its own start, from *scanned* on.

        To look for the blank line first would cost half as much again: most lines end in a newline.
        """
        newlines = list(map(_START, self.grammar.starting_id.finditer(buffer, scanned)))
        if self.multi_line and self.grammar.hostile:
            return [
                at + 1
                for at in newlines
                if at and (buffer[at - 1] == _NEWLINE or _is_behind_spaces(buffer, at))
            ]
        return [at + 1 for at in newlines]

    def _runs(self, text: bytes, ends: list[int]) -> Iterator[_Run | SetAside]:
        """The parts of *text* that have these *ends*; those that are too long are set aside."""
        starts = (0, *ends[:-1])
        if len(text) <= self._max_bytes or max(map(sub, ends, starts)) <= self._max_bytes:
            normal = self.normal(text)
            whole = text if normal is None else normal
            parts = [whole[start:end] for start, end in zip(starts, ends, strict=True)]
            yield _Run(parts, normal is not None)
            return
        for start, end in zip(starts, ends, strict=True):
            if end - start <= self._max_bytes:
                yield _Run([text[start:end]], normal=False)
            else:
                yield self._too_long(text[start : min(end, start + KEPT_BYTES)])

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


def _is_behind_spaces(buffer: bytearray, newline: int) -> bool:
    """Whether this *newline* ends a line of spaces alone."""
    start = buffer.rfind(b"\n", max(0, newline - 1 - MAX_BLANKS), newline)
    return start >= 0 and not buffer[start + 1 : newline].strip(b" ")


def _settled(whole: Record | str) -> Iterator[Record | Unchanged]:
    """The record, or the known one with this id, to which nothing that follows belongs."""
    yield Unchanged((whole,)) if isinstance(whole, str) else whole


def ids_of(piece: bytes, grammar: Grammar) -> tuple[str, ...]:
    """The ids that *piece* may stand for: its own, and those of records that begin inside it."""
    starts = [0, *(match.end() for match in grammar.boundary_o.finditer(piece))]
    offset = len(grammar.first_key) + 1
    ids = (re.match(rb"[!-~]*", piece[start + offset : start + offset + 300]) for start in starts)
    return tuple(dict.fromkeys(found[0].decode() for found in ids if found))


def _with_end(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """*chunks* without the empty ones, none of them large, and an empty one at the end."""
    for chunk in chunks:
        for start in range(0, len(chunk), _CHUNK_BYTES):
            yield chunk[start : start + _CHUNK_BYTES]
    yield b""
