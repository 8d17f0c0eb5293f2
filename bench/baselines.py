"""Do the same work in other ways: as common scripts and other Clockworks do it.

Each is written as its like is written elsewhere, neither slowed down nor made faster.  They read
clean records alone: what users write into names and comments leads both readers astray.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from flask import Flask, jsonify
from pymongo import UpdateOne
from pymongo.collection import Collection
from werkzeug.wrappers import Response

Pairs = dict[str, str]
Document = dict[str, Any]

_PAIR = re.compile(r"([A-Za-z][A-Za-z0-9_/:]*)=(\S*)")
_JOB_NAME = re.compile(r"^(.*?) ?JobName=(.*)$")
_COMMAND = re.compile(r"^\s*Command=(.*)$")


def naive_split(text: str) -> Iterator[Pairs]:
    """Yield every record as a dict of strings: lines are split at spaces, then at ``=``."""
    pairs: Pairs = {}
    for line in text.splitlines():
        if not line.strip():
            if pairs:
                yield pairs
                pairs = {}
            continue
        for word in line.split():
            if "=" in word:
                key, value = word.split("=", 1)
                pairs[key] = value
    if pairs:
        yield pairs


def regular_expressions(text: str) -> Iterator[Pairs]:
    """Yield every record as a dict of strings: a regular expression finds the pairs of each line.

    JobName and Command can contain spaces, so they have expressions of their own.
    """
    pairs: Pairs = {}
    for line in text.splitlines():
        if not line.strip():
            if pairs:
                yield pairs
                pairs = {}
            continue
        command = _COMMAND.match(line)
        if command:
            pairs["Command"] = command[1]
            continue
        name = _JOB_NAME.match(line)
        if name:
            line, pairs["JobName"] = name.groups()  # noqa: PLW2901 - the rest of the line
        pairs.update(_PAIR.findall(line))
    if pairs:
        yield pairs


# --- pairs to a typed document ------------------------------------------------------------------


def _identity(value: str, _zone: ZoneInfo) -> str:
    return value


def _or_none(value: str, _zone: ZoneInfo) -> str | None:
    return None if value in {"", "(null)", "N/A", "None"} else value


def _time(value: str, zone: ZoneInfo) -> str | None:
    if value in {"Unknown", "None", "N/A", "(null)"}:
        return None
    moment = datetime.strptime(value[:19], "%Y-%m-%dT%H:%M:%S")  # noqa: DTZ007 - given below
    return moment.replace(tzinfo=zone).isoformat()


def _seconds(value: str, _zone: ZoneInfo) -> int | None:
    match = re.match(r"(?:(\d+)-)?(\d+):(\d+):(\d+)$", value)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _number(value: str, _zone: ZoneInfo) -> int | str:
    return int(value) if value.isdigit() else value


def _snake(key: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|[/:]", "_", key).lower()


_Reader = Callable[[str, ZoneInfo], Any]

_FIELDS: dict[str, tuple[str, _Reader]] = {
    **{
        key: (_snake(key), _or_none)
        for key in (
            *("GroupId", "MCS_label", "QOS", "Reason", "Dependency", "AllocNode:Sid"),
            *("ReqNodeList", "ExcNodeList", "BatchHost", "ReqB:S:C:T", "TRES", "ReqTRES"),
            *("AllocTRES", "Socks/Node", "NtasksPerN:B:S:C", "CoreSpec", "MinMemoryNode"),
            *("Features", "OverSubscribe", "Licenses", "Network", "Power", "TresPerNode"),
            *("Comment", "Scheduler", "MinMemoryCPU", "Deadline", "SubmitLine"),
        )
    },
    **{
        key: (_snake(key), _number)
        for key in (
            *("Priority", "Nice", "Requeue", "Restarts", "BatchFlag", "Reboot", "NumNodes"),
            *("NumCPUs", "NumTasks", "CPUs/Task", "MinCPUsNode", "MinTmpDiskNode", "Contiguous"),
            *("SecsPreSuspend", "ArrayJobId", "ArrayTaskId", "ArrayTaskThrottle"),
        )
    },
    **{key: (_snake(key), _seconds) for key in ("RunTime", "TimeLimit", "TimeMin", "DelayBoot")},
    **{
        key: (name, _time)
        for key, name in (
            *(("SubmitTime", "submit_time"), ("StartTime", "start_time"), ("EndTime", "end_time")),
            *(("EligibleTime", "eligible_time"), ("AccrueTime", "accrue_time")),
            *(("SuspendTime", "suspend_time"), ("LastSchedEval", "last_sched_eval")),
        )
    },
    "JobId": ("job_id", _identity),
    "JobName": ("name", _identity),
    "Account": ("account", _or_none),
    "JobState": ("job_state", _identity),
    "ExitCode": ("exit_code", _identity),
    "Partition": ("partition", _identity),
    "NodeList": ("nodes", _or_none),
    "Reservation": ("resv_name", _or_none),
    "Command": ("command", _or_none),
    "WorkDir": ("work_dir", _identity),
    "StdErr": ("stderr", _identity),
    "StdIn": ("stdin", _identity),
    "StdOut": ("stdout", _identity),
}


def typed(pairs: Pairs, zone: ZoneInfo, cluster_name: str) -> Document:
    """Return the ``slurm`` dict of a job. Unknown keys are kept as text."""
    slurm: Document = {"cluster_name": cluster_name}
    for key, value in pairs.items():
        if key == "UserId":
            name, _, uid = value.partition("(")
            slurm["mila_cluster_username"], slurm["uid"] = name, uid.rstrip(")")
            continue
        name, read = _FIELDS.get(key) or (key, _or_none)
        slurm[name] = read(value, zone)
    return slurm


def regular_expression_documents(text: str, zone: ZoneInfo, cluster_name: str) -> list[Document]:
    """Return the documents of a text, with typed fields."""
    return [typed(pairs, zone, cluster_name) for pairs in regular_expressions(text)]


# --- documents to Mongo ---------------------------------------------------------------------------


def two_updates_per_job(collection: Collection[Document], slurm_dicts: Iterable[Document]) -> None:
    """Write every job with two updates: one creates a missing job, one sets its values."""
    operations = []
    for slurm in slurm_dicts:
        wanted = {"slurm.job_id": slurm["job_id"], "slurm.cluster_name": slurm["cluster_name"]}
        fresh = {"cw": {"mila_cluster_username": slurm["mila_cluster_username"]}, "user": {}}
        operations.append(UpdateOne(wanted, {"$setOnInsert": fresh}, upsert=True))
        operations.append(UpdateOne(wanted, {"$set": {"slurm": slurm}}))
    collection.bulk_write(operations)


# --- Mongo to HTTP --------------------------------------------------------------------------------


def flask_app(collection: Collection[Document], wanted: Mapping[str, Any]) -> Flask:
    """Return a Flask application whose ``/jobs/list`` sends documents that match *wanted*."""
    app = Flask("baseline")

    @app.route("/jobs/list")
    def jobs_list() -> Response:
        found = []
        for document in collection.find(wanted):
            del document["_id"]
            found.append(document)
        return jsonify(found)

    return app
