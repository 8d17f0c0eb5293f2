"""Keep, for each cluster, the intervals of time whose jobs are all known to be in the database.

A job is known when a scrape showed it, or when Slurm's accounting told of its end.  So an interval
is covered when every job that ended in the interval is in ``jobs``.  Jobs that have not ended yet
are shown by the next scrape.

Two things cover time.  slurmctld shows an ended job for a purge time, its ``MinJobAge``: two good
rounds within the purge time cover the time between them.  An answer of sacct covers the window that
sacct was asked for.

``coverage`` has a document for each cluster::

    {_id: cluster name, since: int, seen: int or null, checked: int or null,
     covered: [[int, int], ...], version: int,
     accounting: bool or null, accounting_error: str or null}

Times are whole seconds since 1970.  ``seen`` is when the last good round asked scontrol, and
``checked`` is up to when sacct was last asked about time that was covered already.  ``accounting``
says whether sacct told anything the last time that it was asked; null before the first time.

The functions on intervals are pure.  An interval ``(start, end)`` begins at *start* and ends before
*end*; intervals in a tuple are in order, and neither overlap nor touch.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import Any

from pymongo.errors import DuplicateKeyError

from ingest.database.store import Store

Interval = tuple[int, int]

DAY_SECONDS = 86_400
KEPT_SECONDS = 30 * DAY_SECONDS
"""Older time is neither covered nor missing: it has left the ledger."""
KEPT_INTERVALS = 200
"""Of covered time; the oldest leave with the time before them."""
WINDOW_SECONDS = 6 * 3600
"""The longest time that sacct is asked about in one call."""
CHECK_SECONDS = DAY_SECONDS
"""How often sacct is asked about covered time again, for what slurmdbd learned late."""


def merged(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """The same time in intervals that are in order and apart; empty intervals are left out."""
    found: list[Interval] = []
    for start, end in sorted(intervals):
        if start >= end:
            continue
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return tuple(found)


def gaps(covered: Sequence[Interval], since: int, until: int) -> tuple[Interval, ...]:
    """The time from *since* to *until* that the intervals *covered* leave out."""
    found = []
    for start, end in merged(covered):
        if since < min(start, until):
            found.append((since, min(start, until)))
        since = max(since, end)
    if since < until:
        found.append((since, until))
    return tuple(found)


def windows(intervals: Iterable[Interval], seconds: int = WINDOW_SECONDS) -> list[Interval]:
    """The *intervals* in pieces of at most *seconds*, the newest first."""
    found = []
    for start, end in intervals:
        found += [(each, min(each + seconds, end)) for each in range(start, end, seconds)]
    return sorted(found, reverse=True)


@dataclass(frozen=True)
class Coverage:
    """What is covered of one cluster's time; see the module for the fields."""

    since: int
    seen: int | None = None
    checked: int | None = None
    covered: tuple[Interval, ...] = ()
    accounting: bool | None = None
    accounting_error: str | None = None

    def after_round(self, asked: int, ended: int, purge_seconds: float) -> "Coverage":
        """After a good round that asked scontrol at *asked* and read the answer until *ended*.

        A job that ended when or after the round before asked is still shown at *ended* when less
        than *purge_seconds* lie between.
        """
        before = self._until(asked)
        covered = before.covered
        if before.seen is not None and ended - before.seen < purge_seconds:
            covered = merged((*covered, (before.seen, asked)))
        checked = asked if before.checked is None else before.checked
        return replace(before, seen=asked, checked=checked, covered=covered)._bounded()

    def _until(self, now: int) -> "Coverage":
        """What is known of the time up to *now*; there is more if a clock was ahead once."""
        if self.seen is None or self.seen <= now:
            return self
        return replace(
            self,
            since=min(self.since, now),
            seen=now,
            checked=None if self.checked is None else min(self.checked, now),
            covered=merged((start, min(end, now)) for start, end in self.covered),
        )

    def with_window(self, window: Interval) -> "Coverage":
        """After sacct told of every job that ended in *window*."""
        return replace(self, covered=merged((*self.covered, window)))._bounded()

    def checked_at(self, now: int) -> "Coverage":
        """After sacct told once more of the covered time up to *now*."""
        return replace(self, checked=now)

    def with_accounting(self) -> "Coverage":
        """After sacct told what it was asked."""
        return replace(self, accounting=True, accounting_error=None)

    def without_accounting(self, error: str) -> "Coverage":
        """After sacct did not tell what it was asked; *error* is printable text and says why."""
        return replace(self, accounting=False, accounting_error=error)

    def missing(self) -> tuple[Interval, ...]:
        """The time up to the last good round that is not covered."""
        return () if self.seen is None else gaps(self.covered, self.since, self.seen)

    def to_check(self, now: int) -> tuple[Interval, ...]:
        """The covered time that sacct is to be asked about again, once a day.

        Of the last day alone: older jobs may have left the database for good.
        """
        if self.checked is None or 0 <= now - self.checked < CHECK_SECONDS:
            return ()
        return ((now - CHECK_SECONDS, now),)

    def _bounded(self) -> "Coverage":
        newest = self.covered[-1][1] if self.covered else self.since
        since = max(self.since, (self.seen or newest) - KEPT_SECONDS)
        covered = merged((max(start, since), end) for start, end in self.covered)
        if len(covered) > KEPT_INTERVALS:
            covered = covered[-KEPT_INTERVALS:]
            since = covered[0][0]
        return replace(self, since=since, covered=covered)


class CoverageLedger:
    """The coverage of one cluster, kept in the store.

    Another daemon may change the document: then the change in hand is made to what that daemon
    left.  Covered time is only ever added, so no daemon takes time away from another.
    """

    def __init__(self, store: Store, cluster_name: str) -> None:
        self._collection = store.coverage
        self._name = cluster_name

    def change(self, start: int, change: Callable[[Coverage], Coverage]) -> Coverage:
        """Apply *change* and return the new coverage, which begins at *start* if there is none.

        *change* may be called several times.  Raises pymongo's errors.
        """
        while True:
            found = self._collection.find_one({"_id": self._name})
            before = Coverage(since=start) if found is None else _coverage(found)
            after = change(before)
            if found is not None and after == before:
                return after
            values = asdict(after)
            if found is None:
                try:
                    self._collection.insert_one({"_id": self._name, **values, "version": 1})
                except DuplicateKeyError:
                    continue
                return after
            done = self._collection.update_one(
                {"_id": self._name, "version": found["version"]},
                {"$set": values, "$inc": {"version": 1}},
            )
            if done.matched_count:
                return after


def _coverage(found: dict[str, Any]) -> Coverage:
    return Coverage(
        since=found["since"],
        seen=found["seen"],
        checked=found["checked"],
        covered=tuple((start, end) for start, end in found["covered"]),
        accounting=found["accounting"],
        accounting_error=found["accounting_error"],
    )


def coverage_by_cluster(store: Store) -> dict[str, dict[str, Any]]:
    """What is covered of each cluster's time, by name, once there was a good round::

        {"since": date, "until": date,          the time that the ledger speaks of
         "complete_since": date,                no job that ended since then is missing
         "missing": [{"from": date, "to": date}],   in order; jobs that ended then may be missing
         "missing_seconds": int,                of these together
         "accounting": bool or null,            whether sacct told when last asked, if ever
         "accounting_error": str or null}       why not

    Raises pymongo's errors.
    """
    return {
        found["_id"]: _shown(_coverage(found))
        for found in store.coverage.find()
        if found["seen"] is not None
    }


def coverage_of(store: Store, cluster_name: str) -> dict[str, Any] | None:
    """What `coverage_by_cluster` says of one cluster. Raises pymongo's errors."""
    return coverage_by_cluster(store).get(cluster_name)


def _shown(coverage: Coverage) -> dict[str, Any]:
    missing = coverage.missing()
    return {
        "since": _moment(coverage.since),
        "until": _moment(coverage.seen or coverage.since),
        "complete_since": _moment(missing[-1][1] if missing else coverage.since),
        "missing": [{"from": _moment(start), "to": _moment(end)} for start, end in missing],
        "missing_seconds": sum(end - start for start, end in missing),
        "accounting": coverage.accounting,
        "accounting_error": coverage.accounting_error,
    }


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
