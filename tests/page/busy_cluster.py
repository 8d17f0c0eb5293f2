"""A busy cluster for the page: thousands of jobs and nodes, of every kind that there is."""

import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from ingest.clusters.round_log import RoundLog
from ingest.database.search_fields import job_search_fields, node_search_fields
from ingest.database.store import Store
from ingest.sync.sync_rounds import RoundCounts

NAME = "narval"
USER = "milauser12"
"""The user whose jobs are of every kind."""
ARRAY, HETEROGENEOUS, NEVER, BIG, NEXT, ENDED = (
    *("700001", "700101", "700200", "700201", "700202", "700204"),
)
"""Jobs of the user: an array, a heterogeneous job, one that never starts, one with GPUs, one with a
forecast of its start, and one of which sacct told what it used."""

TASK = f"{ARRAY}_3"
"""A task of the array, as squeue writes it."""

USAGE = {
    "elapsed_seconds": 10_800,
    "cpus": 4,
    "memory_bytes": 2**35,
    "cpu_seconds": 32_400.0,
    "peak_memory_bytes": 2**34,
    "cpu_efficiency": 0.75,
    "memory_efficiency": 0.5,
    "energy_joules": 7_200_000,
    "gpu_utilization": None,
    "peak_gpu_memory_bytes": None,
}

_AT_ONCE = 250
_FINISHED = ("COMPLETED", "COMPLETED", "COMPLETED", "FAILED", "TIMEOUT", "CANCELLED")
_REASONS = ("Priority", "Resources", "QOSMaxGRESPerUser", "AssocGrpCPUMinutesLimit", "JobHeldUser")

Slurm = dict[str, Any]


def fill_busy_cluster(store: Store, jobs: int, nodes: int, now: datetime | None = None) -> None:
    """Add the cluster with about so many jobs and nodes, as rounds that ended at *now* left it."""
    now = now or datetime.now(timezone.utc)
    store.jobs.drop_indexes()  # to make them once takes the embedded database half the time
    documents = (_job(slurm, now) for slurm in itertools.chain(_own(now), _others(jobs, now)))
    while some := list(itertools.islice(documents, _AT_ONCE)):
        store.jobs.insert_many(some, ordered=False)
    store.ensure_indexes()
    for first in range(0, nodes, _AT_ONCE):
        some_nodes = range(first, min(first + _AT_ONCE, nodes))
        store.nodes.insert_many([_node(number, now) for number in some_nodes], ordered=False)
    partitions = [_partition(name, now) for name in ("cpu", "gpu", "long")]
    store.database["partitions"].insert_many(partitions)
    used = {"$set": {"cw.usage": USAGE}}
    store.jobs.update_one({"_id": f"{NAME}/{ENDED}"}, used)
    for kind in ("jobs", "nodes"):
        RoundLog(store, NAME).succeeded(kind, 1.0, RoundCounts(), 1)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S-05:00")


def _slurm(job_id: str, now: datetime, state: str, **keys: Any) -> Slurm:
    """A job of the state; its times are by *keys* ``submitted``, ``started``, ``ended``, in hours
    before *now*."""
    local = now - timedelta(hours=5)  # the cluster's zone has no summer time
    times = {
        f"{name}_time": _text(local - timedelta(hours=keys.pop(key))) if key in keys else "Unknown"
        for name, key in (("submit", "submitted"), ("start", "started"), ("end", "ended"))
    }
    return {
        "job_id": job_id,
        "name": "train",
        "job_state": state,
        "reason": None,
        "mila_cluster_username": USER,
        "uid": "10012",
        "account": "def-lab",
        "partition": "gpu",
        "nodes": None,
        "exit_code": "0:0",
        "time_limit": 86400,
        **times,
        "secs_pre_suspend": 0,
        "suspend_time": None,
        "tres": "cpu=4,mem=32G,node=1,billing=4",
        **keys,
        "cluster_name": NAME,
    }


def _own(now: datetime) -> Iterator[Slurm]:
    for task in range(1, 21):
        running = task <= 8
        yield _slurm(
            str(int(ARRAY) + task),
            now,
            "RUNNING" if running else "COMPLETED",
            name="sweep",
            array_job_id=int(ARRAY),
            array_task_id=str(task),
            submitted=30,
            started=3 + task / 10,
            nodes=f"ng{task:04d}",
            **({} if running else {"ended": 1}),
        )
    yield _slurm(
        ARRAY,
        now,
        "PENDING",
        name="sweep",
        array_job_id=int(ARRAY),
        array_task_id="21-60%8",
        submitted=30,
        reason="JobArrayTaskLimit",
    )
    for offset in range(2):
        het = {"het_job_id": HETEROGENEOUS, "het_job_offset": str(offset)}
        het["het_job_id_set"] = f"{HETEROGENEOUS}-{int(HETEROGENEOUS) + 1}"
        job_id = str(int(HETEROGENEOUS) + offset)
        yield _slurm(job_id, now, "RUNNING", name="couple", submitted=5, started=4, **het)
    jobs = (
        f"afterok:{BIG}(failed),afterany:{TASK}(unfulfilled),after:{HETEROGENEOUS}+5(unfulfilled)"
    )
    waits = {"reason": "DependencyNeverSatisfied", "dependency": jobs}
    yield _slurm(NEVER, now, "PENDING", name="evaluate", submitted=20, **waits)
    yield _slurm(
        BIG,
        now,
        "RUNNING",
        name="pretrain",
        submitted=12,
        started=10,
        ended=-14,
        nodes="ng[0021-0022]",
        tres="cpu=64,mem=512G,node=2,billing=64,gres/gpu=8,gres/gpu:a100=8",
    )
    yield _slurm(NEXT, now, "PENDING", submitted=2, started=-3, reason="Priority", name="next")
    paused = {"secs_pre_suspend": 272, "suspend_time": _text(now - timedelta(hours=6))}
    yield _slurm("700203", now, "SUSPENDED", submitted=9, started=8, name="paused", **paused)
    yield _slurm(
        ENDED,
        now,
        "OUT_OF_MEMORY",
        submitted=9,
        started=8,
        ended=5,
        name="broken",
        exit_code="0:9",
    )


def _others(count: int, now: datetime) -> Iterator[Slurm]:
    for number in range(count):
        kind = number % 10
        who = {"mila_cluster_username": f"user{number % 211:03d}", "account": f"rrg-{number % 23}"}
        who |= {"partition": ("cpu", "gpu", "long")[number % 3], "name": f"job-{number % 97}"}
        ago = 1 + number % 160
        if kind < 2:
            times = {"submitted": ago + 2, "started": ago % 20, "nodes": f"nc{number % 1500:04d}"}
            yield _slurm(str(number + 1), now, "RUNNING", **who, **times)
        elif kind == 2:
            reason = _REASONS[number // 10 % len(_REASONS)]
            yield _slurm(str(number + 1), now, "PENDING", submitted=ago, reason=reason, **who)
        else:
            times = {"submitted": ago + 9, "started": ago + 4, "ended": ago}
            yield _slurm(str(number + 1), now, _FINISHED[number % 6], **who, **times)


def _job(slurm: Slurm, now: datetime) -> dict[str, Any]:
    ended = None if slurm["job_state"] in {"RUNNING", "PENDING", "SUSPENDED"} else slurm["end_time"]
    finished_at = None if ended is None else datetime.fromisoformat(ended).astimezone(timezone.utc)
    user = slurm["mila_cluster_username"]
    names = {
        "cc_account_username": None,
        "mila_cluster_username": user,
        "mila_email_username": "demo.user@mila.quebec" if user == USER else None,
    }
    history = [{"state": slurm["job_state"], "seen": finished_at or now}]
    times = {"first_seen": now, "last_changed": now, "finished_at": finished_at, "history": history}
    filters = job_search_fields(slurm, names.values(), finished_at)
    return {
        "_id": f"{NAME}/{slurm['job_id']}",
        "slurm": slurm,
        "cw": {**names, **times, "filters": filters},
        "user": {},
    }


def _partition(name: str, now: datetime) -> dict[str, Any]:
    slurm = {"name": name, "state": "UP", "max_time": 604800, "cluster_name": NAME}
    return {
        "_id": f"{NAME}/{name}",
        "slurm": slurm,
        "cw": {"first_seen": now, "last_changed": now},
    }


def _node(number: int, now: datetime) -> dict[str, Any]:
    gpus = number % 4 == 0
    state = ("IDLE", "MIXED", "MIXED", "ALLOCATED", "IDLE+DRAIN", "DOWN*", "IDLE")[number % 7]
    held = {"IDLE": 0, "IDLE+DRAIN": 0, "DOWN*": 0, "MIXED": 1 + number % 3, "ALLOCATED": 4}[state]
    kind = ("a100", "v100", "h100")[number % 3]
    slurm = {
        "name": f"{'ng' if gpus else 'nc'}{number:04d}",
        "state": state,
        "gres": f"gpu:{kind}:4(S:0-1)" if gpus else None,
        "cfg_tres": "cpu=64,mem=500G,billing=64"
        + (f",gres/gpu=4,gres/gpu:{kind}=4" if gpus else ""),
        "alloc_tres": f"cpu={16 * held},mem={125 * held}G"
        + (f",gres/gpu={held},gres/gpu:{kind}={held}" if gpus and held else "")
        if held
        else None,
        "partitions": "gpu" if gpus else "cpu,long",
        "features": "milan",
        "reason": "disk failed" if state in {"IDLE+DRAIN", "DOWN*"} else None,
        "cluster_name": NAME,
    }
    return {
        "_id": f"{NAME}/{slurm['name']}",
        "slurm": slurm,
        "cw": {"first_seen": now, "last_changed": now, "filters": node_search_fields(slurm)},
    }
