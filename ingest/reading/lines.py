"""Split the lines of a record into tokens and values, and make the document of a plain record.

Most lines of a record, and most values, occur in many other records of the output too.  So while an
output is read, `Lines` remembers the tokens of each line and the document value of each text.  A
new line is split in the shortest way that gives the same result as `Form.split_line`:

- a text that stands alone on its line ends at the end of the line;
- if a line has as many spaces as its keys need, and perhaps one at its end, no value contains a
  space, and a key follows each space.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from ingest.reading.parsing import Form, LineShape
from ingest.reading.records import SEAL_BYTE
from ingest.slurm.convert import Convert, Converter, DocumentError, SlurmDict
from ingest.slurm.values import ABSENT

MAX_LINES = 1 << 13
"""Lines that are kept; with more, all are taken apart anew."""
MAX_VALUES = 1 << 10
"""Converted values that are kept for each reader; with more, all are converted anew."""
MAX_KEPT_LENGTH = 512
"""A longer value is converted each time that it comes."""
MAX_PLANS = 1 << 12
MAX_RECORD_LINES = 1 << 10
"""Nothing is kept of the lines of a record with more lines, most of which are a user's text."""

_SEAL = SEAL_BYTE.decode()
_MOVING = frozenset({"verbatim", "time", "time_or_unknown"})
"""Values that seldom come twice: neither they nor their lines are kept."""


class _Memo(dict[str, Any]):
    """The values that one reader has converted."""

    def __init__(self, convert: Convert) -> None:
        super().__init__()
        self._convert = convert

    def __missing__(self, value: str) -> Any:
        converted = self._convert(value)
        if len(value) <= MAX_KEPT_LENGTH:
            if len(self) >= MAX_VALUES:
                self.clear()
            self[value] = converted
        return converted


@dataclass
class _Plan:
    """How lines with the same tokens are converted."""

    words: LineShape
    steps: tuple[tuple[str, str, Convert], ...]
    """For each value but the last: what stands behind it, its name in documents, its reader."""
    last: tuple[str, Convert]
    number: int
    """The number of the shape if no text is absent."""
    can_fill: bool
    """`fill` can convert lines whose values hold no spaces."""
    names: tuple[str, ...]
    """The names in documents."""
    readers: tuple[Convert, ...]
    texts: tuple[int, ...]
    """The places of texts, on whose absence the shape depends."""
    text_names: tuple[str, ...]
    needs_seal: bool
    """The line opens with a time, which bears a seal if scontrol printed it."""
    left_out: tuple[str, ...]
    """Names that are left out where there is no value."""
    is_group: bool
    """A line of ``-d`` about a group of nodes."""
    is_kept: bool
    """Such lines come again."""
    shapes: dict[tuple[bool, ...], int] = field(default_factory=dict)
    """The numbers of the shapes, by which of the texts are absent."""

    def fill(self, rest: str, slurm: SlurmDict) -> int | None:
        """Convert the values of a line, from its first value on, into *slurm*.

        Returns the number of the line's shape; None if the line needs more care.
        """
        if _SEAL in rest:
            rest = rest.replace(_SEAL, "")
        elif self.needs_seal and rest[:1].isdecimal():
            return None
        for separator, name, read in self.steps:
            value, there, rest = rest.partition(separator)
            if not there:
                return None
            slurm[name] = read(value)
        name, read = self.last
        slurm[name] = read(rest)
        for text in self.text_names:
            if slurm[text] is None:
                return self.shapes.get(tuple([slurm[name] is None for name in self.text_names]))
        return self.number


class Lines:
    """Takes apart the records of one form of output of one cluster."""

    def __init__(self, form: Form, converter: Converter) -> None:
        self._form = form
        self._converter = converter
        self._kept: dict[str, tuple[int, SlurmDict]] = {}
        self._plans: dict[LineShape, _Plan] = {}
        self._by_opening: dict[str, dict[int, _Plan]] = {}
        """Plans by the key that opens a line, and the `_spaces` behind."""
        self._first_lines: dict[int, _Plan] = {}
        """Plans of first lines up to JobName. A user's text can hold such a line further down."""
        self._has_names = "JobName" in form.table.keys
        self._memos: dict[str, _Memo] = {}
        self.shapes: list[LineShape] = []
        """The shapes so far; `read` gives their places here."""
        self._numbers: dict[LineShape, int] = {}
        self._whole = {
            f"   {name}": (self._number((f"{name}=",)), key.document, key.value == "comment")
            for name, key in form.table.whole_lines.items()
            if form.multi_line
        }

    def forget(self) -> None:
        """Forget the lines and the values of the last output, and give their memory back."""
        self._kept.clear()
        for memo in self._memos.values():
            memo.clear()

    def read(self, lines: list[str]) -> tuple[list[int], SlurmDict | None]:
        """Return the numbers of the shapes of a record's *lines*, and the record's document.

        The document holds if each token is a key. It is None if a value is none that scontrol
        prints.
        """
        if len(lines) > MAX_RECORD_LINES:
            return self.shapes_of(lines), None
        slurm: SlurmDict = {}
        numbers: list[int] = []
        none: dict[int, _Plan] = {}
        kept, whole_lines, by_opening = self._kept.get, self._whole.get, self._by_opening.get
        try:
            first, *others = lines
            head, there, name = first.partition(" JobName=")
            rest = head.partition("=")[2]
            has_text = name not in ABSENT and _SEAL not in name
            is_usual = has_text if there else not self._has_names
            plan = self._first_lines.get(_spaces(rest)) if is_usual else None
            number = plan.fill(rest, slurm) if plan is not None else None
            if number is None:
                self._add(first, numbers, slurm)
            else:
                numbers.append(number)
                if there:
                    slurm["name"] = name
            for line, known in zip(others, map(kept, others), strict=True):
                if known is not None:
                    number, part = known
                    numbers.append(number)
                    slurm |= part
                    continue
                opening, sign, rest = line.partition("=")
                whole = whole_lines(opening)
                if whole is not None and _SEAL not in rest:
                    number, name, is_comment = whole
                    text = rest.removesuffix(" ") if is_comment else rest
                    if text not in ABSENT:
                        numbers.append(number)
                        slurm[name] = text
                        continue
                plan = by_opening(opening, none).get(_spaces(rest)) if sign else None
                part = {} if plan is not None and plan.is_kept else slurm
                number = plan.fill(rest, part) if plan is not None else None
                if number is None:
                    self._add(line, numbers, slurm)
                    continue
                numbers.append(number)
                if part is not slurm:
                    self._keep(line, number, part)
                    slurm.update(part)
        except DocumentError:
            return self.shapes_of(lines), None
        return numbers, slurm

    def _add(self, line: str, numbers: list[int], slurm: SlurmDict) -> None:
        """Take *line* apart with care, and keep how."""
        first = not numbers
        words, found = self._form.split_line(line, first=first)
        plan = self._plans.get(words) or self._plan(words)
        if _SEAL in line:
            found = [value.replace(_SEAL, "") for value in found]
        number, part = self._filled(plan, found)
        numbers.append(number)
        if plan.is_group:
            slurm.setdefault("alloc_groups", []).append(part)
        else:
            slurm.update(part)
        rest = line.partition(" JobName=")[0].partition("=")[2] if first else line.partition("=")[2]
        if first and words[-1:] == ("JobName=",) and self.shapes[number] == words:
            # The name runs to the line's end: see `read`.
            words = words[:-1]
            plan = replace(self._plan(words), number=number, text_names=())
        if plan.can_fill and _spaces(rest) in {len(words) - 1, -len(words)}:
            plans = self._by_opening.setdefault(line.partition("=")[0], {})
            (self._first_lines if first else plans)[_spaces(rest)] = plan
        if plan.is_kept and not first:
            self._keep(line, number, part)

    def _keep(self, line: str, number: int, part: SlurmDict) -> None:
        if len(self._kept) >= MAX_LINES:
            self._kept.clear()
        self._kept[line] = number, part

    def _filled(self, plan: _Plan, found: list[str]) -> tuple[int, SlurmDict]:
        """What a line says whose tokens have the values *found*. Raises `DocumentError`."""
        absent = tuple([found[place] in ABSENT for place in plan.texts]) if plan.texts else ()
        number = plan.shapes.get(absent)
        if number is None or not self._form.multi_line:
            number = plan.shapes[absent] = self._number(self._form.shape_of(plan.words, found))
        part: SlurmDict = {}
        for name, read, value in zip(plan.names, plan.readers, found, strict=True):
            if name:
                part[name] = read(value)
            else:
                part.update(read(value))  # the owner has two names in documents
        for name in plan.left_out:
            if part.get(name, "") is None:  # a user's line can hold a key twice
                del part[name]
        return number, part

    def shapes_of(self, lines: list[str]) -> list[int]:
        """Return the numbers of the shapes of a record's *lines*; nothing is kept of the lines."""
        return [self._shape(line, first=not at) for at, line in enumerate(lines)]

    def _shape(self, line: str, *, first: bool) -> int:
        words, found = self._form.split_line(line, first=first)
        if _SEAL in line:
            found = [value.replace(_SEAL, "") for value in found]
        return self._number(self._form.shape_of(words, found))

    def _plan(self, words: LineShape) -> _Plan:
        table = self._form.table
        names = [word[:-1] for word in words if word]
        rows = [table.keys.get(name) for name in names]
        fields = [self._converter.field(name) for name in names]
        readers = [
            convert if row and row.volatile else self._reader(row.value if row else "", convert)
            for row, (_, convert) in zip(rows, fields, strict=True)
        ]
        document_names = [name for name, _ in fields]
        texts = tuple(place for place, row in enumerate(rows) if row and row.is_text)
        has_owner = "" in document_names
        left_out = tuple(row.document for row in rows if row and row.left_out)
        is_group = words[:1] == ("Nodes=",) and "Nodes" in table.group_keys
        is_kept = not is_group and not any(
            row and (row.value in _MOVING or row.volatile) for row in rows
        )
        is_odd = has_owner or left_out or is_group or any(row and row.flag for row in rows)
        can_fill = self._form.multi_line and not is_odd and "JobName" not in names
        plan = _Plan(
            words=words,
            steps=tuple(
                (f" {word}", name, read)
                for word, name, read in zip(words[1:], document_names, readers, strict=False)
            ),
            last=(document_names[-1], readers[-1]) if names else ("", str),
            number=self._number(words),
            can_fill=can_fill and bool(words) and words[0].endswith("="),
            names=tuple(document_names),
            readers=tuple(readers),
            texts=texts,
            text_names=tuple(document_names[place] for place in texts),
            needs_seal=self._form.sealed and bool(names) and names[0] in table.times,
            left_out=left_out,
            is_group=is_group,
            is_kept=is_kept,
        )
        if len(self._plans) >= MAX_PLANS:
            self._plans.clear()
            self._by_opening.clear()
            self._first_lines.clear()
        self._plans[words] = plan
        return plan

    def _reader(self, value: str, convert: Convert) -> Convert:
        if value in _MOVING:
            return convert
        return self._memos.setdefault(value, _Memo(convert)).__getitem__

    def _number(self, shape: LineShape) -> int:
        number = self._numbers.get(shape)
        if number is None:
            number = self._numbers[shape] = len(self.shapes)
            self.shapes.append(shape)
        return number


def _spaces(values: str) -> int:
    """The number of spaces in *values*, negative if the last character is one of them."""
    number = values.count(" ")
    return -number if values[-1:] == " " else number
