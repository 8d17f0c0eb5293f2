"""Let every failure of SSH happen at once: a cluster for each, and a healthy one.

Each cluster first has a good round, which leaves ten running jobs.  Then its misfortune begins,
while its jobs have completed; and in the end it is over.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import paramiko

from config import ClusterSettings, ScraperSettings
from config.settings import SshSettings
from ingest.database.store import Store
from ingest.slurm.kinds import JOBS, NODES
from scraper.cluster_round import ClusterScraper, log_round
from scraper.schedule import Schedule
from tests.chaos.report import Section
from tests.scraper import misfortunes
from tests.scraper.home import Home, new_key
from tests.scraper.misfortunes import RawHost, Script
from tests.scraper.scontrol_host import (
    BANNER,
    CUT_IN_CHARACTER,
    CUT_IN_KEY,
    JOB_IDS,
    LoginHost,
    Misfortune,
    complains_without_end,
    cut_at_once,
    cut_before_the_exit_status,
    cut_between_records,
    fails_after_its_output,
    greets,
    hangs,
    hangs_at_once,
    no_exit_status,
    prints,
    slurmctld_is_down,
)
from tests.support.logs import listening
from tests.support.ports import full_port

WELL = "well"
INTERVAL = 1.0
LIMIT = 2.0
"""What a connection, a greeting, a login and a command have, each."""

PATIENCE = 120.0
"""How much longer a loaded machine may take until the log tells what happened to each cluster."""

Way = Callable[[Home, ExitStack], SshSettings]
"""Makes a login host that is broken; how it is reached."""


@dataclass(frozen=True)
class Case:
    """A failure of the connection (`way`) or of the command (`command`)."""

    name: str
    says: str
    """What of the log's message tells the operator: one thing, or another behind ``|`` where two
    limits are reached at about the same time."""
    way: Way | None = None
    command: Misfortune | None = None
    taken_in: range = range(1)
    """How many of the ten new records may be in the database."""
    fails: bool = True

    @property
    def cluster(self) -> str:
        """The name of its cluster."""
        return self.name.replace(" ", "-").replace(",", "")


# --- broken before a command can be run -----------------------------------------------------------


def _ssh(home: Home, port: int, **changes: Any) -> SshSettings:
    limits = dict.fromkeys(
        ("connect_timeout", "banner_timeout", "auth_timeout", "command_timeout"), LIMIT
    )
    return home.settings(port, **(limits | changes))


def refused(home: Home, _hosts: ExitStack) -> SshSettings:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return _ssh(home, sock.getsockname()[1])


def black_hole(home: Home, hosts: ExitStack) -> SshSettings:
    return _ssh(home, hosts.enter_context(full_port()))


def raw(script: Script) -> Way:
    def way(home: Home, hosts: ExitStack) -> SshSettings:
        return _ssh(home, hosts.enter_context(RawHost(script)).port)

    return way


def changed_host_key(home: Home, hosts: ExitStack) -> SshSettings:
    host = LoginHost(new_key("ed25519").pkey, home.authorized)
    hosts.enter_context(host)
    home.know(f"[127.0.0.1]:{host.port}", home.host_keys["ed25519"])
    return _ssh(home, host.port)


def wrong_key(home: Home, hosts: ExitStack) -> SshSettings:
    return _own_key(home, hosts, "stranger", authorized=[])


def open_key(home: Home, hosts: ExitStack) -> SshSettings:
    settings = _own_key(home, hosts, "open", authorized=home.authorized)
    assert settings.key_file is not None
    settings.key_file.chmod(0o644)
    return settings


def locked_key(home: Home, hosts: ExitStack) -> SshSettings:
    return _own_key(home, hosts, "locked", authorized=home.authorized, password="secret")


def _own_key(
    home: Home,
    hosts: ExitStack,
    name: str,
    *,
    authorized: list[paramiko.PKey],
    password: str | None = None,
) -> SshSettings:
    key_file = home.write_key(name, home.client_keys["ed25519"], password)
    host = hosts.enter_context(LoginHost(home.host_keys["ed25519"], authorized))
    home.know(f"[127.0.0.1]:{host.port}", home.host_keys["ed25519"])
    return _ssh(home, host.port, key_file=key_file)


# --- broken in the middle of a command ------------------------------------------------------------


def endless(host: LoginHost, channel: paramiko.Channel, whole: bytes) -> None:
    while not host.stopping.is_set():
        channel.sendall(whole)


def byte_by_byte(host: LoginHost, channel: paramiko.Channel, whole: bytes) -> None:
    for number in range(len(whole)):
        if host.stopping.wait(1.0):
            return
        channel.sendall(whole[number : number + 1])


def rekeys(host: LoginHost, channel: paramiko.Channel, whole: bytes) -> None:
    channel.sendall(whole[: len(whole) // 2])
    threading.Thread(target=host.transports[-1].renegotiate_keys, daemon=True).start()
    channel.sendall(whole[len(whole) // 2 :])
    channel.send_exit_status(0)


def closes_the_output_and_hangs(host: LoginHost, channel: paramiko.Channel, whole: bytes) -> None:
    channel.sendall(whole)
    channel.shutdown_write()
    host.stopping.wait()


ALL, MOST, SOME = range(10, 11), range(11), range(8)
LOST = "ended before the command's exit status"
SLOW = "did not end within 2 s|longer than round_timeout"
"""On a loaded machine the round's own limit can come first."""
CASES = (
    Case("refused", "refused", way=refused),
    Case("black-holed", "no TCP connection within 2 s", way=black_hole),
    Case("no greeting", "no SSH handshake", way=raw(misfortunes.never_greets)),
    Case(
        "a slow greeting",
        "no SSH handshake",
        way=raw(misfortunes.greets_letter_by_letter),
    ),
    Case(
        "an endless greeting",
        "no SSH handshake",
        way=raw(misfortunes.greets_without_end),
    ),
    Case(
        "closed after the greeting",
        "no SSH handshake",
        way=raw(misfortunes.closes_after_greeting),
    ),
    Case(
        "silent after the greeting",
        "no SSH handshake",
        way=raw(misfortunes.greets_then_is_silent),
    ),
    Case("no SSH at all", "no SSH handshake", way=raw(misfortunes.speaks_another_protocol)),
    Case("a changed host key", "THE HOST KEY HAS CHANGED", way=changed_host_key),
    Case("a wrong key", "no key was accepted", way=wrong_key),
    Case("a key open to others", "chmod 600", way=open_key),
    Case("a key with a passphrase", "passphrase", way=locked_key),
    Case("cut at once", LOST, command=cut_at_once),
    Case("cut in a key", LOST, command=CUT_IN_KEY, taken_in=SOME),
    Case("cut in a UTF-8 character", LOST, command=CUT_IN_CHARACTER, taken_in=SOME),
    Case("cut between records", LOST, command=cut_between_records, taken_in=SOME),
    Case("cut before the exit status", LOST, command=cut_before_the_exit_status, taken_in=MOST),
    Case("output without exit status", LOST, command=no_exit_status, taken_in=MOST),
    Case(
        "output, its end, no exit status", SLOW, command=closes_the_output_and_hangs, taken_in=MOST
    ),
    Case("exit status 0 without output", "no record in the output", command=prints(b"")),
    Case("only a login message", "no record", command=prints(BANNER)),
    Case(
        "exit status 1 after the output",
        "exit status 1",
        command=fails_after_its_output,
        taken_in=MOST,
    ),
    Case("slurmctld is down", "Unable to contact slurm controller", command=slurmctld_is_down),
    Case("half of the output, then silence", SLOW, command=hangs, taken_in=SOME),
    Case("silence", SLOW, command=hangs_at_once),
    Case("endless output", SLOW, command=endless, taken_in=range(11)),
    Case("endless stderr", SLOW, command=complains_without_end),
    Case("a byte a second", SLOW, command=byte_by_byte),
    Case("a login message first", "round", command=greets, taken_in=ALL, fails=False),
    Case("a rekey in the middle", "round", command=rekeys, taken_in=ALL, fails=False),
)


class Persistent(LoginHost):
    """A login host to whose every list of jobs the same happens, once there is a misfortune."""

    misfortune: Misfortune | None = None

    def respond(self, channel: paramiko.Channel, command: str) -> None:
        if self.misfortune is not None and command.endswith("job"):
            self.misfortunes = [self.misfortune]
        super().respond(channel, command)


class Told(logging.Handler):
    """What was logged about each cluster."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.of: dict[str, list[str]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message, unless it is of the nodes."""
        if getattr(record, "kind", "") == NODES.plural:
            return
        self.of.setdefault(getattr(record, "cluster", ""), []).append(record.getMessage())


@contextmanager
def told() -> Iterator[Told]:
    """Listen to what the rounds log."""
    handler = Told()
    with listening(handler, "scraper.cluster_round"):
        yield handler


@dataclass
class Clusters:
    """A cluster for each case and a healthy one, in one store."""

    home: Home
    store: Store
    hosts: ExitStack
    good: dict[str, Persistent] = field(default_factory=dict)

    def scraper(self, name: str, ssh: SshSettings) -> ClusterScraper:
        """A scraper of the cluster, reached by *ssh*."""
        settings = ClusterSettings(
            name=name,
            timezone="America/Montreal",
            username_field="mila_cluster_username",
            ssh=ssh,
            round_timeout=2 * LIMIT,
            jobs_interval=INTERVAL,
            nodes_interval=7 * 86400.0,
        )
        return ClusterScraper(settings, ScraperSettings(), self.store)

    def begin(self, name: str) -> None:
        """Give the cluster a good host, and its first round."""
        host = Persistent(self.home.host_keys["ed25519"], self.home.authorized)
        self.good[name] = self.home.start(host)
        assert self.round(name), f"the good round of {name}"
        host.state = "COMPLETED"

    def round(self, name: str) -> bool:
        """One round over the good host."""
        scraper = self.scraper(name, _ssh(self.home, self.good[name].port, command_timeout=300.0))
        try:
            return log_round(scraper, JOBS)
        finally:
            scraper.close()

    def stop(self) -> None:
        """End all good hosts at once: one after the other takes long."""
        stoppers = [threading.Thread(target=host.stop) for host in self.good.values()]
        for stopper in stoppers:
            stopper.start()
        for stopper in stoppers:
            stopper.join()

    def broken(self, case: Case) -> ClusterScraper:
        """A scraper to whom the misfortune happens from now on."""
        if case.way is not None:
            return self.scraper(case.cluster, case.way(self.home, self.hosts))
        self.good[case.cluster].misfortune = case.command
        return self.scraper(case.cluster, _ssh(self.home, self.good[case.cluster].port))

    def jobs(self, name: str) -> tuple[int, int, int]:
        """How many jobs there are of the cluster, how many are completed, how many gone."""
        jobs = list(self.store.jobs.find({"slurm.cluster_name": name}))
        completed = sum(job["slurm"]["job_state"] == "COMPLETED" for job in jobs)
        return len(jobs), completed, sum("vanished" in job["cw"] for job in jobs)


def run(home: Home, store: Store, seconds: float, cases: tuple[Case, ...] = CASES) -> Section:
    """Let every failure last for *seconds*; check the log, the jobs and the healthy cluster."""
    section = Section(
        "Failures of SSH",
        f"{len(cases)} clusters with ten jobs each run in one schedule with a healthy cluster. A "
        f"different failure happens to each of them for {seconds:g} s. Rounds are due every "
        f"{INTERVAL:g} s, and limits are {LIMIT:g} s. The jobs of the failing clusters completed "
        "meanwhile, so their states show how much of an incomplete output was used. Only "
        "complete records may be used.",
    )
    rows: list[tuple[str, str, str, str, str]] = [
        ("failure", "rounds", "the log's first line", "completed, of 10", "marked as gone")
    ]
    section.tables.append([*rows])
    with ExitStack() as hosts:
        clusters = Clusters(home, store, hosts)
        for name in [WELL, *(case.cluster for case in cases)]:
            clusters.begin(name)
        with told() as log:
            well = clusters.scraper(WELL, _ssh(home, clusters.good[WELL].port))
            schedule = Schedule([well, *(clusters.broken(case) for case in cases)])
            before = len(clusters.good[WELL].asked)
            schedule.start()
            began = time.monotonic()
            late = _longest_gap(clusters.good[WELL], before, began + seconds)
            # On a loaded machine, a round can reach another limit first; a later one tells.
            while time.monotonic() < began + seconds + PATIENCE and not all(
                _is_told(case, clusters, log) for case in cases
            ):
                time.sleep(0.1)
            rounds = len(clusters.good[WELL].asked) - before
            if not schedule.stop():
                section.problems.append("a thread of the schedule hangs")
        for case in cases:
            section.tables[0].append(_judge(case, clusters, log, section.problems))
            clusters.good[case.cluster].misfortune = None
            clusters.round(case.cluster)
            if clusters.jobs(case.cluster) != (10, 10, 0):
                section.problems.append(
                    f"{case.name}: after it was over, {clusters.jobs(case.cluster)} instead of ten "
                    "jobs, all completed, none gone"
                )
        clusters.stop()
    section.figure("rounds of the healthy cluster", rounds)
    section.figure(
        "its longest time between two rounds, which are due every second", f"{late:.1f} s"
    )
    return section


def _longest_gap(host: LoginHost, before: int, ends_at: float) -> float:
    """Return the longest time in which the host was not asked, until *ends_at*."""
    longest, last, seen = 0.0, time.monotonic(), before
    while time.monotonic() < ends_at:
        time.sleep(0.05)
        now = time.monotonic()
        longest = max(longest, now - last)
        if len(host.asked) > seen:
            seen, last = len(host.asked), now
    return longest


def _is_told(case: Case, clusters: Clusters, log: Told) -> bool:
    """Whether a round has ended as it should; for a case that does not fail, behind the first."""
    return bool(_first(case, log)) and (case.fails or _went_well(clusters, case.cluster))


def _first(case: Case, log: Told) -> str:
    """The first line that says what the case should say; empty if there is none."""
    said, words = [*log.of.get(case.cluster, [])], case.says.split("|")
    return next((line for line in said if any(each in line for each in words)), "")


def _stands(clusters: Clusters, cluster: str) -> dict[str, Any]:
    return clusters.store.clusters.find_one({"_id": f"{cluster}/jobs"}) or {}


def _went_well(clusters: Clusters, cluster: str) -> bool:
    """Whether a round was good after the first one."""
    good: int = _stands(clusters, cluster).get("totals", {}).get("ok", 0)
    return good > 1


def _judge(case: Case, clusters: Clusters, log: Told, problems: list[str]) -> tuple[str, ...]:
    said, first = log.of.get(case.cluster, []), _first(case, log)
    count, completed, gone = clusters.jobs(case.cluster)
    stands = _stands(clusters, case.cluster)
    if not first:
        problems.append(f"{case.name}: the log does not say {case.says!r} but {said[:3]}")
    if count != len(JOB_IDS) or gone or completed not in case.taken_in:
        problems.append(f"{case.name}: {count} jobs, {completed} completed, {gone} gone")
    if stands.get("ok") if case.fails else not _went_well(clusters, case.cluster):
        problems.append(f"{case.name}: where the cluster stands is not told: {stands}")
    if any(not line.isprintable() for line in said):
        problems.append(f"{case.name}: the log holds what a terminal acts on")
    shown = first.replace(str(clusters.home.ssh), "~/.ssh")
    return case.name, str(len(said)), shown, str(completed), str(gone)
