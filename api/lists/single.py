"""Find one job or one node by what people call it.

Slurm's own commands and mails name a task of a job array ``4_3``, the waiting tasks of one record
``4_[1-8]``, and a component of a heterogeneous job ``26+1``.  Each of these records has a plain
``JobId`` as well, by which it is stored.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Any

from api.http.problems import Problem
from api.lists.queries import Filter
from ingest.clusters.retired_clusters import retired_among
from ingest.database.embedded_quirks import all_of
from ingest.database.store import Document, Store

_TASK = re.compile(r"([0-9]{1,18})_([0-9]{1,9})")
_WAITING_TASKS = re.compile(r"([0-9]{1,18})_\[([0-9,:-]{1,4096})(?:%[0-9]+)?\]")
_COMPONENT = re.compile(r"([0-9]{1,18})\+([0-9]{1,9})")
_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9})(?::([1-9][0-9]{0,8}))?)?")


def is_plain(job_id: str) -> bool:
    """Return whether *job_id* is a ``JobId``, or anything else that is not made of several ids."""
    return not any(each.fullmatch(job_id) for each in (_TASK, _WAITING_TASKS, _COMPONENT))


def plain_ids(store: Store, job_ids: Sequence[str], visible: Filter) -> list[str]:
    """Return *job_ids* with the plain ids of their jobs in place of ``4_3``, ``4_[1-8]``, ``26+1``.

    A job is looked for among those that pass the filter *visible*; an id without a job is left out.
    The database is asked only for ids that are not plain.  Raises pymongo's errors.
    """
    found: dict[str, None] = {}
    for each in job_ids:
        plain = [each] if is_plain(each) else _called(store, each, visible)
        found |= dict.fromkeys(plain)
    return list(found)


def _called(store: Store, name: str, visible: Filter) -> Iterator[str]:
    """Yield the plain ids of the jobs that Slurm calls *name*."""
    keys = {"slurm.job_id": 1, "slurm.array_task_id": 1}

    def jobs(wanted: Filter) -> list[Document]:
        filters = store.branches(all_of(visible, wanted))
        return [each["slurm"] for one in filters for each in store.jobs.find(one, keys)]

    if component := _COMPONENT.fullmatch(name):
        whole, offset = map(int, component.groups())
        found = jobs({"slurm.het_job_id": whole, "slurm.het_job_offset": offset})
    elif task := _TASK.fullmatch(name):
        found = of_task(jobs, int(task[1]), int(task[2]))
    elif waiting := _WAITING_TASKS.fullmatch(name):
        pattern = f"^{re.escape(waiting[2])}(%|$)"
        of_array = {"slurm.array_job_id": int(waiting[1])}
        found = jobs({**of_array, "slurm.array_task_id": {"$regex": pattern}})
    yield from (each["job_id"] for each in found)


def of_task(
    jobs: Callable[[Filter], list[Document]], array_job_id: int, task: int
) -> list[Document]:
    """Return the ``slurm`` dicts that *jobs* finds for a task; tasks that wait share a record."""
    of_array: Filter = {"slurm.array_job_id": array_job_id}
    return jobs({**of_array, "slurm.array_task_id": {"$in": [str(task), task]}}) or [
        each
        for each in jobs({**of_array, "slurm.array_task_id": {"$regex": "[-,]"}})
        if _has_task(each["array_task_id"], task)
    ]


def _has_task(tasks: str, task: int) -> bool:
    """Return whether *tasks*, such as ``1-8:2,11%3``, are several of which one is *task*."""
    ranges = (_RANGE.fullmatch(each) for each in tasks.partition("%")[0].split(","))
    return any(
        task in range(int(each[1]), int(each[2] or each[1]) + 1, int(each[3] or 1))
        for each in ranges
        if each is not None
    )


def in_use(store: Store, documents: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the *documents* of clusters that are not retired; all of them if there is none.

    The database is asked only where there are several documents.  Raises pymongo's errors.
    """
    found = list(documents)
    if len(found) < 2:
        return found
    retired = retired_among(store, {_cluster_of(document) for document in found})
    return [document for document in found if _cluster_of(document) not in retired] or found


def only_one(documents: Iterable[dict[str, Any]], what: str) -> dict[str, Any] | None:
    """Return the one document, None where there is none.

    Raises Problem 500, with the names of the clusters, where there are several.
    """
    found = list(documents)
    if len(found) > 1:
        clusters = sorted({_cluster_of(document) for document in found})
        raise Problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            f"{what} is on several clusters: {', '.join(clusters)}. Give cluster_name too.",
            clusters=clusters,
        )
    return found[0] if found else None


def _cluster_of(document: dict[str, Any]) -> str:
    return str(document["slurm"]["cluster_name"])
