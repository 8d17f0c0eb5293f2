r"""Layouts that records have come in: one regular expression reads a whole record of each.

The records of a cluster come in a few dozen layouts: keys, and what stands between them.  A layout
is learnt from a record that `ingest.pairs` has read, and then reads others like it some fifty
times faster.  It takes only what `ingest.pairs` would have read in just this way; all else is left
to that, which has the one word on what a text says.  Why a match is its reading:

- A key can stand only at the start, behind a space or behind a newline.  No value of a match holds
  a newline; a plain value holds no space, and a free text no space with a word behind it that
  could be a key.  So the places where keys can stand are those of the layout and no others, and
  the same sequence of places is read in the same way.
- Beyond that a reading depends on the seal behind SubmitTime, on BatchFlag where there is no
  StdOut, and on the record's end.  The expression holds all three to what they must be.

A sealed text bears as many ``\0`` in the seal's place, which is another one in each output.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import NamedTuple

from ingest.grammar import Grammar, Key
from ingest.pairs import Pair, RawPairs, Unreadable, read_pairs

SEAL = "\0"
"""Stands for each letter of the seal: no text that Slurm or a user writes can hold it."""

MAX_ALIKE = 8
"""Layouts of one shape that are kept: each may have to be tried."""
MAX_SHAPES = 64
"""Shapes of which layouts are kept."""
CREDIT = 64
"""Layouts that can be learnt at once. To learn one takes as long as to read some twenty records."""
RECORDS_A_CREDIT = 100
"""Records that are read carefully until one more layout can be learnt."""

# No word of a text could be a key, and no space ends it.
_WORD = r"(?:[A-MO-Z][^ \n\0=]*|N(?!tasksPerTRES:)[^ \n\0=]*|[^ \n\0A-Z][^ \n\0]*)"
_PLAIN = r"[^ \n\0]*"
_TEXT = rf"{_PLAIN}(?: +{_WORD})*"
_SEALED_TIME = r"[^\s\0]{1,40}"
_NOT_A_BATCH_JOB = r"(?!1(?![^ \n]))"
_END = r"(?:\n {3})?\n{0,2}"
_ANY_TEXT = re.compile(_TEXT)
_ANY_PLAIN = re.compile(_PLAIN)

_SELDOM_THE_SAME = frozenset(
    {
        *("JobId", "JobName", "Priority", "AllocNode:Sid", "NodeList", "BatchHost"),
        *("NodeName", "NodeAddr", "CPULoad", "FreeMem"),
    }
)
"""Keys whose values differ from record to record, beside times and what people write."""


@dataclass(frozen=True)
class Group:
    """What one group of a layout's expression holds: a value, or lines of keys and values."""

    keys: tuple[str, ...]
    lines: re.Pattern[str] | None
    """For lines: with a group for each value."""
    spaced: bool = False
    """A space stands behind the one value in every record."""

    def values(self, text: str) -> tuple[str, ...]:
        """The values of its keys."""
        match = self.lines and self.lines.fullmatch(text)
        return match.groups() if match else (text,)


class Layout:
    """One sequence of keys, and what stands between them."""

    def __init__(self, raw: RawPairs, grammar: Grammar, *, sealed: bool) -> None:
        """That of a record whose values `_is_regular` has found to be so."""
        self._raw = raw
        values = _Values(grammar, sealed=sealed, batch=any(p.key == "StdOut" for p in raw.pairs))
        groups: list[Group] = []
        pattern = ""
        for differs, block in values.blocks(raw):
            if differs or len(block) == 1:
                pattern += "".join(_literal(pair) + values.of(pair, "({})") for pair in block)
                groups += [Group((pair.key,), None, pair.value.endswith(" ")) for pair in block]
            else:
                pattern += f"{re.escape(block[0].lead)}({values.of_block(block, '(?:{})')})"
                keys = tuple(pair.key for pair in block)
                groups.append(Group(keys, re.compile(values.of_block(block, "({})"))))
        self.groups = tuple(groups)
        self.lines = frozenset(pair.lead + pair.key + pair.sign for pair in raw.pairs)
        self.marks: Sequence[str] = ()
        """What its records show, and those of some layout of the same shape do not."""
        self.fullmatch = re.compile(f"{pattern}({_END})").fullmatch
        """Its groups are `groups`, and the record's end."""

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Those of the record that it was learnt from."""
        return self._raw.pairs

    def raw(self, match: re.Match[str]) -> RawPairs:
        """The raw pairs of a record that matched. The seal is taken off."""
        texts = match.groups()
        values = (
            value
            for group, text in zip(self.groups, texts[:-1], strict=True)
            for value in group.values(text)
        )
        pairs = (
            pair._replace(value=value) for pair, value in zip(self._raw.pairs, values, strict=True)
        )
        return RawPairs(tuple(pairs), texts[-1])


class Reading(NamedTuple):
    """A record that was read by its layout."""

    layout: Layout
    match: re.Match[str]


class Layouts:
    """The layouts of one kind of record, as they come; how many are kept has a limit.

    Cutting short what is kept costs time and nothing else, so that threads need no lock.
    """

    def __init__(self, grammar: Grammar, *, sealed: bool) -> None:
        self._grammar = grammar
        self._sealed = sealed
        self._alike: dict[_Shape, list[Layout]] = {}
        """Those of one shape, that used last first."""
        self._credit = float(CREDIT)

    def read(self, text: str) -> Reading | None:
        """The reading of the record *text* in multi-line form, if it has a layout learnt before."""
        shape = _shape(text)
        layouts = self._alike.get(shape, [])
        for layout in layouts:
            if layout.marks and not all(mark in text for mark in layout.marks):
                continue
            match = layout.fullmatch(text)
            if match is not None:
                if layout is not layouts[0]:
                    self._put_first(layout, shape)
                return Reading(layout, match)
        return None

    def learn(self, text: str, raw: RawPairs) -> None:
        """Learn the layout of *text*, a whole record in multi-line form, if it has one.

        *raw* is how `ingest.pairs` read it, without the seal.
        """
        self._credit = min(CREDIT, self._credit + 1 / RECORDS_A_CREDIT)
        if self._credit < 1 or not _is_regular(raw, self._grammar) or self.read(text) is not None:
            return
        self._credit -= 1
        layout = Layout(raw, self._grammar, sealed=self._sealed)
        match = layout.fullmatch(text)
        if match is not None and layout.raw(match) == raw and self._needs_no_voucher(text):
            self._put_first(layout, _shape(text))
            _mark(self._alike[_shape(text)])

    def _needs_no_voucher(self, text: str) -> bool:
        try:
            seal = SEAL if self._sealed else ""
            read_pairs(text, self._grammar, multi_line=True, seal=seal)
        except Unreadable:
            return False
        return True

    def _put_first(self, layout: Layout, shape: "_Shape") -> None:
        others = [other for other in self._alike.pop(shape, []) if other is not layout]
        self._alike[shape] = [layout, *others[: MAX_ALIKE - 1]]
        if len(self._alike) > MAX_SHAPES:
            del self._alike[next(iter(self._alike))]


_Shape = tuple[int, str, str]


def _shape(text: str) -> _Shape:
    """What is quickly seen of a layout: how many lines it has, its second key and its last line."""
    second = text.find(" ") + 1
    last = text.rfind("\n   ", 0, -8)
    return text.count("\n"), text[second : second + 6], text[last : last + 8]


def _mark(alike: list[Layout]) -> None:
    """Give layouts of one shape their marks: a look for these is quicker than a try."""
    for layout in alike:
        own = (sorted(layout.lines - other.lines) for other in alike)
        layout.marks = tuple({lines[0] for lines in own if lines})


def _is_regular(raw: RawPairs, grammar: Grammar) -> bool:
    """Whether all keys of a record are known, and its values such as a layout can take."""
    for pair in raw.pairs:
        key = grammar.keys.get(pair.key)
        if key is None:
            return False
        core = _core(pair.value)
        if len(pair.value) > len(core) + 1 or not (_ANY_TEXT if key.text else _ANY_PLAIN).fullmatch(
            core
        ):
            return False
    return True


# --- a layout's expression -----------------------------------------------------------------------


def _lines(raw: RawPairs) -> Iterator[list[Pair]]:
    """The pairs that share a line."""
    line: list[Pair] = []
    for pair in raw.pairs:
        if line and pair.lead != " ":
            yield line
            line = []
        line.append(pair)
    yield line


def _literal(pair: Pair) -> str:
    return re.escape(pair.lead + pair.key + pair.sign)


def _core(value: str) -> str:
    """*value* without the spaces that stand behind it in every record of a layout."""
    return value.rstrip(" ")


class _Values:
    """The expressions of a record's values, each to be put into the group that is wanted."""

    def __init__(self, grammar: Grammar, *, sealed: bool, batch: bool) -> None:
        self._grammar = grammar
        self._sealed = sealed
        self._batch = batch

    def _key(self, pair: Pair) -> Key:
        return self._grammar.keys[pair.key]

    def blocks(self, raw: RawPairs) -> Iterator[tuple[bool, list[Pair]]]:
        """The pairs of neighbouring lines, and whether these differ from record to record."""
        for differs, lines in groupby(_lines(raw), self._differs):
            yield differs, list(chain.from_iterable(lines))

    def _differs(self, line: list[Pair]) -> bool:
        return any(
            pair.key in _SELDOM_THE_SAME
            or pair.key.endswith("Time")
            or (self._key(pair).text and self._key(pair).opens_line)
            for pair in line
        )

    def of_block(self, block: list[Pair], group: str) -> str:
        """The lines from the first key on, a *group* for each value; none bears the seal."""
        return "".join(
            (_literal(pair) if number else re.escape(pair.key + pair.sign))
            + group.format(self._value(pair))
            for number, pair in enumerate(block)
        )

    def of(self, pair: Pair, group: str) -> str:
        """The value of *pair* as a *group*, and the seal behind it where it can bear one."""
        if not self._sealed or self._key(pair).text:
            return group.format(self._value(pair))
        if pair.key == "SubmitTime":
            return group.format(_SEALED_TIME) + f"{SEAL}+"
        return group.format(self._value(pair)) + f"{SEAL}*"

    def _value(self, pair: Pair) -> str:
        value = _TEXT if self._key(pair).text else _PLAIN
        if pair.key == "BatchFlag" and not self._batch:
            value = _NOT_A_BATCH_JOB + value
        return value + " " * (len(pair.value) - len(_core(pair.value)))
