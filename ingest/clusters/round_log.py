"""Write how rounds went: a log that is kept for a week, and the state of each cluster.

``scrapes`` has a document a round::

    {cluster_name: str, kind: "jobs" or "nodes",
     started: date, seconds: float,
     ok: bool, error: str or null,                  printable text
     records, new, changed, gone, set_aside, bytes: int, null for a round that failed,
     host: str, pid: int}                           of the daemon

``clusters`` has a document for each cluster and kind, so that nothing depends on the log's length::

    {_id: "<cluster_name>/<kind>", cluster_name, kind,
     last_attempt: date, seconds: float, ok: bool,  of the last round: its end, its length
     last_success: date,                            only when there was one: its end
     last_error: {at: date, error: str},            only when there was one
     requested: true,                               from `request_round` to the next round
     username_field: str,                           of jobs: see `ingest.accounts.username_field`
     next_attempt: date,                            only after a failed round: of the next one
     last_figures: {records, new, changed, gone, set_aside, bytes: int},  of the last good round
     totals: {ok, failed, records, new, changed, gone, set_aside, bytes: int}}

A good round also brings a retired cluster back (`ingest.clusters.retired_clusters`).  The
totals count the good and the failed rounds, and add up the figures of the good rounds.
"""

import logging
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any

import pymongo
from bson import Int64
from pymongo.errors import DuplicateKeyError, PyMongoError

from ingest.clusters.retired_clusters import bring_back
from ingest.database.store import Store
from ingest.sync.sync_rounds import RoundCounts

FIGURES = ("records", "new", "changed", "gone", "set_aside", "bytes")

_LONGEST_ERROR = 2000
_WRITE_SECONDS = 5.0
"""A round does not wait longer than this for its own log."""

logger = logging.getLogger(__name__)


class RoundLog:
    """Writes how the rounds of one cluster went.

    If the database fails, the round goes on; the failure is logged once until the database works
    again.
    """

    def __init__(
        self,
        store: Store,
        cluster_name: str,
        clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self._store = store
        self._cluster_name = cluster_name
        self._clock = clock
        self._fails = False

    def succeeded(self, kind: str, seconds: float, counts: RoundCounts, output_bytes: int) -> None:
        """Note that a round of *kind* (``jobs``, ``nodes``) ended well.

        *seconds* is the round's length, *output_bytes* is what scontrol printed.
        """
        figures = {
            "records": counts.read,
            "new": counts.inserted,
            "changed": counts.changed,
            "gone": counts.vanished,
            "set_aside": counts.set_aside,
            "bytes": output_bytes,
        }
        self._write(kind, seconds, figures, None)

    def failed(self, kind: str, seconds: float, error: str) -> None:
        """Note that a round of *kind* failed; *error* is printable text that says why."""
        self._write(kind, seconds, None, error[:_LONGEST_ERROR])

    def next_attempts(self, moments: Mapping[str, datetime]) -> None:
        """Write when the next round of each kind begins after one that failed."""
        for kind, moment in moments.items():
            with suppress(PyMongoError), pymongo.timeout(_WRITE_SECONDS):
                self._store.clusters.update_one(
                    {"_id": f"{self._cluster_name}/{kind}"}, {"$set": {"next_attempt": moment}}
                )

    def is_requested(self) -> bool:
        """Return whether `request_round` asked for a round since the last one began to pause."""
        with suppress(PyMongoError), pymongo.timeout(_WRITE_SECONDS):
            taken = self._store.clusters.update_one(
                {"_id": f"{self._cluster_name}/jobs", "requested": True},
                {"$unset": {"requested": True}},
            )
            return taken.matched_count > 0
        return False

    def _write(
        self, kind: str, seconds: float, figures: dict[str, int] | None, error: str | None
    ) -> None:
        names = {"cluster_name": self._cluster_name, "kind": kind}
        ended = self._clock()
        scrape = {
            **names,
            "started": ended - timedelta(seconds=seconds),
            "seconds": seconds,
            "ok": error is None,
            "error": error,
            **(figures or dict.fromkeys(FIGURES)),
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }
        try:
            with pymongo.timeout(_WRITE_SECONDS):
                self._store.clusters.update_one(
                    {"_id": f"{self._cluster_name}/{kind}"},
                    _standing(names, ended, seconds, figures, error),
                    upsert=True,
                )
                with suppress(DuplicateKeyError):  # see `ingest.database.embedded_quirks`
                    self._store.round_log.insert_one(scrape)
                if error is None:
                    bring_back(self._store, self._cluster_name)
        except PyMongoError as failure:
            if not self._fails:
                logger.error(  # noqa: TRY400 - no defect of ours
                    "round log: could not be written: %s",
                    failure,
                    extra={"cluster": names["cluster_name"]},
                )
            self._fails = True
        else:
            self._fails = False


def request_round(store: Store, cluster_name: str) -> bool:
    """Ask the daemon that scrapes a cluster to end its pause; False where none ever scraped it.

    Raises pymongo's errors.
    """
    asked = store.clusters.update_one(
        {"_id": f"{cluster_name}/jobs"}, {"$set": {"requested": True}}
    )
    return asked.matched_count > 0


def _standing(
    names: dict[str, str],
    ended: datetime,
    seconds: float,
    figures: dict[str, int] | None,
    error: str | None,
) -> dict[str, Any]:
    """Return the update of a cluster's document after a round."""
    now: dict[str, Any] = {"last_attempt": ended, "seconds": seconds, "ok": error is None}
    if error is None:
        now |= {"last_success": ended, "last_figures": figures}
    else:
        now["last_error"] = {"at": ended, "error": error}
    counted = {"ok" if error is None else "failed": 1, **(figures or {})}
    return {
        "$set": names | now,
        "$unset": {"next_attempt": True, "requested": True},
        "$inc": {f"totals.{name}": Int64(count) for name, count in counted.items()},
    }
