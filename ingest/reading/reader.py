"""Read outputs of scontrol: text to records and documents, one at a time, in constant memory.

Usage::

    reader = Reader(JOB, cluster)               # keep it from one output to the next
    for item in reader.read(chunks):            # a captured dump
        ...                                     # Record, SetAside or Unchanged

The reader yields a record as soon as the next record begins.  It yields a record that it cannot
read with certainty as `SetAside`, with the text and the reason, and continues with the others.
Records that wait until other records vouch for an unknown key come last.  So do records of jobs
that the reader had to ask for alone.
"""

import codecs
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from ingest.reading.doubts import Answers, Turns, Unsettled, settle
from ingest.reading.framing import (
    CUT_OFF,
    LONGEST_START,
    Frame,
    NoAnswer,
    Output,
    SealMissing,
)
from ingest.reading.parsing import LINE_OF_SPACES, STRIPPED_LINE, Form, Place, Unreadable
from ingest.reading.records import (
    EVIDENCE_BYTES,
    Doubt,
    Inquiry,
    Record,
    Seen,
    SetAside,
    Unchanged,
    nothing_seen,
)
from ingest.reading.shapes import Shapes
from ingest.reading.vouching import Survey, Vouching
from ingest.slurm.convert import Cluster, DocumentError
from ingest.slurm.keys import JOB, KeyTable

MAX_RECORD_BYTES = 4 << 20
"""A record longer than this is asked for alone. Slurm takes scripts' arguments of up to 2 MiB."""
MAX_WAITING_BYTES = 32 << 20
"""Texts that wait for a key to be vouched for; more are set aside at once."""

_SPOOL_BYTES = 8 << 20
_ENCODINGS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_DOUBLED = "two records bear this id"


class Reader:
    """Reads the outputs of one cluster about jobs or nodes.

    The reader keeps what its records have shown: their shapes, and which unknown keys are Slurm's.
    One thread may use a reader at a time.
    """

    def __init__(
        self, table: KeyTable, cluster: Cluster, max_bytes: int = MAX_RECORD_BYTES
    ) -> None:
        self._table = table
        self._max_bytes = max_bytes
        self._cluster = cluster
        self._shapes: dict[Form, Shapes] = {}
        self._vouching = Vouching()
        self._turns = Turns()

    def read(
        self,
        chunks: Iterable[bytes],
        *,
        seal: str = "",
        seen: Seen = nothing_seen,
        inquiry: Inquiry | None = None,
    ) -> Iterator[Record | SetAside | Unchanged]:
        """Yield the records of an output, in either form.

        *chunks* is the output in pieces of any size.  With a *seal* (see
        `scraper.commands.slurm_commands`) a forged record is a part of its carrier's text, and
        *inquiry* settles what is in doubt.  Without a seal the output is read twice, so that two
        records of one id can both be set aside.  Records whose texts are *seen* are not read
        again: they come as `Unchanged`.

        Raises `NoAnswer` for an output that says nothing, and `SealMissing` when there is a seal
        that scontrol ignored, both before the first record of a job; `Unsettled` at the end.
        """
        if seal:
            output = Output(chunks, self._table, seal, self._max_bytes)
            yield from self._read(output, seen, frozenset(), inquiry)
        elif isinstance(chunks, Sequence):
            yield from self._read_twice(lambda: chunks, seen)
        else:
            with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as spool:
                for chunk in chunks:  # writelines would look at the spool's size at its end alone
                    spool.write(chunk)
                yield from self._read_twice(lambda: _chunks_of(spool), seen)

    def _read_twice(
        self, chunks: Callable[[], Iterable[bytes]], seen: Seen
    ) -> Iterator[Record | SetAside | Unchanged]:
        if saved_in := _encoding_of(chunks()):
            chunks = partial(_in_utf8, chunks, saved_in)
        if _passed_a_terminal(chunks()):
            chunks = partial(_without_returns, chunks)
        stripped = self._table is JOB and _is_stripped(chunks())
        end = STRIPPED_LINE if stripped else LINE_OF_SPACES

        def output() -> Output:
            return Output(chunks(), self._table, "", self._max_bytes, end=end)

        doubled: frozenset[str] = frozenset()
        if _may_hold_doubles(chunks(), self._table):
            doubled = _doubled(output())
        self._survey(output())
        yield from self._read(output(), nothing_seen if doubled else seen, doubled, None)
        self._vouching_ends()

    def _survey(self, output: Output) -> None:
        """Note which places every record of *output* shows, if it is in ``-o`` form."""
        survey = Survey()
        for item in output.frames():
            if output.form.multi_line:
                return
            if isinstance(item, Frame):
                with suppress(Unreadable, DocumentError):
                    shapes = self._shapes_of(output)
                    shown = shapes.shown(item.text)
                    survey.note(shown, shapes.owner_of(item.text) if shown.places else "")
        self._vouching.shown_by_all, self._vouching.contested = survey.shown_by_all()

    def _vouching_ends(self) -> None:
        """Forget what holds for one output alone."""
        if self._vouching.shown_by_all:
            self._forget()
        self._vouching.shown_by_all = self._vouching.contested = frozenset()

    def _read(
        self, output: Output, seen: Seen, doubled: frozenset[str], inquiry: Inquiry | None
    ) -> Iterator[Record | SetAside | Unchanged]:
        for shapes in self._shapes.values():
            shapes.begin_output()
        waiting = _Waiting()
        doubts: list[Doubt] = []
        certain: list[str] = []
        settles = inquiry is not None and self._table is JOB
        for item in output.frames(seen):
            if isinstance(item, Frame):
                if settles:
                    certain.append(item.id or output.id_of(item.text))
                read = self._of_last if item.is_last else self._of_frame
                yield from read(item, output, doubled, waiting)
            elif isinstance(item, Doubt) and settles:
                doubts.append(item)
            elif isinstance(item, Doubt):
                yield SetAside(item.text, item.reason, tuple(item.ids))
            else:
                if isinstance(item, Unchanged):
                    waiting.any_unchanged = True
                    certain += item.ids if settles else ()
                yield item
        is_settled = True
        if doubts and inquiry is not None:
            alone = _Waiting(any_unchanged=waiting.any_unchanged)
            answers = Answers(
                read=partial(self._read_answer, waiting=alone, end=output.form.end),
                late=partial(self._late, alone, output),
            )
            is_settled = yield from settle(doubts, certain, inquiry, answers, self._turns)
        yield from self._late(waiting, output)
        for shapes in self._shapes.values():
            shapes.end_output()
        if not is_settled:
            raise Unsettled

    def _of_last(
        self, frame: Frame, output: Output, doubled: frozenset[str], waiting: "_Waiting"
    ) -> Sequence[Record | SetAside | Unchanged]:
        """The last record of a dump, and the prompt or the message that stands behind it."""
        text, behind = output.split_last(frame.text)
        if not behind or not self._can_be_read(text, output):
            return self._of_frame(frame, output, doubled, waiting)
        noise = behind.strip()[:EVIDENCE_BYTES]
        end = b"\n\n" if output.form.multi_line else b"\n"
        if (
            noise
            and frame.text.endswith(end)
            and self._can_be_read(frame.text, output, with_text=True)
        ):
            reason = "what stands behind its end may be a part of its last text"
            return (self._set_aside(frame.text, reason, output),)
        found = self._of_frame(Frame(text, None), output, doubled, waiting)
        cut = tuple(_ids_in(noise, self._table))
        reason = CUT_OFF if cut else "it stands behind the last record"
        return (*found, SetAside(noise, reason, cut)) if noise else found

    def _can_be_read(self, text: bytes, output: Output, *, with_text: bool = False) -> bool:
        """Whether *text* can be a record; *with_text*: one whose last value is a text."""
        try:
            record = self._shapes_of(output).read(text, self._vouching)
        except Unreadable as error:
            return bool(error.places)
        except DocumentError:
            return False
        row = self._table.keys.get(record.raw.pairs[-1].key)
        return not with_text or row is None or row.is_text

    def _of_frame(
        self, frame: Frame, output: Output, doubled: frozenset[str], waiting: "_Waiting"
    ) -> Sequence[Record | SetAside | Unchanged]:
        """What *frame* is; nothing if its record waits for a key to be vouched for."""
        text, message = output.split_message(frame.text)
        if message:
            found = self._of_frame(Frame(text, None), output, doubled, waiting)
            return (*found, SetAside(message[:EVIDENCE_BYTES], "scontrol found no such node", ()))
        if doubled and doubled.intersection(_ids_in(frame.text, self._table)):
            return (self._set_aside(frame.text, _DOUBLED, output),)
        if frame.id is not None:
            waiting.any_unchanged = True
            return (Unchanged((frame.id,)),)
        record = self._record(frame.text, output, waiting)
        return () if record is None else (record,)

    def _shapes_of(self, output: Output) -> Shapes:
        shapes = self._shapes.get(output.form)
        if shapes is None:
            shapes = self._shapes[output.form] = Shapes(output.form, self._cluster)
        return shapes

    def _forget(self) -> None:
        for shapes in self._shapes.values():
            shapes.forget()

    # --- one record -------------------------------------------------------------------------------

    def _record(
        self, text: bytes, output: Output, waiting: "_Waiting | None"
    ) -> Record | SetAside | None:
        """The record *text*; None if it waits for a key to be vouched for."""
        try:
            record = self._shapes_of(output).read(text, self._vouching)
        except DocumentError as error:
            return self._set_aside(text, str(error), output)
        except Unreadable as error:
            if error.places and waiting is not None and waiting.size < MAX_WAITING_BYTES:
                try:
                    owner = self._shapes_of(output).owner_of(text)
                except (Unreadable, DocumentError):
                    return self._set_aside(text, str(error), output)
                self._note(error.places, owner)
                waiting.add(text, error.places)
                return None
            return self._set_aside(text, str(error), output)
        if self._vouching.contested:
            shown = self._shapes_of(output).shown(text).places - record.decision.new
            for place in sorted(shown & self._vouching.contested):
                reason = (
                    f"{place[1]}, an unknown key, stands behind the text of {place[0]} in every "
                    "record, and may be a part of the text"
                )
                return self._set_aside(text, reason, output)
        if record.decision.new:
            self._note(record.decision.new, str(record.slurm.get("uid", "")))
        return record

    def _note(self, places: Iterable[Place], owner: str) -> None:
        vouched = [self._vouching.note(place, owner) for place in sorted(places)]
        if any(vouched):
            self._forget()

    def _late(self, waiting: "_Waiting", output: Output) -> Iterator[Record | SetAside]:
        """The records that waited for a key to be vouched for."""
        if not waiting.texts:
            return
        if not waiting.any_unchanged:
            by_all = {
                place
                for place in waiting.places
                if all(shapes.all_show(place) for shapes in self._shapes.values())
            }
            self._vouching.shown_by_all |= by_all
            self._forget()
        for text in waiting.texts:
            record = self._record(text, output, None)
            if record is not None:
                yield record
        self._vouching_ends()

    def _set_aside(self, text: bytes, reason: str, output: Output) -> SetAside:
        """*text*, which is one record if that is certain, and may hold others if it is not."""
        ids = _ids_in(text, self._table)
        text = text.replace(b"\0", b"")[:EVIDENCE_BYTES]
        return SetAside(text, reason, tuple(ids[:1] if output.form.sealed else ids))

    def _read_answer(
        self, chunks: Iterable[bytes], seal: str, waiting: "_Waiting", *, end: str
    ) -> Iterator[Record | SetAside]:
        """The records of an answer about one job. Raises `NoAnswer` and `SealMissing`."""
        output = Output(chunks, self._table, seal, self._max_bytes, end=end)
        for item in output.frames():
            if isinstance(item, Frame):
                record = self._record(item.text, output, waiting)
                if record is not None:
                    yield record
            elif isinstance(item, Doubt):
                yield SetAside(item.text, item.reason, tuple(item.ids))
            elif isinstance(item, SetAside):
                yield item


@dataclass
class _Waiting:
    """Records that wait for an unknown key to be vouched for."""

    any_unchanged: bool = False
    """Records of the output were not read: whether they show a place is not known."""
    texts: list[bytes] = field(default_factory=list)
    places: set[Place] = field(default_factory=set)
    size: int = 0

    def add(self, text: bytes, places: Iterable[Place]) -> None:
        self.texts.append(text)
        self.places.update(places)
        self.size += len(text)


def _ids_in(text: bytes, table: KeyTable) -> list[str]:
    """The ids that *text* may stand for: its own, and those of records that begin inside it."""
    found = (match[1].decode("latin-1") for match in table.start.finditer(b"\n" + text))
    return list(dict.fromkeys(found))


def _encoding_of(chunks: Iterable[bytes]) -> str | None:
    """The encoding that a file's byte order mark names, which editors and PowerShell write."""
    start = b""
    for chunk in chunks:
        start += chunk
        if len(start) >= len(codecs.BOM_UTF8):
            break
    return next((name for mark, name in _ENCODINGS.items() if start.startswith(mark)), None)


def _in_utf8(chunks: Callable[[], Iterable[bytes]], encoding: str) -> Iterator[bytes]:
    errors = "replace" if encoding == "utf-16" else "surrogateescape"
    for text in codecs.iterdecode(chunks(), encoding, errors):
        yield text.encode("utf-8", errors)


def _is_stripped(chunks: Iterable[bytes]) -> bool:
    """Whether an editor removed the spaces at the ends of all lines of a dump of jobs.

    Up to Slurm 25.05, three of them are the last line of each job.
    """
    jobs = stripped = 0
    rest = b""
    for chunk in chunks:
        text = rest + chunk
        if b" \n" in text:
            return False
        jobs += text.count(b"\n\nJobId=") - rest.count(b"\n\nJobId=")
        stripped += text.count(b"\n\n\nJobId=")
        rest = text[-len(b"\n\nJobId=") :]  # too short for the second count
    return stripped + rest.endswith(b"\n\n\n") > jobs / 2


def _passed_a_terminal(chunks: Iterable[bytes]) -> bool:
    """Whether every line ends in CR LF: behind a terminal (``ssh -t``), or in a file of Windows.

    scontrol ends its lines in LF, so a CR in a user's text never makes an output look so.
    """
    found = False
    rest = b""
    for chunk in chunks:
        text = rest + chunk
        newlines = text.count(b"\n")
        if newlines != text.count(b"\r\n"):
            return False
        found |= newlines > 0
        rest = text[-1:] if text.endswith(b"\r") else b""
    return found


def _without_returns(chunks: Callable[[], Iterable[bytes]]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks():
        text = (rest + chunk).replace(b"\r\n", b"\n")
        rest = text[-1:] if text.endswith(b"\r") else b""
        yield text.removesuffix(rest)
    yield rest


def _may_hold_doubles(chunks: Iterable[bytes], table: KeyTable) -> bool:
    """Whether two records could bear one id: it stands twice where a record could begin."""
    ids: set[bytes] = set()
    rest = b"\n"
    for chunk in chunks:
        text = rest + chunk
        found = table.start.findall(text)
        number = len(ids)
        ids.update(found)
        if len(ids) < number + len(found):
            return True
        # What may be the first part of a start, but no start that was found.
        rest = text[max(text.rfind(b"\n"), 0) :]
        if len(rest) > LONGEST_START or table.start.match(rest):
            rest = b""
    return False


def _doubled(output: Output) -> frozenset[str]:
    """The ids that more than one frame of *output* may stand for."""
    counts: Counter[str] = Counter()
    for item in output.frames():
        if isinstance(item, Frame):
            counts.update(_ids_in(item.text, output.table))
        elif isinstance(item, Doubt):
            counts.update(item.ids.keys())
    return frozenset(record_id for record_id, count in counts.items() if count > 1)


def _chunks_of(file: "tempfile.SpooledTemporaryFile[bytes]") -> Iterator[bytes]:
    file.seek(0)
    while chunk := file.read(1 << 16):
        yield chunk


__all__ = ["MAX_RECORD_BYTES", "NoAnswer", "Reader", "SealMissing"]
