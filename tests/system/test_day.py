"""A day of two real clusters in small: jobs come and go, clusters are cut off, daemons are killed.

Afterwards Mongo is held against slurmdbd: every job is there, once, with the end that slurmdbd has,
and no other job is.  Jobs that a scrape showed are there with the last state that one showed.  What
scrapes showed is known from the login hosts, where a script in scontrol's place keeps each answer;
which of them were taken in is known from the log of rounds.

``make day`` runs it for longer (DAY_SECONDS); in ``make test`` it is short.
"""

import json
import os
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from config.load import MONGO_URI_VARIABLE
from ingest.clusters.coverage import coverage_of
from ingest.database.store import Store, connect
from tests.mongo import secantus
from tests.system.beside_slurmdbd import differences
from tests.system.daemons import Daemon, wait_until
from tests.system.machine import SEARCH_PATH, program
from tests.system.real_slurm import ALICE, BOB, RealCluster
from tests.system.real_sshd import RealSshd
from tests.system.service import REPOSITORY, Site

pytestmark = pytest.mark.system

SECONDS = float(os.environ.get("DAY_SECONDS", "40"))
SEED = int(os.environ.get("DAY_SEED", "1"))
LEASE_SECONDS = 5
SETTLE_SECONDS = 150.0
"""A transaction that a killed daemon left open holds its cluster up for a minute."""
HEAL_SECONDS = 240.0
"""sacct is asked about a window again after a minute, and after a pause where it failed."""
MIN_JOB_AGE = 2
CONF = "SchedulerParameters=batch_sched_delay=0,bf_interval=1\n"

KEEPS_ANSWERS = """\
#!/bin/sh
case "$*" in *"show job") ;; *) exec {scontrol} "$@" ;; esac
answer={answers}/$(date +%s.%N)
{scontrol} "$@" > "$answer.part" || exit
mv "$answer.part" "$answer"
exec cat "$answer"
"""


@dataclass
class Day:
    """Both clusters, the daemons that scrape them, and what happened to whom."""

    sites: list[Site]
    answers: dict[str, Path]
    """Where each cluster's login host keeps scontrol's answers."""
    start_daemon: Callable[[], Daemon]
    store: Store
    dice: random.Random
    daemons: list[Daemon] = field(default_factory=list)
    happened: Counter[str] = field(default_factory=Counter)

    # --- jobs -------------------------------------------------------------------------------

    def submit(self) -> None:
        """A job of some kind, or a change to one."""
        cluster = self.dice.choice(self.sites).cluster
        user = self.dice.choice([ALICE, BOB])
        seconds = self.dice.choice(["0", "1", "3", "8"])
        script = f"#!/bin/sh\nsleep {seconds}\n"
        kind = self.dice.choice(["plain"] * 6 + ["array", "held", "fails", "cancel", "requeue"])
        self.happened[kind] += 1
        if kind == "array":
            cluster.sbatch("--array=1-4%2", script=script, user=user)
        elif kind == "held":
            cluster.sbatch("--hold", script=script, user=user)
        elif kind == "fails":
            cluster.sbatch(script=script + "exit 3\n", user=user)
        elif kind in ("cancel", "requeue"):
            ids = sorted(cluster.squeue_ids())
            command = ["scancel"] if kind == "cancel" else ["scontrol", "requeue"]
            if ids:  # one that is over or can't be requeued stays as it is
                cluster.run(*command, self.dice.choice(ids), check=False)
        else:
            cluster.sbatch(script=script, user=user)

    # --- what goes wrong --------------------------------------------------------------------

    def trouble(self) -> None:
        """One mishap, from its beginning to its end."""
        site = self.dice.choice(self.sites)
        mishap = self.dice.choice(
            [
                *(self.kill_a_daemon, self.kill_a_daemon, self.freeze_a_daemon),
                *(self.cut_off, self.host_away, self.slurm_away),
                *(self.nobody_scrapes, self.slurmdbd_away, self.slurm_killed),
            ]
        )
        mishap(site)

    def cut_off(self, site: Site) -> None:
        self.happened["connections cut"] += 1
        site.sshd.cut()

    def kill_a_daemon(self, _site: Site) -> None:
        self.happened["daemon killed"] += 1
        number = self.dice.randrange(len(self.daemons))
        os.kill(self.daemons[number].pid, signal.SIGKILL)
        self.daemons[number].stop()
        self.daemons[number] = self.start_daemon()

    def nobody_scrapes(self, _site: Site) -> None:
        self.happened["nobody scraped"] += 1
        for daemon in self.daemons:
            os.kill(daemon.pid, signal.SIGKILL)
            daemon.stop()
        for _ in range(6):
            self.submit()
        time.sleep(MIN_JOB_AGE + self.dice.uniform(1, 5))
        self.daemons[:] = [self.start_daemon() for _ in self.daemons]

    def slurmdbd_away(self, site: Site) -> None:
        self.happened["slurmdbd away"] += 1
        assert site.cluster.slurmdbd is not None
        site.cluster.slurmdbd.stop()
        time.sleep(self.dice.uniform(0.5, 5))
        site.cluster.slurmdbd.start()

    def freeze_a_daemon(self, _site: Site) -> None:
        self.happened["daemon frozen"] += 1
        frozen = self.dice.choice(self.daemons)
        os.kill(frozen.pid, signal.SIGSTOP)
        time.sleep(LEASE_SECONDS * 1.5)
        os.kill(frozen.pid, signal.SIGCONT)

    def host_away(self, site: Site) -> None:
        self.happened["login host away"] += 1
        site.sshd.stop()
        time.sleep(self.dice.uniform(0.5, 5))
        site.sshd.start()

    def slurm_away(self, site: Site) -> None:
        self.happened["slurmctld away"] += 1
        site.cluster.stop_controller()
        time.sleep(self.dice.uniform(0.5, 5))
        site.cluster.start_controller()

    def slurm_killed(self, site: Site) -> None:
        """Kill slurmctld, which loses its last seconds: ids of jobs that it forgot come again."""
        self.happened["slurmctld killed"] += 1
        assert site.cluster.controller is not None
        os.kill(site.cluster.controller.pid, signal.SIGKILL)
        site.cluster.stop_controller()
        site.cluster.start_controller()

    # --- what was seen ----------------------------------------------------------------------

    def seen(self, cluster: str) -> dict[str, list[tuple[str, bool]]]:
        """For each job the states that scrapes showed, in order, and which were taken in."""
        rounds = self.store.round_log.find({"cluster_name": cluster, "kind": "jobs", "ok": True})
        times = [(r["started"].timestamp(), r["seconds"]) for r in rounds]
        states: dict[str, list[tuple[str, bool]]] = {}
        for answer in sorted(self.answers[cluster].iterdir()):
            if answer.suffix == ".part":
                continue
            asked = float(answer.name)
            # Mongo keeps times to the millisecond.
            taken = any(start - 0.001 <= asked <= start + took + 0.001 for start, took in times)
            for job_id, state in _states(answer.read_text()).items():
                states.setdefault(job_id, []).append((state, taken))
        return states

    def healed(self, site: Site) -> float:
        """The seconds until Mongo holds what slurmdbd has."""
        began = time.monotonic()
        left: list[str] = []
        shown = self.seen(site.name)

        def none_left() -> bool:
            left[:] = differences(self.store, site.name, site.cluster, shown)
            return not left

        try:
            wait_until(none_left, "all is as slurmdbd has it", HEAL_SECONDS)
        except TimeoutError:
            known = coverage_of(self.store, site.name)
            pytest.fail(f"{site.name}: {len(left)} differences, {left[:10]}; {known}")
        return round(time.monotonic() - began, 1)

    def settled(self, site: Site) -> bool:
        """Whether a whole round has begun after all was well again."""
        well = time.time()

        def one_more() -> bool:
            return any(
                scrape["started"].timestamp() > well
                for scrape in self.store.round_log.find(
                    {"cluster_name": site.name, "kind": "jobs", "ok": True}
                )
            )

        wait_until(one_more, f"{site.name} is scraped again", SETTLE_SECONDS)
        return True


def _states(text: str) -> dict[str, str]:
    """The state of each job, read as plainly as can be: no name or path here holds a trap."""
    ids = re.findall(r"^JobId=(\d+)", text, re.MULTILINE)
    states = re.findall(r"^   JobState=(\w+)", text, re.MULTILINE)
    return dict(zip(ids, states, strict=True))


@pytest.fixture(scope="module")
def day(open_folder: Path) -> Iterator[Day]:
    with ExitStack() as stack:
        sites, answers = [], {}
        for name, zone, names in (
            ("mila", "America/Montreal", "mila_cluster_username"),
            ("beluga", "America/Montreal", "cc_account_username"),
        ):
            cluster = stack.enter_context(
                RealCluster(
                    open_folder, name, min_job_age=MIN_JOB_AGE, extra_conf=CONF, accounting=True
                )
            )
            answers[name] = cluster.folder / "answers"
            path = _keep_answers(cluster, answers[name])
            login = {"SLURM_CONF": str(cluster.conf), "TZ": zone, "PATH": path}
            sshd = stack.enter_context(RealSshd(open_folder, login))
            sites.append(Site(cluster, sshd, zone, names))
        uri = stack.enter_context(secantus(open_folder / "mongo"))
        store = connect(uri, "clockwork")
        stack.enter_context(closing(store.database.client))
        start = _starter(open_folder, sites, uri)
        made = Day(sites, answers, start, store, random.Random(SEED))  # noqa: S311
        stack.callback(_stop_all, made.daemons)
        made.daemons += [start(), start()]
        yield made


def _stop_all(daemons: list[Daemon]) -> None:
    for daemon in daemons:
        daemon.stop()


def _keep_answers(cluster: RealCluster, answers: Path) -> str:
    """Put a script in scontrol's place; the PATH that finds it."""
    answers.mkdir()
    answers.chmod(0o1777)
    programs = cluster.folder / "bin"
    programs.mkdir()
    script = programs / "scontrol"
    script.write_text(KEEPS_ANSWERS.format(scontrol=program("scontrol"), answers=answers))
    script.chmod(0o755)
    return f"{programs}:{SEARCH_PATH}"


def _starter(folder: Path, sites: list[Site], uri: str) -> Callable[[], Daemon]:
    configuration = folder / "clockwork.toml"
    head = f"[scraper]\nlease = {LEASE_SECONDS}\n"
    configuration.write_text(head + "".join(site.toml(jobs_interval=1) for site in sites))
    environment = {
        "HOME": str(folder),
        "PYTHONPATH": str(REPOSITORY),
        MONGO_URI_VARIABLE: uri,
        "CLOCKWORK_CONFIG": str(configuration),
    }

    def start() -> Daemon:
        log = folder / "scrape.log"
        return Daemon(sys.executable, ["-m", "clockwork", "scrape"], log, environment)

    return start


@pytest.mark.timeout(SECONDS + 2 * SETTLE_SECONDS + 2 * HEAL_SECONDS + 120)
def test_every_job_that_was_seen_is_there_once_with_its_last_state(
    day: Day, capsys: pytest.CaptureFixture[str]
) -> None:
    for site in day.sites:
        day.settled(site)
    over = time.monotonic() + SECONDS
    next_trouble = time.monotonic() + 3
    while time.monotonic() < over:
        day.submit()
        if time.monotonic() > next_trouble:
            day.trouble()
            next_trouble = time.monotonic() + day.dice.uniform(1, 6)
        time.sleep(day.dice.uniform(0, 0.4))
    figures: dict[str, Any] = {"seconds": SECONDS, "happened": dict(sorted(day.happened.items()))}
    for site in day.sites:
        day.settled(site)
        healed = day.healed(site)
        figures[site.name] = assert_all_there(day, site) | {"seconds until healed": healed}
    with capsys.disabled():
        sys.stdout.write(f"\na day in small: {json.dumps(figures)}\n")


def assert_all_there(day: Day, site: Site) -> dict[str, float]:
    """Hold Mongo against the answers that were kept; how many there were."""
    for daemon in day.daemons:  # nothing moves while both are read
        os.kill(daemon.pid, signal.SIGSTOP)
    try:
        seen = day.seen(site.name)
        found = list(day.store.jobs.find({"slurm.cluster_name": site.name}))
    finally:
        for daemon in day.daemons:
            with suppress(ProcessLookupError):
                os.kill(daemon.pid, signal.SIGCONT)
    by_sacct = {job["slurm"]["job_id"] for job in found if job["cw"].get("source") == "sacct"}
    states = {
        job["slurm"]["job_id"]: job["slurm"]["job_state"]
        for job in found
        if "source" not in job["cw"]
    }
    assert len(states) + len(by_sacct) == len(found), "a job is there twice"
    assert states.keys() <= seen.keys(), "a job that no scrape showed"
    former: dict[str, set[str]] = {}
    for job in day.store.former_jobs.find({"slurm.cluster_name": site.name}):
        former.setdefault(job["slurm"]["job_id"], set()).add(job["slurm"]["job_state"])
    rounds = list(day.store.round_log.find({"cluster_name": site.name, "kind": "jobs"}))
    for job_id, history in seen.items():
        taken = [number for number, (_, was_taken) in enumerate(history) if was_taken]
        if not taken:
            continue
        # A round that was cut short may still have taken this job in.
        possible = {state for state, _ in history[taken[-1] :]}
        kept = {states.get(job_id), *(former.get(job_id, ()) if job_id in by_sacct else ())}
        assert kept & possible, (site.name, job_id, history[-5:], kept)
    gone = [job for job in found if "vanished" in job["cw"]]
    assert gone, "no job vanished"
    assert day.store.quarantine.count_documents({"cluster_name": site.name}) == 0
    return {
        "jobs": len(found),
        "gone": len(gone),
        "former": sum(len(each) for each in former.values()),
        "by sacct alone": len(by_sacct),
        "ends by sacct": sum("accounting" in job["cw"] for job in found),
        "answers": len(list(day.answers[site.name].iterdir())),
        "rounds": len(rounds),
        "failed rounds": sum(not each["ok"] for each in rounds),
    }
