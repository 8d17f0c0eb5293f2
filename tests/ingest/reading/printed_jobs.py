"""Jobs printed as several releases of Slurm print them, by templates and not by our own tables.

>>> job = Job("20", "bob", "26.05", texts={"Comment": "hello"})
>>> printed(job, seal="q7Rk2Xa")
'JobId=20 JobName=train\n   UserId=bob(1002) GroupId=bob(1002) MCS_label=N/A\n...'
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

UIDS = {"alice": "1001", "bob": "1002", "carol": "1003", "dave": "1004", "mallory": "1666"}

RELEASES = ("17.11", "20.11", "22.05", "23.11", "25.05", "26.05")

# Releases, when the line is printed, and the line.  `=`: always; `batch`: by a batch job; a key:
# where the job has that text.  `@` stands for a text, and ` ?KEY=@` for a pair that only some jobs
# have.
_ROWS = """
15.08-26.05 =                JobId=<id><array> JobName=@
15.08-26.05 =                UserId=<user>(<uid>) GroupId=<user>(<uid>) MCS_label=@
15.08-26.05 =                Priority=10 Nice=0 Account=@ QOS=normal ?WCKey=@
15.08-22.05 =                JobState=RUNNING Reason=None Dependency=(null)
23.02-26.05 =                JobState=RUNNING Reason=None Dependency=(null)
15.08-26.05 =                Requeue=1 Restarts=0 BatchFlag=<batch> Reboot=0 ExitCode=0:0
15.08-26.05 =                RunTime=00:10:00 TimeLimit=03:00:00 TimeMin=N/A
15.08-26.05 =                SubmitTime=<time> EligibleTime=<time>
18.08-26.05 =                AccrueTime=<time>
15.08-26.05 =                StartTime=<time> EndTime=<time> Deadline=N/A
20.11-26.05 CrontabSpec      CronJob=Yes CrontabSpec=@
15.08-18.08 =                PreemptTime=None SuspendTime=None SecsPreSuspend=0
17.11-18.08 =                LastSchedEval=<time>
19.05-20.11 =                SuspendTime=None SecsPreSuspend=0 LastSchedEval=<time>
21.08-26.05 =                SuspendTime=None SecsPreSuspend=0 LastSchedEval=<time> Scheduler=Main
15.08-26.05 =                Partition=main AllocNode:Sid=@
15.08-26.05 =                ReqNodeList=(null) ExcNodeList=(null)
15.08-26.05 =                NodeList=cn-a001
15.08-26.05 =                BatchHost=cn-a001
15.08-26.05 =                NumNodes=1 NumCPUs=1 NumTasks=1 CPUs/Task=1 ReqB:S:C:T=0:0:*:*
15.08-22.05 =                TRES=cpu=1,mem=1000M,node=1,billing=1
23.02-26.05 =                ReqTRES=cpu=1,mem=1000M,node=1,billing=1
23.02-26.05 =                AllocTRES=cpu=1,mem=1000M,node=1,billing=1
15.08-26.05 =                Socks/Node=* NtasksPerN:B:S:C=0:0:*:* CoreSpec=*
15.08-26.05 =                MinCPUsNode=1 MinMemoryNode=0 MinTmpDiskNode=0
15.08-26.05 =                Features=(null) DelayBoot=00:00:00
17.11-26.05 ClusterFeatures  ClusterFeatures=@
17.02-17.11 =                Gres=(null) Reservation=(null)
22.05-26.05 Prefer           Prefer=@
15.08-24.11 =                OverSubscribe=OK Contiguous=0 Licenses=(null) Network=@
25.05-25.11 =                OverSubscribe=OK Contiguous=0 Licenses=a LicensesAlloc=a Network=@
26.05       =                OverSubscribe=OK Exclusive=NO Contiguous=0 Licenses=a Network=@
15.08-26.05 =                Command=@
25.11-26.05 =                SubmitLine=@
15.08-26.05 =                WorkDir=@
17.02-25.05 AdminComment     AdminComment=@<space>
25.11-26.05 AdminComment     AdminComment=@
18.08-25.05 SystemComment    SystemComment=@<space>
25.11-26.05 SystemComment    SystemComment=@
15.08-25.05 Comment          Comment=@<space>
25.11-26.05 Comment          Comment=@
23.02-25.05 Extra            Extra=@<space>
25.11-26.05 Extra            Extra=@
15.08-26.05 batch            StdErr=@
15.08-26.05 batch            StdIn=@
15.08-26.05 batch            StdOut=@
15.08-26.05 BurstBuffer      BurstBuffer=@
16.05-23.11 =                Power=
24.11-26.05 OOMKillStep      OOMKillStep=@
18.08-26.05 TresBind         TresBind=@
18.08-26.05 TresPerJob       TresPerJob=@
18.08-26.05 TresPerNode      TresPerNode=@
20.02-26.05 MailUser         MailUser=@ MailType=END
20.11       =                NtasksPerTRES:0
21.08-25.11 Container        Container=@ ?ContainerID=@
26.05       Container        ContainerType=oci Container=@ ContainerID=@
21.08-26.05 SELinuxContext   SELinuxContext=@
"""

_DEFAULTS = {
    "JobName": "train",
    "MCS_label": "N/A",
    "Account": "def-pomme",
    "AllocNode:Sid": "login:1",
    "Network": "(null)",
    "Command": "/home/run.sh",
    "SubmitLine": "sbatch run.sh",
    "WorkDir": "/home",
    "ContainerID": "(null)",
    "StdErr": "/home/err",
    "StdIn": "/dev/null",
    "StdOut": "/home/out",
}
_TIME = "2026-11-23T20:13:41+0000"
_TEXT = re.compile(r"(?P<optional> \?)?(?P<key>[A-Za-z/_:]+)=@")


@dataclass(frozen=True)
class Job:
    """A job as Slurm knows it."""

    id: str
    user: str
    release: str
    texts: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What the user wrote, by Slurm's keys; texts that every job has may be left out."""
    batch: bool = True
    group: str = ""
    """The id of the array that the job is a task of; empty for none."""

    @property
    def uid(self) -> str:
        """The uid of the job's owner."""
        return UIDS.get(self.user, self.user)


@cache
def _lines(release: str) -> tuple[tuple[str, str], ...]:
    """When each line of *release* is printed, and the line."""
    found = []
    for row in _ROWS.strip().splitlines():
        span, when, line = row.split(maxsplit=2)
        first, _, last = span.partition("-")
        if first <= release <= (last or first):
            found.append((when, line))
    return tuple(found)


@cache
def text_keys(release: str) -> tuple[str, ...]:
    """Return the keys of *release* that hold a user's text, in the order of printing."""
    keys = [match["key"] for _, line in _lines(release) for match in _TEXT.finditer(line)]
    return tuple(key for key in keys if key != "OOMKillStep")


def printed(job: Job, seal: str = "", *, until: str = "", after: str = "") -> str:
    """Return the record of *job* as scontrol prints it, with *seal* behind every time.

    With *until*, a key of a text, the record up to the text; with *after*, the record behind it.
    """
    lines = []
    for when, line in _lines(job.release):
        if when == "=" or (job.batch if when == "batch" else when in job.texts):
            lines.append(_filled(job, line, seal, until or after))
    end = "\n\n" if job.release <= "20.11" or job.release >= "25.11" else "\n   \n\n"
    whole = "\n   ".join(lines) + end
    if until or after:
        head, _, tail = whole.partition("\0")
        return head if until else tail[tail.index("\0") + 1 :]
    return whole


def _filled(job: Job, line: str, seal: str, marked: str) -> str:
    if "=<" not in line and "@" not in line:
        return line

    def text(match: re.Match[str]) -> str:
        key = match["key"]
        if match["optional"] and key not in job.texts:
            return ""
        value = job.texts.get(key, _DEFAULTS.get(key, "x"))
        if key == marked:
            value = f"\0{value}\0"
        return f"{' ' if match['optional'] else ''}{key}={value}"

    values = {
        "id": job.id,
        "array": f" ArrayJobId={job.group} ArrayTaskId={job.id[-1]}" if job.group else "",
        "user": job.user,
        "uid": job.uid,
        "batch": str(int(job.batch)),
        "time": _TIME + seal,
        "space": " ",
    }
    # Slurm's own words first: a text may hold anything.
    line = re.sub("<([a-z]+)>", lambda match: values[match[1]], line)
    return _TEXT.sub(text, line)
