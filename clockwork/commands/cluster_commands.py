"""``clockwork cluster``: list the clusters that the database knows, rename them, retire them.

A rename or a retirement is described and not done until ``--yes`` is given.  Both take the lease of
the cluster, so that they never write beside a scraper.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone

from clockwork.commands.console import CommandError, moment_text, print_table, say
from config import OperatorError, Settings
from config.settings import CLUSTER_NAME
from ingest.clusters.renaming import held_of, rename_cluster
from ingest.clusters.retired_clusters import retired_since
from ingest.clusters.retirement import retire_cluster, unfinished_of
from ingest.database.leases import Lease, LeaseBusy, LeaseLost
from ingest.database.store import Store

_WORDS = {
    "jobs": "jobs",
    "nodes": "nodes",
    "former_jobs": "former jobs",
    "set_aside": "records in quarantine",
    "scrapes": "rounds in the log",
    "node_periods": "periods of nodes",
    "partitions": "partitions",
    "reservations": "reservations",
    "forecasts": "watched forecasts",
    "schedulers": "figures of slurmctld",
    "coverage": "records of coverage",
}
"""What a collection holds, for people."""
_KINDS = ("jobs", "nodes")
_DRY_RUN = "Dry run: nothing was changed. Give --yes to do it."


class ClusterRefused(OperatorError):
    """The cluster can't be renamed or retired now; the message is for the operator."""


def cluster_list(settings: Settings, store: Store) -> int:
    """Print a line for each cluster: its jobs and nodes, its last good round, what to do."""
    standings = {each["_id"]: each for each in store.clusters.find()}
    retired = retired_since(standings.values())
    rows = []
    for name in sorted(_known(settings, store)):
        good = [standings.get(f"{name}/{kind}", {}).get("last_success") for kind in _KINDS]
        last = max((each for each in good if each is not None), default=None)
        held = held_of(store, name)
        state = _state(name, retired.get(name), is_configured=name in settings.clusters)
        rows.append([name, str(held["jobs"]), str(held["nodes"]), moment_text(last), state])
    print_table(["cluster", "jobs", "nodes", "last good round", "state"], rows)
    return 0


def _state(name: str, retired: datetime | None, *, is_configured: bool) -> str:
    if retired is not None:
        since = f"retired since {moment_text(retired)}"
        return f"{since}; its next good round brings it back" if is_configured else since
    if is_configured:
        return "in the configuration"
    return (
        "not in the configuration: put it back, or give it its new name with "
        f"`clockwork cluster rename {name} NEW`, or `clockwork cluster retire {name}`"
    )


def cluster_rename(settings: Settings, store: Store, old: str, new: str, *, yes: bool) -> int:
    """Move everything of the cluster *old* to the name *new*; only say so without *yes*.

    Raises CommandError, ClusterRefused and pymongo's errors.
    """
    if not re.fullmatch(CLUSTER_NAME, new):
        raise CommandError(
            f"{new!r} can't name a cluster: expected 1 to 63 letters, digits, '_', '.' and '-', "
            "the first of them a letter or a digit"
        )
    if old == new:
        raise CommandError("the old and the new name are the same")
    if {old, new} <= settings.clusters.keys():
        raise CommandError(
            f"{old} and {new} are both in the configuration, so they are two clusters; take the "
            "one that is gone out of it first"
        )
    _check_known(settings, store, old)
    say(f"{old} would become {new}: {_counted(held_of(store, old))}")
    there = held_of(store, new)
    if there["jobs"] or there["nodes"]:
        say(
            f"{new} has {_counted(there)} already. They stay; of a job or node that both have, "
            f"{new}'s record stays, and {old}'s history and user dict are added to it"
        )
    if not yes:
        say(_DRY_RUN)
        return 0
    with _refused(old):
        moved = rename_cluster(store, old, new, settings.scraper.lease)
    say(f"{old} is {new} now: {_counted(moved)} moved")
    if old in settings.clusters:
        say(f"Name it {new} in the configuration before a scraper starts again")
    return 0


def cluster_retire(settings: Settings, store: Store, name: str, *, yes: bool) -> int:
    """Mark a cluster as retired, and its jobs and nodes as gone; only say so without *yes*.

    Raises CommandError, ClusterRefused and pymongo's errors.
    """
    _check_known(settings, store, name)
    if name in settings.clusters:
        raise CommandError(
            f"{name} is in the configuration, and its next good round would bring it back: take "
            "it out of the configuration first"
        )
    since = retired_since(store.clusters.find({"_id": name})).get(name)
    if since is not None:
        say(f"{name} is retired since {moment_text(since)}")
        return 0
    say(
        f"{name} would leave the overview, clusters/list and /metrics. It keeps "
        f"{_counted(held_of(store, name))}. Its jobs and nodes would be marked as gone; "
        f"{unfinished_of(store, name)} of the jobs have not finished"
    )
    if not yes:
        say(_DRY_RUN)
        return 0
    lease = Lease(store, name, settings.scraper.lease)
    with _refused(name), lease.holding():
        retire_cluster(store, name, lease, datetime.now(timezone.utc))
    say(f"{name} is retired; a good round of it brings it back")
    return 0


def _known(settings: Settings, store: Store) -> set[str]:
    """Return the clusters of the configuration and of the database."""
    names = {*settings.clusters, *store.clusters.distinct("cluster_name")}
    for collection in (store.jobs, store.nodes):
        names.update(collection.distinct("slurm.cluster_name"))
    return names


def _check_known(settings: Settings, store: Store, name: str) -> None:
    known = _known(settings, store)
    if name not in known:
        names = ", ".join(sorted(known)) or "none"
        raise CommandError(f"there is no cluster {name!r}; known are: {names}")


def _counted(held: Mapping[str, int]) -> str:
    return ", ".join(f"{held[name]} {words}" for name, words in _WORDS.items())


@contextmanager
def _refused(name: str) -> Iterator[None]:
    """Turn a lease that is not to be had into ClusterRefused."""
    try:
        yield
    except LeaseBusy as error:
        raise ClusterRefused(
            f"cluster {name} is being scraped ({error}). Stop the scraper, or take the cluster "
            "out of its configuration and reload it, and try again"
        ) from error
    except LeaseLost as error:
        raise ClusterRefused(f"{error}; stop the scraper and run the command again") from error
