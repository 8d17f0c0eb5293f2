"""Search fields: values that the API's filters look at, stored in a document under ``cw.filters``.

They are made from the document, have indexes, and never leave the API::

    of a job    {version: int,            `VERSION` of the program that wrote the fields
                 owner: string,           the owner by Slurm's word alone: FIELD/NAME, such as
                                          mila_cluster_username/alice; empty without a name
                 names: [string],         the usernames of the owner that are known
                 states: [string],        the state as Slurm prints it, and each word of the state
                 partitions: [string],    the partitions that the job waits for or runs in
                 nodes: [string],         the names that the job's hostlist stands for
                 gpus: [string],          the types of GPUs that the job asked for or got
                 finished_at: date,       cw.finished_at; NOT_FINISHED before that
                 submit_time: date/null,  slurm.submit_time as a moment
                 bound: true}             see `ingest.database.embedded_pages`; absent from most
    of a node   {version: int, states: [string], partitions: [string], features: [string],
                 gpus: [string],          the types of GPUs that the node has, in small letters
                 bound: true}

A state such as ``COMPLETED+RECONFIG_FAIL`` or ``IDLE*+DRAIN`` is found under each of its words,
without Slurm's signs for a node's condition, and under the whole state.

Whoever adds a search field, or makes one in another way, raises `VERSION`.  The next start of a
daemon then brings the documents of earlier versions up to date (`ingest.database.migrations`).
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from functools import lru_cache
from itertools import chain
from typing import Any, get_args

from config.settings import UsernameField
from ingest.database.embedded_pages import is_bound
from ingest.slurm.hostlists import HostlistError, expand
from ingest.slurm.tres import read_tres
from ingest.slurm.values import moment

Document = dict[str, Any]

_OWNER_FIELDS = get_args(UsernameField)

VERSION = 5
"""Of the search fields.  Fields without a version are those of version 1."""

NOT_FINISHED = datetime(9999, 1, 1, tzinfo=timezone.utc)
"""Later than every end, so that one range holds the jobs that run and those that just ended."""

_GPU_KEYS = (
    *("tres", "alloc_tres", "req_tres", "tres_per_job", "tres_per_node", "tres_per_socket"),
    *("tres_per_task", "gres"),
)
_SIGNS = "*~#!%$@^-"


def job_search_fields(
    slurm: Mapping[str, Any], names: Iterable[str | None], finished_at: datetime | None
) -> Document:
    """Return the search fields of a job.

    *names* are its owner's usernames, None for a name that is unknown; *finished_at* is when the
    job finished, None for not yet.
    """
    return {
        "version": VERSION,
        "owner": owner_field(*owner) if (owner := printed_owner(slurm)) else "",
        "names": names_field(names),
        "states": _states(slurm.get("job_state")),
        "partitions": _listed(slurm.get("partition")),
        "nodes": _nodes(slurm.get("nodes")),
        "gpus": _gpu_types(*map(slurm.get, _GPU_KEYS)),
        "finished_at": finished_at or NOT_FINISHED,
        "submit_time": moment(slurm.get("submit_time")),
        **_bound(slurm, "job_id"),
    }


def node_search_fields(slurm: Mapping[str, Any]) -> Document:
    """Return the search fields of a node."""
    return {
        "version": VERSION,
        "states": _states(slurm.get("state")),
        "partitions": _listed(slurm.get("partitions")),
        "features": _listed(slurm.get("features")),
        "gpus": _gpu_types(slurm.get("cfg_tres"), slurm.get("gres")),
        **_bound(slurm, "name"),
    }


def printed_owner(slurm: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the username field of a job, and the name that Slurm gives; None without a name."""
    for field in _OWNER_FIELDS:
        name = slurm.get(field)
        if name is not None:
            return field, name
    return None


def owner_field(field: str, username: str) -> str:
    """Return the ``owner`` of jobs for which Slurm gives this name, under this username field."""
    return f"{field}/{username}"


def names_field(names: Iterable[str | None]) -> list[str]:
    """Return the usernames that are known, each once."""
    return sorted({name for name in names if name is not None})


def _bound(slurm: Mapping[str, Any], key: str) -> Document:
    document_id = f"{slurm.get('cluster_name')}/{slurm.get(key)}"
    return {"bound": True} if is_bound(document_id) else {}


# Most records have the texts of others.  Nobody changes the lists in a document.
@lru_cache(maxsize=4096)
def _states(state: str | None) -> list[str]:
    if state is None:
        return []
    words = (word.strip().rstrip(_SIGNS) for word in re.split(r"[+,]", state))
    return list(dict.fromkeys([state, *filter(None, words)]))


@lru_cache(maxsize=4096)
def _listed(text: str | None) -> list[str]:
    """Return the names in a list of Slurm's, ``main,long``, each once. Not to be changed."""
    names = (name.strip() for name in (text or "").split(","))
    return list(dict.fromkeys(filter(None, names)))


@lru_cache(maxsize=16_384)
def _nodes(hostlist: str | None) -> list[str]:
    try:
        return list(dict.fromkeys(expand(hostlist or "")))
    except HostlistError:  # nothing that Slurm prints; such a job is found by its other values
        return []


@lru_cache(maxsize=4096)
def _gpu_types(*texts: Any) -> list[str]:
    found = (_gpu_types_in(text) for text in texts if isinstance(text, str) and "gpu" in text)
    return list(dict.fromkeys(chain.from_iterable(found)))


@lru_cache(maxsize=4096)
def _gpu_types_in(text: str) -> tuple[str, ...]:
    try:
        tres = read_tres(text)
    except ValueError:  # nothing that Slurm prints
        return ()
    return tuple(name.lower() for name in tres.gpus_by_type) if tres else ()
