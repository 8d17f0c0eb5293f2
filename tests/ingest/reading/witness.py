"""What Slurm's own JSON says of the jobs and nodes of a dump, in the words of documents.

``scontrol --json show job`` was asked at the same moment as the outputs in text, and escapes what a
user wrote.  So it is a witness of what the text means.
"""

import gzip
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

from ingest.slurm.kinds import JOBS, Kind
from ingest.slurm.values import ABSENT, storable

Facts = Mapping[str, Any]
"""One job or node of the JSON."""

UNTOLD = object()
"""A value that the JSON does not tell."""


@cache
def read_witness(folder: Path, kind: Kind) -> dict[str, Facts]:
    """Return the jobs or nodes of *folder* by id."""
    text = gzip.decompress((folder / f"slurm_{kind.plural}.json.gz").read_bytes())
    # A user's text may hold bytes that are not UTF-8; the JSON holds them as they are.
    facts = json.loads(text.decode("utf-8", "surrogateescape"))[kind.plural]
    return {str(each["job_id" if kind is JOBS else "name"]): each for each in facts}


def _text(value: str) -> str | None:
    value = storable(value)
    return None if value in ABSENT else value


def _number(value: Mapping[str, Any]) -> int | None:
    return int(value["number"]) if value["set"] and not value["infinite"] else None


def _time(value: Mapping[str, Any]) -> str | None:
    seconds = _number(value)
    if not seconds:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat()


def _known_time(value: Mapping[str, Any]) -> str:
    return _time(value) or "Unknown"


def _minutes(value: Mapping[str, Any]) -> int | None:
    minutes = _number(value)
    return None if minutes is None else 60 * minutes


def _exit_code(value: Mapping[str, Any]) -> str:
    return f"{_number(value['return_code']) or 0}:{_number(value['signal']['id']) or 0}"


def _yes(*, flag: str, no: str = "") -> Callable[[Facts], str | None]:
    def found(job: Facts) -> str | None:
        if flag in job["flags"]:
            return "Yes"
        return "No" if no and no in job["flags"] else None

    return found


def _job_reason(job: Facts) -> str | None:
    described = "".join("_" if each.isspace() else each for each in job["state_description"])
    return _text(described or job["state_reason"])


def _end_time(job: Facts) -> str:
    is_ahead = job["job_state"][0] in {"PENDING", "RUNNING", "SUSPENDED"}
    if is_ahead and job["time_limit"]["infinite"]:
        return "Unknown"
    return _known_time(job["end_time"])


def _switches(job: Facts) -> str | None:
    if not job["required_switches"]:
        return None
    seconds = job["maximum_switch_wait_time"]
    return (
        f"{job['required_switches']}@{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    )


JOB_FACTS: Mapping[str, Callable[[Facts], Any]] = {
    "job_id": lambda job: str(job["job_id"]),
    "name": lambda job: storable(job["name"]),
    "mila_cluster_username": lambda job: job["user_name"],
    "uid": lambda job: str(job["user_id"]),
    "group_id": lambda job: f"{job['group_name']}({job['group_id']})",
    "account": lambda job: _text(job["account"]),
    "qos": lambda job: _text(job["qos"]),
    "wc_key": lambda job: _text(job["wckey"]),
    "mcs_label": lambda job: _text(job["mcs_label"]),
    "priority": lambda job: _number(job["priority"]),
    "nice": lambda job: job["nice"],
    "job_state": lambda job: job["job_state"][:2][-1],  # a flag hides the base state
    "reason": _job_reason,
    "dependency": lambda job: _text(job["dependency"]),
    "requeue": lambda job: int(job["requeue"]),
    "restarts": lambda job: job["restart_cnt"],
    "batch_flag": lambda job: int(job["batch_flag"]),
    "reboot": lambda job: int(job["reboot"]),
    "exit_code": lambda job: _exit_code(job["exit_code"]),
    "time_limit": lambda job: _minutes(job["time_limit"]),
    "time_min": lambda job: _minutes(job["time_minimum"]) or None,
    "submit_time": lambda job: _known_time(job["submit_time"]),
    "eligible_time": lambda job: _time(job["eligible_time"]),
    "accrue_time": lambda job: _time(job["accrue_time"]),
    "start_time": lambda job: _known_time(job["start_time"]),
    "end_time": _end_time,
    "deadline": lambda job: _time(job["deadline"]),
    "resize_time": lambda job: _time(job["resize_time"]),
    "preempt_eligible_time": lambda job: _time(job["preemptable_time"]),
    "preempt_time": lambda job: _time(job["preempt_time"]),
    "suspend_time": lambda job: _time(job["suspend_time"]),
    "last_sched_eval": lambda job: _time(job["last_sched_evaluation"]),
    "secs_pre_suspend": lambda job: _number(job["pre_sus_time"]),
    "partition": lambda job: _text(job["partition"]),
    "req_node_list": lambda job: _text(job["required_nodes"]),
    "exc_node_list": lambda job: _text(job["excluded_nodes"]),
    "nodes": lambda job: _text(job["nodes"]),
    "sched_node_list": lambda job: _text(job["scheduled_nodes"]),
    "batch_host": lambda job: _text(job["batch_host"]),
    "failed_node": lambda job: _text(job["failed_node"]),
    "num_tasks": lambda job: _number(job["tasks"]),
    "num_nodes": lambda job: _number(job["node_count"]),
    "num_cpus": lambda job: _number(job["cpus"]),
    "cpus_task": lambda job: _number(job["cpus_per_task"]),
    "min_cpus_node": lambda job: _number(job["minimum_cpus_per_node"]),
    "min_memory_node": lambda job: (
        None if job["memory_per_tres"] else _number(job["memory_per_node"])
    ),
    "min_memory_cpu": lambda job: _number(job["memory_per_cpu"]),
    "min_tmp_disk_node": lambda job: _number(job["minimum_tmp_disk_per_node"]),
    "req_tres": lambda job: _text(job["tres_req_str"]),
    "alloc_tres": lambda job: _text(job["tres_alloc_str"]),
    "features": lambda job: _text(job["features"]),
    "prefer": lambda job: _text(job["prefer"]),
    "batch_features": lambda job: _text(job["batch_features"]),
    "cluster_features": lambda job: _text(job["cluster_features"]),
    "delay_boot": lambda job: _number(job["delay_boot"]),
    "resv_name": lambda job: _text(job["resv_name"]),
    "contiguous": lambda job: int(job["contiguous"]),
    "licenses": lambda job: _text(job["licenses"]),
    "licenses_alloc": lambda job: _text(job["licenses_allocated"]),
    "network": lambda job: _text(job["network"]),
    "command": lambda job: _text(job["command"]),
    "submit_line": lambda job: _text(job.get("submit_line", "")),
    "work_dir": lambda job: _text(job["current_working_directory"]),
    "admin_comment": lambda job: _text(job["admin_comment"]),
    "system_comment": lambda job: _text(job["system_comment"]),
    "comment": lambda job: _text(job["comment"]),
    "extra": lambda job: _text(job["extra"]),
    "stdin": lambda job: (job["stdin_expanded"] or "/dev/null") if job["batch_flag"] else None,
    "stdout": lambda job: _text(job["stdout_expanded"]) or UNTOLD,
    "stderr": lambda job: _text(job["stderr_expanded"]) or UNTOLD,
    "segment_size": lambda job: job["segment_size"] or None,
    "switches": _switches,
    "burst_buffer": lambda job: _text(job["burst_buffer"]),
    "burst_buffer_state": lambda job: _text(job["burst_buffer_state"]),
    "crontab_spec": lambda job: f'"{job["cron"]}"' if job["cron"] else None,
    "cpus_per_tres": lambda job: _text(job["cpus_per_tres"]),
    "mem_per_tres": lambda job: _text(job["memory_per_tres"]),
    "tres_bind": lambda job: _text(job["tres_bind"]),
    "tres_freq": lambda job: _text(job["tres_freq"]),
    "tres_per_job": lambda job: _text(job["tres_per_job"]),
    "tres_per_node": lambda job: _text(job["tres_per_node"]),
    "tres_per_socket": lambda job: _text(job["tres_per_socket"]),
    "tres_per_task": lambda job: _text(job["tres_per_task"]),
    "mail_user": lambda job: _text(job["mail_user"]) if job["mail_type"] else None,
    "container_type": lambda job: _text(job.get("container_type", "")),
    "container": lambda job: _text(job["container"]),
    "container_id": lambda job: _text(job["container_id"]),
    "selinux_context": lambda job: _text(job["selinux_context"]),
    "array_job_id": lambda job: _number(job["array_job_id"]) or None,
    "het_job_id": lambda job: _number(job["het_job_id"]) or None,
    "kill_on_invalid_dependent": _yes(
        flag="KILL_INVALID_DEPENDENCY", no="NO_KILL_INVALID_DEPENDENCY"
    ),
    "spread_job": _yes(flag="SPREAD_JOB"),
    "expedited_requeue": _yes(flag="EXPEDITED_REQUEUE"),
}
"""What documents of jobs must hold, by their keys: the value, None where there is no value."""

DETAILED_JOB_FACTS: Mapping[str, Callable[[Facts], Any]] = {
    "derived_exit_code": lambda job: _exit_code(job["derived_exit_code"]),
    "sluid": lambda job: job["step_id"]["sluid"] if "step_id" in job else None,
}
"""What ``-d`` adds."""


def _state(node: Facts) -> str:
    base, *flags = node["state"]
    return "+".join([base, *sorted(flags)])


def _reason(node: Facts) -> str | None:
    """The reason in the form of several lines; empty lines of the reason vanish."""
    lines = [line for line in node["reason"].split("\n") if line]
    if not lines:
        return None
    moment = _time(node["reason_changed_at"])
    if moment:
        lines[0] += f" [{node['reason_set_by_user']}@{moment.removesuffix('+00:00')}]"
    return storable("\n          ".join(lines))


def _names(values: list[str]) -> str | None:
    return ",".join(values) or None


NODE_FACTS: Mapping[str, Callable[[Facts], Any]] = {
    "name": lambda node: node["name"],
    "arch": lambda node: _text(node["architecture"]),
    "cores_per_socket": lambda node: node["cores"],
    "cpu_alloc": lambda node: node["alloc_cpus"],
    "cpu_efctv": lambda node: node["effective_cpus"],
    "cpu_tot": lambda node: node["cpus"],
    "cpu_load": lambda node: node["cpu_load"] / 100,
    "features": lambda node: _names(node["features"]),
    "active_features": lambda node: _names(node["active_features"]),
    "gres": lambda node: _text(node["gres"]),
    "addr": lambda node: node["address"],
    "node_host_name": lambda node: node["hostname"],
    "bcast_addr": lambda node: _text(node["burstbuffer_network_address"]),
    "version": lambda node: _text(node["version"]),
    "os": lambda node: _text(node["operating_system"]),
    "memory": lambda node: str(node["real_memory"]),
    "alloc_mem": lambda node: node["alloc_memory"],
    "free_mem": lambda node: _number(node["free_mem"]),
    "sockets": lambda node: node["sockets"],
    "boards": lambda node: node["boards"],
    "core_spec_count": lambda node: node["specialized_cores"] or None,
    "cpu_spec_list": lambda node: _text(node["specialized_cpus"]),
    "mem_spec_limit": lambda node: node["specialized_memory"] or None,
    "restricted_cores_per_gpu": lambda node: UNTOLD if node["res_cores_per_gpu"] else None,
    "state": _state,
    "threads_per_core": lambda node: node["threads"],
    "tmp_disk": lambda node: node["temporary_disk"],
    "weight": lambda node: node["weight"],
    "owner": lambda node: _text(node["owner"]),
    "mcs_label": lambda node: _text(node["mcs_label"]),
    "partitions": lambda node: _names(node["partitions"]),
    "boot_time": lambda node: _time(node["boot_time"]),
    "slurmd_start_time": lambda node: _time(node["slurmd_start_time"]),
    "last_busy_time": lambda node: _time(node["last_busy"]),
    "resume_after_time": lambda node: _time(node["resume_after"]),
    "suspend_time": lambda node: _number(node["suspend_time"]) if "suspend_time" in node else None,
    "cfg_tres": lambda node: _text(node["tres"]),
    "alloc_tres": lambda node: _text(node["tres_used"]),
    "reason": _reason,
    "comment": lambda node: _text(node["comment"]),
    "extra": lambda node: _text(node["extra"]),
    "instance_id": lambda node: _text(node["instance_id"]),
    "instance_type": lambda node: _text(node["instance_type"]),
    "reservation_name": lambda node: _text(node["reservation"]),
    "tls_cert_last_renewal": lambda node: _time(node["tls_cert_last_renewal"]),
    "topology": lambda node: _text(node["topology"]),
}

DETAILED_NODE_FACTS: Mapping[str, Callable[[Facts], Any]] = {
    "gres_used": lambda node: _text(node["gres_used"]),
    "gres_drain": lambda node: _text(node["gres_drained"]),
}


def _first_number(value: Any) -> Any:
    """1 of ``1-1`` and of ``1,3-4``: the least number of nodes."""
    return int(re.split("[-,]", value)[0]) if isinstance(value, str) else value


def _memory(value: str | int | None) -> int | None:
    """MiB of ``100M`` and ``8G``."""
    if not isinstance(value, str):
        return value
    return int(float(value.rstrip("MG"))) * (1024 if value.endswith("G") else 1)


def _reason_in_lines(reason: str | None) -> str | None:
    """Put the line ends into a node's reason, where ``-o`` puts eight spaces."""
    return reason and (reason if "\n" in reason else reason.replace("        ", "\n          "))


def _sorted_flags(state: str) -> str:
    base, *flags = state.split("+")
    return "+".join([base, *sorted(flags)])


_AS_TOLD: Mapping[str, Callable[[Any], Any]] = {
    "num_nodes": _first_number,
    "num_cpus": _first_number,
    "min_memory_node": _memory,
    "min_memory_cpu": _memory,
    "min_tmp_disk_node": _memory,
    "state": _sorted_flags,
    "owner": lambda value: value and value.partition("(")[0],
    "reason": _reason_in_lines,
}
"""Values of documents as the JSON tells them."""


def differences(
    slurm: Mapping[str, Any], facts: Facts, kind: Kind, *, details: bool
) -> dict[str, tuple[Any, Any]]:
    """Return what a document says and what the JSON says, by the keys in which the two differ."""
    if kind is JOBS:
        wanted = {**JOB_FACTS, **(DETAILED_JOB_FACTS if details else {})}
    else:
        wanted = {**NODE_FACTS, **(DETAILED_NODE_FACTS if details else {})}
    found = {}
    for name, told in wanted.items():
        value = _AS_TOLD.get(name, lambda value: value)(slurm.get(name))
        right = told(facts)
        if right is not UNTOLD and value != right:
            found[name] = (value, right)
    return found
