"""No job is missing, whatever happens between two rounds: Mongo held against a real slurmdbd."""

import pwd
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from config import ClusterSettings, ScraperSettings
from ingest.clusters.coverage import coverage_of
from ingest.database.store import Store
from ingest.programs.sacct import ENDED_STATES, FIELDS
from ingest.slurm.kinds import JOBS
from scraper.cluster_round import ClusterScraper
from scraper.watch.accounting import Accounting
from tests.system.beside_slurmdbd import accounted, differences, told_end
from tests.system.daemons import wait_until
from tests.system.machine import SEARCH_PATH
from tests.system.real_slurm import ALICE, BOB, SLEEP, RealCluster
from tests.system.real_slurmdbd import ACCOUNT
from tests.system.real_sshd import RealSshd

pytestmark = pytest.mark.system

MIN_JOB_AGE = 2
ZONE = "America/Montreal"
CONF = (
    "SchedulerParameters=batch_sched_delay=0,bf_interval=1\n"
    "JobAcctGatherType=jobacct_gather/linux\nJobAcctGatherFrequency=task=1\n"
)
QUICK = "#!/bin/sh\n"


@pytest.fixture(scope="module")
def cluster(open_folder: Path) -> Iterator[RealCluster]:
    with RealCluster(
        open_folder, min_job_age=MIN_JOB_AGE, extra_conf=CONF, accounting=True
    ) as cluster:
        assert cluster.slurmdbd is not None
        cluster.slurmdbd.add_user(ALICE)
        yield cluster


@pytest.fixture(scope="module")
def sshd(open_folder: Path, cluster: RealCluster) -> Iterator[RealSshd]:
    login = {"SLURM_CONF": str(cluster.conf), "TZ": ZONE, "PATH": SEARCH_PATH}
    with RealSshd(open_folder, login) as sshd:
        yield sshd


class Jobs:
    """Jobs of the cluster, submitted and ended, and what slurmdbd knows of them."""

    def __init__(self, cluster: RealCluster) -> None:
        self.cluster = cluster

    def quick(self, *options: str, script: str = QUICK, user: str = ALICE) -> str:
        """A job that ends at once."""
        return self.cluster.sbatch(*options, script=script, user=user)

    def running(self) -> str:
        """A job that runs, and can be requeued."""
        job_id = self.quick("--requeue", script=SLEEP)
        self.cluster.wait_state(job_id, "RUNNING")
        return job_id

    def requeue_and_cancel(self, job_id: str) -> None:
        """End a running job while it waits for its second run."""
        self.cluster.run("scontrol", "requeuehold", job_id)
        self.cluster.wait_state(job_id, "PENDING")
        self.cluster.run("scancel", job_id)

    def ended(self, *job_ids: str) -> None:
        """Wait until these have ended, slurmdbd knows, and the controller has dropped them."""

        def all_told() -> bool:
            runs = accounted(self.cluster)
            return all(each in runs and runs[each].end for each in job_ids)

        wait_until(all_told, "slurmdbd knows of the ends")
        self.forgotten()

    def forgotten(self) -> None:
        """Wait until the controller has dropped every job that has ended."""

        def none_ended() -> bool:
            listed = self.cluster.run("squeue", "-h", "-a", "-t", "all", "-o", "%T").stdout
            return not {*listed.decode().split()} - {"PENDING", "RUNNING"}

        wait_until(none_ended, "the controller forgets")


@dataclass(frozen=True)
class Past:
    """Jobs that have ended and are forgotten before anybody scrapes."""

    ids: dict[str, str]
    """By a word on what they are."""
    forged: dict[str, str]
    """Jobs of bob's, and the name that he gave each."""


@pytest.fixture(scope="module")
def past(cluster: RealCluster) -> Past:
    jobs = Jobs(cluster)
    requeued = jobs.running()
    ids = {
        "completed": jobs.quick("--job-name=a name", "--time=90"),
        "failed": jobs.quick(script="#!/bin/sh\nexit 3\n", user=BOB),
        "held and cancelled": jobs.quick("--hold", "--partition=long"),
        "array": jobs.quick("--array=1-3%1"),
        "GPUs": jobs.quick("--gres=gpu:rtx8000:2", "--nodes=2"),
        "requeued": requeued,
    }
    jobs.requeue_and_cancel(requeued)
    cluster.run("scancel", ids["held and cancelled"])
    forged = {}
    for number, row in enumerate(forged_rows()):
        text = f"x{row}"
        texts = (f"--job-name={text}", f"--comment={text}", f"--wckey={text}")
        forged[jobs.quick(*texts, user=BOB)] = text
        # bob has no association with any account: what he asks for is kept as it stands.
        forged[jobs.quick("--job-name=account", f"--account={text}", user=BOB)] = "account"
        folder = cluster.work / str(number) / text  # each "/" of the row parts two folders
        folder.mkdir(parents=True)
        forged[jobs.quick("--job-name=folder", f"--chdir={folder}", user=BOB)] = "folder"
    jobs.ended(*ids.values(), *forged)
    return Past(ids, forged)


def forged_rows() -> list[str]:
    """Rows as sacct prints them, for a job of root's that there is not: bare, and with ends."""
    seconds = time.strftime("%FT%T%z")
    facts = f"777777|777777|0|root|COMPLETED|0:0|5|main|cn-a001|{seconds}|{seconds}|{seconds}"
    assert facts.count("|") == FIELDS[: FIELDS.index(",Account")].count(",")
    row = f"{facts}|root|{seconds}|/root|{seconds}|mine|{seconds}"
    return [
        f"\n{row}\n",
        f"|{seconds}\n{row}\n",
        f"|{seconds}|/x|{seconds}|x|{seconds}\n{row}\n",
        f"q7Rk2Xa|{seconds}q7Rk2Xa\n{row}",
        "|" * 40,
        "\n" * 40,
    ]


@dataclass
class World:
    """The cluster's jobs, and a scraper of it that a test starts and ends."""

    jobs: Jobs
    sshd: RealSshd
    store: Store
    scraper: ClusterScraper | None = None

    def scrape(self) -> None:
        """One round of jobs, by a scraper that is new where the last one was killed."""
        if self.scraper is None:
            self.scraper = ClusterScraper(self._settings(), ScraperSettings(), self.store)
        self.scraper.round(JOBS)

    def kill(self) -> None:
        """Forget all that the scraper knew, as the end of its process does."""
        if self.scraper is not None:
            self.scraper.close()
            self.scraper = None

    def _settings(self) -> ClusterSettings:
        return ClusterSettings(
            name="mila",
            timezone=ZONE,
            username_field="mila_cluster_username",
            sacct=True,
            usage=True,
            ssh=self.sshd.settings(),
        )

    def job(self, job_id: str) -> dict[str, Any]:
        found = self.store.jobs.find_one({"slurm.job_id": job_id})
        assert found is not None, job_id
        return found

    def assert_complete(self) -> None:
        """Every job is there once, with the end that slurmdbd has, and no other job is."""
        assert differences(self.store, "mila", self.jobs.cluster) == []
        for job in self.store.jobs.find({"cw.vanished": {"$ne": None}}):
            assert int(job["cw"]["finished_at"].timestamp()) == told_end(job)[1]


@pytest.fixture
def world(cluster: RealCluster, sshd: RealSshd, store: Store) -> Iterator[World]:
    world = World(Jobs(cluster), sshd, store)
    yield world
    world.kill()


def coverage(store: Store) -> dict[str, Any]:
    found = coverage_of(store, "mila")
    assert found is not None
    return found


def test_what_came_and_went_before_the_first_round(world: World, past: Past) -> None:
    world.scrape()
    world.assert_complete()
    assert coverage(world.store)["missing"] == []
    assert coverage(world.store)["accounting"] is True
    jobs = {name: world.job(job_id) for name, job_id in past.ids.items()}
    assert all(job["cw"]["source"] == "sacct" and job["user"] == {} for job in jobs.values())
    slurm = {name: job["slurm"] for name, job in jobs.items()}
    work = str(world.jobs.cluster.work)
    wanted = {
        "name": "a name",
        "mila_cluster_username": ALICE,
        "uid": str(pwd.getpwnam(ALICE).pw_uid),
        "account": ACCOUNT,
        "job_state": "COMPLETED",
        "exit_code": "0:0",
        "time_limit": 5400,
        "partition": "main",
        "work_dir": work,
        "cluster_name": "mila",
    }
    assert {key: slurm["completed"][key] for key in wanted} == wanted
    assert slurm["completed"]["nodes"].startswith("cn-a00")
    assert slurm["completed"]["submit_time"][-6:] in ("-05:00", "-04:00")
    assert slurm["failed"]["exit_code"] == "3:0"
    assert slurm["GPUs"]["nodes"] == "cn-a[001-002]"
    assert slurm["requeued"]["job_state"] == "CANCELLED"
    held = slurm["held and cancelled"]
    assert (held["job_state"], held["nodes"], held["partition"]) == ("CANCELLED", None, "long")
    tasks = world.store.jobs.find({"slurm.array_job_id": int(past.ids["array"])})
    assert sorted(task["slurm"]["array_task_id"] for task in tasks) == ["1", "2", "3"]


def test_no_text_of_a_users_invents_a_job(world: World, past: Past) -> None:
    world.scrape()
    world.assert_complete()
    uid = str(pwd.getpwnam(BOB).pw_uid)
    for job_id, name in past.forged.items():
        slurm = world.job(job_id)["slurm"]
        assert slurm["uid"] == uid
        # slurmdbd keeps 255 letters of a name.
        assert slurm["name"]
        assert name.startswith(slurm["name"])


def test_an_id_that_came_round_again_keeps_the_former_job(world: World, past: Past) -> None:
    world.scrape()
    mine = past.ids["completed"]
    uid = str(pwd.getpwnam(BOB).pw_uid)
    former = {"slurm.uid": uid, "slurm.submit_time": "2020-01-01T00:00:00-05:00"}
    world.store.jobs.update_one({"slurm.job_id": mine}, {"$set": {**former, "user": {"a": 1}}})
    world.store.coverage.delete_many({})

    world.scrape()
    world.assert_complete()
    assert world.job(mine)["user"] == {}
    (kept,) = world.store.former_jobs.find()
    assert (kept["slurm"]["uid"], kept["user"]) == (uid, {"a": 1})


def test_a_scraper_that_was_killed_before_it_asked_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, requeued = world.jobs.running(), world.jobs.running()
    held = world.jobs.quick("--hold")
    world.scrape()
    unseen = world.jobs.quick()
    world.jobs.requeue_and_cancel(requeued)
    world.jobs.cluster.run("scancel", running, held)
    world.jobs.ended(running, requeued, held, unseen)
    with monkeypatch.context() as patch:
        patch.setattr(Accounting, "after_round", kill_here)
        with pytest.raises(KeyboardInterrupt):
            world.scrape()
    assert all("accounting" not in world.job(each)["cw"] for each in (running, requeued, held))
    world.kill()

    world.scrape()
    world.assert_complete()
    for job_id, state in ((running, "RUNNING"), (requeued, "RUNNING"), (held, "PENDING")):
        assert world.job(job_id)["slurm"]["job_state"] == state
        assert world.job(job_id)["cw"]["accounting"]["job_state"] == "CANCELLED"
    assert world.job(unseen)["cw"]["source"] == "sacct"


def kill_here(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_while_slurmdbd_is_away_time_stays_missing_and_is_made_up_for(world: World) -> None:
    world.scrape()
    slurmdbd = world.jobs.cluster.slurmdbd
    assert slurmdbd is not None
    slurmdbd.stop()
    try:
        unseen = world.jobs.quick()
        world.jobs.cluster.wait_state(unseen, "COMPLETED")
        world.jobs.forgotten()
        world.scrape()
        found = coverage(world.store)
        assert found["missing"]
        assert found["accounting"] is False
        assert "sacct" in found["accounting_error"]
        assert world.store.jobs.count_documents({"slurm.job_id": unseen}) == 0
    finally:
        slurmdbd.start()
    world.jobs.ended(unseen)

    world.kill()  # a new one has no pause to wait for
    world.scrape()
    world.assert_complete()
    assert coverage(world.store)["missing"] == []


def _seconds(cpu_time: str) -> float:
    """Return the seconds of sacct's ``MM:SS.mmm`` or ``HH:MM:SS``."""
    seconds = 0.0
    for part in cpu_time.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


BURN = """\
#!/bin/sh
srun -n1 sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; sleep 2'
python3 -c 'import time; held = bytearray(50 << 20); time.sleep(3)'
"""


def test_what_a_job_used_is_what_seff_would_say(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scraper.watch.accounting.SETTLE", timedelta(0))
    burns = world.jobs.quick("--mem=200", script=BURN)
    world.jobs.cluster.wait_state(burns, "COMPLETED")
    world.jobs.ended(burns)

    def told() -> bool:
        world.scrape()
        return world.job(burns)["cw"].get("usage") is not None

    wait_until(told, "it is known what the job used")
    fields = "JobIDRaw,ElapsedRaw,AllocCPUS,TotalCPU,MaxRSS"
    # Without --noconvert, sacct prints 59.50M or 60924K.
    sacct = ("sacct", "-n", "-P", "--noconvert", "-o", fields, "-j", burns)
    listed = world.jobs.cluster.run(*sacct).stdout.decode()
    whole, *steps = [line.split("|") for line in listed.splitlines()]
    used = world.job(burns)["cw"]["usage"]
    seconds = sum(_seconds(time) for _, _, _, time, _ in steps)
    assert used["cpu_seconds"] == pytest.approx(seconds)
    assert used["elapsed_seconds"] == int(whole[1])
    assert used["cpu_efficiency"] == pytest.approx(seconds / int(whole[1]) / int(whole[2]))
    # One task in each step: the peaks of the tasks together are the largest task.
    peak = max(int(rss or 0) for *_, rss in steps)
    assert used["peak_memory_bytes"] == peak > 50 << 20
    assert used["memory_efficiency"] == peak / (200 << 20)
    assert used["energy_joules"] is used["gpu_utilization"] is None


def test_the_states_that_are_asked_for_are_those_that_this_sacct_knows(
    cluster: RealCluster,
) -> None:
    cluster.run("sacct", "-n", "-s", ENDED_STATES, "-S", "now-1hour", "-E", "now")
