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
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from ingest.grammar import Grammar
from ingest.pairs import Pair, RawPairs, Unreadable, read_pairs

SEAL = "\0"
"""Stands for each letter of the seal: no text that Slurm or a user writes can hold it."""

MAX_ALIKE = 8
"""Layouts of one shape that are kept: each may have to be tried."""
MAX_SHAPES = 64
"""Shapes of which layouts are kept."""
MAX_GROUPS = 256
"""Blocks of which what came before is kept."""
MAX_SEEN = 1 << 10
MAX_SEEN_LENGTH = 512
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

_DIFFERING = frozenset(
    {
        *("JobId", "JobName", "Priority", "RunTime", "SubmitTime", "EligibleTime", "AccrueTime"),
        *("StartTime", "EndTime", "LastSchedEval", "AllocNode:Sid", "NodeList", "BatchHost"),
        *("NodeName", "NodeAddr", "NodeHostName", "CPUAlloc", "CPULoad", "AllocMem", "FreeMem"),
        *("BootTime", "SlurmdStartTime", "LastBusyTime"),
    }
)
"""Keys whose values differ from record to record, beside those of texts with a line of their own.

What stands between them is much the same in many records, and is looked up as a whole.
"""


class Group:
    """What one group of a layout's expression holds: a value, or a block of keys and values."""

    def __init__(
        self, keys: tuple[str, ...], *, block: str = "", text: str = "", spaced: bool = False
    ) -> None:
        """*block* or *text* is its expression, with a group for each value."""
        self.keys = keys
        self.is_block = bool(block)
        self.spaced = spaced
        """A space stands behind the one value in every record."""
        self.pattern = re.compile(block or text) if block or text else None
        self.seen: set[str] = set()
        """What matched of the blocks that came before."""

    def values(self, text: str) -> tuple[str, ...]:
        """The values of its keys."""
        match = self.pattern and self.pattern.fullmatch(text)
        return match.groups() if match else (text,)

    def takes(self, text: str) -> bool:
        """Whether *text*, a block or a text, is as it must be."""
        if self.pattern is None or self.pattern.fullmatch(text) is None:
            return False
        if self.is_block and len(text) <= MAX_SEEN_LENGTH:
            if len(self.seen) >= MAX_SEEN:
                self.seen.clear()
            self.seen.add(text)
        return True


class Layout:
    """One sequence of keys, and what stands between them."""

    def __init__(self, raw: RawPairs, groups: Sequence[Group], pattern: str) -> None:
        self._raw = raw
        self.groups = groups
        self.blocks = tuple(
            (place, group.seen, group) for place, group in enumerate(groups) if group.is_block
        )
        self.texts = tuple(
            (place, group)
            for place, group in enumerate(groups)
            if group.pattern and not group.is_block
        )
        self.leads = frozenset(pair.lead + pair.key + pair.sign for pair in raw.pairs)
        self.marks: Sequence[str] = ()
        """What its records show, and those of some layout of the same shape do not."""
        self._fullmatch = re.compile(pattern).fullmatch

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Those of the record that it was learnt from."""
        return self._raw.pairs

    def read(self, text: str) -> tuple[str, ...] | None:
        """What `groups` hold in the record *text*, and its end; None if it has another layout."""
        match = self._fullmatch(text)
        if match is None:
            return None
        texts: tuple[str, ...] = match.groups()
        for place, seen, group in self.blocks:
            if texts[place] not in seen and not group.takes(texts[place]):
                return None
        for place, group in self.texts:
            if " " in texts[place] and not group.takes(texts[place]):
                return None
        return texts

    def raw(self, texts: tuple[str, ...]) -> RawPairs:
        """The raw pairs of a record that was read. The seal is taken off."""
        values: list[str] = []
        for group, text in zip(self.groups, texts[:-1], strict=True):
            values += group.values(text)
        pairs = [
            pair._replace(value=value) for pair, value in zip(self._raw.pairs, values, strict=True)
        ]
        return RawPairs(tuple(pairs), texts[-1])


class Reading(NamedTuple):
    """A record that was read by its layout."""

    layout: Layout
    texts: tuple[str, ...]
    """What the layout's groups hold in it, and its end."""


_NONE: list[Layout] = []


class Layouts:
    """The layouts of one kind of record, as they come; how many are kept has a limit.

    Cutting short what is kept costs time and nothing else, so that threads need no lock.
    """

    def __init__(self, grammar: Grammar, *, sealed: bool) -> None:
        self._grammar = grammar
        self._sealed = sealed
        self._alike: dict[_Shape, list[Layout]] = {}
        """Those of one shape, that used last first."""
        self._groups: dict[str, Group] = {}
        """Groups that are blocks, by their expressions: layouts share them."""
        self._credit = float(CREDIT)

    def read(self, text: str) -> Reading | None:
        """The reading of the record *text* in multi-line form, if it has a layout learnt before."""
        shape = _shape(text)
        tries = 0
        for layout in self._alike.get(shape, _NONE):
            for mark in layout.marks:
                if mark not in text:
                    break
            else:
                texts = layout.read(text)
                if texts is not None:
                    if tries:
                        self._put_first(layout, shape)
                    return Reading(layout, texts)
                tries += 1
        return None

    def learn(self, text: str, raw: RawPairs) -> None:
        """Learn the layout of *text*, a whole record in multi-line form, if it has one.

        *raw* is how `ingest.pairs` read it, without the seal.
        """
        self._credit = min(CREDIT, self._credit + 1 / RECORDS_A_CREDIT)
        if self._credit < 1 or not _is_regular(raw, self._grammar) or self.read(text) is not None:
            return
        self._credit -= 1
        layout = _Writer(raw, self._grammar, self._groups, sealed=self._sealed).layout()
        texts = layout.read(text)
        if texts is not None and layout.raw(texts) == raw and self._needs_no_voucher(text):
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
        own = (sorted(layout.leads - other.leads) for other in alike)
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


def _literal(pair: Pair) -> str:
    return re.escape(pair.lead + pair.key + pair.sign)


def _core(value: str) -> str:
    """*value* without the spaces that stand behind it in every record of a layout."""
    return value.rstrip(" ")


class _Writer:
    """Writes the expression of one record's layout."""

    def __init__(
        self, raw: RawPairs, grammar: Grammar, groups: dict[str, Group], *, sealed: bool
    ) -> None:
        """*raw* is regular; *groups* are the blocks known so far, by their expressions."""
        self._raw = raw
        self._grammar = grammar
        self._groups = groups
        self._sealed = sealed
        self._ends_batch_job = any(pair.key == "StdOut" for pair in raw.pairs)

    def layout(self) -> Layout:
        groups: list[Group] = []
        pattern = ""
        for differs, pairs in groupby(self._raw.pairs, self._differs):
            block = list(pairs)
            if differs or len(block) == 1:
                for pair in block:
                    pattern += _literal(pair) + self._looked_at_later(pair)
                    groups.append(self._single(pair))
            else:
                first, *others = block
                newlines = sum(other.lead.count("\n") for other in others)
                pattern += f"({_literal(first)}[^\\n]*" + r"\n[^\n]*" * newlines + ")"
                groups.append(self._block(block))
        return Layout(self._raw, tuple(groups), f"{pattern}({_END})")

    def _looked_at_later(self, pair: Pair) -> str:
        """The group of a single value: a text's words are looked at when there are some."""
        return r"([^\n\0]*)" if self._grammar.keys[pair.key].text else self._value(pair)

    def _single(self, pair: Pair) -> Group:
        is_text = self._grammar.keys[pair.key].text
        pattern = self._value(pair) if is_text else ""
        return Group((pair.key,), text=pattern, spaced=pair.value.endswith(" "))

    def _block(self, block: list[Pair]) -> Group:
        pattern = "".join(_literal(pair) + self._value(pair) for pair in block)
        if len(self._groups) >= MAX_GROUPS:
            self._groups.clear()
        keys = tuple(pair.key for pair in block)
        return self._groups.setdefault(pattern, Group(keys, block=pattern))

    def _differs(self, pair: Pair) -> bool:
        key = self._grammar.keys[pair.key]
        return pair.key in _DIFFERING or (key.text and key.opens_line)

    def _value(self, pair: Pair) -> str:
        """A group for the value of *pair*, and the seal behind it where it can bear one."""
        is_text = self._grammar.keys[pair.key].text
        value = _TEXT if is_text else _PLAIN
        if pair.key == "BatchFlag" and not self._ends_batch_job:
            value = _NOT_A_BATCH_JOB + value
        value += " " * (len(pair.value) - len(_core(pair.value)))
        if is_text or not self._sealed:
            return f"({value})"
        return f"({_SEALED_TIME}){SEAL}+" if pair.key == "SubmitTime" else f"({value}){SEAL}*"
