"""A year of rounds of a small cluster, under a clock that a program moves: does anything grow?

``python -m tests.year`` runs a whole year against an embedded database and prints a row a month:
the memory of the process, the documents of each collection, the files of database and archive.
Jobs come and go every hour, nodes are drained, records can't be read, the login host is away for
hours, the clocks change twice, the cluster gets another name and its old name back.

Nothing in the database expires by itself here, because its own clock stands in the first days of
the year.  So the year itself removes what the indexes of `ingest.database.store` let expire.
"""

import argparse
import gc
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from config import RetentionSettings
from ingest.clusters.coverage import CoverageLedger
from ingest.clusters.node_life import note_nodes
from ingest.clusters.renaming import rename_cluster
from ingest.clusters.round_log import RoundLog
from ingest.database.leases import Lease
from ingest.database.store import INDEXES, Store, connect
from ingest.reading.reader import Reader
from ingest.retention.retention import retain
from ingest.slurm.kinds import JOBS, NODES, Kind
from ingest.sync.sync_rounds import SyncRounds
from tests.ingest.reading.attacks import job
from tests.mongo import secantus
from tests.support.reading import CLUSTER, SEAL

NODE_COUNT = 6
JOBS_AN_HOUR = 2
LIFE = timedelta(hours=8)
"""Of a job: an hour of waiting, six of running, and one in which slurmctld remembers its end."""
KEPT_DAYS = 30
PURGE_SECONDS = 300.0
OTHER_NAME = "narval"
"""Of the cluster, for the middle third of the time."""
_OPTIONS = ("--oplog-max-entries", "1000")
"""Of the embedded database, as `clockwork.embedded.secantus` starts it: its own log stays short."""
_TIME = f"2026-11-23T20:13:41+0000{SEAL}"


class Year:
    """A cluster, and what scrapes it; both live by `now`."""

    def __init__(self, store: Store, archive: Path, start: datetime) -> None:
        self.store = store
        self.start = self.now = start
        self.rounds = 0
        self._retention = RetentionSettings(after_days=KEPT_DAYS, archive=archive)
        self._begin(CLUSTER.name)

    def _begin(self, name: str) -> None:
        """Scrape under this name, as a scraper does that was just started."""
        self.cluster = CLUSTER.model_copy(update={"name": name})
        self._lease = Lease(self.store, name, 60.0)
        assert self._lease.keep()
        self._log = RoundLog(self.store, name, lambda: self.now)
        self._coverage = CoverageLedger(self.store, name)
        self._takers = {kind.plural: self._taker(kind) for kind in (JOBS, NODES)}

    def _taker(self, kind: Kind) -> tuple[Reader, SyncRounds]:
        rounds = SyncRounds(
            self.store,
            self.cluster,
            kind,
            volatile_interval=900,
            bulk_write=self._lease.bulk_write,
            clock=lambda: self.now,
        )
        return Reader(kind.table, self.cluster), rounds

    def pass_by(self, days: int, step: timedelta, told: Callable[[int], None]) -> None:
        """Let so many days go by, with a round of jobs every *step*; *told* hears of each day."""
        renames = {days // 3: OTHER_NAME, 2 * days // 3: CLUSTER.name}
        for day in range(days):
            tomorrow = self.now + timedelta(days=1)
            while self.now < tomorrow:
                hours = (self.now - self.start) // timedelta(hours=1)
                if hours % (30 * 24) in range(5, 8):
                    self._log.failed("jobs", 1.0, "the login host is away")
                else:
                    self._round(JOBS, self.jobs())
                if hours % 12 == 0:
                    self._round(NODES, self.nodes())
                    note_nodes(self.store, self.cluster, self._lease.bulk_write, self.now)
                self.now += step
            for _ in retain(self.store, self._retention, self.now):
                pass
            self._expire()
            name = renames.get(day, self.cluster.name)
            if name != self.cluster.name:
                self._lease.release()
                rename_cluster(self.store, self.cluster.name, name, 60.0)
                self._begin(name)
            told(day)

    def _round(self, kind: Kind, text: str) -> None:
        reader, rounds = self._takers[kind.plural]
        counts = rounds.take_in(reader.read([text.encode()], seal=SEAL, seen=rounds.known))
        self._log.succeeded(kind.plural, 1.0, counts, len(text))
        if kind is JOBS:
            asked = int(self.now.timestamp())
            self._coverage.change(
                asked, lambda before: before.after_round(asked, asked + 1, PURGE_SECONDS)
            )
        self.rounds += 1

    def _expire(self) -> None:
        for name, indexes in INDEXES.items():
            for index in indexes:
                seconds = index.document.get("expireAfterSeconds")
                if seconds is not None:
                    oldest = self.now - timedelta(seconds=seconds)
                    (path,) = index.document["key"]
                    self.store.database[name].delete_many({path: {"$lt": oldest}})

    # --- what scontrol prints ---------------------------------------------------------------------

    def jobs(self) -> str:
        """All jobs that slurmctld remembers now."""
        first = max(0, (self.now - LIFE - self.start) // timedelta(hours=1) + 1)
        last = (self.now - self.start) // timedelta(hours=1)
        return "".join(self._jobs_of(hour) for hour in range(first, last + 1)) or (
            "No jobs in the system\n"
        )

    def _jobs_of(self, hour: int) -> str:
        begun = self.start + timedelta(hours=hour)
        age = (self.now - begun) // timedelta(hours=1)
        state = "PENDING" if age < 1 else "RUNNING" if age < 7 else "COMPLETED"
        local = begun.astimezone(self.cluster.zone)
        records = [
            job(
                str(1 + hour * JOBS_AN_HOUR + number),
                f"user{number}(100{number})",
                sealed=True,
                state=state,
                comment=f"hour {hour}",
            ).replace(_TIME, local.strftime("%Y-%m-%dT%H:%M:%S%z") + SEAL)
            for number in range(JOBS_AN_HOUR)
        ]
        if hour % 240 == 100:  # every ten days a record that can't be read
            records[0] = records[0].replace("   JobState=", "   JobState")
        return "".join(records)

    def nodes(self) -> str:
        """All nodes; each is drained for a day, one after the other."""
        day = (self.now - self.start).days
        return "".join(
            f"NodeName=cn{number} Arch=x86_64 CoresPerSocket=1 \n   RealMemory=1000 FreeMem="
            f"{100 + self.now.hour}\n   State=IDLE{'+DRAIN' * (day % NODE_COUNT == number)}"
            " ThreadsPerCore=1\n\n"
            for number in range(NODE_COUNT)
        )


class Figures:
    """What is measured, a row each time: sizes in KiB."""

    def __init__(self, store: Store, files: Path, archive: Path) -> None:
        self._store, self._files, self._archive = store, files, archive
        self.rows: list[dict[str, Any]] = []

    def measure(self, day: int) -> dict[str, Any]:
        """Add the row of *day* and return it."""
        gc.collect()
        row = {
            "day": day,
            "traced": tracemalloc.get_traced_memory()[0] >> 10,
            "rss": _rss(),
            "database": _size(self._files),
            "archive": _size(self._archive),
            **{name: self._store.database[name].count_documents({}) for name in sorted(INDEXES)},
        }
        self.rows.append(row)
        return row


def _rss() -> int:
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0])


def _size(folder: Path) -> int:
    files = folder.rglob("*") if folder.is_dir() else ()
    return sum(path.stat().st_size for path in files if path.is_file()) >> 10


def _table(rows: list[dict[str, Any]]) -> Iterator[str]:
    shown = [name for name in rows[0] if any(row[name] for row in rows)]
    yield "| " + " | ".join(shown) + " |"
    yield "| " + " | ".join("---" for _ in shown) + " |"
    for row in rows:
        yield "| " + " | ".join(f"{row[name]:,}" for name in shown) + " |"


def main() -> None:
    """Run the year and print what was measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.year")
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--minutes", type=int, default=60, help="between two rounds of jobs")
    options = parser.parse_args()
    tracemalloc.start()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name, secantus(Path(name) / "mongo", *_OPTIONS) as uri:
        folder = Path(name)
        with closing(connect(uri, "clockwork").database.client) as client:
            store = Store(client["clockwork"])
            store.ensure_indexes()
            start = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0)
            year = Year(store, folder / "archive", start)
            figures = Figures(store, folder / "mongo", folder / "archive")

            def told(day: int) -> None:
                if (day + 1) % 30 == 0 or day + 1 == options.days:
                    row = figures.measure(day + 1)
                    sys.stderr.write(f"{time.monotonic() - began:.0f} s: {row}\n")

            year.pass_by(options.days, timedelta(minutes=options.minutes), told)
            sys.stdout.write("\n".join(_table(figures.rows)) + f"\n\n{year.rounds} rounds\n")


if __name__ == "__main__":
    main()
