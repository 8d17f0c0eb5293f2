"""Parts of scontrol's output (`ingest.reading.parts`) to pieces, one a record, while it comes in.

A user's text can hold a place where a record could begin.  A part that lacks what every record has,
or whose SubmitTime lacks the scrape's seal, is therefore joined to the text before it, and so is
one that follows such a part.

Most parts are whole records by themselves, and are known for such at once: when the caller has
seen their texts before, or by a layout that others have had (`ingest.reading.layouts`).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import cast

from ingest.reading.layouts import Layouts
from ingest.reading.pairs import RawPairs
from ingest.reading.parts import Cutter, Form
from ingest.reading.record import KEPT_BYTES, Known, Record, SetAside, Unchanged, nothing_known
from ingest.slurm.grammar import JOB, LONGEST_BOUNDARY, NODE, Grammar

MAX_PARTS_KEPT = 1000
"""Parts whose starts are kept when what they belong to is too long."""

_CONTESTED = (
    "a part of a record stands between two records and may belong to either: a text that a user "
    "wrote holds the start of a record"
)

# What a part can show beside keys.
_SEALED = "seal"
_BATCH = "batch job"
_NO_BATCH = "no batch job"
_BATCH_END = "end of a batch job"


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


class Output:
    """One output of scontrol, cut into records while it comes in."""

    def __init__(
        self, chunks: Iterable[bytes], grammar: Grammar, seal: str, max_bytes: int
    ) -> None:
        self.form = Form(grammar, seal)
        self._cutter = Cutter(chunks, self.form, max_bytes)
        self._max_bytes = max_bytes
        mandatory = {key for _, key in grammar.mandatory[1:]}
        self._needed = {_SEALED} if self.form.certain else mandatory
        """What a part must show to be a record."""
        self._layouts = _layouts_of(grammar.kind, sealed=bool(seal))
        self._group = _Group()
        """What the parts belong to that are being joined."""

    def learn(self, piece: bytes, raw: RawPairs) -> None:
        """Learn from *piece*, read as *raw*, how others of its layout are to be read."""
        normal = self.form.normal(piece)
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

    def pieces(self, known: Known = nothing_known) -> Iterator[Piece]:
        """A piece a record; what only looked like the start of one is joined to its record.

        Those whose texts are *known* are not read.
        """
        ids: list[str] = []  # of known ones in the run in hand
        waiting: Record | str | None = None  # the part behind it may still belong to it
        last = b""  # the part that it is
        for run in self._cutter.runs():
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
                    yield from self._add(self.form.printed(last))
                yield from self._add(self.form.printed(part) if run.normal else part)
            if ids:
                yield Unchanged(tuple(ids))
                ids = []
        yield from self._group.joined() if waiting is None else _settled(waiting)

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
            yield self._cutter.too_long(parts.text) if certain else self.contested(parts)
            self._group = _Group(shown=group.shown, torn=group.torn, lost=True)

    def _is_over(self, group: _Group) -> bool:
        """Whether a part that begins a record can't belong to *group*."""
        is_empty = not group.parts and not group.lost
        return is_empty or (not group.torn and self._can_end(group.shown))

    def _behind(self, piece: SetAside) -> _Group:
        """What stands open behind *piece*, of whose end nothing is known."""
        if not piece.ids:
            return _Group()
        is_part = self.form.certain and _SEALED not in self._signs(piece.text)
        return _Group(shown=self._needed | {_BATCH_END}, torn=is_part, lost=True)

    def bears_seal(self, piece: Piece) -> bool:
        """Whether the seal stands anywhere in *piece*."""
        if isinstance(piece, Record | Unchanged):
            return True
        return self.form.bears_seal(piece if isinstance(piece, bytes) else piece.text)

    def contested(self, contested: Contested) -> SetAside:
        """All of the parts together: each of their ids may be a job's."""
        ids = dict.fromkeys(self.form.first_id(part) for part, _ in contested.parts)
        return SetAside(contested.text[:KEPT_BYTES], _CONTESTED, tuple(ids))

    def _signs(self, piece: bytes) -> set[str]:
        """What *piece* shows: keys that every record has, each in its kind of place, and more."""
        signs = set()
        for _, key in self.form.grammar.mandatory[1:]:
            opens = self.form.multi_line and self.form.grammar.keys[key].opens_line
            if b"%s%s=" % (b"\n   " if opens else b" ", key.encode()) in piece:
                signs.add(key)
        if self.form.seal and re.search(rb"[ \n]SubmitTime=\S*" + self.form.seal.encode(), piece):
            signs.add(_SEALED)
        if b" BatchFlag=1 " in piece:
            signs.add(_BATCH)
        if b" BatchFlag=0 " in piece:
            signs.add(_NO_BATCH)
        if (b"\n   " if self.form.multi_line else b" ") + b"StdOut=" in piece:
            signs.add(_BATCH_END)
        return signs

    def _can_end(self, signs: set[str]) -> bool:
        """Whether nothing is missing at its end: its rest would be in the next piece."""
        if self.form.seal or not self.form.grammar.hostile:
            return self._needed <= signs  # the next piece, with its own SubmitTime, is no rest
        return self._needed <= signs and (_BATCH not in signs or _BATCH_END in signs)

    def _may_be_over(self, signs: set[str]) -> bool:
        """Whether what shows *signs* can be a whole record of a job.

        It can't be that of a batch job without its end; a text that says that it is one can't make
        that of another job seem so.
        """
        if not self.form.certain or not self._needed <= signs:
            return False
        return _BATCH not in signs or _NO_BATCH in signs or _BATCH_END in signs


def _settled(whole: Record | str) -> Iterator[Record | Unchanged]:
    """The record, or the known one with this id, to which nothing that follows belongs."""
    yield Unchanged((whole,)) if isinstance(whole, str) else whole
