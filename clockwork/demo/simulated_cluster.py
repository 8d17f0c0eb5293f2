"""A cluster that exists only in captured dumps: their times are moved to today, and jobs live on.

Every job of the dump walks through pending, running and finished and then leaves slurmctld's
memory, to come back as a new job, so that a dashboard has something to show.  The first job of a
dump, and whole arrays, stay as they are.
"""

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

from clockwork.demo.ssh_server import Answer
from ingest.documents.fingerprints import FINISHED_STATES
from ingest.reading.parsing import RawPairs
from ingest.reading.reader import Reader
from ingest.reading.records import Record
from ingest.slurm.convert import AnyCluster
from ingest.slurm.keys import JOB, NODE, KeyTable
from ingest.slurm.values import duration
from scraper.commands.slurm_commands import list_command

PENDING_SECONDS = 45
RUNNING_SECONDS = 240
FINISHED_SECONDS = 90
_LIFE = PENDING_SECONDS + RUNNING_SECONDS + FINISHED_SECONDS
_NEW_IDS = 1000
"""Between the id of a job and that of the one that comes after it."""

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
_COMMAND = re.compile(
    r"env SLURM_TIME_FORMAT=(?P<format>\S+) scontrol -a show "
    r"(?P<kind>job(?: (?P<id>\d+))?|node|config|partition|reservation)"
)
_OWNER = re.compile(r"^JobId=(\d+) [^\n]*\n +UserId=[^\n]*?\((\d+)\)")
_OWN_IDS = ("JobId", "ArrayJobId", "HetJobId")
"""The keys by which ``show job ID`` finds a record."""


class SimulatedCluster:
    """Answers scontrol's commands from the dumps in *folder* (``jobs_*.txt``, ``nodes_*.txt``).

    Times are printed in *zone*, in the format that the command asks for.
    """

    def __init__(
        self,
        folder: Path,
        zone: ZoneInfo,
        clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self._zone = zone
        self._clock = clock
        self._started = clock().replace(microsecond=0)
        self._jobs = _load(folder, "jobs_*.txt", JOB)
        self._nodes = _load(folder, "nodes_*.txt", NODE)
        self._shift = self._started.astimezone(zone).replace(tzinfo=None) - max(
            datetime.fromisoformat(text)
            for raw in self._jobs
            for pair in raw.pairs
            if pair.key in {"SubmitTime", "LastSchedEval"}
            for text in _TIME.findall(pair.value)
        )

    def answer(self, command: str) -> Answer:
        """What the login host prints for *command*; exit status 126 for any other command."""
        if command == list_command("scontrol"):
            return Answer(stdout=self._list_jobs())
        match = _COMMAND.fullmatch(command)
        if match is None:
            refusal = f"simulated login host: refused: {shlex.quote(command)}\n"
            return Answer(stderr=refusal.encode(), exit_status=126)
        if match["id"]:
            return self._answer_one(match["id"], match["format"])
        prints = {
            "job": self._print_jobs,
            "node": self._print_nodes,
            "config": self._print_config,
            "partition": self._print_partitions,
            "reservation": self._print_reservations,
        }
        records = prints[match["kind"]]()
        return Answer(stdout=self._in_format(records, match["format"]))

    def _answer_one(self, job_id: str, time_format: str) -> Answer:
        own = {f"{key}={job_id}" for key in _OWN_IDS}
        records = [
            text
            for text in self._print_jobs()
            if not own.isdisjoint(text.partition(" JobName=")[0].split())
        ]
        if not records:
            return Answer(
                stderr=b"slurm_load_jobs error: Invalid job id specified\n", exit_status=1
            )
        return Answer(stdout=self._in_format(iter(records), time_format))

    def _list_jobs(self) -> Iterator[bytes]:
        for text in self._print_jobs():
            job_id, uid = _OWNER.findall(text)[0]
            yield f"{job_id}:{uid}\n".encode()

    def _in_format(self, records: Iterator[str], time_format: str) -> Iterator[bytes]:
        def formatted(found: re.Match[str]) -> str:
            local = datetime.fromisoformat(found[0]).replace(tzinfo=self._zone)
            return local.strftime(time_format)

        for record in records:
            yield _TIME.sub(formatted, record).encode("utf-8", "surrogateescape")

    def _print_config(self) -> Iterator[str]:
        yield (
            f"Configuration data as of {self._local(self._clock())}\n"
            f"BOOT_TIME               = {self._local(self._started)}\n"
            f"MinJobAge               = {FINISHED_SECONDS} sec\n"
            "PrivateData             = none\n"
        )

    def _print_partitions(self) -> Iterator[str]:
        """The partitions that the nodes and the jobs of the dumps name."""
        nodes: dict[str, list[str]] = {}
        for raw in self._nodes:
            values = {pair.key: pair.value.strip() for pair in raw.pairs}
            for name in values.get("Partitions", "").split(","):
                nodes.setdefault(name, []).append(values["NodeName"])
        for raw in self._jobs:
            for name in next(pair.value for pair in raw.pairs if pair.key == "Partition").split(
                ","
            ):
                nodes.setdefault(name, [])
        for name in sorted(filter(None, nodes)):
            yield (
                f"PartitionName={name}\n"
                "   AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL\n"
                "   MaxNodes=UNLIMITED MaxTime=7-00:00:00 MinNodes=0\n"
                f"   Nodes={','.join(nodes[name]) or '(null)'}\n"
                f"   State=UP TotalNodes={len(nodes[name])}\n\n"
            )

    def _print_reservations(self) -> Iterator[str]:
        begin = self._started + timedelta(hours=20)
        yield (
            f"ReservationName=maintenance StartTime={self._local(begin)} "
            f"EndTime={self._local(begin + timedelta(hours=4))} Duration=04:00:00\n"
            f"   Nodes={self._nodes[0].pairs[0].value} NodeCnt=1 Flags=MAINT,SPEC_NODES\n"
            "   Users=root State=INACTIVE\n\n"
        )

    # --- records with today's times -------------------------------------------------------------

    def _print_nodes(self) -> Iterator[str]:
        for raw in self._nodes:
            yield self._moved(raw.text())

    def _moved(self, text: str) -> str:
        return _TIME.sub(
            lambda found: (datetime.fromisoformat(found[0]) + self._shift).isoformat(), text
        )

    def _print_jobs(self) -> Iterator[str]:
        now = self._clock()
        for number, raw in enumerate(self._jobs):
            values = {pair.key: pair.value for pair in raw.pairs}
            if number == 0 or "ArrayTaskThrottle" in values:
                changes = self._clock_moves_on(values, now)
            else:
                changes = self._life(number, values, now)
            yield self._changed(raw, changes)

    def _changed(self, raw: RawPairs, changes: dict[str, str]) -> str:
        pairs = tuple(
            pair._replace(value=changes.get(pair.key, self._moved(pair.value)))
            for pair in raw.pairs
            if not (pair.key == "BatchHost" and changes.get("JobState") == "PENDING")
        )
        return RawPairs(pairs, raw.end).text()

    def _local(self, moment: datetime) -> str:
        return moment.astimezone(self._zone).replace(tzinfo=None, microsecond=0).isoformat()

    def _clock_moves_on(self, values: dict[str, str], now: datetime) -> dict[str, str]:
        if values["JobState"] != "RUNNING":
            return {}
        started = datetime.fromisoformat(self._moved(values["StartTime"]))
        local = now.astimezone(self._zone).replace(tzinfo=None)
        return {"RunTime": _hours((local - started).total_seconds())}

    def _life(self, number: int, values: dict[str, str], now: datetime) -> dict[str, str]:
        """What is different from the dump: where in its life the job is *now*."""
        stage = _stage(values["JobState"], number, (now - self._started).total_seconds())
        begun = now - timedelta(seconds=stage.seconds)
        first = stage.generation == 0
        changes = {
            "JobId": str(int(values["JobId"]) + _NEW_IDS * stage.generation),
            "JobState": stage.state,
            "Reason": "Priority" if stage.state == "PENDING" else "None",
        }
        if not first:
            submitted = self._local(begun)
            changes |= dict.fromkeys(("SubmitTime", "EligibleTime", "AccrueTime"), submitted)
        if stage.state == "PENDING":
            unset = {"StartTime": "Unknown", "EndTime": "Unknown", "NodeList": "(null)"}
            return changes | unset | {"RunTime": "00:00:00", "ExitCode": "0:0"}
        if first and values["JobState"] != "PENDING":
            moved = datetime.fromisoformat(self._moved(values["StartTime"]))
            started = moved.replace(tzinfo=self._zone)
        else:
            started = begun + timedelta(seconds=PENDING_SECONDS)
        if stage.state == "RUNNING":
            limit = duration(values["TimeLimit"]) or 0
            end, run_until = started + timedelta(seconds=limit), now
        else:
            end = run_until = begun + timedelta(seconds=PENDING_SECONDS + RUNNING_SECONDS)
        return changes | {
            "StartTime": self._local(started),
            "EndTime": self._local(end),
            "RunTime": _hours((run_until - started).total_seconds()),
            "NodeList": self._place(number, values),
            "ExitCode": values["ExitCode"] if stage.state not in {"RUNNING"} else "0:0",
        }

    def _place(self, number: int, values: dict[str, str]) -> str:
        """Where a job runs: where it ran in the dump, else on one of the cluster's nodes."""
        if "BatchHost" in values:
            return values["NodeList"]
        return self._nodes[number % len(self._nodes)].pairs[0].value


@dataclass(frozen=True)
class _Stage:
    generation: int
    """How many jobs went before in this job's place."""
    seconds: float
    """Since this job was submitted, in a life of its own."""
    state: str


def _stage(dump_state: str, number: int, elapsed: float) -> _Stage:
    if dump_state == "PENDING":
        offset = number * 13 % PENDING_SECONDS
    elif dump_state in FINISHED_STATES:
        offset = PENDING_SECONDS + RUNNING_SECONDS + number * 7 % FINISHED_SECONDS
    else:
        offset = PENDING_SECONDS + number * 29 % RUNNING_SECONDS
    generation, seconds = divmod(offset + elapsed, _LIFE)
    if seconds < PENDING_SECONDS:
        state = "PENDING"
    elif seconds < PENDING_SECONDS + RUNNING_SECONDS:
        state = "RUNNING"
    else:
        state = dump_state if dump_state in FINISHED_STATES else "COMPLETED"
    return _Stage(int(generation), seconds, state)


def _hours(seconds: float) -> str:
    days, rest = divmod(max(0, int(seconds)), 86400)
    clock = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days}-{clock}" if days else clock


def _load(folder: Path, pattern: str, table: KeyTable) -> list[RawPairs]:
    records = []
    for path in sorted(folder.glob(pattern)):
        for record in Reader(table, AnyCluster()).read([path.read_bytes()]):
            assert isinstance(record, Record), f"{path}: {record}"  # noqa: S101 - our own dumps
            records.append(record.raw)
    return records
