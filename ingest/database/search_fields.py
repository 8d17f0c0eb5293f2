"""What the API's filters look at: values made from a document, stored with it under ``cw.filters``.

They stand where an index can find them, and never leave the API::

    of a job    {owner: string,           whose it is, by Slurm's word alone: FIELD/NAME, such as
                                          mila_cluster_username/alice; empty without a name
                 names: [string],         the three usernames of its owner that are known
                 states: [string],        its state as Slurm prints it, and each word of that
                 partitions: [string],    those it waits for or runs in
                 nodes: [string],         the names that its hostlist stands for
                 finished_at: date,       cw.finished_at; NOT_FINISHED before that
                 submit_time: date/null}  slurm.submit_time as a moment
    of a node   {states: [string], partitions: [string], features: [string]}

A state of ``COMPLETED+RECONFIG_FAIL`` or ``IDLE*+DRAIN`` is found under each of its words, without
Slurm's signs for a node's condition, and under the whole of it.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, get_args

from config.settings import UsernameField
from ingest.slurm.hostlists import HostlistError, expand

Document = dict[str, Any]

_OWNER_FIELDS = get_args(UsernameField)

NOT_FINISHED = datetime(9999, 1, 1, tzinfo=timezone.utc)
"""Later than every end, so that one range holds what runs and what ended of late."""

_SIGNS = "*~#!%$@^-"


def job_filters(
    slurm: Mapping[str, Any], names: Iterable[str | None], finished_at: datetime | None
) -> Document:
    """The ``cw.filters`` of a job whose owner has these names, None for those that are not known,
    and which finished then, None for not yet."""
    return {
        "owner": _owner(slurm),
        "names": names_filter(names),
        "states": _states(slurm.get("job_state")),
        "partitions": _listed(slurm.get("partition")),
        "nodes": _nodes(slurm.get("nodes")),
        "finished_at": finished_at or NOT_FINISHED,
        "submit_time": _moment(slurm.get("submit_time")),
    }


def node_filters(slurm: Mapping[str, Any]) -> Document:
    """The ``cw.filters`` of a node with this ``slurm`` dict."""
    return {
        "states": _states(slurm.get("state")),
        "partitions": _listed(slurm.get("partitions")),
        "features": _listed(slurm.get("features")),
    }


def owner_filter(field: str, username: str) -> str:
    """The ``owner`` of the jobs for which Slurm gives this name, under this username field."""
    return f"{field}/{username}"


def names_filter(names: Iterable[str | None]) -> list[str]:
    """Those of a job's usernames that are known, each once."""
    return sorted({name for name in names if name is not None})


def _owner(slurm: Mapping[str, Any]) -> str:
    names = ((field, slurm.get(field)) for field in _OWNER_FIELDS)
    return next((owner_filter(field, name) for field, name in names if name is not None), "")


def _states(state: str | None) -> list[str]:
    if state is None:
        return []
    words = (word.strip().rstrip(_SIGNS) for word in re.split(r"[+,]", state))
    return list(dict.fromkeys([state, *filter(None, words)]))


def _listed(text: str | None) -> list[str]:
    names = (name.strip() for name in (text or "").split(","))
    return list(dict.fromkeys(filter(None, names)))


def _nodes(hostlist: str | None) -> list[str]:
    try:
        return list(dict.fromkeys(expand(hostlist or "")))
    except HostlistError:  # nothing that Slurm prints; such a job is found by its other values
        return []


def _moment(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text or "").astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None
