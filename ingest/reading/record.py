"""What an output of scontrol is read into: records, and text that is none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ingest.reading.layouts import SEAL, Reading
from ingest.reading.pairs import RawPairs

KEPT_BYTES = 64 << 10
"""How much is kept of a text that is set aside."""


class Record:
    """One record as scontrol printed it, and its raw pairs. The seal is taken off both."""

    __slots__ = ("_raw", "_text", "reading", "sealed")

    def __init__(
        self,
        text: bytes,
        raw: RawPairs | None,
        sealed: bytes = b"",
        reading: Reading | None = None,
    ) -> None:
        """One that was read by its layout comes without *raw*, and *text* is *sealed* too."""
        self._text = text
        self._raw = raw
        self.sealed = sealed
        r"""As `Known` sees it: with ``\0`` for each letter of a seal. Empty where it never does."""
        self.reading = reading
        """What it was read by, where that was the layout of others."""

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

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Record):
            return NotImplemented
        return self.text == other.text and self.raw == other.raw

    __hash__ = None  # type: ignore[assignment]  # two that are equal may be read in two ways

    def __repr__(self) -> str:
        return f"Record({self.text!r})"


Known = Callable[[Sequence[bytes]], list[str | None]]
"""Gives the ids of records whose texts (see `Record.sealed`) say nothing new, None for others."""


def nothing_known(sealed: Sequence[bytes]) -> list[str | None]:
    """`Known` for whom every text is new."""
    return [None] * len(sealed)


@dataclass(frozen=True)
class Unchanged:
    """Records whose texts say nothing new to the caller, and were not read."""

    ids: Sequence[str]


@dataclass(frozen=True)
class SetAside:
    """Text that is no record, or none that can be read for certain."""

    text: bytes
    """At most `KEPT_BYTES` of it."""
    reason: str
    ids: tuple[str, ...]
    """Ids (JobId or NodeName) of the records that it may hold: known to be there, not read."""
