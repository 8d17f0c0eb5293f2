"""Raw pairs to the ``slurm`` part of a document: names as documented, values typed.

Usage::

    slurm = job_document(raw_pairs, cluster)     # cluster: config.ClusterSettings
    slurm = node_document(raw_pairs, cluster)

Job schema (a key that scontrol did not print is absent; an absent marker is null)::

    {
      "job_id":        string,           # JobId
      "name":          string,           # JobName, whatever it is
      "mila_cluster_username" or "cc_account_username":
                       string,           # UserId's name; which one: the cluster's username_field
      "uid":           string,           # UserId's number
      "account":       string or null,
      "job_state":     string,
      "exit_code":     string,           # "0:0"
      "time_limit":    integer or null,  # seconds; null for UNLIMITED and other words
      "submit_time":   string,           # 2021-11-13T00:56:47-05:00, or "Unknown"
      "start_time":    string,           # the same; a forecast for a pending job
      "end_time":      string,           # the same; start + limit for a running job
      "partition":     string,
      "nodes":         string or null,   # NodeList
      "resv_name":     string,           # Reservation; only where the job has one
      "command":       string or null,   # the script and all its arguments
      "work_dir":      string,
      "stderr":        string,           # the three: batch jobs alone
      "stdin":         string,
      "stdout":        string,
      "cluster_name":  string            # configuration
    }

Node schema::

    {
      "name":          string,           # NodeName
      "arch":          string,
      "features":      string or null,   # AvailableFeatures
      "gres":          string or null,
      "addr":          string,           # NodeAddr
      "memory":        string,           # RealMemory, MiB
      "state":         string,
      "cfg_tres":      string or null,
      "alloc_tres":    string or null,
      "comment":       string or null,
      "reason":        string or null,   # with [user@time]
      "cluster_name":  string            # configuration
    }

Every other key is there too, in snake case: durations in seconds, times in ISO 8601 (null where
there is none), whole numbers as integers, ``CPULoad`` as a float, text as text.  ``-d``'s lines
about groups of nodes are a list, ``alloc_groups: [{nodes, cpu_ids, mem, gres}]``.  A key
unknown so far whose name in snake case is one of the above, or that of a known key, is kept as
``slurm_<name>``.

Left out on purpose: nothing but the spaces around values; the one space that some versions print
behind a comment.  Bytes that are not UTF-8 are written ``\\xff``.
"""

from collections.abc import Callable, Mapping
from typing import Any, get_args, get_type_hints
from zoneinfo import ZoneInfo

from config import ClusterSettings
from ingest.reading.pairs import REPEATED, RawPairs
from ingest.slurm import values
from ingest.slurm.grammar import JOB, NODE, Grammar

SlurmDict = dict[str, Any]
Reader = Callable[[str, ZoneInfo], Any]
"""A value as printed to the value in the document."""

JOB_STRINGS = {
    "JobId": "job_id",
    "Account": "account",
    "JobState": "job_state",
    "ExitCode": "exit_code",
    "Partition": "partition",
    "NodeList": "nodes",
    "Command": "command",
    "WorkDir": "work_dir",
    "StdErr": "stderr",
    "StdIn": "stdin",
    "StdOut": "stdout",
}
NODE_STRINGS = {
    "NodeName": "name",
    "Arch": "arch",
    "AvailableFeatures": "features",
    "Gres": "gres",
    "NodeAddr": "addr",
    "RealMemory": "memory",
    "State": "state",
    "CfgTRES": "cfg_tres",
    "AllocTRES": "alloc_tres",
    "Comment": "comment",
    "Reason": "reason",
}
JOB_TIMES = {"SubmitTime": "submit_time", "StartTime": "start_time", "EndTime": "end_time"}

_DURATIONS = ("RunTime", "TimeMin", "DelayBoot")
_TIMES = (
    *("EligibleTime", "AccrueTime", "Deadline", "PreemptEligibleTime", "PreemptTime"),
    *("SuspendTime", "LastSchedEval"),
    *("BootTime", "SlurmdStartTime", "LastBusyTime", "ResumeAfterTime"),
)
_JOB_INTEGERS = (
    *("ArrayJobId", "ArrayTaskThrottle", "HetJobId", "HetJobOffset", "PackJobId", "PackJobOffset"),
    *("Priority", "Nice", "Requeue", "Restarts", "BatchFlag", "Reboot", "SecsPreSuspend"),
    *("NumNodes", "NumCPUs", "NumTasks", "CPUs/Task", "MinCPUsNode", "MinTmpDiskNode"),
    *("Contiguous", "NtasksPerTRES", "OOMKillStep"),
)
_NODE_INTEGERS = (
    *("CPUAlloc", "CPUErr", "CPUEfctv", "CPUTot", "CoresPerSocket", "Sockets", "Boards"),
    *("ThreadsPerCore", "AllocMem", "FreeMem", "TmpDisk", "Weight", "Port", "CoreSpecCount"),
    *("MemSpecLimit", "CurrentWatts", "LowestJoules", "ConsumedJoules", "AveWatts", "CapWatts"),
    *("ExtSensorsJoules", "ExtSensorsWatts", "ExtSensorsTemp"),
)


UNKNOWN = "Unknown"
"""Slurm's word for a time that there is not, where documents keep it."""


class DocumentError(ValueError):
    """A record whose values can't be what scontrol prints. The message names the key."""


def job_document(raw: RawPairs, cluster: ClusterSettings) -> SlurmDict:
    """The ``slurm`` dict of a job on *cluster*. Raises `DocumentError`."""
    return _document(raw, cluster, JOB_RULES, _JOB_NAMES)


def node_document(raw: RawPairs, cluster: ClusterSettings) -> SlurmDict:
    """The ``slurm`` dict of a node of *cluster*. Raises `DocumentError`."""
    return _document(raw, cluster, NODE_RULES, _NODE_NAMES)


def owner(value: str, cluster: ClusterSettings) -> SlurmDict:
    """The two keys of a job's owner. Raises `DocumentError`."""
    found = values.user(value)
    if found is None:
        raise DocumentError(f"UserId is not name(number): {value[:80]!r}")
    return {cluster.username_field: found[0], "uid": found[1]}


def typed_keys(grammar: Grammar) -> dict[str, tuple[str, frozenset[type]]]:
    """The names that scontrol's keys have in documents, with Slurm's own key and the types that
    the value can have (NoneType: it can be null).  UserId, which becomes two keys, is not there."""
    rules = JOB_RULES if grammar is JOB else NODE_RULES
    return {
        name: (key, _types(get_type_hints(read)["return"]))
        for key, (name, read) in rules.items()
        if key != "UserId"
    }


def _types(annotation: Any) -> frozenset[type]:
    return frozenset(get_args(annotation) or (annotation,))


# --- rules: key -> (name in the document, how its value is read) -------------------------------


def optional(value: str, _zone: ZoneInfo) -> str | None:
    """A word, or null."""
    return values.optional(value)


def free_text(value: str, _zone: ZoneInfo) -> str | None:
    """Free text: whole, but for the one space that some versions print behind it."""
    value = value.removesuffix(" ")
    return None if value in values.ABSENT else value


def verbatim(value: str, _zone: ZoneInfo) -> str:
    """Whatever it is."""
    return value


def time(value: str, zone: ZoneInfo) -> str | None:
    """A time, or null. Raises `DocumentError` for what is neither."""
    moment = values.time(value, zone)
    if moment is None and not values.is_no_time(value):
        raise DocumentError(f"a time was expected, found {value[:80]!r}")
    return moment


def time_or_unknown(value: str, zone: ZoneInfo) -> str:
    """A time, or ``Unknown``. Raises `DocumentError`."""
    return time(value, zone) or UNKNOWN


def integer(value: str, _zone: ZoneInfo) -> int | str | None:
    """A whole number, or as `optional`."""
    return values.integer(value)


def _decimal(value: str, _zone: ZoneInfo) -> float | int | str | None:
    return values.decimal(value)


def duration(value: str, _zone: ZoneInfo) -> int | None:
    """Seconds, or null."""
    return values.duration(value)


def _plain(value: str, zone: ZoneInfo) -> Any:
    """A key that the grammar does not know: a time, a number, or text, as it looks."""
    return values.time(value, zone) or values.decimal(value)


def _readers(integers: tuple[str, ...]) -> dict[str, Reader]:
    readers: dict[str, Reader] = dict.fromkeys(integers, integer)
    readers |= dict.fromkeys(_DURATIONS, duration)
    readers |= dict.fromkeys(_TIMES, time)
    return readers


def _rules(
    grammar: Grammar, strings: Mapping[str, str], readers: Mapping[str, Reader]
) -> dict[str, tuple[str, Reader]]:
    rules = {}
    for key, known in grammar.keys.items():
        plain = free_text if known.text else optional
        name = strings.get(key, values.snake_case(key))
        rules[key] = (name, readers.get(key, plain))
    return rules


JOB_RULES = _rules(
    JOB,
    {**JOB_STRINGS, **JOB_TIMES, "JobName": "name", "TimeLimit": "time_limit"}
    | {"Reservation": "resv_name"},
    {
        **_readers(_JOB_INTEGERS),
        **dict.fromkeys(JOB_TIMES, time_or_unknown),
        "JobName": verbatim,
        "TimeLimit": duration,
    },
)
NODE_RULES = _rules(NODE, NODE_STRINGS, {**_readers(_NODE_INTEGERS), "CPULoad": _decimal})


def _names(rules: Mapping[str, tuple[str, Reader]]) -> frozenset[str]:
    """The names that an unknown key can't take, though they be absent."""
    own = {"mila_cluster_username", "cc_account_username", "uid", "cluster_name", "alloc_groups"}
    return frozenset(own.union(name for name, _ in rules.values()))


_JOB_NAMES = _names(JOB_RULES)
_NODE_NAMES = _names(NODE_RULES)


def _document(
    raw: RawPairs,
    cluster: ClusterSettings,
    rules: Mapping[str, tuple[str, Reader]],
    names: frozenset[str],
) -> SlurmDict:
    slurm: SlurmDict = {}
    unknown: list[tuple[str, str]] = []
    groups: list[SlurmDict] = []
    for _, key, _, value in raw.pairs:
        if key == "UserId":
            slurm |= owner(value, cluster)
        elif key in rules:
            name, read = rules[key]
            try:
                slurm[name] = read(value, cluster.zone)
            except DocumentError as error:
                raise DocumentError(f"{key}: {error}") from None
        elif key == "Nodes":
            groups.append({"nodes": values.optional(value)})
        elif key in REPEATED and groups:
            groups[-1][values.snake_case(key)] = values.optional(value)
        else:
            unknown.append((key, value))
    if "resv_name" in slurm and slurm["resv_name"] is None:
        del slurm["resv_name"]
    slurm["cluster_name"] = cluster.name
    if groups:
        slurm["alloc_groups"] = groups
    for key, value in unknown:
        name = values.snake_case(key)
        name = f"slurm_{name}" if name in names else name
        if name in slurm:
            raise DocumentError(f"{key}: another key is called {name} too")
        slurm[name] = _plain(value, cluster.zone)
    return slurm if raw.is_utf8() else _storable(slurm)


def _storable(value: Any) -> Any:
    """*value* with every text in it as UTF-8 can hold it."""
    if isinstance(value, dict):
        return {key: _storable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_storable(each) for each in value]
    return values.storable(value) if isinstance(value, str) else value
