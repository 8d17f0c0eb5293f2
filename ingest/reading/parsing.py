r"""Decide how the text of one record is read: which places are keys, and which are a user's text.

scontrol escapes nothing, and most strings that a user chooses may contain spaces, newlines, ``=``
and keys.  So every place where a key could stand is a *token*.  A *reading* of the record is a
chain of tokens that

- follows the order of `ingest.slurm.keys`, contains every mandatory key, and starts a line where
  the key opens a line;
- skips other tokens only inside a user's text.

Nearly always, the only reading is the chain of all tokens.  If a key could stand in two places,
there is more than one reading, and the record is refused: `Unreadable`.

Unknown keys have no row in the table.  An unknown key counts like any other key if no user can have
written it: after a value that no user chooses, after a path, and after a text that is absent.
After a user's text, the unknown key may be a part of this text.  It counts as a key only if its
*place* (the key before it, and its own name) is vouched for: `ingest.reading.vouching` says when.
Otherwise the record is refused, so that no key silently becomes a part of a text.  In ``-o`` form,
texts contain words with ``=`` too often for this rule.  There, an unknown key after a text that is
not absent is a part of the text, unless its place is vouched for.

The decision depends only on the *shape* of the record: its tokens in their order, line by line.  So
`ingest.reading.shapes` keeps the decision for each shape.
"""

import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from ingest.slurm.keys import JOB, NODE, PATTERN, Key, KeyTable
from ingest.slurm.values import ABSENT

MAX_TOKENS = 1000
"""A record with more tokens is refused, unless its known keys alone make the one reading."""

# Slurm up to 21.08 prints one pair with a colon.
_KEY = rf"({PATTERN}=|NtasksPerTRES:)"
_OPENING = r"(?: {3}| {5,6}(?=Nodes=))"
_FLAGS = frozenset(key.name for key in JOB.keys.values() if key.flag)
_FLAG = "|".join(sorted(_FLAGS))
_TOKEN = re.compile(rf"(?:^{_OPENING}?|\n {{3}}| |(?:(?<==Yes)|(?<==No)),?(?=(?:{_FLAG})=)){_KEY}")
_TOKEN_OF_LINE = re.compile(rf"(?:^{_OPENING}| ){_KEY}")
_TOKEN_OF_FIRST_LINE = re.compile(rf"(?:^| ){_KEY}")
_TOKEN_INSIDE = re.compile(rf" {_KEY}")
_OPENS_LINE = re.compile(_OPENING + _KEY)
_SEAL = "\0"

LineShape = tuple[str, ...]
"""The tokens of one line, each a key with its sign.

``(null)`` stands behind the sign of a text that is absent, and in ``-o`` form ``(word)`` behind the
sign of a value without spaces.  An empty word comes first where the line opens with no key.
"""
BLANK_LINE: LineShape = ()
Shape = tuple[LineShape, ...]

Place = tuple[str, str]
"""Where an unknown key stands: the key before it, and its own name."""


class Unreadable(ValueError):
    """A record that can be read in no way, or in more than one. The message says which.

    ``places`` holds the places that would have to be vouched for to read the record.
    """

    def __init__(self, reason: str, places: frozenset[Place] = frozenset()) -> None:
        super().__init__(reason)
        self.places = places


# --- lines ---------------------------------------------------------------------------------------


LINE_OF_SPACES = "\n   "
"""The last line of a job in some releases, such as 21.08 to 25.05. In the others it is a user's."""
STRIPPED_LINE = "\n"
"""The same line after an editor removed the spaces at the ends of all lines."""


class Form(NamedTuple):
    """The kind of record, and the form in which scontrol printed it."""

    table: KeyTable
    multi_line: bool
    """False for ``-o``, which prints a record on one line."""
    sealed: bool
    """Every time bears a seal, with a NUL in place of each of its letters."""
    end: str = LINE_OF_SPACES
    """What stands behind a job, before the blank line: `LINE_OF_SPACES`, `STRIPPED_LINE` or ""."""

    def split_record(self, text: str) -> tuple[list[str], str]:
        """Return the lines of a record, and the end behind the last of them.

        In ``-o`` form all of the record is one line, whatever newlines a user wrote.
        """
        if not self.multi_line:
            body = text.removesuffix("\n").removesuffix(" ")
            return [body], text[len(body) :]
        body = text.removesuffix("\n").removesuffix("\n").removesuffix(self.end)
        return body.split("\n"), text[len(body) :]

    def split_line(self, line: str, *, first: bool) -> tuple[LineShape, list[str]]:
        """Return the tokens of *line* and their values; *first*: the line opens the record.

        An empty word comes first where the line opens with no key. A blank line has no tokens.
        """
        if first:
            return self._split_first(line)
        table = self.table
        key = line[3 : line.find("=")]
        if line[:3] == "   " and key in table.openers:
            if key in table.whole_lines:
                return (f"{key}=",), [line[4 + len(key) :]]
            opens = not (self.sealed and key in table.times and self._lacks_seal(line, key))
        else:
            opens = _OPENS_LINE.match(line) is not None
        if opens:
            _, *parts = (_TOKEN if key in _FLAGS else _TOKEN_OF_LINE).split(line)
            return tuple(parts[0::2]), parts[1::2]
        if not line.strip(" "):
            return BLANK_LINE, []
        _, *parts = _TOKEN_INSIDE.split(line)
        return ("", *parts[0::2]), parts[1::2]

    def _lacks_seal(self, line: str, key: str) -> bool:
        """Whether the line opens with a time that scontrol did not print."""
        value = 4 + len(key)
        return _SEAL not in line and line[value : value + 1].isdecimal()

    def _split_first(self, line: str) -> tuple[LineShape, list[str]]:
        if not self.multi_line:
            _, *parts = _TOKEN.split(line)
            return tuple(parts[0::2]), parts[1::2]
        line, sign, name = line.partition(" JobName=")  # which runs to the line's end
        _, *parts = _TOKEN_OF_FIRST_LINE.split(line)
        parts += [sign[1:], name] if sign else []
        return tuple(parts[0::2]), parts[1::2]

    def shape_of(self, words: LineShape, found: Sequence[str]) -> LineShape:
        """Return the shape of a line with the tokens *words*, whose values are *found*."""
        shift = words[:1] == ("",)
        shape = list(words)
        for place, value in enumerate(found, start=shift):
            key = self.table.keys.get(words[place][:-1])
            if key and key.is_text and _absent(value):
                shape[place] += "(null)"
            elif not self.multi_line and not re.search(r"\s", value.rstrip()):
                shape[place] += "(word)"
        return tuple(shape)


def key_of(word: str) -> str:
    """Return the key of a word of a `LineShape`."""
    return word.removesuffix("(null)").removesuffix("(word)")[:-1]


def _absent(value: str) -> bool:
    return value in ABSENT


# --- tokens --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Token:
    """A place at which a key could stand."""

    name: str
    opens_line: bool
    """The line opens with a key, and before the token stand only unknown keys on it."""
    key: Key | None
    """The key's row in the table; None for an unknown key and for those of a group."""
    is_absent: bool
    """The value is a text that is absent."""
    is_word: bool
    """In ``-o`` form: the value holds no space."""
    text_follows: bool
    """The token is the last of its line, and the next line opens with no key."""
    in_group: bool
    """A key of a group of nodes, or an unknown key behind one of them on its line."""

    @property
    def is_text(self) -> bool:
        return self.key is not None and self.key.is_text


def tokens_of(shape: Shape, table: KeyTable) -> list[Token]:
    """Return the tokens of a record. Raises `Unreadable` if it does not begin as a record does."""
    if not shape or not shape[0] or key_of(shape[0][0]) != table.first:
        raise Unreadable(f"it does not start with {table.first}=")
    tokens = []
    for line, text_follows in zip(shape, _text_follows(shape), strict=True):
        opens_line = True
        in_group = False
        for place, word in enumerate(line):
            if not word:
                opens_line = False
                continue
            name = key_of(word)
            key = None if name in table.group_keys else table.keys.get(name)
            in_group = name in table.group_keys or (in_group and key is None)
            goes_on = text_follows and place + 1 == len(line)
            tokens.append(
                Token(
                    name=name,
                    opens_line=opens_line,
                    key=key,
                    is_absent=word.endswith("(null)") and not goes_on,
                    is_word=word.endswith("(word)"),
                    text_follows=goes_on,
                    in_group=in_group,
                )
            )
            opens_line &= key is None and not in_group
    return tokens


def _text_follows(shape: Shape) -> list[bool]:
    """Whether the next line that is not blank opens with no key, for each line."""
    follows = []
    text = False
    for line in reversed(shape):
        follows.append(text)
        if line != BLANK_LINE:
            text = line[:1] == ("",)
    return follows[::-1]


# --- the decision --------------------------------------------------------------------------------


class Decision(NamedTuple):
    """How the records of one shape are read."""

    keys: tuple[int, ...]
    """The numbers of the tokens that are keys."""
    new: frozenset[Place]
    """The places behind texts that are read as keys, which other records may vouch for."""


def decide(tokens: Sequence[Token], form: Form, vouched: Container[Place]) -> Decision:
    """Return the one reading of *tokens*. Raises `Unreadable`."""
    known = [number for number, token in enumerate(tokens) if token.key is not None]
    chain = _chain(tokens, known, _order(form), vouched)
    found: list[int] = []
    new: set[Place] = set()
    for at, number in enumerate(chain):
        stop = chain[at + 1] if at + 1 < len(chain) else len(tokens)
        taken = _taken(tokens, number, stop, form, vouched)
        kept = frozenset(taken)
        for each in (number, *taken):
            if tokens[each].text_follows and not tokens[number].is_text:
                raise Unreadable(f"{tokens[each].name} is followed by a line that holds no key")
        if taken and any(
            tokens[each].text_follows or (tokens[each].opens_line and each not in kept)
            for each in range(taken[0], stop)
        ):
            raise Unreadable(f"{tokens[taken[0]].name} is followed by a line that holds no key")
        found += [number, *taken]
        if tokens[number].is_text:
            new |= {(tokens[number].name, tokens[each].name) for each in taken}
    new |= _out_of_order(tokens[number] for number in chain)
    _check(tokens, found)
    return Decision(tuple(found), frozenset(new))


def _check(tokens: Sequence[Token], found: Iterable[int]) -> None:
    """Hold a reading against what every true record has. Raises `Unreadable`."""
    names: set[str] = set()
    for number in found:
        name = tokens[number].name
        if tokens[number].in_group:
            continue
        if name in names:
            raise Unreadable(f"{name} comes twice")
        names.add(name)
    if names & {"HetJobIdSet", "PackJobIdSet"} and not names & {"HetJobId", "PackJobId"}:
        raise Unreadable("HetJobIdSet stands in a job that is not heterogeneous")


class _Order:
    """Which known key can come straight behind which."""

    def __init__(self, form: Form) -> None:
        self.table, self.multi_line = form.table, form.multi_line
        self._known: dict[tuple[str, str, bool], bool] = {}

    def can_follow(self, before: Token, after: Token) -> bool:
        which = (before.name, after.name, after.opens_line)
        if which not in self._known:
            self._known[which] = self._can_follow(before, after)
        return self._known[which]

    def _can_follow(self, before: Token, after: Token) -> bool:
        first, second = self.table.keys[before.name], self.table.keys[after.name]
        if second.rank <= first.rank:
            return False
        if self.multi_line and not after.opens_line and not first.lines & second.lines:
            return False
        return not any(first.rank < key.rank < second.rank for key in self.table.mandatory)

    def can_end(self, token: Token) -> bool:
        return self.table.keys[token.name].rank >= self.table.mandatory[-1].rank


def _order(form: Form) -> _Order:
    return _ORDERS.setdefault((form.table.kind, form.multi_line), _Order(form))


_ORDERS: dict[tuple[str, bool], _Order] = {}


def _chain(
    tokens: Sequence[Token], known: list[int], order: _Order, vouched: Container[Place]
) -> list[int]:
    """The numbers of the known keys in the one reading. Raises `Unreadable`."""
    table = order.table
    places = [tokens[number] for number in known]
    names = {token.name for token in places}
    for key in table.mandatory:
        if key.name not in names:
            raise Unreadable(f"{key.name} is missing")
    if len(names) == len(places) and all(
        order.can_follow(before, after) for before, after in pairwise(places)
    ):
        return known
    if len(places) > MAX_TOKENS:
        raise Unreadable(f"{len(places)} places look like keys")
    if order.multi_line and len(names) == len(places):
        moved = _out_of_order(places)
        if moved and all(table is NODE or place in vouched for place in moved):
            return known
        if moved:
            raise Unreadable(
                f"{', '.join(sorted(name for _, name in moved))} is out of order: either "
                "another release of Slurm, or a user's text",
                frozenset(moved),
            )
    return [known[number] for number in _longest(places, order)]


def _out_of_order(places: Iterable[Token]) -> set[Place]:
    """Keys that open a line and come behind one that should follow them."""
    moved = set()
    highest, before = 0, ""
    for token in places:
        rank = token.key.rank if token.key else 0
        if rank < highest and token.opens_line:
            moved.add((before, token.name))
        highest = max(rank, highest)
        before = token.name
    return moved


def _longest(places: Sequence[Token], order: _Order) -> list[int]:
    """The longest chain, when it is the only one and no key could stand elsewhere."""
    ways = _ways_to_the_end(places, order)
    if not ways[0][0]:
        raise Unreadable("its keys are not in the order in which scontrol prints them")
    chain, index = [0], 0
    for length in range(ways[0][0] - 1, 0, -1):
        while ways[index][0] != length or not order.can_follow(places[chain[-1]], places[index]):
            index += 1
        chain.append(index)
    reached = _reached(places, order)
    possible = [
        token.name
        for token, (length, _), is_reached in zip(places, ways, reached, strict=True)
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


def _ways_to_the_end(places: Sequence[Token], order: _Order) -> list[_Ways]:
    ways: list[_Ways] = [(0, 0)] * len(places)
    # The best of the places behind the one in hand: one for each name and kind of place, as that
    # is all that the order looks at.
    behind: dict[tuple[str, bool], tuple[Token, _Ways]] = {}
    for index in reversed(range(len(places))):
        place = places[index]
        last = index + 1 == len(places)
        found = (1, 1) if order.can_end(place) and (place.is_text or last) else (0, 0)
        nexts: Iterable[tuple[Token, _Ways]] = behind.values()
        if not place.is_text:
            nexts = [] if last else [(places[index + 1], ways[index + 1])]
        for other, (length, number) in nexts:
            if length and order.can_follow(place, other):
                found = _best(found, (length + 1, number))
        ways[index] = found
        which = (place.name, place.opens_line)
        _, known = behind.get(which, (place, (0, 0)))
        behind[which] = (place, _best(known, found))
    return ways


def _best(one: _Ways, other: _Ways) -> _Ways:
    if one[0] == other[0]:
        return one[0], one[1] + other[1]
    return max(one, other)


def _reached(places: Sequence[Token], order: _Order) -> list[bool]:
    """Which places a chain from the first one can come to."""
    reached = [True]
    texts: dict[str, Token] = {}
    for before, place in pairwise(places):
        straight = reached[-1] and order.can_follow(before, place)
        reached.append(straight or any(order.can_follow(each, place) for each in texts.values()))
        if reached[-1] and place.is_text:
            texts.setdefault(place.name, place)
    return reached


# --- unknown keys between two known ones ---------------------------------------------------------


def _taken(
    tokens: Sequence[Token], number: int, stop: int, form: Form, vouched: Container[Place]
) -> list[int]:
    """The tokens up to *stop* behind the key *number* that are keys too. Raises `Unreadable`."""
    carrier = tokens[number]
    inside = range(number + 1, stop)
    unknown = [each for each in inside if tokens[each].key is None]
    if carrier.key is None or not carrier.is_text:
        return unknown
    if form.multi_line and (carrier.name in form.table.whole_lines or carrier.name == "JobName"):
        unknown = [each for each in unknown if tokens[each].opens_line]
    if form.multi_line:
        for each in inside:
            if tokens[each].key and tokens[each].opens_line and not _is_elsewhere(tokens, each):
                raise Unreadable(
                    f"{tokens[each].name} is out of order, perhaps inside the text of "
                    f"{carrier.name}",
                    frozenset({(carrier.name, tokens[each].name)}),
                )
        for each in unknown[:1]:
            place = (carrier.name, tokens[each].name)
            could_be_text = carrier.key.is_users_text and not carrier.is_absent
            if place not in vouched and (could_be_text or tokens[each].text_follows):
                raise Unreadable(
                    f"{place[1]}, an unknown key, stands behind the text of {place[0]}, and may be "
                    "a part of the text",
                    frozenset({place}) if len(tokens) <= MAX_TOKENS else frozenset(),
                )
        return unknown
    # Behind the last path of a record stand only keys, if it looks so.
    is_last_path = stop == len(tokens) and not carrier.key.is_users_text
    if carrier.is_absent or (
        is_last_path and all(tokens[each].is_word for each in (number, *unknown))
    ):
        return unknown
    vouched_for = (each for each in unknown if (carrier.name, tokens[each].name) in vouched)
    first = next(vouched_for, len(tokens))
    return [each for each in unknown if each >= first]


def _is_elsewhere(tokens: Sequence[Token], number: int) -> bool:
    """Whether another token bears the same name."""
    name = tokens[number].name
    return any(token.name == name for at, token in enumerate(tokens) if at != number)


class Shown(NamedTuple):
    """What one record shows that may be unknown keys, read as keys or as parts of texts."""

    texts: frozenset[str]
    """The keys of its texts."""
    places: frozenset[Place]
    """The places behind the texts at which unknown keys could stand."""
    words: frozenset[Place]
    """In ``-o`` form: those of them with values without spaces."""


def shown_by(tokens: Sequence[Token]) -> Shown:
    """Return what a record shows that may be unknown keys."""
    texts: set[str] = set()
    places: set[Place] = set()
    words: set[Place] = set()
    carrier = ""
    for token in tokens:
        if token.key is not None:
            carrier = token.name if token.is_text else ""
            texts |= {carrier} if carrier else set()
        elif carrier and not token.in_group:
            places.add((carrier, token.name))
            words |= {(carrier, token.name)} if token.is_word else set()
    return Shown(frozenset(texts), frozenset(places), frozenset(words))


# --- raw pairs -----------------------------------------------------------------------------------


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
        """Return the record's text again, character for character."""
        return "".join("".join(pair) for pair in self.pairs) + self.end


def raw_pairs(text: str, form: Form, decision: Decision) -> RawPairs:
    """Return the pairs of the record *text*, which is read as *decision* says."""
    lines, end = form.split_record(text)
    spans: list[tuple[int, int, int]] = []  # where lead, key and value of each token begin
    start = 0
    for number, line in enumerate(lines):
        for lead, key, value in _spans(line, form, first=number == 0):
            spans.append((start + lead, start + key, start + value))
        start += len(line) + 1
    stop = len(text) - len(end)
    pairs: list[Pair] = []
    for number in reversed(decision.keys):
        lead, key, value = spans[number]
        row = form.table.keys.get(text[key : value - 1])
        if row is None or not row.is_text:
            # Blank lines in the middle of a record are a part of no value.
            blank = _BLANK_LINES.search(text[value:stop])
            if blank:
                before, stop = stop, value + blank.start()
                if pairs:
                    pairs[-1] = pairs[-1]._replace(lead=text[stop:before] + pairs[-1].lead)
                else:
                    end = text[stop:before] + end
        printed = text[value:stop].replace(_SEAL, "")
        pairs.append(Pair(text[lead:key], text[key : value - 1], text[value - 1], printed))
        stop = lead
    return RawPairs(tuple(reversed(pairs)), end)


_BLANK_LINES = re.compile(r"(?:\n *)+\Z")


def _spans(line: str, form: Form, *, first: bool) -> list[tuple[int, int, int]]:
    """Where lead, key and value of each token of *line* begin."""
    words, found = form.split_line(line, first=first)
    spans = []
    stop = len(line)
    opening = words[:1]
    words = tuple(word for word in words if word)
    for number, (word, value) in reversed(list(enumerate(zip(words, found, strict=True)))):
        start = stop - len(value)
        key = start - len(word)
        if number == 0 and opening != ("",):
            stop = 0 if first else -1  # the newline before the line
        elif line.endswith("\n   ", 0, key):
            stop = key - 4
        else:
            stop = key - (line[key - 1] in " ,")
        spans.append((stop, key, start))
    return spans[::-1]
