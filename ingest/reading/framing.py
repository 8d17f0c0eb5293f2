r"""Cut an output of scontrol into frames while it comes in: each frame is one record's text.

The output is first cut into *parts*, wherever a record could begin: at the start of a line after a
blank line, or in ``-o`` form at the start of every line.  A user's text can contain such a place,
so a part need not be a record.

With a seal.  Every record contains the seal once behind its *witness*, the key SubmitTime of a job.
Nobody but scontrol can print the seal.  So each part whose witness is sealed contains the middle of
exactly one record.  If two sealed parts follow each other, there is only one place where the second
record can begin: the boundary is certain.  If parts without the seal stand between them, the
boundary is open, and the records on both sides are in doubt: `Doubt`.  Text between two certain
boundaries with one seal is one record, whatever the text says.

The witness of a node is BootTime.  A user can choose one text in a node's record: MCS_label
(``sbatch --exclusive=mcs --mcs-label=...``).  The record has this label while a job holds the node,
and prints the label before BootTime.  So the record of a node that no job holds is one part.  The
record of a node that a job holds ends with the part that contains the seal.  The exception is a
cloud node that is powering up: a job can hold the node while BootTime is missing (`_SealedNodes`).

Without a seal (a captured dump, or a scontrol that ignores SLURM_TIME_FORMAT), a part begins a
record if it contains the keys that every record has.  Any other part belongs to the record before,
with two exceptions, which leave the boundary open.  A part with some of these keys may be a record
that a text of its own cuts in two.  A part with nothing but its first line, at the end of the
output, may be a record that is cut off.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ingest.reading.parsing import LINE_OF_SPACES, STRIPPED_LINE, Form
from ingest.reading.records import (
    EVIDENCE_BYTES,
    SEAL_BYTE,
    Doubt,
    Seen,
    SetAside,
    Unchanged,
    nothing_seen,
)
from ingest.slurm.keys import JOB, NODE, KeyTable

MAX_BLANKS = 16
"""Spaces in the blank line before a record."""
LONGEST_START = 400
"""No place where a record can begin, its id included, is longer than this, in bytes."""
MAX_IDS = 1000
"""Ids of a `Doubt` that are kept."""

_NEWLINE = ord("\n")
_CHUNK_BYTES = 1 << 18
_NUL_WRITTEN = b"\xc0\x80"
_UNSEALED_BOOT = re.compile(rb"\n   BootTime=[0-9][^ \n]*(?=[ \n])")
_NEVER_BOOTED = b"\n   BootTime=None"
_HOLDER = re.compile(rb"\n   State=([^ \n]*) [^\n]* MCS_label=(N/A\n)?")
"""A node's state, and its label if there is none."""
_HELD = re.compile(rb"ALLOC|MIX|COMPLETING")
_POWERED_BY_SLURM = re.compile(rb"CLOUD|POWER|[#~%]")
_OPENING = re.compile(rb"\n(?: {3}| {5,6}(?=Nodes=))[A-Za-z][A-Za-z0-9_]*[=:]")
_PAIR = re.compile(rb" ([A-Za-z][A-Za-z0-9_]*)=")
_END = re.compile(rb"\n {3}\n\n?|\n\n")
_END_STRIPPED = re.compile(rb"\n\n\n?")
_NOT_FOUND = re.compile(rb"(?:(?<=\n)Node [^ \n]+ not found\n)+\Z")
_EMPTY = re.compile(rb"\s*No (jobs|nodes) in the system\s*")


def _is_bare(text: bytes) -> bool:
    """Whether a job ends without a line of spaces."""
    return text.endswith(b"\n\n") and not text.endswith(b" \n\n")


class NoAnswer(Exception):
    """An output without a record, in which scontrol does not say that there is none."""


class SealMissing(Exception):
    """scontrol printed its times without the seal that it was asked for."""


class Frame(NamedTuple):
    """The text of one record, with a NUL for each letter of the seal."""

    text: bytes
    id: str | None
    """The record's id, if its text was seen before and says nothing new."""
    is_last: bool = False
    """It ends an output without a seal: what follows the record may not be scontrol's."""


class Output:
    """One output of scontrol: its form, and its frames."""

    def __init__(
        self,
        chunks: Iterable[bytes],
        table: KeyTable,
        seal: str,
        max_bytes: int,
        *,
        end: str = LINE_OF_SPACES,
    ) -> None:
        self._chunks = _even(chunks)
        self.table = table
        self._seal = seal.encode()
        self._max_bytes = max_bytes
        self.form = Form(table, multi_line=True, sealed=bool(seal), end=end)
        """Known from the first record on. A scrape, which has a seal, asks for many lines."""

    def frames(self, seen: Seen = nothing_seen) -> Iterator[Frame | Unchanged | Doubt | SetAside]:
        """Yield what is certain as it comes in; doubt comes where it stands.

        Raises `NoAnswer` and `SealMissing`, both before the first frame.
        """
        grouping: type[_Grouping] = _PlainGrouping
        if self.form.sealed:
            grouping = _SealedJobs if self.table is JOB else _SealedNodes
        group: _Grouping | None = None
        for item in self._parts():
            if isinstance(item, SetAside):
                yield item
                continue
            group = group or grouping(self, self._max_bytes)
            names = seen(item.texts) if self.form.multi_line else nothing_seen(item.texts)
            if None not in names and group.is_certain:  # as in most rounds
                yield from self._learning(group.closed())
                *told, last = names
                if told:
                    yield Unchanged([name for name in told if name])
                yield from self._learning(group.add(item.texts[-1:], [last], too_long=False))
                continue
            yield from self._learning(group.add(item.texts, names, too_long=item.too_long))
        if group is not None:
            found = group.end()
            yield from found[:-1]
            for end in found[-1:]:
                if isinstance(end, Frame):
                    yield end._replace(is_last=not self.form.sealed)
                else:
                    yield end

    def split_last(self, text: bytes) -> tuple[bytes, bytes]:
        """Split the last record from what stands behind its end.

        That is nothing, blank lines, a shell's prompt, an error message, or a part of the record's
        last text.
        """
        if self.form.multi_line:
            last = max((match.start() for match in _OPENING.finditer(text)), default=0)
            end = (_END_STRIPPED if self.form.end == STRIPPED_LINE else _END).search(text, last)
            cut = end.end() if end else len(text)
        else:
            pairs = ((self.table.keys.get(m[1].decode()), m.start()) for m in _PAIR.finditer(text))
            _, last = max(((key.rank, at) for key, at in pairs if key), default=(0, 0))
            cut = text.find(b"\n", last) + 1 or len(text)
        return text[:cut], text[cut:]

    def split_message(self, text: bytes) -> tuple[bytes, bytes]:
        """Split a node's record from the lines behind it that name nodes that do not exist.

        scontrol prints them between the records of the nodes that it was asked for.
        """
        if self.form.sealed or self.table is not NODE or not text.endswith(b" not found\n"):
            return text, b""
        found = _NOT_FOUND.search(text)
        return (text[: found.start()], found[0]) if found else (text, b"")

    def _learning(self, found: Iterable[Frame | Doubt]) -> Iterator[Frame | Doubt]:
        """Yield *found*; learn from a scrape's jobs what Slurm prints behind every job.

        Another record follows each of them, so none is cut off.
        """
        learns = self.form.sealed and self.table is JOB
        for item in found:
            if learns and isinstance(item, Frame) and _is_bare(item.text):
                self.form = self.form._replace(end="")
                learns = False
            yield item

    # --- parts ------------------------------------------------------------------------------------

    def _parts(self) -> Iterator["_Parts | SetAside"]:
        """The output, cut wherever a record could begin; what is before the first is set aside."""
        buffer, noise = self._first_record()
        if noise.strip():
            yield SetAside(noise[:EVIDENCE_BYTES], "it stands before the first record", ())
        if not buffer:
            return
        too_long = b""
        scanned = 0
        chunk: bytes | None = b""  # what is there may hold whole records already
        while chunk is not None:
            buffer += chunk
            ends = self._starts(buffer, scanned)
            if ends and too_long:
                yield _Parts([too_long], too_long=True)
                too_long = b""
                del buffer[: ends[0]]
                ends = [end - ends[0] for end in ends[1:]]
            if ends:
                text = self._normal(bytes(memoryview(buffer)[: ends[-1]]))
                del buffer[: ends[-1]]
                yield from self._runs([text[a:b] for a, b in zip((0, *ends), ends, strict=False)])
            if len(buffer) > self._max_bytes and not too_long:
                too_long = self._normal(bytes(buffer[:EVIDENCE_BYTES]))
            if too_long:
                del buffer[:-LONGEST_START]
            scanned = max(0, len(buffer) - LONGEST_START)
            chunk = next(self._chunks, None)
        if too_long:
            yield _Parts([too_long], too_long=True)
        else:
            yield _Parts([self._normal(bytes(buffer))])

    def _runs(self, parts: list[bytes]) -> Iterator["_Parts"]:
        """*parts*, of which those that are too long are cut as if they came in small chunks."""
        if max(map(len, parts)) <= self._max_bytes:
            yield _Parts(parts)
            return
        for part in parts:
            too_long = len(part) > self._max_bytes
            yield _Parts([part[:EVIDENCE_BYTES] if too_long else part], too_long=too_long)

    def _normal(self, text: bytes) -> bytes:
        r"""*text* with ``\0`` for each letter of the seal: the same for every seal."""
        return text.replace(self._seal, SEAL_BYTE * len(self._seal)) if self._seal else text

    def _starts(self, buffer: bytearray, scanned: int) -> list[int]:
        """Where records can begin in *buffer*, but for its own start, from *scanned* on."""
        newlines = [match.start() for match in self.table.start.finditer(buffer, scanned)]
        if self.form.multi_line and (self.form.sealed or self.table is JOB):
            return [
                at + 1
                for at in newlines
                if at and (buffer[at - 1] == _NEWLINE or _is_behind_spaces(buffer, at))
            ]
        return [at + 1 for at in newlines]

    def _first_record(self) -> tuple[bytearray, bytes]:
        """The output from its first record on, enough to tell its form; what stood before that."""
        start = re.compile(rb"(?:\A|\n)(?=%s)" % self.table.start.pattern.removeprefix(rb"\n"))
        steps = (
            start,
            re.compile(rb"[ \n]%s=" % self.table.mandatory[-1].name.encode()),
            self.table.start,
        )
        found: list[int] = []  # where each step was found
        buffer = bytearray()
        for chunk in self._chunks:
            scanned = max(0, len(buffer) - LONGEST_START)
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
        if not self.form.sealed:
            record = buffer[found[0] : found[2] if len(found) == len(steps) else None]
            self.form = self.form._replace(multi_line=self._has_many_lines(record))
        noise = bytes(buffer[: found[0]])
        del buffer[: found[0]]
        return buffer, noise

    def _has_many_lines(self, record: bytearray) -> bool:
        """Whether *record* is in the form of several lines.

        A job's texts can hold lines, so most of the keys that every job has must open one.
        """
        if self.table is not JOB:
            return re.search(rb"\n {3}[A-Z][A-Za-z]*=", record) is not None
        names = [key.name.encode() for key in self.table.mandatory[1:] if key.place == "line"]
        found = [re.search(rb"(\n {3}| )%s=" % name, record) for name in names]
        opens = [match[1] != b" " for match in found if match]
        return opens.count(True) > opens.count(False)

    def id_of(self, part: bytes) -> str:
        """Return the id in the first line of *part*."""
        match = self.table.start.match(b"\n" + part[:LONGEST_START])
        return match[1].decode("latin-1") if match else ""


class _Parts(NamedTuple):
    """Texts that follow each other."""

    texts: list[bytes]
    too_long: bool = False
    """The one text is only the beginning of a part that is longer than a record may be."""


def _even(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """*chunks* without empty ones, none of them large, and without NULs, which stand for seals."""
    for chunk in chunks:
        for start in range(0, len(chunk), _CHUNK_BYTES):
            piece = chunk[start : start + _CHUNK_BYTES]
            yield piece.replace(SEAL_BYTE, _NUL_WRITTEN) if SEAL_BYTE in piece else piece


def _is_behind_spaces(buffer: bytearray, newline: int) -> bool:
    """Whether this *newline* ends a line of spaces alone."""
    start = buffer.rfind(b"\n", max(0, newline - 1 - MAX_BLANKS), newline)
    return start >= 0 and not buffer[start + 1 : newline].strip(b" ")


# --- parts to frames ------------------------------------------------------------------------------


_Certain = list[Frame | Doubt]


@dataclass
class _Grouping:
    """Joins the parts that come in to frames."""

    output: Output
    max_bytes: int
    parts: list[bytes] = field(default_factory=list)
    """The parts since the last certain boundary."""
    name: str | None = None
    """The id of the one part, if it was seen before."""
    size: int = 0
    doubt: Doubt | None = None
    """What the parts become if they hold more than one record, or a record that is too long."""

    @property
    def is_certain(self) -> bool:
        """Whether the next part begins a record, if it is whole."""
        raise NotImplementedError

    def add(
        self, parts: Sequence[bytes], names: Sequence[str | None], *, too_long: bool
    ) -> Iterator[Frame | Doubt]:
        """Take the next *parts*, with the ids of those that were seen; yield what is certain.

        *too_long* says that the one part is only the beginning of one that is too long.
        """
        raise NotImplementedError

    def end(self) -> _Certain:
        """Return what is left at the output's end."""
        return self.closed()

    def closed(self) -> _Certain:
        """Return what the parts are, and begin anew."""
        found: _Certain = []
        if self.doubt is not None:
            found = [self.doubt]
        elif self.parts:
            alone = len(self.parts) == 1
            found = [Frame(self.parts[0] if alone else b"".join(self.parts), self.name)]
        self.parts, self.name, self.size, self.doubt = [], None, 0, None
        return found

    def _replaced(self, part: bytes, name: str | None) -> Frame:
        """Return the frame of the one part, and begin anew with *part*."""
        frame = Frame(self.parts[0], self.name)
        self.parts, self.name, self.size = [part], name, len(part)
        return frame

    def _join(self, part: bytes, name: str | None) -> None:
        if self.doubt is not None:
            self._note(part, self.doubt)
            return
        self.name = None if self.parts else name
        self.parts.append(part)
        self.size += len(part)

    def _note(self, part: bytes, doubt: Doubt) -> None:
        doubt.text += part.replace(SEAL_BYTE, b"")[: EVIDENCE_BYTES - len(doubt.text)]
        if len(doubt.ids) < MAX_IDS:
            doubt.ids[self.output.id_of(part)] = None

    def _into_doubt(self, reason: str) -> None:
        """Keep of the parts what tells which they were."""
        if self.doubt is None:
            self.doubt = Doubt(reason=reason)
            for part in self.parts:
                self._note(part, self.doubt)
        self.parts = []

    def too_long(self) -> str:
        """Return why a long record is in doubt."""
        return f"it is longer than {self.max_bytes} bytes"


_CONTESTED = (
    "a text that a user wrote holds the start of a record, so that the text alone does not tell "
    "where the records meet"
)
CUT_OFF = "the output ends inside a record"
"""Why the last record of a dump is set aside."""


@dataclass
class _SealedJobs(_Grouping):
    """The parts of an output about jobs, with a seal."""

    seals: int = 0
    """Parts that bear the seal, since the last certain boundary."""
    torn: bool = False
    """The last part bears no seal, so that the next record can begin before the next part."""
    any_seal: bool = False

    @property
    def is_certain(self) -> bool:
        """Whether the last part bears the seal, and so will the next."""
        return not self.torn

    def add(
        self, parts: Sequence[bytes], names: Sequence[str | None], *, too_long: bool
    ) -> Iterator[Frame | Doubt]:
        """Take the next *parts*; yield what is certain. Raises `SealMissing`."""
        witness = self.output.table.witness.search
        for part, name in zip(parts, names, strict=True):
            sealed = not too_long and (name is not None or witness(part) is not None)
            if sealed and self.seals and not self.torn:  # as nearly always
                if self.seals == len(self.parts) == 1 and len(part) <= self.max_bytes:
                    yield self._replaced(part, name)
                    continue
                yield from self.closed()
            self._join(part, name)
            self.seals += sealed
            self.torn = not sealed
            self.any_seal |= sealed
            if too_long or self.size > self.max_bytes:
                if not (self.any_seal or too_long or self.doubt):
                    raise SealMissing
                self._into_doubt(self.too_long())
            elif self.seals > 1:
                self._into_doubt(_CONTESTED)

    def closed(self) -> _Certain:
        """Return what the parts are, and begin anew."""
        self.seals = 0
        return super().closed()

    def end(self) -> _Certain:
        """Return what is left at the output's end. Raises `SealMissing`."""
        if not self.any_seal:
            raise SealMissing
        return self.closed()


@dataclass
class _SealedNodes(_Grouping):
    """The parts of an output about nodes, with a seal.

    A cloud node that is powering up can be held by a job and have no BootTime.  With a label that
    goes on in further parts, such a node and the next one are in doubt together.
    """

    is_open: bool = False
    """The record in hand is that of a node that a job holds, and its BootTime is yet to come."""
    is_unbooted: bool = False
    """Its parts hold a line that says that the node never booted: Slurm's, or the label's."""
    any_seal: bool = False
    any_cloud: bool = False
    """Slurm powers a node up or down, so that a part can be a label's although none is open."""

    @property
    def is_certain(self) -> bool:
        """Whether the next part begins a record."""
        return not self.is_open

    def add(
        self, parts: Sequence[bytes], names: Sequence[str | None], *, too_long: bool
    ) -> Iterator[Frame | Doubt]:
        """Take the next *parts*; yield what is certain. Raises `SealMissing`."""
        for part, name in zip(parts, names, strict=True):
            if not self.is_open:
                yield from self.closed()
            self._join(part, name)
            if self.output.table.witness.search(part):
                self.any_seal = True
                if self.is_unbooted:
                    self._into_doubt(_CONTESTED)
                self.is_open = False
            elif self.is_open or too_long or _awaits_boot(part):
                self.is_open = True
                self.is_unbooted |= _NEVER_BOOTED in part
            elif not (self.any_seal or self.any_cloud) and _UNSEALED_BOOT.search(part):
                raise SealMissing
            self.any_cloud = self.any_cloud or _is_powered_by_slurm(part)
            if too_long or self.size > self.max_bytes:
                self._into_doubt(self.too_long())

    def closed(self) -> _Certain:
        """Return what the parts are, and begin anew."""
        self.is_open = self.is_unbooted = False
        return super().closed()

    def end(self) -> _Certain:
        """Return what is left at the output's end. Raises `SealMissing`."""
        if self.is_open and not self.is_unbooted and not self.any_seal:
            raise SealMissing
        if self.is_unbooted and len(self.parts) > 1:
            self._into_doubt(_CONTESTED)
        return self.closed()


def _awaits_boot(part: bytes) -> bool:
    """Whether the node whose record begins with *part*, which has no BootTime, must have one."""
    holder = _HOLDER.search(part)
    if holder is None:
        return False
    state, no_label = holder.groups()
    return no_label is None or (_HELD.search(state) is not None and not _is_powered_by_slurm(part))


def _is_powered_by_slurm(part: bytes) -> bool:
    holder = _HOLDER.search(part)
    return holder is not None and _POWERED_BY_SLURM.search(holder[1]) is not None


@dataclass
class _PlainGrouping(_Grouping):
    """The parts of an output without a seal."""

    is_batch: bool = False
    has_end: bool = False
    """A batch job's record ends with StdOut and what stands behind it."""
    torn: bool = False
    """The last part holds a part of a record's keys: perhaps a record that its own text cuts."""
    cut: bool = False
    """The last part is perhaps the first line of a record that is cut off."""

    def __post_init__(self) -> None:
        """Look up what a part must show to be the beginning of a record."""
        table, form = self.output.table, self.output.form
        needed = table.mandatory[1:]
        self._needed = tuple(_Shown.of(key.name, key.place, table, form) for key in needed)
        self._inner = tuple(
            shown for shown, key in zip(self._needed, needed, strict=True) if key.place != "in"
        )
        self._batch_end = _Shown.of("StdOut", "line", table, form)

    @property
    def is_certain(self) -> bool:
        """Whether nothing is missing at the end of the last part."""
        return (self.has_end or not self.is_batch) and not self.torn

    def add(
        self, parts: Sequence[bytes], names: Sequence[str | None], *, too_long: bool
    ) -> Iterator[Frame | Doubt]:
        """Take the next *parts*; yield what is certain."""
        for part, name in zip(parts, names, strict=True):
            begins = name is not None or self._begins(part)
            is_job = self.output.table is JOB and name is None
            begins_anew = begins and self.is_certain
            if begins_anew and len(self.parts) == 1 and not too_long:  # as nearly always
                yield self._replaced(part, name)
                self.is_batch = self.has_end = False
            else:
                if begins_anew:
                    yield from self.closed()
                follows = bool(self.parts or self.doubt) and self.is_certain
                self._join(part, name)
                self.torn = follows and not begins and any(each.end(part) for each in self._inner)
                self.cut = follows and not begins and b"\n   " not in part.rstrip()
            self.is_batch |= is_job and b" BatchFlag=1 " in part
            self.has_end |= is_job and self._batch_end.end(part) > 0
            if too_long or self.size > self.max_bytes:
                self._into_doubt(self.too_long())
                self.is_batch = False
            elif self.torn:
                self._into_doubt(_CONTESTED)

    def end(self) -> _Certain:
        """Return what is left at the output's end."""
        if self.cut or not self.is_certain:
            self._into_doubt(CUT_OFF)
        return self.closed()

    def closed(self) -> _Certain:
        """Return what the parts are, and begin anew."""
        self.is_batch = self.has_end = self.torn = self.cut = False
        return super().closed()

    def _begins(self, part: bytes) -> bool:
        """Whether *part* shows the keys that every record has, in their order."""
        at = 0
        for shown in self._needed:
            at = shown.end(part, at)
            if not at:
                return False
        return True


class _Shown(NamedTuple):
    """How a key of a table stands in a record."""

    plain: bytes
    behind_unknown: re.Pattern[bytes] | None
    """The line may open with keys that no text of a user can be the value of."""

    @classmethod
    def of(cls, name: str, place: str, table: KeyTable, form: Form) -> "_Shown":
        """Return how the key *name* stands in the records of *table*, at its *place*."""
        if not form.multi_line or place != "line":
            return cls(f" {name}=".encode(), None)
        texts = "|".join(key.name for key in table.keys.values() if key.is_text)
        others = rf"(?:(?!(?:{texts})=)[A-Z][A-Za-z]*=[^ \n]* )+"
        return cls(f"\n   {name}=".encode(), re.compile(rf"\n {{3}}{others}{name}=".encode()))

    def end(self, part: bytes, start: int = 0) -> int:
        """Return where the key in *part* ends, from *start* on; 0 if it does not stand there."""
        at = part.find(self.plain, start)
        if at >= 0:
            return at + len(self.plain)
        match = self.behind_unknown.search(part, start) if self.behind_unknown else None
        return match.end() if match else 0
