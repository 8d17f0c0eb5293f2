r"""Layouts that records have come in: one regular expression reads a whole record of each.

The records of a cluster come in a few dozen layouts: keys, and what stands between them.  A layout
is learnt from a record that `ingest.reading.pairs` has read, and then reads others like it some
fifty
times faster.  It takes only what `ingest.reading.pairs` would have read in just this way; all else
is left to that, which has the one word on what a text says.  Why a match is its reading:

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
from operator import itemgetter

from ingest.reading.pairs import Pair, RawPairs, Unreadable, read_pairs
from ingest.slurm.grammar import Grammar

SEAL = "\0"
"""Stands for each letter of the seal: no text that Slurm or a user writes can hold it."""

MAX_ALIKE = 8
"""Layouts with the same keys that are kept: each may have to be tried."""
MAX_LAYOUTS = 256
"""With more than these, all are learnt anew."""
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
_NO_WORD = re.compile(r" (?:[A-Z][^ \n=]*=|NtasksPerTRES:)")
"""What keeps texts without spaces at their ends from being `_TEXT`."""

_DIFFERING = frozenset(
    {
        *("JobId", "ArrayTaskId", "JobName", "Priority", "RunTime", "SubmitTime", "EligibleTime"),
        *("AccrueTime", "StartTime", "EndTime", "LastSchedEval", "AllocNode:Sid", "NodeList"),
        *("BatchHost", "Command", "SubmitLine", "WorkDir", "AdminComment", "SystemComment"),
        *("Comment", "Extra", "StdErr", "StdIn", "StdOut", "BatchScript"),
        *("NodeName", "NodeAddr", "NodeHostName", "CPUAlloc", "CPULoad", "AllocMem", "FreeMem"),
        *("BootTime", "SlurmdStartTime", "LastBusyTime"),
    }
)
"""Keys whose values differ from record to record.

What stands between them is much the same in many records, and is looked up as a whole.
"""


class Group:
    """What one group of a layout's expression holds: a value, or a block of keys and values."""

    def __init__(
        self, keys: tuple[str, ...], *, block: str = "", is_text: bool = False, spaced: bool = False
    ) -> None:
        """*block* is the expression of a block, with a group for each value."""
        self.keys = keys
        self.is_block = bool(block)
        self.is_text = is_text
        """It is one value, and free text."""
        self.spaced = spaced
        """A space stands behind the one value in every record."""
        self._pattern = re.compile(block) if block else None
        self.seen: set[str] = set()
        """What matched of the blocks that came before."""

    def values(self, text: str) -> tuple[str, ...]:
        """The values of its keys."""
        match = self._pattern and self._pattern.fullmatch(text)
        return match.groups() if match else (text,)

    def takes(self, text: str) -> bool:
        """Whether *text* is such a block."""
        if self._pattern is None or self._pattern.fullmatch(text) is None:
            return False
        if len(text) <= MAX_SEEN_LENGTH:
            if len(self.seen) >= MAX_SEEN:
                self.seen.clear()
            self.seen.add(text)
        return True


class Layout:
    """One sequence of keys, and what stands between them."""

    def __init__(self, raw: RawPairs, groups: Sequence[Group], pattern: str) -> None:
        self._raw = raw
        self.groups = groups
        self.leads = frozenset(pair.lead + pair.key + pair.sign for pair in raw.pairs)
        """What its records show of its keys."""
        self._blocks = tuple(
            (place, group.seen, group) for place, group in enumerate(groups) if group.is_block
        )
        texts = [place for place, group in enumerate(groups) if group.is_text]
        self._texts = itemgetter(0, *texts, 0)  # the id as well, so that it is always a tuple
        self._spaced = [place for place in texts if groups[place].spaced]
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
        found: tuple[str, ...] = match.groups()
        for place, seen, group in self._blocks:
            if found[place] not in seen and not group.takes(found[place]):
                return None
        # All texts at once: to look at each would take three times as long.
        texts = "\n".join(self._texts(found))
        if "\0" in texts or _NO_WORD.search(texts) or texts.count(" \n") != len(self._spaced):
            return None
        for place in self._spaced:
            if found[place][-1:] != " " or found[place][-2:-1] == " ":
                return None
        return found

    def raw(self, texts: tuple[str, ...]) -> RawPairs:
        """The raw pairs of a record that was read. The seal is taken off."""
        values: list[str] = []
        for group, text in zip(self.groups, texts[:-1], strict=True):
            values += group.values(text)
        pairs = [
            pair._replace(value=value) for pair, value in zip(self._raw.pairs, values, strict=True)
        ]
        return RawPairs(tuple(pairs), texts[-1])


Reading = tuple[Layout, tuple[str, ...]]
"""By what a record was read, and what the layout's groups hold in it, and its end."""

_Tree = list[Layout] | tuple[str, "_Tree", "_Tree"]
"""Layouts with the same keys; or a lead, layouts that show it, and layouts that do not."""


class Layouts:
    """The layouts of one kind of record, as they come; how many are kept has a limit.

    They stand at the ends of a tree, of which a record is led to those with its keys by a look for
    one key at each fork.  Cutting short what is kept costs time and nothing else, so that threads
    need no lock.
    """

    def __init__(self, grammar: Grammar, *, sealed: bool) -> None:
        self._grammar = grammar
        self._sealed = sealed
        self._tree: _Tree = []
        self._number = 0
        """Of layouts that were put into the tree."""
        self._groups: dict[str, Group] = {}
        """Groups that are blocks, by their expressions: layouts share them."""
        self._credit = float(CREDIT)

    def read(self, text: str) -> Reading | None:
        """The reading of the record *text* in multi-line form, if it has a layout learnt before."""
        tree = self._tree
        while isinstance(tree, tuple):
            lead, those_with, those_without = tree
            # From the end, where it takes half as long: many keys end as many values do.
            tree = those_without if text.rfind(lead) < 0 else those_with
        for layout in tree:
            texts = layout.read(text)
            if texts is not None:
                return layout, texts
        return None

    def learn(self, text: str, raw: RawPairs) -> None:
        """Learn the layout of *text*, a whole record in multi-line form, if it has one.

        *raw* is how `ingest.reading.pairs` read it, without the seal.
        """
        self._credit = min(CREDIT, self._credit + 1 / RECORDS_A_CREDIT)
        if self._credit < 1 or not _is_regular(raw, self._grammar) or self.read(text) is not None:
            return
        self._credit -= 1
        layout = _Writer(raw, self._grammar, self._groups, sealed=self._sealed).layout()
        texts = layout.read(text)
        if texts is not None and layout.raw(texts) == raw and self._needs_no_voucher(text):
            if self._number >= MAX_LAYOUTS:
                self._tree, self._number = [], 0
            self._tree = _with(self._tree, layout)
            self._number += 1

    def _needs_no_voucher(self, text: str) -> bool:
        try:
            seal = SEAL if self._sealed else ""
            read_pairs(text, self._grammar, multi_line=True, seal=seal)
        except Unreadable:
            return False
        return True


def _with(tree: _Tree, layout: Layout) -> _Tree:
    """*tree* and *layout*, the newest first."""
    if isinstance(tree, tuple):
        lead, those_with, those_without = tree
        if lead in layout.leads:
            return lead, _with(those_with, layout), those_without
        return lead, those_with, _with(those_without, layout)
    if not tree or tree[0].leads == layout.leads:
        return [layout, *tree[: MAX_ALIKE - 1]]
    lead = min(tree[0].leads ^ layout.leads)
    return (lead, [layout], tree) if lead in layout.leads else (lead, tree, [layout])


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
        """The group of a single value: a text is looked at with all others of the record."""
        return r"([^\n]*)" if self._grammar.keys[pair.key].text else self._value(pair)

    def _single(self, pair: Pair) -> Group:
        is_text = self._grammar.keys[pair.key].text
        return Group((pair.key,), is_text=is_text, spaced=pair.value.endswith(" "))

    def _block(self, block: list[Pair]) -> Group:
        pattern = "".join(_literal(pair) + self._value(pair) for pair in block)
        if len(self._groups) >= MAX_GROUPS:
            self._groups.clear()
        keys = tuple(pair.key for pair in block)
        return self._groups.setdefault(pattern, Group(keys, block=pattern))

    def _differs(self, pair: Pair) -> bool:
        return pair.key in _DIFFERING

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
