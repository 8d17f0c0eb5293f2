"""The jobs and nodes of the manual's examples, and how the ingest writes them."""

from datetime import datetime, timedelta, timezone
from typing import Any

from ingest.database.search_fields import job_search_fields, node_search_fields

NOW = datetime(2021, 11, 14, 12, 0, 0, tzinfo=timezone.utc)

BELUGA_JOB = {
    "job_id": "820432",
    "name": "somejobname_244745",
    "cc_account_username": "ccuser01",
    "uid": "10001",
    "account": "def-pomme-rrg",
    "job_state": "PENDING",
    "exit_code": "0:0",
    "time_limit": 10800,
    "submit_time": "2020-02-04T03:22:55-05:00",
    "start_time": "Unknown",
    "end_time": "Unknown",
    "partition": "fun_partition",
    "nodes": None,
    "command": "/a762/b220/c552",
    "work_dir": "/a751/b704/c43",
    "stderr": "/a869/b72/c702.err",
    "stdin": "/dev/null",
    "stdout": "/a942/b827/c342.out",
    "cluster_name": "beluga",
}
MILA_JOB = {
    "job_id": "233874",
    "name": "somejobname_942640",
    "mila_cluster_username": "milauser12",
    "uid": "10012",
    "account": "mila",
    "job_state": "RUNNING",
    "exit_code": "0:0",
    "time_limit": 604800,
    "submit_time": "2021-11-13T00:56:47-05:00",
    "start_time": "2021-11-13T01:16:31-05:00",
    "end_time": "2021-11-20T01:16:31-05:00",
    "partition": "fun_partition",
    "nodes": "cn-b005",
    "resv_name": "transtech",
    "command": "/a58/b740/c718",
    "work_dir": "/a308/b872/c331",
    "stderr": "/a3/b765/c675.err",
    "stdin": "/dev/null",
    "stdout": "/a129/b104/c145.out",
    "cluster_name": "mila",
}
BELUGA_NODE = {
    "name": "blg4118",
    "arch": "x86_64",
    "features": "skylake",
    "gres": None,
    "addr": "blg4118",
    "memory": "191000",
    "state": "ALLOCATED",
    "cfg_tres": "cpu=40,mem=191000M,billing=46",
    "alloc_tres": "cpu=40,mem=160000M",
    "cluster_name": "beluga",
}
MILA_NODE = {
    "name": "cn-a002",
    "arch": "x86_64",
    "features": "broadwell",
    "gres": None,
    "addr": "cn-a002",
    "memory": "128000",
    "state": "ALLOCATED",
    "cfg_tres": "cpu=32,mem=125G,billing=32",
    "alloc_tres": "cpu=32,mem=122528M",
    "comment": None,
    "cluster_name": "mila",
}

MAIN: dict[str, Any] = {
    "name": "main",
    "max_time": 604800,
    "nodes": "cn-a[001-002]",
    "qos": None,
    "state": "UP",
    "total_nodes": 2,
}
TRANSTECH: dict[str, Any] = {
    "name": "transtech",
    "start_time": "2021-11-14T08:00:00-05:00",
    "end_time": "2021-11-14T10:00:00-05:00",
    "duration": 7200,
    "nodes": "cn-a002",
    "partition": None,
    "flags": "MAINT,SPEC_NODES",
    "users": "root",
    "state": "INACTIVE",
}


def job_document(
    slurm: dict[str, Any], finished_ago: float | None = None, **names: str | None
) -> dict[str, Any]:
    """A job as the ingest writes it; finished so many seconds before NOW, None for not yet."""
    cw: dict[str, Any] = {
        "cc_account_username": slurm.get("cc_account_username"),
        "mila_cluster_username": slurm.get("mila_cluster_username"),
        "mila_email_username": None,
    }
    finished_at = None if finished_ago is None else NOW - timedelta(seconds=finished_ago)
    times = {"first_seen": NOW, "last_changed": NOW, "finished_at": finished_at}
    cw |= names
    filters = job_search_fields(slurm, cw.values(), finished_at)
    return {
        "_id": f"{slurm['cluster_name']}/{slurm['job_id']}",
        "slurm": slurm,
        "cw": cw | times | {"filters": filters},
        "user": {},
    }


def node_document(slurm: dict[str, Any]) -> dict[str, Any]:
    """A node as the ingest writes it."""
    return {
        "_id": f"{slurm['cluster_name']}/{slurm['name']}",
        "slurm": slurm,
        "cw": {"first_seen": NOW, "last_changed": NOW, "filters": node_search_fields(slurm)},
    }


def listed_document(slurm: dict[str, Any]) -> dict[str, Any]:
    """A partition or a reservation as the ingest writes it."""
    return {
        "_id": f"{slurm['cluster_name']}/{slurm['name']}",
        "slurm": slurm,
        "cw": {"first_seen": NOW, "last_changed": NOW},
    }
