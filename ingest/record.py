"""What an output of scontrol is read into: records, and text that is none."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from ingest.layouts import SEAL, Reading
from ingest.pairs import RawPairs

KEPT_BYTES = 64 << 10
"""How much is kept of a text that is set aside."""


class Record:
    """One record as scontrol printed it, and its raw pairs. The seal is taken off both."""

    __slots__ = ("_digest", "_raw", "_text", "reading")

    def __init__(
        self,
        text: bytes,
        raw: RawPairs | None,
        digest: bytes | None = b"",
        reading: Reading | None = None,
    ) -> None:
        r"""With *raw*, or else with the *reading* by the layout of others.

        In the latter case *text* bears ``\0`` where the seal was, and *digest* may be made later.
        """
        self._text = text
        self._raw = raw
        self._digest = digest
        self.reading = reading

    @property
    def text(self) -> bytes:
        """Its text, the blank line behind it included."""
        return self._text if self.reading is None else self._text.replace(SEAL.encode(), b"")

    @property
    def raw(self) -> RawPairs:
        """All that its text holds."""
        if self._raw is None:
            assert self.reading is not None  # noqa: S101 - one of the two is always there
            layout, texts = self.reading
            self._raw = layout.raw(texts)
        return self._raw

    @property
    def id(self) -> str:
        """Its JobId or NodeName."""
        if self.reading is not None:
            return self.reading[1][0]
        return self.raw.pairs[0].value

    @property
    def digest(self) -> bytes:
        """Of its text, the same in every output that it is in; empty where there is none.

        It tells a text that bears the seal from the same text without it.
        """
        if self._digest is None:
            self._digest = digest_of(self._text)
        return self._digest

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Record):
            return NotImplemented
        return self.text == other.text and self.raw == other.raw

    __hash__ = None  # type: ignore[assignment]  # two that are equal may be read in two ways

    def __repr__(self) -> str:
        return f"Record({self.text!r})"


def digest_of(text: bytes) -> bytes:
    r"""The digest of a record's *text* with ``\0`` in the place of every seal."""
    return hashlib.sha256(text).digest()


@dataclass(frozen=True)
class Unchanged:
    """Records whose texts the caller has seen before: known by their digests, not read again."""

    ids: Sequence[str]


@dataclass(frozen=True)
class SetAside:
    """Text that is no record, or none that can be read for certain."""

    text: bytes
    """At most `KEPT_BYTES` of it."""
    reason: str
    ids: tuple[str, ...]
    """Ids (JobId or NodeName) of the records that it may hold: known to be there, not read."""
