"""``clockwork replay``: captured outputs of scontrol into the database, or printed as documents.

A replay holds the cluster's lease, so that it never writes beside a scraper.  A scraper that takes
the lease afterwards reads the database again.  A replay marks nothing as gone unless it is told
that the files are complete, and refuses files that look like those of another cluster.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import orjson

from clockwork.commands.console import CommandError, say
from clockwork.commands.service_commands import (
    SOME_IN_QUARANTINE,
    chunks,
    named_cluster,
    naming,
    require_readable,
)
from config import ClusterSettings, OperatorError, Settings
from ingest.database.leases import Lease, LeaseBusy, LeaseLost
from ingest.database.store import Store
from ingest.documents.document_updates import DocumentUpdates, job_cw
from ingest.documents.fingerprints import fingerprint, is_one_submission
from ingest.documents.long_texts import cut_long_texts
from ingest.logs.progress import Progress
from ingest.reading.reader import Reader
from ingest.reading.records import Record, SetAside, Unchanged
from ingest.slurm.kinds import JOBS, NODES, Kind
from ingest.sync.held_records import HeldRecords
from ingest.sync.sync_rounds import RoundCounts, SyncRounds

MANY = 50
"""A cluster of fewer present jobs or nodes can lose most of them at once."""
_FEW_SHARED = 0.1
"""A file that shares a smaller part with the cluster looks like that of another cluster."""
_MOST_GONE = 0.5
"""A complete file that marks a larger part of many as gone looks like a part of the output."""


class ReplayRefused(OperatorError):
    """The files were not, or not wholly, written; the message is for the operator."""


def replay(
    settings: Settings,
    cluster_name: str,
    files: Mapping[str, Path | None],
    store: Store,
    *,
    is_complete: bool,
    force: bool,
) -> int:
    """Write the captured outputs *files* (by ``jobs``, ``nodes``) into *store*. Return the status.

    *is_complete* says that the files hold all of the cluster: the others are marked as gone.
    *force* leaves out the comparison with what the cluster has.  Raises CommandError, FileError,
    ReplayRefused and pymongo's errors.
    """
    cluster = named_cluster(settings, cluster_name, "--cluster")
    given = _given(files)
    lease = Lease(store, cluster.name, settings.scraper.lease)
    status = 0
    try:
        with lease.holding():
            if not force:
                for kind, path in given:
                    _compare(store, cluster, kind, path, settings, is_complete=is_complete)
            for kind, path in given:
                rounds = SyncRounds(
                    store,
                    cluster,
                    kind,
                    volatile_interval=settings.scraper.volatile_interval,
                    bulk_write=lease.bulk_write,
                )
                with naming(path):
                    records = _records(path, kind, cluster, settings)
                    counts = rounds.take_in(records, is_complete=is_complete)
                status = max(status, _report(path, counts))
    except LeaseBusy as error:
        raise ReplayRefused(
            f"cluster {cluster.name} is being scraped ({error}): stop the scraper, or leave the "
            "cluster out of its configuration, and replay again"
        ) from error
    except LeaseLost as error:
        raise ReplayRefused(f"{error}: the files are not wholly written; replay them again") from (
            error
        )
    return status


def replay_dry(settings: Settings, cluster_name: str, files: Mapping[str, Path | None]) -> int:
    """Print the documents of captured outputs as NDJSON; no database is used. Return the status.

    Raises CommandError and FileError.
    """
    cluster = named_cluster(settings, cluster_name, "--cluster")
    status = 0
    for kind, path in _given(files):
        counts = RoundCounts()
        with naming(path):
            for item in _records(path, kind, cluster, settings):
                counts.read += 1
                if isinstance(item, SetAside):
                    counts.set_aside += 1
                    counts.reasons[item.reason] = counts.reasons.get(item.reason, 0) + 1
                    continue
                if isinstance(item, Record):
                    cut_long_texts(item.slurm)
                    document: dict[str, object] = {"slurm": item.slurm, "cw": {}}
                    if kind is JOBS:
                        document |= {"cw": job_cw(item.slurm, cluster, {}), "user": {}}
                    sys.stdout.buffer.write(orjson.dumps(document) + b"\n")
        sys.stdout.buffer.flush()
        status = max(status, _report(path, counts))
    return status


def _compare(
    store: Store,
    cluster: ClusterSettings,
    kind: Kind,
    path: Path,
    settings: Settings,
    *,
    is_complete: bool,
) -> None:
    """Raise ReplayRefused if *path* looks like the output of another cluster or of another time.

    A job is the same if its id, uid and submit time are; a node if its name is.
    """
    held = HeldRecords(store.database[kind.plural], DocumentUpdates(cluster, kind))
    present = {record_id: found.fingerprint for record_id, found in held.present()}
    if not present:
        return
    if not path.is_file():
        raise ReplayRefused(
            f"{path} can be read only once, and can't be compared with the {len(present)} "
            f"{kind.plural} of {cluster.name} first: copy it into a file, or give --force"
        )
    total = shared = 0
    with naming(path):
        for item in _records(path, kind, cluster, settings):
            if isinstance(item, Record):
                total += 1
                known = present.get(item.id)
                shared += known is not None and is_one_submission(known, fingerprint(item.slurm))
    of_cluster = f"the {len(present)} {kind.plural} that cluster {cluster.name} has"
    if shared < _FEW_SHARED * min(total, len(present)):
        raise ReplayRefused(
            f"{path}: only {shared} of its {total} {kind.plural} are among {of_cluster}. "
            "Is it the output of another cluster (see --cluster), or of another time? Nothing was "
            "written; --force writes it all the same"
        )
    gone = len(present) - shared
    if is_complete and len(present) >= MANY and gone > _MOST_GONE * len(present):
        raise ReplayRefused(
            f"{path}: --complete would mark {gone} of {of_cluster} as gone. "
            "Is it only a part of the output, or an old one? Nothing was written; leave --complete "
            "out, or give --force"
        )


def _report(path: Path, counts: RoundCounts) -> int:
    good = counts.read - counts.set_aside
    gone = f", {counts.vanished} marked as gone" if counts.vanished else ""
    say(f"{path}: {counts.read} records read, {good} good, {counts.set_aside} quarantined{gone}")
    for reason, count in sorted(counts.reasons.items()):
        say(f"{path}: {count} quarantined: {reason}")
    return SOME_IN_QUARANTINE if counts.set_aside else 0


def _given(files: Mapping[str, Path | None]) -> list[tuple[Kind, Path]]:
    given = [(kind, path) for kind in (NODES, JOBS) if (path := files[kind.plural]) is not None]
    if not given:
        raise CommandError("give --jobs FILE or --nodes FILE, or both")
    for _, path in given:  # before anything of the other file is written
        require_readable(path)
    return given


def _records(
    path: Path, kind: Kind, cluster: ClusterSettings, settings: Settings
) -> Iterator[Record | SetAside | Unchanged]:
    reader = Reader(kind.table, cluster, settings.scraper.max_record_bytes)
    total = path.stat().st_size if path.is_file() else None
    progress = Progress(lambda text: say(f"{path}: {text}"), total)
    return progress.records(reader.read(progress.chunks(chunks(path))))
