"""Named forgeries: what a user can write into a job so that the job reads like somebody else's.

Each attack is a whole output of scontrol, in both forms, in which alice's job 19 carries the
forgery.  bob's job 20 is real, and so is carol's job 21; there is no job 77.

`tests.ingest.reading.placements` makes all other forgeries, by number.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ingest.reading.reader import Reader
from ingest.reading.records import Answer, Record, SetAside, Unchanged
from ingest.slurm.keys import JOB
from tests.support.reading import CLUSTER, SEAL

CARRIER, VICTIM, OTHER, NOBODYS = "19", "20", "21", "77"
LISTED = {CARRIER: "1001", VICTIM: "1002", OTHER: "1003"}
"""What squeue says: the uid of every job by id."""

_LINES = """\
JobId={id} JobName={name}
   UserId={owner} GroupId={owner} MCS_label={label}
   Priority=10 Nice=0 Account=def-pomme QOS=normal
   JobState={state} Reason=None Dependency=(null)
   Requeue=1 Restarts=0 BatchFlag=1 Reboot=0 ExitCode=0:0
   RunTime=00:10:00 TimeLimit=03:00:00 TimeMin=N/A
   SubmitTime={time} EligibleTime={time}
   StartTime={time} EndTime={time} Deadline=N/A
   Partition=main AllocNode:Sid=login:1
   ReqNodeList=(null) ExcNodeList=(null)
   NodeList=cn-a001
   NumNodes=1 NumCPUs=1 NumTasks=1 CPUs/Task=1 ReqB:S:C:T=0:0:*:*
   TRES=cpu=1,mem=1000M,node=1,billing=1
   MinCPUsNode=1 MinMemoryNode=0 MinTmpDiskNode=0
   Features=(null) DelayBoot=00:00:00
   OverSubscribe=OK Contiguous=0 Licenses=(null) Network={network}
   Command={command}
   WorkDir={work_dir}
   Comment={comment}
   StdErr=/home/err
   StdIn=/dev/null
   StdOut={stdout}
   Power={end}"""
_END = "\n   \n\n"
_TIME = "2026-11-23T20:13:41+0000"
_TEXTS = {
    "name": "train",
    "label": "N/A",
    "network": "(null)",
    "command": "/home/run.sh",
    "work_dir": "/home",
    "comment": "hello",
    "stdout": "/home/out",
}


def job(
    job_id: str,
    owner: str,
    *,
    sealed: bool,
    state: str = "RUNNING",
    seal: str = SEAL,
    **texts: str,
) -> str:
    """A whole record as scontrol prints it; *texts* are the values that its owner chose."""
    values = {**_TEXTS, "end": _END, **texts}
    time = _TIME + (seal if sealed else "")
    return _LINES.format(id=job_id, owner=owner, state=state, time=time, **values)


@dataclass(frozen=True)
class Attack:
    """A forgery in one of the carrier's texts."""

    name: str
    field: str
    """The text that carries it: a keyword of `job`."""
    text: str


def forged_record(job_id: str, *, tail_from: str) -> str:
    """bob's record as alice would write it, cut where the true end of her own record follows."""
    record = job(job_id, "bob(1002)", sealed=False, state="COMPLETED", end="")
    return record[: record.index(f"\n   {tail_from}=")]


def attacks() -> Iterator[Attack]:
    """From crude to seamless."""
    own_end = "\n   StdErr=/e\n   StdIn=/dev/null\n   StdOut=/o\n   Power=" + _END
    head = "\n   UserId=bob(1002) GroupId=bob(1002) MCS_label=N/A"
    whole_77 = forged_record(NOBODYS, tail_from="StdErr")
    whole_20 = forged_record(VICTIM, tail_from="StdErr")
    behind_command = "\n   WorkDir=/home\n   Comment=x" + own_end
    in_command_77 = forged_record(NOBODYS, tail_from="WorkDir")
    in_command_20 = forged_record(VICTIM, tail_from="WorkDir")
    yield Attack("a key inside a line", "comment", "x JobState=FAILED UserId=bob(1002)")
    yield Attack("a line", "comment", "x\nJobState=FAILED")
    yield Attack("a line that looks like Slurm's", "comment", "x\n   JobState=FAILED Reason=x")
    yield Attack("a new key", "comment", "x\n   FutureKey=1")
    yield Attack("a new key behind (null)", "comment", "(null)\n   FutureKey=1")
    yield Attack(
        "a known key that is not always there", "stdout", "/o\n   MailUser=bob MailType=END"
    )
    yield Attack("the first line of a record", "comment", f"x\n\nJobId={NOBODYS} JobName=evil")
    yield Attack("a second owner (name)", "name", "x" + head)
    yield Attack("a second owner and more keys (name)", "name", f"x{head}\n   Priority=1 WCKey=x")
    yield Attack("another id and owner (label)", "label", f"\n\nJobId={NOBODYS} JobName=x{head}")
    yield Attack(
        "another id and owner (label), of job 20", "label", f"\n\nJobId={VICTIM} JobName=x{head}"
    )
    yield Attack("another id and owner (name)", "name", f"x\n\nJobId={NOBODYS} JobName=x{head}")
    yield Attack("another id (name)", "name", f"x\n\nJobId={NOBODYS} JobName=y")
    yield Attack("the id of job 20 (name)", "name", f"x\n\nJobId={VICTIM} JobName=y")
    yield Attack("a second owner (comment)", "comment", "x" + head)
    yield Attack("a second end of alice's record", "comment", "x" + own_end.rstrip())
    yield Attack("a record, but no end of alice's before it", "comment", f"x\n\n{whole_77}")
    yield Attack("a record of job 20, but no end before it", "comment", f"x\n\n{whole_20}")
    yield Attack("a seamless record", "comment", f"x{own_end}{whole_77}")
    yield Attack("a seamless record of job 20", "comment", f"x{own_end}{whole_20}")
    yield Attack("a seamless record (argument)", "command", f"/r 1{behind_command}{in_command_77}")
    yield Attack(
        "a seamless record of job 20 (argument)", "command", f"/r 1{behind_command}{in_command_20}"
    )
    yield Attack("a seamless record (network)", "network", _by_network(NOBODYS))
    yield Attack("two seamless records", "comment", f"x{own_end}{whole_77}{own_end}{whole_20}")
    yield Attack("alice's own id again", "name", f"x\n\nJobId={CARRIER} JobName=y")
    late = "\n   OOMKillStep=7\n   MailUser=evil MailType=ALL"
    yield Attack(
        "keys for the record before, then alice's own id",
        "name",
        f"x{late}\n\nJobId={CARRIER} JobName=y",
    )
    yield Attack("an end, then alice's own id", "comment", f"x{own_end}JobId={CARRIER} JobName=y")
    yield Attack("an end, then job 21's id", "comment", f"x{own_end}JobId={OTHER} JobName=y")
    yield Attack("a thousand first lines", "command", "/r" + f"\n\nJobId={VICTIM} JobName=y" * 1000)


def _by_network(job_id: str) -> str:
    own = "(null)\n   Command=/r\n   WorkDir=/h\n   StdErr=/e\n   StdIn=/n\n   StdOut=/o"
    return f"{own}\n   Power={_END}{forged_record(job_id, tail_from='Command')}"


def records_of(attack: Attack, *, seal: str) -> dict[str, str]:
    """The records of the three jobs by id; an empty *seal* is none.

    bob's record ends with a text, so that what stands behind could be a part of the text.
    """
    sealed, end = bool(seal), f"\n   TresPerNode=gres:gpu:1{_END}"
    carried = {attack.field: attack.text}
    return {
        CARRIER: job(CARRIER, "alice(1001)", sealed=sealed, seal=seal, **carried),
        VICTIM: job(VICTIM, "bob(1002)", sealed=sealed, seal=seal, end=end),
        OTHER: job(OTHER, "carol(1003)", sealed=sealed, seal=seal),
    }


def output(attack: Attack, *, sealed: bool, one_line: bool, place: int = 0) -> bytes:
    """scontrol's output with the carrier, in this *place* of three, and the true victim in it."""
    records = records_of(attack, seal=SEAL if sealed else "")
    carrier = records.pop(CARRIER)
    parts = list(records.values())
    parts.insert(place, carrier)
    if one_line:
        parts = [_one_line(attack.text if each is carrier else "", each) for each in parts]
    return "".join(parts).encode()


def _one_line(text: str, record: str) -> str:
    """*record* in ``-o`` form: Slurm's own line ends become spaces, those of *text* stay."""
    mark = "\0"
    body = record.removesuffix(_END)
    hidden = body.replace(text, mark, 1) if text else body
    return hidden.replace("\n   ", " ").replace(mark, text) + " \n"


class Cluster:
    """Answers what `ingest.reading.records.Inquiry` asks about the jobs of an attack."""

    def __init__(self, attack: Attack, listed: Mapping[str, str] | None = None) -> None:
        self._attack = attack
        self._listed = LISTED if listed is None else listed
        self.asked: list[str] = []
        """The ids that were asked for alone."""

    def owners(self) -> Mapping[str, str]:
        """Return the uid of every job by id."""
        return self._listed

    def show(self, job_id: str) -> Answer | None:
        """Return what scontrol prints of one job."""
        self.asked.append(job_id)
        seal = f"Alone{len(self.asked):02}"
        return Answer([records_of(self._attack, seal=seal)[job_id].encode()], seal)


_READ_AS = {
    "name": "JobName",
    "label": "MCS_label",
    "network": "Network",
    "command": "Command",
    "work_dir": "WorkDir",
    "comment": "Comment",
    "stdout": "StdOut",
}
RIGHT, OWN_ASIDE, ASIDE = "read right", "own job quarantined", "quarantined"
OWN_MISREAD, FOOLED = "own job misread", "**fooled**"


def outcome(attack: Attack, found: Sequence[Record | SetAside | Unchanged]) -> str:
    """What a reader made of *attack*, the worst of it first."""
    read = {item.id: item for item in found if isinstance(item, Record)}
    for job_id, record in read.items():
        if LISTED.get(job_id) != record.slurm["uid"]:
            return FOOLED
        if job_id != CARRIER and not _is_as_alone(attack, record):
            return FOOLED
    if CARRIER in read:
        values = {pair.key: pair.value.rstrip(" ") for pair in read[CARRIER].raw.pairs}
        truth = {**_TEXTS, attack.field: attack.text.rstrip(" ")}
        if {name: values.get(key) for name, key in _READ_AS.items()} != truth:
            return OWN_MISREAD
    if read.keys() == LISTED.keys():
        return RIGHT
    return OWN_ASIDE if {VICTIM, OTHER} <= read.keys() else ASIDE


def _is_as_alone(attack: Attack, record: Record) -> bool:
    """Whether a victim's *record* says what it says when no other job is there."""
    alone = records_of(attack, seal=SEAL)[record.id]
    (truth,) = Reader(JOB, CLUSTER).read([alone.encode()], seal=SEAL)
    return isinstance(truth, Record) and record.slurm == truth.slurm | {
        name: record.slurm.get(name) for name in _TIMES
    }


_TIMES = ("submit_time", "eligible_time", "start_time", "end_time")
"""Without a seal, times lack the offset from UTC."""
