"""scontrol's output cut into parts, wherever a record could begin, while it comes in.

In the multi-line form that is at the start of a line behind a blank line, in ``-o`` at the start of
a line.  Which parts are records, `ingest.reading.pieces` says.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from operator import sub
from typing import NamedTuple

from ingest.reading.layouts import SEAL
from ingest.reading.record import KEPT_BYTES, SetAside
from ingest.slurm.grammar import LONGEST_BOUNDARY, MAX_BLANKS, Grammar

_NEWLINE = ord("\n")
_CHUNK_BYTES = 1 << 18
_SEAL = SEAL.encode()
_START = re.Match.start
_EMPTY = re.compile(rb"\s*No (jobs|nodes) in the system\s*")


class NoAnswer(Exception):
    """An output without a record, in which scontrol does not say that there is none."""


class Form:
    """How one output is printed."""

    def __init__(self, grammar: Grammar, seal: str) -> None:
        self.grammar = grammar
        self.seal = seal
        self.certain = bool(seal) and grammar.hostile
        """Each record shows the seal once, so that the text of none can pass for another."""
        self.multi_line = True
        """Not ``-o``; known from the first part on. A scrape, which has a seal, asks for this."""
        self._raw_seal = seal.encode()
        self._no_seal = _SEAL * len(self._raw_seal)
        """Stands for it; as long, so that one pass over the text puts it in."""

    def normal(self, text: bytes) -> bytes | None:
        r"""*text* with ``\0`` for the letters of every seal, as it is in every output.

        None where it holds such a thing already, and in ``-o`` form.
        """
        if not self.multi_line or _SEAL in text:
            return None
        return text.replace(self._raw_seal, self._no_seal) if self.seal else text

    def printed(self, normal: bytes) -> bytes:
        """A text that is `normal` as it was printed."""
        return normal.replace(self._no_seal, self._raw_seal) if self.seal else normal

    def bears_seal(self, text: bytes) -> bool:
        """Whether the seal stands anywhere in *text*."""
        return self._raw_seal in text

    def first_id(self, piece: bytes) -> str:
        """The id in the first line of *piece*."""
        return ids_of(piece[:300], self.grammar)[0]

    def set_aside(self, piece: bytes, reason: str) -> SetAside:
        """*piece*, which is one record if that is certain, and may hold others if it is not."""
        ids = ids_of(piece, self.grammar)
        return SetAside(piece[:KEPT_BYTES], reason, ids[:1] if self.certain else ids)


class Run(NamedTuple):
    """Parts that follow each other."""

    parts: list[bytes]
    normal: bool
    """They are as `Form.normal` makes them; else as they were printed."""


class Cutter:
    """Cuts one output while it comes in."""

    def __init__(self, chunks: Iterable[bytes], form: Form, max_bytes: int) -> None:
        """*form* learns its `Form.multi_line` here; a part of more than *max_bytes* is none."""
        self._chunks = _with_end(chunks)
        self._form = form
        self._grammar = form.grammar
        self._max_bytes = max_bytes

    def runs(self) -> Iterator[Run | SetAside]:
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
                yield self.too_long(too_long)
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
            yield self.too_long(too_long)
        else:
            yield from self._runs(bytes(buffer), [len(buffer)])

    def _starts(self, buffer: bytearray, scanned: int) -> list[int]:
        """Where records can begin in *buffer*, but for its own start, from *scanned* on.

        To look for the blank line first would cost half as much again: most lines end in a newline.
        """
        newlines = list(map(_START, self._grammar.starting_id.finditer(buffer, scanned)))
        if self._form.multi_line and self._grammar.hostile:
            return [
                at + 1
                for at in newlines
                if at and (buffer[at - 1] == _NEWLINE or _is_behind_spaces(buffer, at))
            ]
        return [at + 1 for at in newlines]

    def _runs(self, text: bytes, ends: list[int]) -> Iterator[Run | SetAside]:
        """The parts of *text* that have these *ends*; those that are too long are set aside."""
        starts = (0, *ends[:-1])
        if len(text) <= self._max_bytes or max(map(sub, ends, starts)) <= self._max_bytes:
            normal = self._form.normal(text)
            whole = text if normal is None else normal
            parts = [whole[start:end] for start, end in zip(starts, ends, strict=True)]
            yield Run(parts, normal is not None)
            return
        for start, end in zip(starts, ends, strict=True):
            if end - start <= self._max_bytes:
                yield Run([text[start:end]], normal=False)
            else:
                yield self.too_long(text[start : min(end, start + KEPT_BYTES)])

    def _first_record(self) -> tuple[bytearray, bytes]:
        """The output from its first record on, enough to tell its form; what stood before that."""
        _, last_key = self._grammar.mandatory[-1]
        steps = (
            self._grammar.start,
            re.compile(rb"[ \n]%s=" % last_key.encode()),  # a start before this is a user's text
            self._grammar.boundary_o,
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
        if not self._form.seal:
            record = buffer[found[0] : found[2] if len(found) == len(steps) else None]
            key = b"UserId" if self._grammar.hostile else b"[A-Z][A-Za-z]*"
            self._form.multi_line = re.search(rb"\n {3}%s=" % key, record) is not None
        noise = bytes(buffer[: found[0]])
        del buffer[: found[0]]
        return buffer, noise

    def too_long(self, piece: bytes) -> SetAside:
        """*piece*, of more than the bytes that a part may have, set aside."""
        return self._form.set_aside(piece, f"it is longer than {self._max_bytes} bytes")


def _is_behind_spaces(buffer: bytearray, newline: int) -> bool:
    """Whether this *newline* ends a line of spaces alone."""
    start = buffer.rfind(b"\n", max(0, newline - 1 - MAX_BLANKS), newline)
    return start >= 0 and not buffer[start + 1 : newline].strip(b" ")


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
