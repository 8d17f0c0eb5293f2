"""Read records by their shapes: decide once how to read a shape, and remember the decision.

The shape of a record is which keys stand on which line.  A cluster prints a few hundred shapes.
How to read a record depends only on its shape (`ingest.reading.parsing`).  So the first record of a
shape is examined with care, and all others are read in the same way.  Known and unknown keys cost
the same.
"""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from ingest.reading.lines import MAX_RECORD_LINES, Lines
from ingest.reading.parsing import (
    BLANK_LINE,
    Decision,
    Form,
    LineShape,
    Place,
    Shape,
    Shown,
    Unreadable,
    decide,
    key_of,
    raw_pairs,
    shown_by,
    tokens_of,
)
from ingest.reading.records import Record
from ingest.reading.vouching import EveryPlace
from ingest.slurm.convert import (
    Cluster,
    Converter,
    DocumentError,
    SlurmDict,
    adds_space_to_comments,
    as_comment,
    as_text,
)

MAX_SHAPES = 1 << 12
"""Shapes of records whose decisions are kept; with more, all are judged anew."""
MAX_LINE_SHAPES = 1 << 14
"""Shapes of lines that are kept; with more, all are numbered anew."""

_Key = tuple[tuple[int, ...], bool]
"""The numbers of the shapes of the lines, and whether a space stands at the record's end."""


@dataclass(frozen=True)
class _Judged:
    """What is known of a shape."""

    decision: Decision
    is_plain: bool
    """All tokens are keys, every text is one line, and all names in documents differ."""
    is_exact: bool
    """Slurm added no space to comments."""
    exact_comments: tuple[tuple[int, str], ...]
    """The lines of such comments, where the record is plain, and their names in documents."""
    volatile: tuple[bytes, ...]


class Shapes:
    """Reads the records of one cluster, kind and form."""

    def __init__(self, form: Form, cluster: Cluster) -> None:
        self._form = form
        self._table = form.table
        self._id = form.table.keys[form.table.first].document
        self._cluster = cluster
        self._convert = Converter(form.table, cluster)
        self._lines = Lines(form, self._convert)
        self._judged: dict[_Key, _Judged | Unreadable] = {}
        self._used: dict[_Key, _Judged | Unreadable | None] = {}
        """The shapes of the output in hand; None if they are to be judged anew."""
        self._all_used = True
        """Whether ``_used`` holds all of them."""

    def begin_output(self) -> None:
        """Forget what holds for one output alone."""
        if len(self._judged) >= MAX_SHAPES:
            self._number_anew()
        self._used.clear()
        self._all_used = True

    def _number_anew(self) -> None:
        self._lines = Lines(self._form, self._convert)
        self._judged.clear()
        self._used.clear()
        self._all_used = False

    def end_output(self) -> None:
        """Give back the memory that is of use while an output is read."""
        self._lines.forget()

    def forget(self) -> None:
        """Judge all shapes anew: other places are vouched for."""
        self._judged.clear()
        self._used = dict.fromkeys(self._used)

    def all_show(self, place: Place) -> bool:
        """Tell whether every record of the output with the first key of *place* shows *place*."""
        for numbers, _ in self._used:
            shown = shown_by(tokens_of(self._shape(numbers), self._table))
            if place[0] in shown.texts and place not in shown.places:
                return False
        return self._all_used

    def shown(self, sealed: bytes) -> Shown:
        """Return what a record shows that may be unknown keys. Raises `Unreadable`."""
        lines, _ = self._form.split_record(sealed.decode("utf-8", "backslashreplace"))
        return shown_by(tokens_of(self._shape(self._lines.shapes_of(lines)), self._table))

    def read(self, sealed: bytes, vouched: Container[Place]) -> Record:
        """Return the record *sealed*, with a NUL for each letter of its seal.

        Raises `Unreadable` if the text can be read in no way or in more than one, and
        `DocumentError` if a value is none that scontrol prints.
        """
        if len(self._lines.shapes) >= MAX_LINE_SHAPES:
            self._number_anew()
        text = sealed.decode("utf-8", "backslashreplace")
        lines, end = self._form.split_record(text)
        numbers, slurm = self._lines.read(lines)
        judged = self._judge((tuple(numbers), " " in end), vouched)
        if slurm is None or not judged.is_plain:
            slurm = self._carefully(text, judged)
        for number, name in judged.exact_comments:
            slurm[name] = as_text(lines[number].partition("=")[2])
        slurm["cluster_name"] = self._cluster.name
        record_id = slurm[self._id]
        return Record(record_id, slurm, sealed, self._form, judged.decision, judged.volatile)

    def owner_of(self, sealed: bytes) -> str:
        """Return the uid that a record shows, whatever its unknown keys are; empty for none.

        Raises `Unreadable` and `DocumentError` as `read`.
        """
        alone = Shapes(self._form, self._cluster)
        return str(alone.read(sealed, EveryPlace()).slurm.get("uid", ""))

    def _carefully(self, text: str, judged: _Judged) -> SlurmDict:
        slurm: SlurmDict = {}
        groups: list[SlurmDict] = []
        part = slurm
        in_groups = self._table.group_keys
        for lead, key, _, value in raw_pairs(text, self._form, judged.decision).pairs:
            if key == "Nodes" and key in in_groups:
                part = {}
                groups.append(part)
            elif key in in_groups:
                part = groups[-1] if groups else slurm
            elif key in self._table.keys or lead != " ":
                part = slurm
            name, convert = self._convert.field(key)
            if judged.is_exact and convert is as_comment:
                convert = as_text
            try:
                found = convert(value)
            except DocumentError as error:
                raise DocumentError(f"{key}: {error}") from None
            if not name:
                part.update(found)
            elif name in part:
                raise DocumentError(f"{key}: another key is called {name} too")
            elif found is not None or not self._is_left_out(key):
                part[name] = found
        if groups:
            slurm["alloc_groups"] = groups
        return slurm

    def _is_left_out(self, key: str) -> bool:
        row = self._table.keys.get(key)
        return row is not None and row.left_out

    # --- shapes -----------------------------------------------------------------------------------

    def _judge(self, key: _Key, vouched: Container[Place]) -> _Judged:
        known = self._used.get(key)
        if known is None:
            try:
                known = self._judged.get(key) or self._judge_anew(key, vouched)
            except Unreadable as error:
                known = error
            if len(key[0]) <= MAX_RECORD_LINES:
                self._judged[key] = self._used[key] = known
            else:
                self._all_used = False
        if isinstance(known, Unreadable):
            raise Unreadable(str(known), known.places)
        return known

    def _shape(self, numbers: Sequence[int]) -> Shape:
        return tuple(self._lines.shapes[number] for number in numbers)

    def _judge_anew(self, key: _Key, vouched: Container[Place]) -> _Judged:
        shape = self._shape(key[0])
        tokens = tokens_of(shape, self._table)
        decision = decide(tokens, self._form, vouched)
        names = [tokens[number].name for number in decision.keys]
        single = [tokens[number].name for number in decision.keys if not tokens[number].in_group]
        documents = {self._convert.field(name)[0] for name in single}
        is_exact = not adds_space_to_comments(frozenset(names), space_at_end=key[1])
        is_plain = (
            self._form.multi_line
            and not any(line[:1] == ("",) or self._has_odd_group(line) for line in shape)
            and not self._has_blank_line_behind_text(shape)
            and len(decision.keys) == len(tokens)
            and len(documents) == len(single)
        )
        return _Judged(
            decision=decision,
            is_plain=is_plain,
            is_exact=is_exact,
            exact_comments=tuple(self._comments(shape)) if is_exact and is_plain else (),
            volatile=tuple(self._volatile(shape)) if is_plain else (),
        )

    def _has_odd_group(self, line: LineShape) -> bool:
        """Whether keys of groups share the line with other known keys, or a key comes twice."""
        keys = [key_of(word) for word in line]
        in_group = [key in self._table.group_keys for key in keys if key in self._table.keys]
        if line[:1] == ("Nodes=",):
            return not all(in_group) or len(set(keys)) < len(keys)
        return any(in_group)

    def _has_blank_line_behind_text(self, shape: Shape) -> bool:
        """Whether a text ends with newlines: a blank line is a part of the text before it."""
        last: LineShape = ()
        for line in shape:
            row = self._table.keys.get(key_of(last[-1])) if last else None
            if line == BLANK_LINE and row and row.is_text:
                return True
            last = line or last
        return False

    def _comments(self, shape: Shape) -> Iterator[tuple[int, str]]:
        for number, line in enumerate(shape):
            row = self._table.keys.get(key_of(line[0])) if line else None
            if row and row.value == "comment":
                yield number, row.document

    def _volatile(self, shape: Shape) -> Iterator[bytes]:
        """What stands before the values of the volatile keys of a plain record."""
        for line in shape:
            for place, word in enumerate(line):
                if key_of(word) in self._table.volatile:
                    yield (b" " if place else b"\n   ") + word.encode()
