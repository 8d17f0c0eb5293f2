"""Convert a value as scontrol prints it into the value that a document holds.

The table of keys names one of these readers for each key (column ``value``):

=================  ===============================================================  ==============
reader             what the document holds                                          null
=================  ===============================================================  ==============
verbatim           the text as printed                                              never
word               the text without the spaces around it                            absent marker
text               the text as printed                                              absent marker
comment            a job's text, without the one space that Slurm up to 25.05 adds  absent marker
integer            an integer of at most 64 bits; other words as ``word``           absent marker
decimal            a number; other words as ``word``                                absent marker
duration           seconds                                                          no duration
time               ISO 8601 with the cluster's offset                               no time
time_or_unknown    the same; ``Unknown`` where there is no time                     never
owner              two keys: the user name and the uid                              never
=================  ===============================================================  ==============

Absent markers are ``(null)``, ``N/A``, ``None`` and the others of `ingest.slurm.values.ABSENT`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from ingest.slurm import values
from ingest.slurm.keys import KeyTable

SlurmDict = dict[str, Any]
Convert = Callable[[str], Any]
"""A value as printed to the value in the document. Raises `DocumentError`."""

UNKNOWN = "Unknown"
"""Slurm's word for a time that there is not, where documents keep it."""

_TEXT: frozenset[type] = frozenset({str})
_NULL: frozenset[type] = frozenset({str, type(None)})
TYPES: Mapping[str, frozenset[type]] = {
    "verbatim": _TEXT,
    "word": _NULL,
    "text": _NULL,
    "comment": _NULL,
    "integer": _NULL.union({int}),
    "decimal": _NULL.union({int, float}),
    "duration": frozenset({int, type(None)}),
    "time": _NULL,
    "time_or_unknown": _TEXT,
}
"""The types that each reader can give."""

_CLOCKS = frozenset(f":{minute:02}:{second:02}" for minute in range(60) for second in range(60))
_NO_TIME = values.ABSENT | {UNKNOWN}
_MAX_HOURS = 1 << 12


class Cluster(Protocol):
    """What documents need to know of the cluster: `config.ClusterSettings` has it."""

    @property
    def name(self) -> str:
        """The cluster's name in documents."""

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of times without an offset, and of the times in documents."""

    @property
    def username_field(self) -> str:
        """The document's name for the name of a job's owner."""


class AnyCluster(NamedTuple):
    """A `Cluster` for readers that need the raw pairs alone."""

    name: str = ""
    zone: ZoneInfo = ZoneInfo("UTC")
    username_field: str = "mila_cluster_username"


class DocumentError(ValueError):
    """A value that scontrol cannot have printed. The message names the key and the value."""


def typed_keys(table: KeyTable) -> dict[str, tuple[str, frozenset[type]]]:
    """Return, for each name in documents, Slurm's key and the types that the value can have.

    NoneType among the types means that the value can be null. UserId, which becomes two keys, and
    the keys of ``alloc_groups`` are left out.
    """
    return {
        key.document: (key.name, TYPES[key.value])
        for key in table.keys.values()
        if key.value != "owner" and key.place != "group"
    }


class Converter:
    """The readers for the values of one cluster."""

    def __init__(self, table: KeyTable, cluster: Cluster) -> None:
        self._table = table
        self._cluster = cluster
        self._hours: dict[str, tuple[str, str]] = {}
        self._last = ("no time", "")
        """The last time that was read, as printed and as read: it often comes again at once."""

    def field(self, name: str) -> tuple[str, Convert]:
        """Return the document's name of the key *name* and the reader of its value.

        A key without a row in the table bears its own name in snake case, with ``slurm_`` before
        it where another key has that name. Its value becomes a time, a number or a text, as it
        looks.
        """
        key = self._table.keys.get(name)
        if key is not None:
            return key.document, self._reader(key.value)
        document = values.snake_case(name)
        taken = document in self._table.documents
        return f"slurm_{document}" if taken else document, self._as_it_looks

    def owner(self, value: str) -> SlurmDict:
        """Return the two keys of ``alice(1001)``: the user name under the cluster's field, the uid.

        Raises `DocumentError` for a value of another form.
        """
        found = values.user(value)
        if found is None:
            raise DocumentError(f"expected name(number), found {value[:80]!r}")
        return {self._cluster.username_field: found[0], "uid": found[1]}

    def _reader(self, name: str) -> Convert:
        if name == "owner":
            return self.owner
        if name == "time":
            return self._time
        if name == "time_or_unknown":
            return self._time_or_unknown
        return _READERS[name]

    def _time(self, value: str) -> str | None:
        # All times of one hour have one offset, but in the hour of a change: most times are read
        # by looking their hour up.
        last, moment = self._last
        if value == last:
            return moment
        hour = self._hours.get(value[:13] + value[19:])
        if hour is not None and value[13:19] in _CLOCKS:
            moment = hour[0] + value[13:19] + hour[1]
            self._last = value, moment
            return moment
        if value in _NO_TIME:
            return None
        found = values.time(value, self._cluster.zone)
        if found is not None:
            self._note_hour(value)
        elif value.strip(" ") not in _NO_TIME:
            found = values.epoch_time(value, self._cluster.zone)
            if found is None:
                raise DocumentError(f"a time was expected, found {value[:80]!r}")
        return found

    def _note_hour(self, value: str) -> None:
        first, last = (
            values.time(value[:13] + clock + value[19:], self._cluster.zone)
            for clock in (":00:00", ":59:59")
        )
        if first and last and first[:13] + ":59:59" + first[19:] == last:
            if len(self._hours) >= _MAX_HOURS:
                self._hours.clear()
            self._hours[value[:13] + value[19:]] = first[:13], first[19:]

    def _time_or_unknown(self, value: str) -> str:
        return self._time(value) or UNKNOWN

    def _as_it_looks(self, value: str) -> Any:
        return values.time(value, self._cluster.zone) or values.decimal(value)


def _verbatim(value: str) -> str:
    return value


def as_text(value: str) -> str | None:
    """Return a text as printed, None for an absent marker."""
    return None if value in values.ABSENT else value


def as_comment(value: str) -> str | None:
    """Return a comment without the space that Slurm up to 25.05 adds, None for an absent marker."""
    return as_text(value.removesuffix(" "))


_READERS: Mapping[str, Convert] = {
    "verbatim": _verbatim,
    "word": values.optional,
    "text": as_text,
    "comment": as_comment,
    "integer": values.integer,
    "decimal": values.decimal,
    "duration": values.duration,
}


def adds_space_to_comments(keys: frozenset[str], *, space_at_end: bool) -> bool:
    """Tell whether a job with these *keys* comes from a Slurm that adds a space to comments.

    Slurm 25.11 stopped to add the space. It is the first to print SubmitLine, which every job has,
    and prints no space at a record's end any more.
    """
    return space_at_end or "SubmitLine" not in keys
