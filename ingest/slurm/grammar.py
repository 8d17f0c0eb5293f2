"""Where scontrol puts its keys: the lines of a record, in the order in which they are printed.

One table a kind of record, drawn from outputs of Slurm 16.05 to 26.05.  It says in which order
known keys can come and which values are free text, and is no list of what may come: a key that it
lacks is kept.  A release prints a part of the lines, in this order.

A line of a table is a line of scontrol's multi-line form, and ``-o`` joins the lines with a space.

``!``  a key that every record has
``~``  free text that a user chose: anything can stand in it, newlines and whole records included
``^``  free text that is a path or an administrator's word: anything can stand in it too, but a
       line with a new key that follows it is taken for what it seems (see `ingest.reading.pairs`)
``"``  free text of one line
``*``  opens a row of lines whose order varies; ``+`` joins the keys of one such line
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

KEY = r"[A-Z][A-Za-z0-9_/:()\-]{0,63}"
"""What a key looks like: ``CPUs/Task``, ``AllocNode:Sid``, ``NtasksPerN:B:S:C``."""

MAX_BLANKS = 16
"""Spaces in the blank line behind a record."""
LONGEST_BOUNDARY = 400
"""No place where a record can begin, its id included, is longer than this, in bytes."""

_JOB_TABLE = """
JobId! ArrayJobId ArrayTaskId ArrayTaskThrottle HetJobId HetJobOffset PackJobId PackJobOffset \
JobName!~
* HetJobIdSet PackJobIdSet
UserId! GroupId MCS_label~
Priority Nice Account~ QOS" WCKey~
JobState! Reason FailedNode Dependency
Requeue Restarts BatchFlag Reboot ExitCode
DerivedExitCode
RunTime TimeLimit TimeMin
SubmitTime! EligibleTime
AccrueTime
ResizeTime
StartTime EndTime Deadline
CronJob CrontabSpec~
PreemptEligibleTime PreemptTime SuspendTime SecsPreSuspend LastSchedEval Scheduler
Partition! AllocNode:Sid
ReqNodeList ExcNodeList
NodeList SchedNodeList
BatchFeatures BatchHost
StepMgrEnabled
FedOrigin FedViableSiblings FedActiveSiblings
NumNodes NumCPUs NumTasks CPUs/Task ReqB:S:C:T
TRES
ReqTRES
AllocTRES
Socks/Node NtasksPerN:B:S:C CoreSpec ThreadSpec
JOB_GRES
MinCPUsNode MinMemoryNode MinMemoryCPU MinMemoryTRES MinTmpDiskNode
* Features+DelayBoot+Gres+Reservation ClusterFeatures~ Prefer~
OverSubscribe Shared Exclusive Contiguous Licenses~ LicensesAlloc~ Network~
Command~
SubmitLine~
WorkDir!^
* AdminComment^ SystemComment^ Comment~ Extra~
StdErr^
StdIn^
StdOut^
* BatchScript~ SegmentSize Switches BurstBuffer~ BurstBufferState^ \
CPU_min_freq+CPU_max_freq+CPU_freq_gov Power+SICP CpusPerTres~ MemPerTres~ TresBind~ TresFreq~ \
TresPerJob~ TresPerNode~ TresPerSocket~ TresPerTask~ Container~+ContainerID~ NtasksPerTRES \
NvsCpus SELinuxContext^ OOMKillStep DeferPurge ResvPorts GresAllowTaskSharing GresEnforceBind \
GresOneTaskPerSharing KillOInInvalidDependent SpreadJob MailUser~+MailType
"""

_NODE_TABLE = """
NodeName! Arch CpuBind CoresPerSocket
CPUAlloc CPUErr CPUEfctv CPUTot CPULoad
* AvailableFeatures ActiveFeatures Features Gres GresDrain GresUsed
NodeAddr NodeHostName BcastAddr Port Version
OS"
RealMemory! AllocMem FreeMem Sockets Boards
* CoreSpecCount+CPUSpecList+MemSpecLimit RestrictedCoresPerGPU
State! ThreadsPerCore TmpDisk Weight Owner MCS_label
* Partitions NextState BootTime+SlurmdStartTime LastBusyTime+ResumeAfterTime
CfgTRES
AllocTRES
CapWatts
CurrentWatts LowestJoules ConsumedJoules AveWatts
ExtSensorsJoules ExtSensorsWatts ExtSensorsTemp
* Reason^ Comment^ Extra^ Topology InstanceId+InstanceType ReservationName
"""


@dataclass(frozen=True)
class Key:
    """What the table says of one key."""

    rank: int
    """Its place in the order; keys of a ``*`` line share one."""
    mandatory: bool
    text: bool
    """Free text: its value can hold anything."""
    one_line: bool
    """Free text without newlines."""
    users_text: bool
    """Free text in which a user may write what he likes, new keys included."""
    whole_line: bool
    """Its value runs to the line's end: the spaces in it are its own."""
    line: int
    """The line of the table that it belongs to."""
    opens_line: bool
    """It stands at the start of a line, and never behind another key."""


@dataclass(frozen=True)
class Grammar:
    """The order and the classes of the keys of one kind of record."""

    kind: str
    """``job`` or ``node``, as in ``scontrol show``."""
    first_key: str
    keys: Mapping[str, Key]
    mandatory: tuple[tuple[int, str], ...]
    """(rank, key) of the keys that every record has, in order."""
    hostile: bool
    """Ordinary users choose the free text of these records."""
    start: re.Pattern[bytes]
    """Where the first record begins."""
    boundary_o: re.Pattern[bytes]
    """Where another record can begin in ``-o``: at the start of a line.

    In the multi-line form a job can only begin behind a line of up to `MAX_BLANKS` spaces.
    """
    starting_id: re.Pattern[bytes]
    """The id behind a `boundary_o`, as its group."""


def _table_keys(table: str) -> dict[str, Key]:
    keys: dict[str, Key] = {}
    rank = 0
    line_number = 0
    for row in table.strip().splitlines():
        words = row.split()
        any_order = words[0] == "*"
        rank += 1
        for line in [word.split("+") for word in words[1:]] if any_order else [words]:
            line_number += 1
            for position, word in enumerate(line):
                name = word.rstrip('!~^"')
                marks = word[len(name) :]
                rank += 0 if any_order else 1
                keys[name] = Key(
                    rank=rank,
                    mandatory="!" in marks,
                    text=any(mark in marks for mark in '~^"'),
                    one_line='"' in marks,
                    users_text="~" in marks,
                    whole_line=len(line) == 1 or name == "JobName",
                    line=line_number,
                    opens_line=position == 0,
                )
    return keys


def _grammar(kind: str, first_key: str, id_pattern: str, table: str, *, hostile: bool) -> Grammar:
    keys = _table_keys(table)
    record = rf"(?={first_key}={id_pattern}[ \n])".encode()
    return Grammar(
        kind=kind,
        first_key=first_key,
        keys=MappingProxyType(keys),
        mandatory=tuple((key.rank, name) for name, key in keys.items() if key.mandatory),
        hostile=hostile,
        start=re.compile(rb"(?:\A|\n)" + record),
        boundary_o=re.compile(rb"\n" + record),
        starting_id=re.compile(rf"\n{first_key}=({id_pattern})(?=[ \n])".encode()),
    )


JOB = _grammar("job", "JobId", "[0-9]{1,20}", _JOB_TABLE, hostile=True)
NODE = _grammar("node", "NodeName", "[!-<>-~]{1,255}", _NODE_TABLE, hostile=False)
