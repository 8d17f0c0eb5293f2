"""Try on one cluster all that its rounds will do, and say what works and what does not.

    for finding in try_cluster(cluster):
        print(finding.level, finding.part, finding.text)

A trial writes nothing.  It asks slurmctld for all nodes and all jobs, once each.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal

from config import ClusterSettings
from ingest.programs.sacct import AccountingUnreadable, read_jobs
from ingest.programs.sacct_usage import read_usage
from ingest.programs.sdiag import SdiagUnreadable, read_sdiag
from ingest.reading.reader import NoAnswer, Reader, SealMissing
from ingest.reading.records import Record
from ingest.slurm.kinds import JOBS, NODES, PARTITIONS, RESERVATIONS, Kind
from scraper.cluster_round import OLD_FORCED_COMMAND
from scraper.commands.inquiry import ask_for_list, run_show
from scraper.commands.slurm_commands import (
    accounted_command,
    ended_command,
    new_seal,
    sdiag_command,
    time_format_line,
    usage_command,
)
from scraper.commands.slurm_configuration import SlurmConfiguration
from scraper.ssh.connection import Connection, connect
from scraper.ssh.errors import CommandFailed, NotAnswered, ScrapeError
from scraper.watch.missing_jobs import hidden_jobs
from scraper.watch.partitions import NOT_ALLOWED, ask_all
from scraper.watch.slurm_watch import ask_configuration, why_ends_are_missed

_ALLOCATED = re.compile(rb"^ *CPUAlloc=([0-9]+)", re.MULTILINE)
_ENDED_SECONDS = 60
"""sacct is asked for the jobs that ended within so many seconds."""
_TIME = rb"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[+-][0-9]{4})"


@dataclass(frozen=True)
class Finding:
    """How one part of a trial went."""

    part: str
    """What was tried: ``nodes``, ``jobs``, ``sacct`` ..."""
    level: Literal["ok", "warning", "failed"]
    text: str
    """What was found; for a failure, what to do."""


@dataclass(frozen=True)
class _Shown:
    """What ``show node`` or ``show job`` printed."""

    ids: list[str]
    unread: int
    """Records that could not be read."""
    output: bytes
    seal: str
    """Behind every time of *output*; empty where scontrol ignores the time format."""

    def count(self, what: str) -> str:
        unread = f", {self.unread} of them unread" if self.unread else ""
        return f"{len(self.ids) + self.unread} {what}{unread}"


def try_cluster(cluster: ClusterSettings) -> Iterator[Finding]:
    """Try the parts of *cluster*'s rounds one after the other; raises nothing that they can."""
    trial = _Trial(cluster)
    try:
        trial.connection()
    except ScrapeError as error:
        yield Finding("login", "failed", error.message)
        return
    try:
        for part, look in trial.parts():
            try:
                yield from look()
            except ScrapeError as error:
                yield Finding(part, "failed", error.message)
            except (AccountingUnreadable, SdiagUnreadable) as error:
                yield Finding(part, "failed", str(error))
    finally:
        trial.close()


class _Trial:
    """The trial of one cluster. Later parts look at what the earlier ones found."""

    def __init__(self, cluster: ClusterSettings) -> None:
        self._cluster = cluster
        self._connection: Connection | None = None
        self._seal_on_stdin = True
        self._nodes: _Shown | None = None
        self._jobs: _Shown | None = None

    def connection(self) -> Connection:
        """Return the connection, a new one where the last part broke it."""
        if self._connection is None or not self._connection.is_alive():
            self.close()
            self._connection = connect(self._cluster.name, self._cluster.ssh)
        return self._connection

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()

    def parts(self) -> list[tuple[str, Callable[[], Iterator[Finding]]]]:
        """Return the names of the parts in their order, and what each looks at."""
        parts = [
            ("nodes", self._try_nodes),
            ("jobs", self._try_jobs),
            ("time zone", self._try_zone),
            ("Slurm's configuration", self._try_configuration),
            ("partitions", self._try_partitions),
            ("squeue", self._try_squeue),
        ]
        options = [
            (self._cluster.sacct, "sacct", self._try_sacct),
            (self._cluster.usage, "usage", self._try_usage),
            (self._cluster.sdiag, "sdiag", self._try_sdiag),
        ]
        return [*parts, *((part, look) for is_set, part, look in options if is_set)]

    def _try_nodes(self) -> Iterator[Finding]:
        self._nodes = self._show(NODES)
        yield Finding("nodes", "ok", self._nodes.count("nodes"))
        if not self._seal_on_stdin:
            yield Finding("forced command", "warning", OLD_FORCED_COMMAND)

    def _try_jobs(self) -> Iterator[Finding]:
        self._jobs = self._show(JOBS)
        if not self._jobs.ids and not self._jobs.unread and (cpus := self._allocated_cpus()):
            yield Finding("jobs", "failed", hidden_jobs(cpus))
        else:
            yield Finding("jobs", "ok", self._jobs.count("jobs"))

    def _allocated_cpus(self) -> int:
        return sum(map(int, _ALLOCATED.findall(self._nodes.output))) if self._nodes else 0

    def _try_zone(self) -> Iterator[Finding]:
        shown = [each for each in (self._nodes, self._jobs) if each is not None]
        if not all(each.seal for each in shown):
            yield Finding(
                "time zone",
                "warning",
                "scontrol ignores SLURM_TIME_FORMAT: forged records are harder to detect, and the "
                "time zone can't be compared. Remove a wrapper around scontrol, or set "
                "second_list = true",
            )
            return
        times = [
            datetime.strptime(text.decode(), "%Y-%m-%dT%H:%M:%S%z")
            for each in shown
            for text in re.findall(_TIME + each.seal.encode(), each.output)
        ]
        zone = self._cluster.zone
        for time in times:
            expected = time.astimezone(zone)
            if expected.utcoffset() != time.utcoffset():
                yield Finding(
                    "time zone",
                    "failed",
                    f"scontrol prints {time:%Y-%m-%dT%H:%M:%S%z}, which is "
                    f"{expected:%Y-%m-%dT%H:%M:%S%z} in {zone.key}: set timezone to the zone of "
                    "the login host's clock",
                )
                return
        yield Finding("time zone", "ok", f"{zone.key}, in which scontrol prints {len(times)} times")

    def _try_configuration(self) -> Iterator[Finding]:
        part = "Slurm's configuration"
        try:
            configuration = ask_configuration(self.connection(), self._cluster)
        except CommandFailed as error:
            if not error.is_refusal:
                raise
            yield Finding(
                part,
                "warning",
                "the login host does not allow `scontrol show config`: MinJobAge is taken to be "
                "300 s, and PrivateData is not seen. Replace clockwork-forced-command",
            )
            return
        yield from self._judge(part, configuration)

    def _judge(self, part: str, configuration: SlurmConfiguration) -> Iterator[Finding]:
        purge = configuration.purge_seconds
        if missed := why_ends_are_missed(self._cluster.jobs_interval, purge):
            yield Finding(part, "warning", missed)
        else:
            yield Finding(part, "ok", f"finished jobs are shown for {purge:g} s (MinJobAge)")
        hidden = sorted(configuration.private_data & {"jobs", "nodes"})
        if hidden:
            yield Finding(
                "PrivateData",
                "warning",
                f"slurm.conf hides {' and '.join(hidden)} from ordinary users: the login user "
                "needs the level Operator (sacctmgr modify user NAME set adminlevel=operator)",
            )

    def _try_partitions(self) -> Iterator[Finding]:
        try:
            counts = [
                f"{len(ask_all(self.connection(), self._cluster, kind))} {kind.plural}"
                for kind in (PARTITIONS, RESERVATIONS)
            ]
        except CommandFailed as error:
            if not error.is_refusal:
                raise
            yield Finding("partitions", "warning", NOT_ALLOWED)
        else:
            yield Finding("partitions", "ok", ", ".join(counts))

    def _try_squeue(self) -> Iterator[Finding]:
        try:
            listed = ask_for_list(self.connection(), self._cluster.name, self._cluster.scontrol)
        except ScrapeError as error:
            if self._cluster.second_list:
                yield Finding("squeue", "failed", f"second_list is set, and {error.message}")
            else:
                yield Finding("squeue", "warning", f"doubtful records stay unread: {error.message}")
        else:
            yield Finding("squeue", "ok", f"{len(listed)} jobs")

    def _try_sacct(self) -> Iterator[Finding]:
        now = int(datetime.now(timezone.utc).timestamp())
        ended = ended_command(self._cluster.scontrol, now - _ENDED_SECONDS, now)
        for command in (accounted_command(self._cluster.scontrol, self._some_id()), ended):
            output, seal = self._asked(command)
            read_jobs(output, seal, self._cluster.zone)
        yield Finding("sacct", "ok", "it answers")

    def _try_usage(self) -> Iterator[Finding]:
        output, seal = self._asked(usage_command(self._cluster.scontrol, self._some_id()))
        read_usage(output, seal, self._cluster.zone)
        yield Finding("usage", "ok", "sacct tells what jobs used")

    def _some_id(self) -> list[str]:
        return (self._jobs.ids[:1] if self._jobs else []) or ["1"]

    def _asked(self, command: str) -> tuple[bytes, str]:
        """Return what a *command* of sacct prints, and the seal of its times."""
        seal = new_seal()
        return self.connection().run(command, time_format_line(seal)).whole(), seal

    def _try_sdiag(self) -> Iterator[Finding]:
        output = self.connection().run(sdiag_command(self._cluster.scontrol)).whole()
        threads = read_sdiag(output)["server_threads"]
        yield Finding("sdiag", "ok", f"slurmctld has {threads} busy threads")

    def _show(self, kind: Kind) -> _Shown:
        """Ask for all records of *kind* as a round does."""
        try:
            return self._read(kind, new_seal())
        except SealMissing:
            return self._read(kind, "")
        except CommandFailed as error:
            if not (error.is_refusal and self._seal_on_stdin):
                raise
            self._seal_on_stdin = False
            return self._show(kind)

    def _read(self, kind: Kind, seal: str) -> _Shown:
        run = run_show(
            self.connection(),
            self._cluster.scontrol,
            kind,
            seal,
            seal_on_stdin=self._seal_on_stdin,
        )
        chunks: list[bytes] = []

        def kept() -> Iterator[bytes]:
            for chunk in run:
                chunks.append(chunk)
                yield chunk

        try:
            reader = Reader(kind.table, self._cluster)
            records = list(reader.read(kept(), seal=seal))
        except NoAnswer as error:
            raise NotAnswered(self._cluster.name, f"{run.command!r}: {error}") from error
        ids = [record.id for record in records if isinstance(record, Record)]
        return _Shown(ids, len(records) - len(ids), b"".join(chunks), seal)
