"""What an output of scontrol is read into: records, records that did not change, and doubt."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ingest.reading.parsing import Decision, Form, RawPairs, raw_pairs
from ingest.slurm.convert import SlurmDict

EVIDENCE_BYTES = 64 << 10
"""How much is kept of a text that can't be read for certain."""

SEAL_BYTE = b"\0"
"""Stands for each letter of a seal: no text that Slurm prints or a user writes can hold a NUL."""


@dataclass(slots=True)
class Record:
    """One record as scontrol printed it, and its document."""

    id: str
    """JobId or NodeName."""
    slurm: SlurmDict
    """The ``slurm`` part of the document."""
    sealed: bytes
    """The text as `Seen` gets it: with a NUL for each letter of a seal."""
    form: Form
    decision: Decision
    """How the text is read."""
    volatile: tuple[bytes, ...]
    """What stands before the values of the volatile keys: the key and what is before it."""

    @property
    def text(self) -> bytes:
        """The text without the seal, the blank line behind the record included."""
        return self.sealed.replace(SEAL_BYTE, b"")

    @property
    def raw(self) -> RawPairs:
        """All that the text holds, in order; bytes that are not UTF-8 as lone surrogates."""
        return raw_pairs(self.sealed.decode("utf-8", "surrogateescape"), self.form, self.decision)


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Records whose texts say nothing new to the caller, and were not read."""

    ids: Sequence[str]


@dataclass(frozen=True)
class SetAside:
    """A text that is no record, or that can't be read for certain."""

    text: bytes
    """At most `EVIDENCE_BYTES` of the text."""
    reason: str
    ids: tuple[str, ...]
    """Ids (JobId or NodeName) of the records that the text may hold: they are there, not read."""


Seen = Callable[[Sequence[bytes]], list[str | None]]
"""Gives the ids of records whose texts (`Record.sealed`) say nothing new, None for the others."""


def nothing_seen(texts: Sequence[bytes]) -> list[str | None]:
    """Return None for every text: all are new."""
    return [None] * len(texts)


@dataclass(frozen=True)
class Answer:
    """What scontrol prints when it is asked for one job."""

    chunks: Iterable[bytes]
    seal: str


class NotAsked(Exception):
    """A job can't be asked for alone. The message says why, and what to do."""


class Inquiry(Protocol):
    """The cluster, to be asked about the jobs whose records an output leaves in doubt."""

    def owners(self) -> Mapping[str, str] | None:
        """Return the uid of every job by id, from squeue's list; None if squeue can't be asked."""

    def show(self, job_id: str) -> Answer | None:
        """Ask scontrol for one job; None if the job is gone. Raises `NotAsked`."""


@dataclass
class Doubt:
    """Text between certain records that holds two records or more, in unknown parts.

    A user's text in the middle holds what could begin a record, so that text alone can't tell where
    the records meet.
    """

    text: bytes = b""
    """At most `EVIDENCE_BYTES` of the text."""
    ids: dict[str, None] = field(default_factory=dict)
    """Ids at places where a record could begin; some of them."""
    reason: str = ""
