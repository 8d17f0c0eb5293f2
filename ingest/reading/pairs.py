r"""One record's text to its raw pairs, every byte accounted for.

Nothing in scontrol's output is escaped, and most of the strings that a user can choose may hold
spaces, newlines, ``=`` and keys.  So every place where a known key could stand is a candidate, and
a *reading* of the record is a chain of candidates that

- follows the order of `ingest.slurm.grammar`, holds every mandatory key, and starts a line where
  the key opens a line;
- passes over other candidates only inside free text.

Nearly always that is simply every candidate.  Where a key could stand in two places there is more
than one reading, and the record is refused: `Unreadable`.

A key that the grammar lacks is a pair like any other where a user can't have written it.  Behind
a user's free text it may be a part of that text: it is taken only if it is *vouched* for, which
`ingest.reading.records` does once records of two users have shown it.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from ingest.slurm.grammar import KEY, Grammar, Key

MAX_CANDIDATES = 1000
"""An irregular record with more places for keys than this is refused."""

REPEATED = frozenset({"Nodes", "CPU_IDs", "Mem", "GRES", "GRES_IDX"})
"""Keys of ``-d``'s deeper lines, which come once for each group of nodes."""

# Slurm up to 21.08 prints one pair with a colon.
_PAIR = rf"(?:({KEY})(=)|(NtasksPerTRES)(:))"
_INDENT = r"(?: {5,6}(?=Nodes=)| {3})"
_PLACE = re.compile(rf"(\A|\n{_INDENT}| ){_PAIR}")
# Late versions print an empty line in the middle of a node's record.
_PLACE_IN_NODE = re.compile(rf"(\A|\n(?: {{0,3}}\n){{0,3}}{_INDENT}| ){_PAIR}")
_END = re.compile(r"(?:\n {3})?\n{0,2}\Z")
_NO_TEXT = "(null)"  # what Slurm prints where a user gave no text


class Pair(NamedTuple):
    """A key and its value as printed, and what stood before them.

    Joining ``lead + key + sign + value`` of all pairs and the record's end gives its text again.
    """

    lead: str
    key: str
    sign: str
    value: str


@dataclass(frozen=True)
class RawPairs:
    """All that one record's text holds, in its order."""

    pairs: tuple[Pair, ...]
    end: str
    """The blank line behind the record, as printed."""

    def text(self) -> str:
        """The record's text again, character for character."""
        return "".join("".join(pair) for pair in self.pairs) + self.end

    def is_utf8(self) -> bool:
        """Whether the record's bytes were UTF-8; others stand as lone surrogates in the values."""
        try:
            self.text().encode()
        except UnicodeEncodeError:
            return False
        return True


class Unreadable(ValueError):
    """A record that can be read in no way, or in more than one. The message says which.

    ``unknown`` holds the keys that would have to be vouched for to read it.
    """

    def __init__(self, reason: str, unknown: frozenset[str] = frozenset()) -> None:
        super().__init__(reason)
        self.unknown = unknown


def read_pairs(
    text: str,
    grammar: Grammar,
    *,
    multi_line: bool,
    seal: str = "",
    vouched: Container[str] = frozenset(),
) -> RawPairs:
    """The raw pairs of the record *text*, in the *multi_line* or else the ``-o`` form.

    *seal* is what scontrol was asked to print behind every time (see `scraper.slurm_commands`): a
    SubmitTime without it is text that somebody wrote.  It stays in the raw values.
    *vouched* are keys unknown to *grammar* that are known not to be a user's text.

    Raises `Unreadable`.
    """
    body = _END.sub("", text)
    places = _places(body, grammar, seal)
    known = [place for place in places if place.known]
    chain = _chain(known, grammar, multi_line, vouched)
    starts = [place.start for place in places]
    pairs: list[Pair] = []
    for number, place in enumerate(chain):
        stop = chain[number + 1].start if number + 1 < len(chain) else len(body)
        inside = places[bisect_right(starts, place.start) : bisect_left(starts, stop)]
        segment = _Segment(body, place, stop, inside, last=number + 1 == len(chain))
        pairs += segment.pairs(chain, multi_line, vouched)
    _check(pairs, grammar)
    return RawPairs(tuple(pairs), text[len(body) :])


# --- where keys could stand ------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """A place at which a key could stand."""

    start: int
    """Where its lead begins: the value before it ends here."""
    lead: str
    name: str
    sign: str
    value_start: int
    known: Key | None

    @property
    def starts_line(self) -> bool:
        return self.lead.startswith("\n")

    @property
    def is_text(self) -> bool:
        return self.known is not None and self.known.text

    @property
    def is_free(self) -> bool:
        """Whether other places can stand inside the value."""
        return self.known is not None and self.known.text and not self.known.one_line


def _places(body: str, grammar: Grammar, seal: str) -> list[_Place]:
    found = []
    pattern = _PLACE if grammar.hostile else _PLACE_IN_NODE
    for match in pattern.finditer(body):
        lead, name, sign, colon_name, colon = match.groups()
        name = name or colon_name
        known = grammar.keys.get(name)
        if seal and name == "SubmitTime" and not _is_sealed(body, match.end(), seal):
            continue
        found.append(_Place(match.start(), lead, name, sign or colon, match.end(), known))
    if not found or found[0].start or found[0].name != grammar.first_key:
        raise Unreadable(f"it does not start with {grammar.first_key}=")
    return found


def _is_sealed(body: str, start: int, seal: str) -> bool:
    return body.find(seal, start, start + 40 + len(seal)) > start


# --- the one chain of keys -------------------------------------------------------------------


def _chain(
    places: list[_Place], grammar: Grammar, lines: bool, vouched: Container[str]
) -> list[_Place]:
    """The one reading of *places*, all of known keys. Raises `Unreadable`."""
    follows = _Order(grammar, lines)
    names = {place.name for place in places}
    for _, key in grammar.mandatory:
        if key not in names:
            raise Unreadable(f"{key} is missing")
    if len(names) == len(places) and all(
        follows.can_follow(before, after) for before, after in pairwise(places)
    ):
        return places
    if len(places) > MAX_CANDIDATES:
        raise Unreadable(f"{len(places)} places look like keys")
    if lines and len(names) == len(places):
        moved = _out_of_order(places)
        if moved and all(not grammar.hostile or name in vouched for name in moved):
            return places
        if moved:
            raise Unreadable(
                f"{', '.join(sorted(moved))} stands out of its order: either another release of "
                "Slurm, or a user's text",
                frozenset(moved),
            )
    return _longest(places, follows)


def _out_of_order(places: list[_Place]) -> set[str]:
    """Keys that open a line and come behind one that should follow them."""
    moved = set()
    rank = 0
    for place in places:
        assert place.known is not None  # noqa: S101 - chains hold known keys alone
        if place.known.rank < rank and place.starts_line:
            moved.add(place.name)
        rank = max(rank, place.known.rank)
    return moved


class _Order:
    """Which known key can come straight behind which."""

    def __init__(self, grammar: Grammar, lines: bool) -> None:
        self.mandatory = grammar.mandatory
        self.lines = lines
        self._known: dict[tuple[str, str, bool], bool] = {}

    def can_follow(self, before: _Place, after: _Place) -> bool:
        which = (before.name, after.name, after.starts_line)
        if which not in self._known:
            self._known[which] = self._can_follow(before, after)
        return self._known[which]

    def _can_follow(self, before: _Place, after: _Place) -> bool:
        assert before.known is not None  # noqa: S101 - chains hold known keys alone
        assert after.known is not None  # noqa: S101
        if after.known.rank < before.known.rank or after.name == before.name:
            return False
        if self.lines and not after.starts_line and after.known.line != before.known.line:
            return False
        return not any(before.known.rank < rank < after.known.rank for rank, name in self.mandatory)

    def can_end(self, place: _Place) -> bool:
        assert place.known is not None  # noqa: S101
        return all(rank <= place.known.rank for rank, _ in self.mandatory)


def _longest(places: list[_Place], order: _Order) -> list[_Place]:
    """The longest chain, when it is the only one and no key could stand elsewhere."""
    ways = _ways_to_the_end(places, order)
    if not ways[0][0]:
        raise Unreadable("its keys are not in the order in which scontrol prints them")
    chain, index = [places[0]], 0
    for length in range(ways[0][0] - 1, 0, -1):
        while ways[index][0] != length or not order.can_follow(chain[-1], places[index]):
            index += 1
        chain.append(places[index])
    reached = _reached(places, order)
    possible = [
        place.name
        for place, (length, _), is_reached in zip(places, ways, reached, strict=True)
        if is_reached and length
    ]
    doubled = sorted({name for name in possible if possible.count(name) > 1})
    if doubled or ways[0][1] > 1:
        raise Unreadable(
            f"{', '.join(doubled) or 'a key'} could stand in more than one place: "
            "text that a user wrote looks like a part of the record"
        )
    return chain


_Ways = tuple[int, int]
"""How many keys the longest chain from a place to the end holds, and how many chains hold so many.

(0, 0) where no chain leads to the end.
"""


def _ways_to_the_end(places: list[_Place], order: _Order) -> list[_Ways]:
    ways: list[_Ways] = [(0, 0)] * len(places)
    # The best of the places behind the one in hand: one for each name and kind of place, as that
    # is all that the order looks at.
    behind: dict[tuple[str, bool], tuple[_Place, _Ways]] = {}
    for index in reversed(range(len(places))):
        place = places[index]
        last = index + 1 == len(places)
        found = (1, 1) if order.can_end(place) and (place.is_text or last) else (0, 0)
        nexts: Iterable[tuple[_Place, _Ways]] = behind.values()
        if not place.is_free:
            nexts = [] if last else [(places[index + 1], ways[index + 1])]
        for other, (length, number) in nexts:
            if length and order.can_follow(place, other):
                found = _best(found, (length + 1, number))
        ways[index] = found
        which = (place.name, place.starts_line)
        _, known = behind.get(which, (place, (0, 0)))
        behind[which] = (place, _best(known, found))
    return ways


def _best(one: _Ways, other: _Ways) -> _Ways:
    if one[0] == other[0]:
        return one[0], one[1] + other[1]
    return max(one, other)


def _reached(places: list[_Place], order: _Order) -> list[bool]:
    """Which places a chain from the first one can come to."""
    reached = [True]
    free: dict[str, _Place] = {}
    for before, place in pairwise(places):
        straight = reached[-1] and order.can_follow(before, place)
        reached.append(straight or any(order.can_follow(each, place) for each in free.values()))
        if reached[-1] and place.is_free:
            free.setdefault(place.name, place)
    return reached


# --- what stands between two keys of the chain -----------------------------------------------


@dataclass(frozen=True)
class _Segment:
    """A key of the chain and all that stands up to the next one."""

    body: str
    place: _Place
    stop: int
    inside: list[_Place]
    """Places within the segment that the chain does not hold."""
    last: bool

    def pairs(self, chain: Sequence[_Place], lines: bool, vouched: Container[str]) -> list[Pair]:
        """The key's pair, and the pairs of unknown keys that follow it. Raises `Unreadable`."""
        assert self.place.known is not None  # noqa: S101
        if not self.place.known.text:
            return list(self._split([place for place in self.inside if place.known is None]))
        if not lines:
            return list(self._split(self._new_keys_of_o_form()))
        return list(self._split(self._new_lines(chain, vouched)))

    def _new_lines(self, chain: Sequence[_Place], vouched: Container[str]) -> list[_Place]:
        """The places of unknown keys that end this free text, in the multi-line form."""
        assert self.place.known is not None  # noqa: S101
        names = {place.name for place in chain}
        for place in self.inside:
            if place.known is not None and place.starts_line and place.name not in names:
                raise Unreadable(
                    f"{place.name} stands out of its order, perhaps inside the text of "
                    f"{self.place.name}"
                )
        new = [place for place in self.inside if place.known is None]
        whole_line = self.place.known.whole_line
        first = next((place for place in new if place.starts_line or not whole_line), None)
        if first is None:
            return []
        value = self.body[self.place.value_start : first.start]
        trusted = not self.place.known.users_text or value == _NO_TEXT
        if not trusted and first.name not in vouched:
            raise Unreadable(
                f"{first.name}, a key unknown so far, follows the text of {self.place.name}, and "
                "may be a part of it",
                frozenset({first.name}),
            )
        return [place for place in new if place.start >= first.start]

    def _new_keys_of_o_form(self) -> list[_Place]:
        """In ``-o``: only behind the last path of a record, where nothing but keys follows."""
        assert self.place.known is not None  # noqa: S101
        new = [place for place in self.inside if place.known is None]
        if self.place.known.users_text or not self.last or not new:
            return []
        value = self.body[self.place.value_start : self.stop]
        behind = value[new[0].start - self.place.value_start :]
        only_keys = all("=" in word for word in behind.split())
        return new if only_keys and " " not in value[: -len(behind)].rstrip() else []

    def _split(self, new: list[_Place]) -> Iterator[Pair]:
        stops = [place.start for place in new] + [self.stop]
        for place, stop in zip([self.place, *new], stops, strict=True):
            value = self.body[place.value_start : stop]
            if "\n" in value and not place.is_free:
                raise Unreadable(f"{place.name} is followed by a line that holds no key")
            if place.known is not None and not place.is_text and " " in value.rstrip(" "):
                raise Unreadable(f"{place.name} holds a space: {value[:80]!r}")
            yield Pair(place.lead, place.name, place.sign, value)


def _check(pairs: Sequence[Pair], grammar: Grammar) -> None:
    """Hold a reading against what every true record has. Raises `Unreadable`."""
    values: dict[str, str] = {}
    for pair in pairs:
        if pair.key in values and pair.key not in REPEATED:
            raise Unreadable(f"{pair.key} comes twice")
        values[pair.key] = pair.value
    if not grammar.hostile:
        return
    if values.get("BatchFlag") == "1" and "StdOut" not in values:
        raise Unreadable("a batch job without StdOut: this is a part of a record")
    het = "HetJobId" in values or "PackJobId" in values
    if not het and ("HetJobIdSet" in values or "PackJobIdSet" in values):
        raise Unreadable("HetJobIdSet stands in a job that is not heterogeneous")
