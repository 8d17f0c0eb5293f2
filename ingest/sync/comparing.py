"""Compare records that were read with what the database holds of them: what is to be written.

Nothing here asks the database: it is what the round's own thread does while another one writes.
What cannot be told without the database is left to `ingest.sync.sync_rounds`: `Changes.unnamed`
and `Changes.replaced`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from pymongo import InsertOne, ReplaceOne, UpdateOne

from ingest.accounts.users import Names
from ingest.database.changes import Changed
from ingest.database.store import Document
from ingest.documents.document_updates import DocumentUpdates
from ingest.documents.fingerprints import (
    Fingerprint,
    fingerprint,
    is_another_job,
    is_finished,
)
from ingest.documents.kept_counts import Keys, keys_of
from ingest.documents.long_texts import LONGEST_TEXT, cut_long_texts
from ingest.documents.volatile_values import Values, fit_into_pack, milliseconds, volatile_values
from ingest.reading.records import Record
from ingest.slurm.convert import SlurmDict
from ingest.slurm.kinds import JOBS
from ingest.sync.seen_records import Due, Entry, SeenRecords, TextFingerprint, text_fingerprint

BATCH = 500
"""Records in one bulk write, at most."""
BATCH_BYTES = 4 << 20
"""Bytes of text in one bulk write, at most, apart from the last record: a transaction that is too
large fails as a whole."""


class ReadRecord(NamedTuple):
    """A record that was read."""

    slurm: SlurmDict
    text: TextFingerprint
    """By which the record's text is recognised in later rounds."""
    size: int
    """Bytes of text."""

    @classmethod
    def of(cls, record: Record) -> "ReadRecord":
        """Return *record* as it is to be written."""
        slurm, size = record.slurm, len(record.sealed)
        if size > LONGEST_TEXT:
            size -= cut_long_texts(slurm)
        return cls(slurm, text_fingerprint(record), size)


@dataclass
class Batch:
    """Records that are written at once."""

    read: list[ReadRecord] = field(default_factory=list)
    due: dict[str, Due] = field(default_factory=dict)
    """Records of which only volatile values are to be written, by id."""
    size: int = 0
    is_last: bool = False
    """Whether the round's records for the quarantine are complete."""

    def add(self, read: ReadRecord) -> None:
        """Take one more record."""
        self.read.append(read)
        self.size += read.size

    def is_full(self) -> bool:
        """Return whether the batch is large enough to be written."""
        return len(self.read) + len(self.due) >= BATCH or self.size >= BATCH_BYTES


class Fresh(NamedTuple):
    """A record that is not known yet."""

    slurm: SlurmDict
    fingerprint: Fingerprint
    insert: InsertOne[Document]


class Replaced(NamedTuple):
    """A record to be written over a document that readers of changes hear of as it was."""

    before: Fingerprint
    new: Fingerprint
    slurm: SlurmDict
    changed: bool
    """More than volatile values changed."""


@dataclass
class Changes:
    """What a batch changes."""

    now: datetime
    is_last: bool
    fresh: dict[str, Fresh] = field(default_factory=dict)
    """Records that are not known yet, by id."""
    operations: list[UpdateOne | ReplaceOne[Document]] = field(default_factory=list)
    """Writes of the documents that others have."""
    told: Changed = field(default_factory=Changed)
    """What these writes change, for the readers of changes."""
    moved: dict[str, tuple[int, Values]] = field(default_factory=dict)
    """Records of which only volatile values changed, for `Packs.with_values`."""
    written: dict[str, Entry] = field(default_factory=dict)
    """What is known of all these records when they are written."""
    same: dict[str, Entry] = field(default_factory=dict)
    """What is known of records of which nothing is written."""
    unnamed: list[ReadRecord] = field(default_factory=list)
    """Records without a name of their owner, which the database may know.

    They are compared again when the names that are known have been put in."""
    replaced: list[Replaced] = field(default_factory=list)
    """Records that another job's document, or one of another account, gives way to."""

    @property
    def keys(self) -> dict[str, Keys]:
        """Under which the records that are written count then, by id."""
        return {record_id: entry.keys for record_id, entry in self.written.items()}


@dataclass(frozen=True)
class Comparison:
    """Compares the records of one round."""

    updates: DocumentUpdates
    users: Mapping[str, Names]
    volatile_interval: float
    seen: SeenRecords

    def changes(self, batch: Batch, now: datetime) -> Changes:
        """Return what *batch*, which is written at *now*, changes."""
        changes = Changes(now, batch.is_last)
        self.add(changes, batch.read)
        seconds = now.timestamp()
        for record_id, due in batch.due.items():
            known = self.seen[record_id]
            if known.fingerprint.volatile != due.hash:
                changes.moved[record_id] = (known.last_changed, due.values)
            changes.written[record_id] = known.with_volatile(due.hash, seconds)
        return changes

    def add(
        self, changes: Changes, records: Iterable[ReadRecord], *, are_named: bool = False
    ) -> None:
        """Add to *changes* what *records* change; *are_named*: their owners' names are settled."""
        kind = self.updates.kind
        is_job = kind is JOBS
        seconds, last_changed = changes.now.timestamp(), milliseconds(changes.now)
        for read in records:
            slurm = read.slurm
            record_id = slurm[kind.id_key]
            found = fingerprint(slurm)
            known = self.seen.get(record_id)
            if is_job and not (found.owner or are_named) and (not known or known.fingerprint.owner):
                changes.unnamed.append(read)
                continue
            new = Entry(found, seconds, last_changed, read.text, keys_of(kind, slurm))
            if known is None:
                insert = InsertOne(self.updates.new(slurm, self.users, changes.now))
                changes.fresh[record_id] = Fresh(slurm, found, insert)
                changes.written[record_id] = new
            elif known.needs_write(new, self.volatile_interval):
                changes.written[record_id] = self._write(changes, record_id, known, new, slurm)
            else:
                changes.same[record_id] = known.seen_as(new)

    def _write(
        self, changes: Changes, record_id: str, known: Entry, new: Entry, slurm: SlurmDict
    ) -> Entry:
        """Add the write of a record that changed. Return what is known of it then."""
        before, after = known.fingerprint, new.fingerprint
        values = volatile_values(slurm)
        changed = before.stable != after.stable or not fit_into_pack(values)
        if not changed:
            new = new._replace(last_changed=known.last_changed)
        if not changed and not is_finished(after.state):
            changes.moved[record_id] = (known.last_changed, values)
        else:
            self.over(changes, Replaced(before, after, slurm, changed))
        return new

    def over(self, changes: Changes, record: Replaced) -> None:
        """Add the write of a record over its document, or the record if it replaces another."""
        before, new, slurm, changed = record
        is_another = self.updates.kind is JOBS and is_another_job(before, new)
        if is_another or before.account != new.account:
            changes.replaced.append(record)
            return
        if changed:
            changes.told.ids.append(slurm[self.updates.kind.id_key])
        changes.operations.append(self.update(record, changes.now))

    def update(self, record: Replaced, now: datetime) -> UpdateOne:
        """Return the update of a record's document, which stays that of one job."""
        before, new, slurm, changed = record
        return self.updates.update(before, new, slurm, self.users, now, changed=changed)
