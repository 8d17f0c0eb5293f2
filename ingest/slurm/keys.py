"""Every key that `scontrol show job`, `node`, `partition` and `reservation` print, one row a key.

All that Clockwork knows of a key stands in its row: where Slurm prints the key, what its value can
hold, what the value becomes in a document, and what anonymising does to the value.  The reader,
the documents, the volatile values and the anonymiser follow from the table.

The rows stand in the order in which Slurm prints the keys.  The facts are drawn from Slurm's own
printing functions, release by release; ``tests/ingest/slurm/releases.json`` lists what each release
prints, and a test holds the table to the list.  A key without a row is read all the same: see
`ingest.reading.parsing`.

The columns:

key       Slurm's name.  ``=`` stands between key and value (``:`` for NtasksPerTRES up to 21.08).
releases  The first and the last release that print the key.
place     ``line``: always opens a line.  ``in``: always stands behind another key of its line.
          ``both``: opens a line or stands behind another key.  ``group``: on the deeper lines of
          ``-d``, which repeat, one line for each group of nodes.
holds     ``word``: Slurm's word, number, time or list, without spaces.  ``name``: what an
          administrator named; spaces, commas, ``=``, backslashes and ``@`` can stand in it, and it
          ends where the next key begins.  ``text``: what a user wrote; anything can stand in it,
          newlines and whole records included.  ``path``: as ``text``, but a line with an unknown
          key behind it is taken for a key.
value     How the value is read: see `ingest.slurm.convert`.
anon      What anonymising does to the value: see `ingest.anonymise.rewrite`.
more      ``always``: every record of every release has the key.
          ``as=NAME``: the name in documents, where it is not the key's name in snake case.
          ``volatile``: the value changes without anything having happened.
          ``left_out``: documents leave the key out where it has no value.
          ``flag``: Yes or No, on one line with the other flags.  Up to 23.11.1 nothing stands
          between the flags, up to 25.05 a comma, from 25.11 on a space.
          ``behind=KEY,KEY``: the key also stands on the lines that these keys open.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import get_args

from config.settings import UsernameField
from ingest.slurm.values import snake_case

_JOB_KEYS = """
JobId                   15.08-26.05 line  word verbatim        ids          always
ArrayJobId              15.08-26.05 in    word integer         ids
ArrayTaskId             15.08-26.05 in    word word            kept
ArrayTaskThrottle       19.05-26.05 in    word integer         kept
HetJobId                20.02-26.05 in    word integer         ids
HetJobOffset            20.02-26.05 in    word integer         kept
PackJobId               17.11-19.05 in    word integer         ids
PackJobOffset           17.11-19.05 in    word integer         kept
JobName                 15.08-26.05 in    text verbatim        text         always as=name
SLUID                   25.11-26.05 line  word word            text
HetJobIdSet             20.02-26.05 line  word word            ids
PackJobIdSet            17.11-19.05 line  word word            ids
UserId                  15.08-26.05 line  name owner           person       always
GroupId                 15.08-26.05 in    name word            person
MCS_label               16.05-26.05 in    text text            label
Priority                15.08-26.05 line  word integer         kept         volatile
Nice                    15.08-26.05 in    word integer         kept
Account                 15.08-26.05 in    text text            label
QOS                     15.08-26.05 in    name word            structure
WCKey                   15.08-26.05 in    text text            label
JobState                15.08-26.05 line  word word            kept         always
Reason                  15.08-26.05 in    word word            job_reason
FailedNode              23.02-26.05 in    word word            hosts
Dependency              15.08-26.05 in    word word            dependency
Requeue                 15.08-26.05 line  word integer         kept
Restarts                15.08-26.05 in    word integer         kept
BatchFlag               15.08-26.05 in    word integer         kept
Reboot                  15.08-26.05 in    word integer         kept
ExitCode                15.08-26.05 in    word word            kept
DerivedExitCode         15.08-26.05 line  word word            kept
RunTime                 15.08-26.05 line  word duration        kept         volatile
TimeLimit               15.08-26.05 in    word duration        kept
TimeMin                 15.08-26.05 in    word duration        kept
SubmitTime              15.08-26.05 line  word time_or_unknown time         always
EligibleTime            15.08-26.05 in    word time            time
AccrueTime              18.08-26.05 line  word time            time
ResizeTime              15.08-26.05 line  word time            time
StartTime               15.08-26.05 line  word time_or_unknown time
EndTime                 15.08-26.05 in    word time_or_unknown time
Deadline                16.05-26.05 in    word time            time
CronJob                 20.11-26.05 line  word word            kept
CrontabSpec             20.11-26.05 both  text text            text
PreemptEligibleTime     19.05-26.05 line  word time            time
PreemptTime             15.08-26.05 both  word time            time
SuspendTime             15.08-26.05 both  word time            time
SecsPreSuspend          15.08-26.05 in    word integer         kept
LastSchedEval           17.11-26.05 both  word time            time         volatile
Scheduler               21.08-26.05 in    word word            kept
Partition               15.08-26.05 line  name word            structure    always
AllocNode:Sid           15.08-26.05 in    word word            host_and_sid
ReqNodeList             15.08-26.05 line  word word            hosts
ExcNodeList             15.08-26.05 in    word word            hosts
NodeList                15.08-26.05 line  word word            hosts        as=nodes
SchedNodeList           15.08-26.05 in    word word            hosts
BatchFeatures           18.08-26.05 line  name word            structure
BatchHost               15.08-26.05 both  word word            hosts
StepMgrEnabled          24.05-26.05 line  word word            kept
FedOrigin               17.02-26.05 line  word word            text
FedViableSiblings       17.11-26.05 in    word word            text
FedActiveSiblings       17.11-26.05 in    word word            text
FedSiblings             17.02       in    word word            text
NumNodes                15.08-26.05 line  word integer         kept
NumCPUs                 15.08-26.05 in    word integer         kept
NumTasks                16.05-26.05 in    word integer         kept
CPUs/Task               15.08-26.05 in    word integer         kept
ReqB:S:C:T              15.08-26.05 in    word word            kept
ReqTRES                 23.02-26.05 line  word word            tres
AllocTRES               23.02-26.05 line  word word            tres
TRES                    15.08-22.05 line  word word            tres
Socks/Node              15.08-26.05 line  word word            kept
NtasksPerN:B:S:C        15.08-26.05 in    word word            kept
CoreSpec                15.08-26.05 in    word word            kept
ThreadSpec              15.08-26.05 in    word integer         kept
JOB_GRES                20.02-26.05 line  word word            tres
Nodes                   15.08-26.05 group word word            hosts
CPU_IDs                 15.08-26.05 group word word            kept
Mem                     15.08-26.05 group word word            kept
GRES                    19.05-26.05 group word word            tres
GRES_IDX                17.02-18.08 group word word            kept
MinCPUsNode             15.08-26.05 line  word integer         kept
MinMemoryNode           15.08-26.05 in    word word            kept
MinMemoryCPU            15.08-26.05 in    word word            kept
MinMemoryTRES           24.11-26.05 in    word word            kept
MinTmpDiskNode          15.08-26.05 in    word integer         kept
MemUpdate               26.05       in    word word            kept
Features                15.08-26.05 line  name word            structure
DelayBoot               17.02-26.05 in    word duration        kept
ClusterFeatures         17.11-26.05 line  text text            text
Prefer                  22.05-26.05 line  text text            text
Gres                    15.08-17.11 line  word word            tres         behind=Features
Reservation             15.08-26.05 line  name word label as=resv_name left_out behind=Features,Gres
Shared                  15.08       line  word word            kept
OverSubscribe           16.05-26.05 both  word word            kept
Exclusive               26.05       in    word word            kept
Contiguous              15.08-26.05 in    word integer         kept
Licenses                15.08-26.05 in    name word            structure
LicensesAlloc           25.05-26.05 in    word word            structure
Network                 15.08-26.05 in    text text            text
Command                 15.08-26.05 line  text text            text
SubmitLine              25.11-26.05 line  text text            text
WorkDir                 15.08-26.05 line  path text            text         always
AdminComment            17.02-26.05 line  path comment         text
SystemComment           18.08-26.05 line  path comment         text
Comment                 15.08-26.05 line  text comment         text
Extra                   23.02-26.05 line  text comment         text
StdErr                  15.08-26.05 line  path text            text         as=stderr
StdIn                   15.08-26.05 line  path text           text         as=stdin
StdOut                  15.08-26.05 line  path text            text         as=stdout
BatchScript             15.08-17.02 line  text text            text
SegmentSize             25.05-26.05 line  word integer         kept
SpreadSegments          25.11-26.05 in    word word            kept
ConsolidateSegments     25.11-26.05 in    word word            kept
Switches                15.08-26.05 line  word word            kept
BurstBuffer             15.08-26.05 line  text text            text
BurstBufferState        17.02-26.05 line  name word            text
CPU_min_freq            15.08-26.05 line  word word            kept
CPU_max_freq            15.08-26.05 both  word word            kept
Governor                15.08-26.05 both  word word            kept
Power                   15.08-23.11 line  word word            kept
SICP                    15.08       in    word integer         kept
GresAllowTaskSharing    23.11-26.05 line  word word            kept  flag
GresEnforceBind         17.02-26.05 both  word word            kept  flag
GresOneTaskPerSharing   23.11-26.05 both  word word            kept  flag
KillOnInvalidDependent  25.11-26.05 both  word word            kept  flag
KillOInInvalidDependent 15.08-25.05 both  word word kept as=kill_on_invalid_dependent flag
SpreadJob               17.02-26.05 both  word word            kept  flag
ExpeditedRequeue        25.11-26.05 both  word word            kept  flag
OOMKillStep             24.11-26.05 line  word integer         kept
CpusPerTres             18.08-26.05 line  text text            tres
MemPerTres              18.08-26.05 line  text text            tres
TresBind                18.08-26.05 line  text text            tres
TresFreq                18.08-26.05 line  text text            tres
TresPerJob              18.08-26.05 line  text text            tres
TresPerNode             18.08-26.05 line  text text            tres
TresPerSocket           18.08-26.05 line  text text            tres
TresPerTask             18.08-26.05 line  text text            tres
MailUser                20.02-26.05 line  text text            mail
MailType                20.02-26.05 in    word word            kept
NtasksPerTRES           20.11-26.05 line  word integer         kept
ContainerType           26.05       line  text text            text
Container               21.08-26.05 both  text text            text
ContainerID             23.02-26.05 in    text text            text
SELinuxContext          21.08-26.05 line  path text            text
ResvPorts               24.05-26.05 line  word word            kept
"""

_NODE_KEYS = """
NodeName              15.08-26.05 line word word     hosts     always as=name
RackMidplane          15.08-17.11 in   word word     text
Arch                  15.08-26.05 in   word word     kept
CpuBind               18.08-26.05 in   name word     kept
CoresPerSocket        15.08-26.05 in   word integer  kept
CPUAlloc              15.08-26.05 line word integer  kept
CPUEfctv              22.05-26.05 in   word integer  kept
CPUErr                15.08-17.11 in   word integer  kept
CPUTot                15.08-26.05 in   word integer  kept
CPULoad               15.08-26.05 in   word decimal  kept      volatile
AvailableFeatures     16.05-26.05 line name word     structure as=features
ActiveFeatures        16.05-26.05 line name word     structure
Features              15.08       in   name word     structure behind=CPUAlloc
Gres                  15.08-26.05 line word word     tres
GresDrain             15.08-26.05 line word word     tres
GresUsed              15.08-26.05 line word word     tres
NodeAddr              15.08-26.05 line word word     hosts     as=addr
NodeHostName          15.08-26.05 both word word     hosts
BcastAddr             20.02-26.05 both word word     hosts
Port                  17.02-26.05 both word integer  kept
Version               15.08-26.05 both word word     kept
OS                    15.08-26.05 line name word     kernel
RealMemory            15.08-26.05 both word word     kept      always as=memory
AllocMem              15.08-26.05 in   word integer  kept
FreeMem               15.08-26.05 in   word integer  kept      volatile
Sockets               15.08-26.05 in   word integer  kept
Boards                15.08-26.05 in   word integer  kept
CoreSpecCount         15.08-26.05 line word integer  kept
CPUSpecList           15.08-26.05 both word word     kept
MemSpecLimit          15.08-26.05 both word integer  kept
RestrictedCoresPerGPU 24.05-26.05 line word word     tres
State                 15.08-26.05 line word word     kept      always
ThreadsPerCore        15.08-26.05 in   word integer  kept
TmpDisk               15.08-26.05 in   word integer  kept
Weight                15.08-26.05 in   word integer  kept
Owner                 15.08-26.05 in   name word     person
MCS_label             16.05-26.05 in   text text     label
NextState             18.08-26.05 line word word     kept
Partitions            17.02-26.05 line name word     structure
BootTime              15.08-26.05 line word time     time
SlurmdStartTime       15.08-26.05 in   word time     time
LastBusyTime          21.08-26.05 line word time     time      volatile
ResumeAfterTime       23.02-26.05 in   word time     time
SuspendTime           26.05       in   word duration kept
CfgTRES               17.02-26.05 line word word     tres
AllocTRES             17.02-26.05 line word word     tres
CapWatts              15.08-23.11 line word integer  kept
CurrentWatts          15.08-26.05 line word integer  kept      volatile
AveWatts              19.05-26.05 in   word integer  kept      volatile
LowestJoules          15.08-18.08 in   word integer  kept      volatile
ConsumedJoules        15.08-18.08 in   word integer  kept      volatile
ExtSensorsJoules      15.08-23.11 line word integer  kept      volatile
ExtSensorsWatts       15.08-23.11 in   word integer  kept      volatile
ExtSensorsTemp        15.08-23.11 in   word integer  kept      volatile
Reason                15.08-26.05 line path text     text
Comment               20.11-26.05 line path text     text
Extra                 21.08-26.05 line path text     text
InstanceId            23.11-26.05 line name word     text
InstanceType          23.11-26.05 both name word     kept
ReservationName       23.02-26.05 line name word     label
TLSCertTokenSet       25.05-26.05 line word word     kept
TLSCertLastRenewal    25.05-26.05 in   word time     time
Topology              25.05-26.05 line word word     text
Parameters            25.11-26.05 line name word     text
"""

_PARTITION_KEYS = """
PartitionName        15.08-26.05 line  name verbatim structure always as=name
AllowGroups          15.08-26.05 line  name word     structure
AllowAccounts        15.08-26.05 in    name word     structure
DenyAccounts         15.08-26.05 in    name word     structure
AllowQos             15.08-26.05 in    name word     structure
DenyQos              15.08-26.05 in    name word     structure
AllocNodes           15.08-26.05 line  word word     hosts
Alternate            15.08-26.05 in    name word     structure
Default              15.08-26.05 in    word word     kept
CpuBind              18.08-26.05 in    word word     kept
QoS                  15.08-26.05 in    name word     structure as=qos
DefaultTime          15.08-26.05 line  word duration kept
DisableRootJobs      15.08-26.05 in    word word     kept
ExclusiveUser        15.08-25.11 in    word word     kept
ExclusiveTopo        24.05-25.11 in    word word     kept
Exclusive            26.05       in    word word     kept
GraceTime            15.08-26.05 in    word integer  kept
Hidden               15.08-26.05 in    word word     kept
MaxNodes             15.08-26.05 line  word integer  kept
MaxTime              15.08-26.05 in    word duration kept
MinNodes             15.08-26.05 in    word integer  kept
LLN                  15.08-26.05 in    word word     kept
MaxCPUsPerNode       15.08-26.05 in    word integer  kept
MaxCPUsPerSocket     23.02-26.05 in    word integer  kept
NodeSets             22.05-26.05 line  name word     structure
Nodes                15.08-26.05 line  word word     hosts
Priority             15.08       line  word integer  kept
PriorityJobFactor    16.05-26.05 line  word integer  kept
PriorityTier         16.05-26.05 in    word integer  kept
RootOnly             15.08-26.05 in    word word     kept behind=Priority
ReqResv              15.08-26.05 in    word word     kept behind=Priority
Shared               15.08       in    word word     kept behind=Priority
OverSubscribe        16.05-26.05 in    word word     kept
OverTimeLimit        17.02-26.05 line  word word     kept
PreemptMode          15.08-26.05 in    word word     kept behind=Priority,PriorityJobFactor
Topology             25.05-26.05 line  name word     structure
State                15.08-26.05 line  word word     kept always
TotalCPUs            15.08-26.05 in    word integer  kept
TotalNodes           15.08-26.05 in    word integer  kept
SelectTypeParameters 15.08-26.05 in    word word     kept
JobDefaults          18.08-26.05 line  word word     kept
DefMemPerCPU         15.08-26.05 line  word integer  kept
DefMemPerNode        15.08-26.05 both  word integer  kept
MaxMemPerCPU         15.08-26.05 both  word integer  kept
MaxMemPerNode        15.08-26.05 both  word integer  kept
TRES                 22.05-26.05 line  word word     tres
TRESBillingWeights   15.08-26.05 line  word word     kept
ResumeTimeout        21.08-26.05 line  word integer  kept
SuspendTimeout       21.08-26.05 in    word integer  kept
SuspendTime          21.08-26.05 in    word integer  kept
PowerDownOnIdle      23.02-26.05 in    word word     kept
"""

_RESERVATION_KEYS = """
ReservationName   15.08-26.05 line  name verbatim label always as=name
StartTime         15.08-26.05 in    word time     time  always
EndTime           15.08-26.05 in    word time     time  always
Duration          15.08-26.05 in    word duration kept
Nodes             15.08-26.05 line  word word     hosts
NodeCnt           15.08-26.05 in    word integer  kept
CoreCnt           15.08-26.05 in    word integer  kept
Features          15.08-26.05 in    name word     structure
PartitionName     15.08-26.05 in    name word     structure as=partition
Flags             15.08-26.05 in    word word     kept
NodeName          17.11-26.05 group word word     hosts
CoreIDs           17.11-26.05 group word word     kept
TRES              15.08-26.05 line  word word     tres
AllowedPartitions 25.11-26.05 line  name word     structure
QOS               25.11-26.05 in    name word     structure
Users             15.08-26.05 line  name word     person
Groups            20.11-26.05 in    name word     label
Accounts          15.08-26.05 in    name word     label
Licenses          15.08-26.05 in    name word     structure
State             15.08-26.05 in    word word     kept
BurstBuffer       15.08-26.05 in    name word     text
Watts             15.08-23.11 in    word word     kept
MaxStartDelay     20.02-26.05 line  word duration kept
Comment           23.02-26.05 line  path text     text
"""

PATTERN = r"[A-Z][A-Za-z0-9_/:()\-]{0,63}"
"""What a key looks like: ``CPUs/Task``, ``AllocNode:Sid``, ``NtasksPerN:B:S:C``."""


@dataclass(frozen=True)
class Key:
    """One row of the table."""

    name: str
    releases: tuple[str, str]
    """The first and the last release that print the key."""
    place: str
    holds: str
    value: str
    anonymise: str
    document: str
    """The key's name in documents; empty for UserId, which becomes two keys."""
    always: bool
    volatile: bool
    left_out: bool
    flag: bool
    rank: int
    """The place of the key in the order of printing."""
    lines: frozenset[str]
    """The keys that open the lines on which this key stands."""

    @property
    def is_text(self) -> bool:
        """Whether anything can stand in the value, newlines and other keys included."""
        return self.holds in {"text", "path"}

    @property
    def is_users_text(self) -> bool:
        """Whether an ordinary user chooses the value, so that a key behind it can be forged."""
        return self.holds == "text"


@dataclass(frozen=True, eq=False)
class KeyTable:
    """The keys of one kind of record."""

    kind: str
    """``job``, ``node``, ``partition`` or ``reservation``, as in ``scontrol show``."""
    first: str
    """The key that opens every record; its value is the record's id."""
    keys: Mapping[str, Key]
    mandatory: tuple[Key, ...]
    """The keys that every record has, in their order."""
    whole_lines: Mapping[str, Key]
    """Texts that stand alone on their line, so that the value runs to the line's end."""
    group_keys: frozenset[str]
    """Keys of ``-d``'s deeper lines, which come once for each group of nodes."""
    openers: frozenset[str]
    """The keys that can open a line."""
    times: frozenset[str]
    """The keys whose values are times."""
    volatile: tuple[str, ...]
    documents: frozenset[str]
    """Names in documents that no unknown key may take."""
    start: re.Pattern[bytes]
    """Where a record can begin: behind a newline. The group is the id."""
    witness: re.Pattern[bytes]
    """The time behind all texts, with a NUL for each letter of the seal, that only Slurm prints."""

    def printed_by(self, release: str) -> list[str]:
        """Return the keys that *release* (``22.05``) prints, in order."""
        return [key.name for key in self.keys.values() if _is_between(release, key.releases)]


OWN_NAMES = frozenset(
    {*get_args(UsernameField), "uid", "cluster_name", "alloc_groups", "slurm_cut"}
)
"""Names in documents that stand for no single key."""


def _is_between(release: str, releases: tuple[str, str]) -> bool:
    return releases[0] <= release <= releases[1]


def _rows(table: str) -> Iterator[Key]:
    line = ""
    for rank, row in enumerate(table.strip().splitlines()):
        name, releases, place, holds, value, anonymise, *more = row.split()
        if place == "line":
            line = name
        marks = {word.partition("=")[0]: word.partition("=")[2] for word in more}
        first, _, last = releases.partition("-")
        yield Key(
            name=name,
            releases=(first, last or first),
            place=place,
            holds=holds,
            value=value,
            anonymise=anonymise,
            document="" if value == "owner" else marks.get("as", snake_case(name)),
            always="always" in marks,
            volatile="volatile" in marks,
            left_out="left_out" in marks,
            flag="flag" in marks,
            rank=rank,
            lines=frozenset(filter(None, (line, *marks.get("behind", "").split(",")))),
        )


def _table(kind: str, rows: str, ids: str, witness: str) -> KeyTable:
    keys = {key.name: key for key in _rows(rows)}
    lines = [key.name for key in keys.values() if key.place == "line"]
    alone = {
        name: keys[name]
        for name in lines
        if keys[name].is_text and sum(name in key.lines for key in keys.values()) == 1
    }
    first = next(iter(keys))
    return KeyTable(
        kind=kind,
        first=first,
        keys=MappingProxyType(keys),
        mandatory=tuple(key for key in keys.values() if key.always),
        whole_lines=MappingProxyType(alone),
        group_keys=frozenset(key.name for key in keys.values() if key.place == "group"),
        openers=frozenset(key.name for key in keys.values() if key.place in {"line", "both"}),
        times=frozenset(
            key.name for key in keys.values() if key.value in {"time", "time_or_unknown"}
        ),
        volatile=tuple(key.name for key in keys.values() if key.volatile),
        documents=OWN_NAMES | {key.document for key in keys.values()},
        start=re.compile(rf"\n{first}=({ids})(?=[ \n])".encode()),
        # A pattern that begins with letters is searched for five times as fast.
        witness=re.compile(rf"{witness}=(?<=[\n ]{witness}=)[^\n\0 ]{{1,40}}\0".encode()),
    )


JOB = _table("job", _JOB_KEYS, ids="0|[1-9][0-9]{0,9}", witness="SubmitTime")
NODE = _table("node", _NODE_KEYS, ids="[!-<>-~]{1,255}", witness="BootTime")
PARTITION = _table("partition", _PARTITION_KEYS, ids="[^ \\n]{1,255}", witness="State")
RESERVATION = _table("reservation", _RESERVATION_KEYS, ids="[^\\n]{1,255}?", witness="StartTime")
