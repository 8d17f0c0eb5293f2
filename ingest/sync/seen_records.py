"""Remember the records of earlier rounds: what Mongo holds of them, and what their texts were.

Most records of an output say what they said a round ago, but for their volatile values: run times,
priorities, loads.  `SeenRecords.known` finds such records by their text, before the text is parsed.

That never masks a change.  When a record is read, the reading shows where in its text the volatile
values stand (`text_fingerprint`); of all that is left, a hash is stored.  A later text is known
when it has the same hash but for the same places, and these hold digits and signs of numbers and
times, as many as before, and nothing else.  Such a text has the same keys in the same places, so
it would be read as the first one was, and only these values would differ.  What a user wrote into
a name or a comment stands in no such place: the reading says which place is the key's, and there
is none where the key can be seen twice.  (What `ingest.reading.records.Vouching` learns later lets
further texts be read, and none of those that were read in another way.)

A record whose volatile values are due to be written is not read either: these values are taken
from their places in its text, if every volatile value of the record has such a place.

A row is packed, about 300 bytes with its id, where objects would take four times as much: there
may be 200,000.
"""

import re
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ingest.documents.fingerprints import Fingerprint, hash_of, is_finished
from ingest.documents.kept_counts import Counts, Keys
from ingest.documents.volatile_values import Values
from ingest.reading.records import SEAL_BYTE, Record
from ingest.slurm.convert import Cluster, Converter, DocumentError
from ingest.slurm.keys import PATTERN, KeyTable

_LONGEST_ID = 300
"""No id ends further on in a text, in bytes."""
_PLAIN = b"0123456789:.+-T\0"
"""What volatile values are made of: numbers, durations, times with what stands for the seal."""
_VALUE = re.compile(rb"[0-9:.+\-T]{1,64}\0*(?=\n| %s=)" % PATTERN.encode())

MAX_PLACES = 3
"""A job has so many volatile values; what else moves in a node's text has it read again."""
_LAST = 0xFFFF

Places = tuple[int, int, int, int, int, int]
"""Starts and stops of volatile values in a text, in bytes; those that are missing at its end."""


class TextFingerprint(NamedTuple):
    """By what a record's text is told in a later output."""

    hash: int
    """64 bits, of the text without the values in the *places*."""
    places: Places
    is_whole: bool = False
    """Each volatile value of the record has its place."""


NO_TEXT = TextFingerprint(0, (_LAST,) * 6)
"""That of no text."""


def text_fingerprint(record: Record) -> TextFingerprint:
    """Return the fingerprint of the text of a record that was read."""
    if not record.form.multi_line:
        return NO_TEXT
    text = record.sealed
    found: list[int] = []
    for beginning in record.volatile:
        found += _place(text, beginning)
        if len(found) == 2 * MAX_PLACES:
            break
    is_whole = len(found) == 2 * len(record.volatile) > 0
    a, b, c, d, e, f = (found + [_LAST] * 2 * MAX_PLACES)[: 2 * MAX_PLACES]
    places = (a, b, c, d, e, f)
    return TextFingerprint(_hash(text, *places), places, is_whole)


def _place(text: bytes, beginning: bytes) -> tuple[int, ...]:
    """Start and stop of the one value behind *beginning* in *text*; empty if it is no plain one."""
    start = text.find(beginning) + len(beginning)
    value = _VALUE.match(text, start)
    if value is None or value.end() > _LAST or text.count(beginning) != 1:
        return ()
    return value.span()


def _hash(text: bytes, a: int, b: int, c: int, d: int, e: int, f: int) -> int:
    """Of what is left of *text* without its places."""
    # SipHash, with a key that Python makes for each process: it misses one change in 2**64.
    # A digest of hashlib would make a round without changes a third dearer.
    return hash((text[:a], text[b:c], text[d:e], text[f:]))


class Entry(NamedTuple):
    """One record: as Mongo holds it, and by what its text is told."""

    fingerprint: Fingerprint
    written: float
    """When it was last written, or found to be what Mongo holds, in seconds of the clock."""
    last_changed: int
    """``cw.last_changed`` of its document, in milliseconds of Unix time."""
    text: TextFingerprint
    keys: Keys = ()
    """Under which the record counts."""

    def needs_write(self, new: "Entry", interval: float) -> bool:
        """Whether *new* has to be written over this: changed, or due (volatile values alone)."""
        known = self.fingerprint
        if known.stable != new.fingerprint.stable:
            return True
        # The absolute difference: a clock that was set back must not block writes.
        is_due = abs(new.written - self.written) >= interval
        return known.volatile != new.fingerprint.volatile and is_due

    def seen_as(self, new: "Entry") -> "Entry":
        """This, which Mongo holds still, after *new* was read and not written."""
        same = self.fingerprint.volatile == new.fingerprint.volatile
        written = new.written if same else self.written
        return Entry(self.fingerprint, written, self.last_changed, new.text, self.keys)

    def with_volatile(self, volatile: int, written: float) -> "Entry":
        """This, after volatile values with the hash *volatile* were written or found."""
        fingerprint = self.fingerprint._replace(volatile=volatile)
        return self._replace(fingerprint=fingerprint, written=written)


class Due(NamedTuple):
    """The volatile values of a record of which nothing else changed."""

    values: Values
    hash: int
    """`Fingerprint.volatile` of the record with these values."""


class SeenRecords:
    """The present jobs or nodes of one cluster, by id.

    Filled from Mongo once, then kept in step with every acknowledged write.  One thread may change
    it while another asks what is `known`.
    """

    def __init__(self, table: KeyTable, cluster: Cluster) -> None:
        self._id_starts = len(f"{table.first}=")
        self._convert = Converter(table, cluster)
        self._rows: dict[str, bytes] = {}
        self._keys: dict[str, Keys] = {}
        self._shared: dict[Keys, Keys] = {}
        self.counts: Counts = Counter()
        """How many records count under each key."""
        self._fresh = (float("-inf"), float("inf"))
        self._due: dict[str, Due] = {}

    def __getitem__(self, record_id: str) -> Entry:
        return _unpack(self._rows[record_id], self._keys.get(record_id, ()))

    def __setitem__(self, record_id: str, entry: Entry) -> None:
        _recount(self.counts, self._keys.get(record_id, ()), entry.keys)
        self._rows[record_id] = _pack(entry)
        if entry.keys:
            self._keys[record_id] = self._shared.setdefault(entry.keys, entry.keys)
        else:
            self._keys.pop(record_id, None)

    def __delitem__(self, record_id: str) -> None:
        del self._rows[record_id]
        _recount(self.counts, self._keys.pop(record_id, ()), ())

    def counts_with(self, changes: Mapping[str, Keys]) -> Counts:
        """Return the counts if these records, by id, counted under these keys."""
        counts = self.counts.copy()
        for record_id, keys in changes.items():
            _recount(counts, self._keys.get(record_id, ()), keys)
        return counts

    def __contains__(self, record_id: object) -> bool:
        return record_id in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def get(self, record_id: str) -> Entry | None:
        """The entry of a record, if it is a present one."""
        row = self._rows.get(record_id)
        return None if row is None else _unpack(row, self._keys.get(record_id, ()))

    def begin(self, now: float, interval: float) -> set[str]:
        """Begin a round: what was not written within *interval* seconds of *now* is due.

        Returns all ids: those of which nothing is seen in the round are gone.
        """
        self._fresh = (now - interval, now + interval)
        self._due = {}
        return set(self._rows)

    def known(self, texts: Iterable[bytes]) -> list[str | None]:
        """The ids of the records *texts*, None for each in which there is something to be read.

        A text is all of one record as `ingest.reading.records` cuts it out, with NULs for every
        seal.  `due_of` tells the volatile values of those that are due.
        """
        start, rows, read_row = self._id_starts, self._rows, _TEXT.unpack_from
        since, until = self._fresh
        ids: list[str | None] = []
        for text in texts:
            record_id = text[start : text.find(b" ", start, _LONGEST_ID)].decode("latin-1")
            row = rows.get(record_id)
            if row is not None:
                known, written, a, b, c, d, e, f, is_whole = read_row(row)
                if (
                    hash((text[:a], text[b:c], text[d:e], text[f:])) == known  # see _hash
                    and not (text[a:b] + text[c:d] + text[e:f]).strip(_PLAIN)
                    and (
                        since < written < until
                        or (is_whole and self._note_due(record_id, text, ((a, b), (c, d), (e, f))))
                    )
                ):
                    ids.append(record_id)
                    continue
            ids.append(None)
        return ids

    def due_of(self, record_ids: Iterable[str]) -> dict[str, Due]:
        """Return what is due of these records, which are known, by id. Each is told once."""
        return {each: self._due.pop(each) for each in record_ids if each in self._due}

    def _note_due(self, record_id: str, text: bytes, places: Iterable[tuple[int, int]]) -> bool:
        """Note the volatile values of a text that is known; False if it has to be read.

        The document of a finished job holds these values itself.
        """
        values: Values = {}
        try:
            for start, stop in places:
                if start < _LAST:
                    key = text[text.rfind(b" ", 0, start) + 1 : start - 1].decode()
                    name, convert = self._convert.field(key)
                    values[name] = convert(text[start:stop].replace(SEAL_BYTE, b"").decode())
        except DocumentError:
            return False
        known = self[record_id].fingerprint
        volatile = hash_of(values)
        if volatile != known.volatile and is_finished(known.state):
            return False
        self._due[record_id] = Due(values, volatile)
        return True


# A row: the text's hash, when its document was written, the places and whether they are all; the
# document's hashes, what tells a job from another one, and when it last changed; then the state.
_TEXT = struct.Struct("<qd6H?")
_DOCUMENT = struct.Struct("<9q")
_STATE_STARTS = _TEXT.size + _DOCUMENT.size
_NO_STATE = b"\xff"


def _pack(entry: Entry) -> bytes:
    text, known = entry.text, entry.fingerprint
    packed = _TEXT.pack(text.hash, entry.written, *text.places, text.is_whole)
    document = _DOCUMENT.pack(*known[:-1], entry.last_changed)
    return packed + document + (_NO_STATE if known.state is None else known.state.encode())


def _unpack(row: bytes, keys: Keys) -> Entry:
    text_hash, written, *places, is_whole = _TEXT.unpack_from(row)
    *known, last_changed = _DOCUMENT.unpack_from(row, _TEXT.size)
    state = None if row[_STATE_STARTS:] == _NO_STATE else row[_STATE_STARTS:].decode()
    return Entry(
        Fingerprint._make((*known, state)),
        written,
        last_changed,
        TextFingerprint(text_hash, tuple(places), is_whole),
        keys,
    )


def _recount(counts: Counts, before: Keys, after: Keys) -> None:
    """Count a record under the keys *after* and no longer under the keys *before*, in place."""
    if before == after:
        return
    for key in after:
        counts[key] += 1
    for key in before:
        counts[key] -= 1
        if not counts[key]:
            del counts[key]
