"""Records that were read by their layout to documents: a plan for each layout.

It gives what `ingest.reading.documents` makes of the same record, several times faster: names are
looked
up once for a layout, and blocks and times that come again and again are read once for an output.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import getitem, itemgetter
from typing import Any
from zoneinfo import ZoneInfo

from config import ClusterSettings
from ingest.reading.documents import (
    JOB_RULES,
    NODE_RULES,
    UNKNOWN,
    DocumentError,
    Reader,
    SlurmDict,
    free_text,
    job_document,
    node_document,
    optional,
    owner,
    time,
    time_or_unknown,
    verbatim,
)
from ingest.reading.layouts import Group, Layout
from ingest.reading.record import Record
from ingest.slurm import values
from ingest.slurm.grammar import JOB, Grammar

MAX_KNOWN = 1 << 8
"""Times that are remembered: few, so that they stay in the processor's cache."""
MAX_KNOWN_BLOCKS = 1 << 11
"""Blocks with the same keys that are remembered."""
MAX_KNOWN_HOURS = 1 << 12
MAX_KNOWN_LENGTH = 512
"""A longer value or block is read each time that it comes."""

_CLOCKS = frozenset(f":{minute:02}:{second:02}" for minute in range(60) for second in range(60))


class _Known(dict[str, Any]):
    """What texts are read as, so far. Raises `DocumentError` for one that can't be."""

    def __init__(self, read: Callable[[str], Any], limit: int) -> None:
        super().__init__()
        self._read = read
        self._limit = limit

    def __missing__(self, text: str) -> Any:
        value = self._read(text)
        if len(text) <= MAX_KNOWN_LENGTH:
            if len(self) >= self._limit:
                self.clear()
            self[text] = value
        return value


class _KnownTimes(dict[str, str | None]):
    """Times, None for none: what is told of an hour holds for all of its minutes and seconds.

    A time that is not there is asked of `read`: to have it called by the dict would take longer.
    """

    def __init__(self, zone: ZoneInfo) -> None:
        super().__init__()
        self._hours: dict[str, tuple[str, str]] = {}
        self._zone = zone

    def read(self, text: str) -> str | None:
        """What *text*, which is not known, says. Raises `DocumentError`."""
        hour = self._hours.get(text[:13] + text[19:])
        if hour is None or (clock := text[13:19]) not in _CLOCKS:
            self._learn_hour(text)
            value = time(text, self._zone)
        else:
            before, behind = hour
            value = f"{before}{clock}{behind}"
        if len(self) >= MAX_KNOWN:
            self.clear()
        self[text] = value
        return value

    def _learn_hour(self, text: str) -> None:
        """Note what stands before and behind minute and second, if that is so all the hour long."""
        first, last = (
            values.time(text[:13] + clock + text[19:], self._zone) for clock in (":00:00", ":59:59")
        )
        if first and last and first[:13] + ":59:59" + first[19:] == last:
            if len(self._hours) >= MAX_KNOWN_HOURS:
                self._hours.clear()
            self._hours[text[:13] + text[19:]] = first[:13], first[19:]


@dataclass(frozen=True)
class _Plan:
    """How the values of one layout's groups become a document."""

    is_ambiguous: bool
    """Two of its keys bear one name."""
    empty: SlurmDict
    """Its keys in their order, all that is the same for all records filled in."""
    times: Sequence[int]
    """Groups that are times."""
    unknown: Sequence[int]
    """Of these, those that are ``Unknown`` where there is none."""
    blocks: Callable[[Sequence[str]], Sequence[str]]
    """Groups that are several keys and values."""
    known: Sequence[_Known]
    """In which to look each of them up."""
    texts: Sequence[int]
    """Groups to be put as they are, or as null."""
    readers: Sequence[tuple[int, Reader]]
    """Groups to be read each time, as they seldom come twice: numbers, and texts before a space."""
    names: Sequence[str]
    single: Callable[[list[Any]], tuple[Any, ...]]
    """The values that bear the names."""


class Documents:
    """The documents of one output's records."""

    def __init__(self, grammar: Grammar, cluster: ClusterSettings) -> None:
        self._carefully = job_document if grammar is JOB else node_document
        self._rules = JOB_RULES if grammar is JOB else NODE_RULES
        self._cluster = cluster
        self._plans: dict[Layout, _Plan] = {}
        self._zone = cluster.zone
        self._times = _KnownTimes(cluster.zone)
        self._known_blocks: dict[Group, _Known] = {}

    def of(self, record: Record) -> SlurmDict:
        """The ``slurm`` dict of *record*. Raises `DocumentError`."""
        if record.reading is None:
            return self._carefully(record.raw, self._cluster)
        layout, texts = record.reading
        plan = self._plans.get(layout)
        if plan is None:
            plan = self._plans[layout] = self._plan(layout)
        if plan.is_ambiguous:
            return self._carefully(record.raw, self._cluster)
        found: list[Any] = list(texts)
        times = self._times
        try:
            for place in plan.times:
                text = found[place]
                found[place] = times[text] if text in times else times.read(text)
            parts = list(map(getitem, plan.known, plan.blocks(texts)))
        except DocumentError:
            return self._carefully(record.raw, self._cluster)  # which says where the fault is
        for place in plan.unknown:
            if found[place] is None:
                found[place] = UNKNOWN
        absent = values.ABSENT
        for place in plan.texts:
            if found[place] in absent:
                found[place] = None
        zone = self._zone
        for place, read in plan.readers:
            found[place] = read(found[place], zone)
        slurm = plan.empty.copy()
        slurm |= zip(plan.names, plan.single(found), strict=False)
        for part in parts:
            slurm |= part
        if slurm.get("resv_name", "") is None:
            del slurm["resv_name"]
        return slurm

    def _plan(self, layout: Layout) -> _Plan:
        times: list[int] = []
        unknown: list[int] = []
        blocks: list[int] = []
        known: list[_Known] = []
        texts: list[int] = []
        readers: list[tuple[int, Reader]] = []
        names: dict[int, str] = {}
        for place, group in enumerate(layout.groups):
            if group.is_block or group.keys == ("UserId",):
                blocks.append(place)
                known.append(self._blocks_of(group))
                continue
            names[place], read = self._rules[group.keys[0]]
            if read in (time, time_or_unknown):
                times.append(place)
                if read is time_or_unknown:
                    unknown.append(place)
            elif read in (optional, free_text) and not group.spaced:
                texts.append(place)
            elif read is not verbatim:
                readers.append((place, read))
        keys = [key for group in layout.groups for key in group.keys]
        return _Plan(
            is_ambiguous=len({self._rules[key][0] for key in keys}) < len(keys),
            empty=self._empty(layout),
            times=times,
            unknown=unknown,
            blocks=itemgetter(*blocks, 0),  # one more, as below
            known=known,
            texts=texts,
            readers=readers,
            names=tuple(names.values()),
            single=itemgetter(*names, 0),  # so that it is always a tuple
        )

    def _empty(self, layout: Layout) -> SlurmDict:
        empty: SlurmDict = {}
        for group in layout.groups:
            for key in group.keys:
                if key == "UserId":
                    empty |= {self._cluster.username_field: None, "uid": None}
                else:
                    empty[self._rules[key][0]] = None
        return {**empty, "cluster_name": self._cluster.name}

    def _blocks_of(self, group: Group) -> _Known:
        if group not in self._known_blocks:
            self._known_blocks[group] = _Known(
                lambda text: self._part(group, text), MAX_KNOWN_BLOCKS
            )
        return self._known_blocks[group]

    def _part(self, group: Group, text: str) -> SlurmDict:
        """The part of a document that *text*, a block, is."""
        part: SlurmDict = {}
        for key, value in zip(group.keys, group.values(text), strict=True):
            if key == "UserId":
                part |= owner(value, self._cluster)
            else:
                name, read = self._rules[key]
                part[name] = read(value, self._cluster.zone)
        return part
