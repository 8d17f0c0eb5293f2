"""Make dumps of any size, as `scontrol show job` and `scontrol show node` would print them.

Records have the layout of a captured dump (`bench.layouts`) and values of their own: a mix of
states, users, names, comments, arrays and resources as a busy cluster has it.  The same `Dump`
gives the same bytes, today and elsewhere; its next rounds show what moved since the first.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from itertools import islice

from bench.layouts import CAPTURED, Layout, read_layout

JOB_LAYOUT = CAPTURED / "real_22.05" / "jobs_states.txt"
NODE_LAYOUT = CAPTURED / "real_22.05" / "nodes_states.txt"

FIRST_ROUND = datetime(2026, 11, 24, 12, tzinfo=timezone(timedelta(hours=-5)))
"""When the first round's outputs were printed, on a cluster in Montreal."""
INTERVAL = timedelta(seconds=60)
"""Between two rounds."""

USERS = 300
FIRST_JOB_ID = 4_000_000

_SCATTER = 7919
"""A prime: n times it, modulo the number of jobs, puts neighbours far apart."""
_FINISHED_SHARE = 0.1
_CHUNK_RECORDS = 60
"""Records a chunk, about as much as SSH gives at once."""

_NAMES = (
    *("train", "imagenet", "preprocess", "eval", "bert_large_finetune", "sweep-lr-0.003"),
    *("jupyter", "interactive", "bash", "wrap", "nf-ALIGN_READS_(sample_12)", "run_042.sh"),
    *("sweep lr=0.1 wd=1e-4", "my job", "résumé des données", "JobState=FAILED?", "a=b c=d"),
)
_COMMENTS = ("weekly run k=v", "for the paper", "lr=0.1 seed=3", "relance après panne")
_PARTITIONS = (
    *(("main", 0.3), ("long", 0.3), ("unkillable", 0.05), ("short-unkillable", 0.05)),
    *(("cpu_jobs", 0.2), ("gpu_jobs", 0.1)),
)
_HOURS = (1, 3, 12, 24, 24, 72, 168)
_ENDS = (
    *(("COMPLETED", "None", "0:0"), ("COMPLETED", "None", "0:0"), ("COMPLETED", "None", "0:0")),
    *(("FAILED", "NonZeroExitCode", "1:0"), ("CANCELLED", "None", "0:15")),
    *(("TIMEOUT", "TimeLimit", "0:15"), ("OUT_OF_MEMORY", "OutOfMemory", "0:125")),
)
_WAITS = ("Priority", "Priority", "Resources", "QOSMaxJobsPerUserLimit", "Dependency", "BeginTime")

_JOB_PLACES = frozenset(
    {
        *("JobId", "JobName", "UserId", "GroupId", "Priority", "Account", "QOS", "JobState"),
        *("Reason", "Dependency", "ExitCode", "RunTime", "TimeLimit", "SubmitTime"),
        *("EligibleTime", "AccrueTime", "StartTime", "EndTime", "LastSchedEval", "Partition"),
        *("NodeList", "BatchHost", "NumCPUs", "CPUs/Task", "TRES", "ReqTRES", "AllocTRES"),
        *("MinCPUsNode", "MinMemoryNode", "Reservation", "Command", "SubmitLine", "WorkDir"),
        *("Comment", "StdErr", "StdOut", "TresPerNode"),
    }
)
_JOB_LINES_LEFT_OUT = frozenset({"HetJobIdSet", "CpusPerTres", "TresPerJob", "MailUser"})
_NODE_PLACES = frozenset(
    {
        *("NodeName", "CPUAlloc", "CPULoad", "AvailableFeatures", "ActiveFeatures", "Gres"),
        *("NodeAddr", "NodeHostName", "AllocMem", "FreeMem", "State", "BootTime"),
        *("SlurmdStartTime", "LastBusyTime", "CfgTRES", "AllocTRES", "Reason"),
    }
)
_NODE_LINES_LEFT_OUT = frozenset({"Comment", "Extra", "GresDrain", "GresUsed"})


@dataclass(frozen=True)
class Dump:
    """The size, the content and the round of a dump."""

    jobs: int
    nodes: int = 500
    seed: int = 0
    """Another seed is another cluster."""
    seal: str = ""
    """What SLURM_TIME_FORMAT puts behind every time; without one, times have no offset either."""
    round: int = 0
    percent: float = 2.0
    """How many of the records are in another state in each next round, in percent of all."""
    moving: bool = True
    """Whether run times, priorities and loads move from round to round."""

    @property
    def changes(self) -> int:
        """The number of jobs whose state changes in each round."""
        return round(self.jobs * self.percent / 100)

    def at(self, number: int, seal: str | None = None) -> "Dump":
        """Return the dump of the same cluster in round *number*, with *seal* if it is given."""
        return replace(self, round=number, seal=self.seal if seal is None else seal)

    @property
    def now(self) -> datetime:
        """When the dump was printed."""
        return FIRST_ROUND + (self.round * INTERVAL if self.moving else timedelta())


def job_dump(dump: Dump) -> Iterator[bytes]:
    """Yield what ``scontrol show job`` prints, in chunks of about 64 KiB."""
    layout = read_layout(JOB_LAYOUT, _JOB_PLACES)
    return _chunks(_job(dump, number, layout) for number in range(dump.jobs))


def node_dump(dump: Dump) -> Iterator[bytes]:
    """Yield what ``scontrol show node`` prints, in chunks of about 64 KiB."""
    layout = read_layout(NODE_LAYOUT, _NODE_PLACES)
    return _chunks(_node(dump, number, layout) for number in range(dump.nodes))


def _chunks(records: Iterator[str]) -> Iterator[bytes]:
    while chunk := "".join(islice(records, _CHUNK_RECORDS)):
        yield chunk.encode()


def _job(dump: Dump, number: int, layout: Layout) -> str:
    dice = random.Random(dump.seed << 32 | number)  # noqa: S311 - no secret
    place = number * _SCATTER % dump.jobs
    # Neighbours in place change together, each job once; the finished ones stand at the end.
    steps = int(place < dump.round * dump.changes)
    finished = place >= dump.jobs * (1 - _FINISHED_SHARE)
    runs = dice.random() < 0.4
    phase = 2 if finished else int(runs) + steps
    left_out = set(_JOB_LINES_LEFT_OUT)
    values = _what_was_asked(dice, number, left_out)
    values |= _where_it_is(dump, dice, phase, values)
    if phase == 0:
        left_out.add("BatchHost")
    return layout.record(values, left_out)


def _what_was_asked(dice: random.Random, number: int, left_out: set[str]) -> dict[str, str]:
    """What stays through a job's life; lines that it lacks are added to *left_out*."""
    job_id = str(FIRST_JOB_ID + number)
    uid = int(USERS * dice.random() ** 2)  # some have many jobs
    user = f"user{uid:03}"
    (partition,) = dice.choices([name for name, _ in _PARTITIONS], [w for _, w in _PARTITIONS])
    cpus, gpus = dice.choice((1, 2, 4, 8, 16)), dice.choice((0, 0, 1, 1, 2, 4))
    folder = f"/home/mila/{user[0]}/{user}/projects/p{dice.randrange(20)}"
    script = f"{folder}/scripts/job_{dice.randrange(100)}.sh"
    arguments = f" --lr={dice.choice(('0.1', '0.003'))} --name=run {number}" if gpus else ""
    tres = f"cpu={cpus},mem={4 * cpus}G,node=1,billing={cpus}" + (f",gres/gpu={gpus}" * (gpus > 0))
    absent = {"Comment": 0.85, "Reservation": 0.97, "TresPerNode": 0.0 if gpus else 1.0}
    left_out |= {key for key, share in absent.items() if dice.random() < share}
    array = f" ArrayJobId={FIRST_JOB_ID + number - 7} ArrayTaskId={number % 100}"
    return {
        "JobId": job_id + array * (dice.random() < 0.25),
        "JobName": dice.choice(_NAMES),
        "UserId": f"{user}({10_000 + uid})",
        "GroupId": f"{user}({10_000 + uid})",
        "Account": "mila" if uid % 3 else "def-pomme-rrg",
        "QOS": "normal",
        "Partition": partition,
        "TimeLimit": _duration(3600 * dice.choice(_HOURS)),
        "NumCPUs": str(cpus),
        "CPUs/Task": str(cpus),
        "MinCPUsNode": str(cpus),
        "MinMemoryNode": f"{4 * cpus}G",
        "TRES": tres,
        "ReqTRES": tres,
        "TresPerNode": f"gres:gpu:{gpus}",
        "Reservation": "transtech",
        "Command": script + arguments,
        "SubmitLine": f"sbatch {script}{arguments}",
        "WorkDir": folder,
        "Comment": dice.choice(_COMMENTS) + " ",
        "StdErr": f"{folder}/logs/slurm-{job_id}.err",
        "StdOut": f"{folder}/logs/slurm-{job_id}.out",
    }


def _where_it_is(
    dump: Dump, dice: random.Random, phase: int, asked: dict[str, str]
) -> dict[str, str]:
    """What a job's life changes: it waits (phase 0), runs (1), or is over (2)."""
    submitted = FIRST_ROUND - timedelta(seconds=dice.randrange(86_400, 172_800))
    started = submitted + timedelta(seconds=dice.randrange(60, 86_000))
    limit = timedelta(days=7)
    node = f"cn-{dice.choice('abcdg')}{dice.randrange(1, 60):03}"
    waits, (state, why, code) = dice.choice(_WAITS), dice.choice(_ENDS)
    priority, evaluated = dice.randrange(10_000, 200_000), submitted
    start, end, run = "Unknown", "Unknown", timedelta()
    if phase == 0:
        state, why, code, node = "PENDING", waits, "0:0", ""
        priority, evaluated = priority + 3 * _minutes(dump), dump.now
    else:
        ended = dump.now
        if phase == 1:
            state, why, code = "RUNNING", "None", "0:0"
        else:
            ended = started + timedelta(seconds=dice.randrange(60, 3600))
        run = ended - started
        start = _time(started, dump)
        end = _time(started + limit if phase == 1 else ended, dump)
    submit = _time(submitted, dump)
    return {
        "JobState": state,
        "Reason": why,
        "Dependency": "(null)",
        "ExitCode": code,
        "Priority": str(priority),
        "RunTime": _duration(int(run.total_seconds())),
        "SubmitTime": submit,
        "EligibleTime": submit,
        "AccrueTime": submit,
        "StartTime": start,
        "EndTime": end,
        "LastSchedEval": _time(evaluated, dump),
        "NodeList": node,
        "BatchHost": node,
        "AllocTRES": asked["TRES"] if phase else "(null)",
    }


def _node(dump: Dump, number: int, layout: Layout) -> str:
    dice = random.Random(dump.seed << 32 | 1 << 31 | number)  # noqa: S311 - no secret
    name = f"cn-{'abcdg'[number % 5]}{number // 5 + 1:03}"
    state = dice.choice(("MIXED", "MIXED", "ALLOCATED", "ALLOCATED", "IDLE", "DOWN+DRAIN"))
    cpus = 0 if state in {"IDLE", "DOWN+DRAIN"} else dice.randrange(1, 33)
    booted = _time(FIRST_ROUND - timedelta(days=dice.randrange(2, 90)), dump)
    model = dice.choice(("rtx8000", "a100", "v100"))
    free = dice.randrange(20_000, 100_000) + 16 * _minutes(dump)
    left_out = _NODE_LINES_LEFT_OUT | ({"Reason"} if state != "DOWN+DRAIN" else set())
    values = {
        "NodeName": name,
        "NodeAddr": name,
        "NodeHostName": name,
        "CPUAlloc": str(cpus),
        "CPULoad": f"{cpus * 0.97 + _minutes(dump) % 7 / 100:.2f}",
        "AvailableFeatures": f"x86_64,{model}",
        "ActiveFeatures": f"x86_64,{model}",
        "Gres": f"gpu:{model}:4(S:0-1)",
        "AllocMem": str(4000 * cpus),
        "FreeMem": str(free),
        "State": state,
        "BootTime": booted,
        "SlurmdStartTime": booted,
        "LastBusyTime": _time(dump.now, dump),
        "CfgTRES": "cpu=32,mem=125G,billing=32,gres/gpu=4",
        "AllocTRES": f"cpu={cpus},mem={4000 * cpus}M" if cpus else "",
        "Reason": "bad disk=sda, ticket 4711 [root@2026-11-23T20:13:46]",
    }
    return layout.record(values, left_out)


def _minutes(dump: Dump) -> int:
    return (dump.now - FIRST_ROUND) // timedelta(minutes=1)


def _time(moment: datetime, dump: Dump) -> str:
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}-0500{dump.seal}" if dump.seal else text


def _duration(seconds: int) -> str:
    days, rest = divmod(seconds, 86_400)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days}-{clock}" if days else clock
