"""The whole: jobs of a real Slurm, through a real sshd, into the database and out over HTTP.

Two clusters run side by side. The program is run as an operator runs it; its answers are held
against what users asked of sbatch and what squeue says, never against what our own reader reads.
"""

import platform
import pwd
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from tests.system.daemons import wait_until
from tests.system.forgeries import NOBODYS_ID, by_argument, forgeries
from tests.system.real_slurm import ALICE, BOB, RealCluster
from tests.system.real_sshd import LOGIN_USER, RealSshd
from tests.system.service import Answer, Api, Service, Site, events
from tests.system.submissions import (
    Fact,
    Order,
    Submitted,
    expected,
    facts,
    held,
    orders,
    shown,
    submit,
    submit_array,
    submit_heterogeneous,
    submit_interactive,
)

pytestmark = pytest.mark.system

# Jobs that only the backfill scheduler starts would wait half a minute. At debug2 slurmctld names
# every request and who made it.
CONF = "SchedulerParameters=batch_sched_delay=0,bf_interval=1\nSlurmctldDebug=debug2\n"
UNTIL_TOLD = "#!/bin/sh\nwhile [ ! -e go ]; do sleep 0.1; done\n"
PERSON = "a.person@example.org"
OTHER = "other@example.org"
ORDERS = orders()
UNFINISHED = {"PENDING", "RUNNING"}
TITLES = [
    *ORDERS,
    *("array: rest", "array: task 4", "array: task 5"),
    *("heterogeneous: first", "heterogeneous: second", "interactive"),
    *("cancelled while pending", "cancelled while running"),
]
DRAIN_REASON = "bad disk=sda NodeName=cn-a001 State=IDLE [user JobId=3]"


@dataclass
class World:
    """Both clusters, the service beside them, and what was submitted."""

    mila: Site
    beluga: Site
    service: Service
    jobs: dict[str, Submitted]
    """Jobs of mila by a word on what they are."""
    facts: dict[str, Fact]
    """What squeue said of them when mila was scraped."""
    elsewhere: Submitted
    """A job of beluga, bob's."""
    token: str
    """PERSON's, who is alice on mila and bob on beluga."""
    other_token: str
    """OTHER's, who is bob on mila."""

    @property
    def api(self) -> Api:
        """The API as PERSON asks it."""
        return Api(self.service.port, self.token)

    def job(self, site: Site, job_id: str) -> Any:
        """What the API has of one job; ``{}`` for nothing."""
        answer = self.api.get("jobs/one", job_id=job_id, cluster_name=site.name)
        assert answer.status == 200
        return answer.json

    def listed(self, site: Site, **arguments: str) -> dict[str, Any]:
        """The jobs of one cluster, by id."""
        answer = self.api.get("jobs/list", cluster_name=site.name, **arguments)
        assert answer.status == 200
        found = {job["slurm"]["job_id"]: job for job in answer.json}
        assert len(found) == len(answer.json)
        return found


def scrape(service: Service) -> None:
    """One round of everything, which goes well."""
    done = service.run("scrape", "--once")
    assert done.returncode == 0, done.stderr


def scrape_at_rest(service: Service, site: Site) -> dict[str, Fact]:
    """Scrape until the cluster's jobs did not change meanwhile; what squeue says of them."""
    before: dict[str, Fact] = {}
    while (now := facts(site)) != before:
        before = now
        scrape(service)
    return now


@pytest.fixture(scope="module")
def sites(open_folder: Path) -> Iterator[tuple[Site, Site]]:
    with (
        RealCluster(open_folder, "mila", nodes=3, extra_conf=CONF) as mila,
        RealCluster(open_folder, "beluga", nodes=2, min_job_age=2, extra_conf=CONF) as beluga,
        RealSshd(open_folder, login_environment(mila, "America/Montreal")) as to_mila,
        RealSshd(open_folder, login_environment(beluga, "Asia/Kolkata")) as to_beluga,
    ):
        yield (
            Site(mila, to_mila, "America/Montreal", "mila_cluster_username", alias="login"),
            Site(beluga, to_beluga, "Asia/Kolkata", "cc_account_username"),
        )


def login_environment(cluster: RealCluster, timezone: str) -> dict[str, str]:
    return {"SLURM_CONF": str(cluster.conf), "TZ": timezone}


@pytest.fixture(scope="module")
def world(sites: tuple[Site, Site], open_folder: Path) -> Iterator[World]:
    mila, beluga = sites
    jobs = submit_all(mila)
    elsewhere = submit(beluga, held(user=BOB))
    beluga.cluster.scontrol(
        "update", "nodename=cn-a002", "state=drain", f"reason={DRAIN_REASON}", "comment=a=b c"
    )
    service = Service(open_folder / "the service", sites)
    checked = service.run("check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    lines = checked.stdout.splitlines()
    assert lines[:3] == [
        "ok     configuration clockwork.toml: mila, beluga",
        "ok     database: embedded, 0 jobs, 0 users",
        "ok     cluster mila, nodes: 3 nodes",
    ]
    assert "ok     cluster beluga, nodes: 2 nodes" in lines
    assert [line for line in lines if not line.startswith("ok ")] == [
        "warns  cluster beluga, Slurm's configuration: slurmctld forgets finished jobs after "
        "MinJobAge, 2 s: the end of jobs is missed with a jobs_interval of 60 s. Lower "
        "jobs_interval or raise MinJobAge",
        "all works; warnings: 1",
    ]
    at_rest = scrape_at_rest(service, mila)
    token = add_user(service, PERSON, mila=ALICE, cc=BOB)
    other_token = add_user(service, OTHER, mila=BOB)
    with service.running("serve"):
        yield World(mila, beluga, service, jobs, at_rest, elsewhere, token, other_token)


def submit_all(mila: Site) -> dict[str, Submitted]:
    mila.cluster.scontrol(
        *("create", "reservation", "reservationname=transtech", f"users={ALICE}"),
        *("starttime=now", "duration=60", "nodes=cn-a003"),
    )
    jobs = {title: submit(mila, order) for title, order in ORDERS.items()}
    jobs |= submit_array(mila) | submit_heterogeneous(mila)
    jobs["interactive"] = submit_interactive(mila)
    jobs["cancelled while pending"] = submit(mila, held())
    jobs["cancelled while running"] = submit(mila, Order(wanted={"exit_code": "0:15"}))
    mila.cluster.wait_state(jobs["cancelled while running"].job_id, "RUNNING")
    for title in ("cancelled while pending", "cancelled while running"):
        mila.cluster.run("scancel", jobs[title].job_id, user=ALICE)
        mila.cluster.wait_state(jobs[title].job_id, "CANCELLED")
    for title, order in ORDERS.items():
        mila.cluster.wait_state(jobs[title].job_id, order.state)
    return jobs


def add_user(service: Service, email: str, mila: str, cc: str | None = None) -> str:
    names = ["--mila-cluster-username", mila, *(["--cc-account-username", cc] if cc else [])]
    done = service.run("user", "add", email, *names)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def assert_right(site: Site, job: Submitted, fact: Fact, document: Mapping[str, Any]) -> None:
    """Key by key what was asked for and what squeue said."""
    wanted = expected(site, job, fact)
    assert shown(document["slurm"], wanted) == wanted


# --- what was submitted ----------------------------------------------------------------------


@pytest.mark.parametrize("title", TITLES)
def test_a_job_is_as_it_was_submitted(world: World, title: str) -> None:
    job = world.jobs[title]
    document = world.job(world.mila, job.job_id)
    assert document, "it is not there"
    assert document.keys() == {"slurm", "cw", "user"}
    assert_right(world.mila, job, world.facts[job.job_id], document)
    person, elsewhere = {ALICE: (PERSON, BOB), BOB: (OTHER, None)}[job.user]
    assert document["cw"]["mila_cluster_username"] == job.user
    assert document["cw"]["mila_email_username"] == person
    assert document["cw"]["cc_account_username"] == elsewhere
    assert document["user"] == {}


def test_every_title_is_tried(world: World) -> None:
    assert sorted(world.jobs) == sorted(TITLES)
    assert {job.job_id for job in world.jobs.values()} <= world.facts.keys()


def test_the_other_cluster_has_its_own_zone_and_username_field(world: World) -> None:
    job = world.elsewhere
    document = world.job(world.beluga, job.job_id)
    assert_right(world.beluga, job, facts(world.beluga)[job.job_id], document)
    assert document["slurm"]["submit_time"].endswith("+05:30")
    assert document["cw"]["mila_email_username"] == PERSON
    assert document["cw"]["mila_cluster_username"] == ALICE
    assert document["cw"]["cc_account_username"] == BOB


def test_a_job_id_of_both_clusters_is_no_job_without_its_cluster(world: World) -> None:
    assert world.elsewhere.job_id in world.facts
    answer = world.api.get("jobs/one", job_id=world.elsewhere.job_id)
    assert answer.status == 500
    assert all(name in answer.json["detail"] for name in ("mila", "beluga"))


def test_lists_hold_the_same_documents(world: World) -> None:
    everything = world.listed(world.mila)
    ids = {title: job.job_id for title, job in world.jobs.items()}
    for job_id in ids.values():
        assert everything[job_id] == world.job(world.mila, job_id)
    unfinished = world.listed(world.mila, time="0")
    for title, job_id in ids.items():
        assert (job_id in unfinished) == (world.facts[job_id].state in UNFINISHED), title
    for name in (ALICE, PERSON):
        alices = world.listed(world.mila, user=name)
        for title, job_id in ids.items():
            assert (job_id in alices) == (world.jobs[title].user == ALICE), title
    assert world.listed(world.beluga, user=PERSON).keys() >= {world.elsewhere.job_id}


def test_nodes_are_as_they_were_configured(world: World) -> None:
    configured = {
        "arch": platform.machine(),
        "addr": "127.0.0.1",
        "memory": "128000",
        "features": "x86_64,turing",
        "gres": "gpu:rtx8000:4",
        "cfg_tres": "cpu=32,mem=125G,billing=32",
    }
    seen = {}
    for site in (world.mila, world.beluga):
        for document in world.api.get("nodes/list", cluster_name=site.name).json:
            slurm = document["slurm"]
            assert slurm["cluster_name"] == site.name
            assert slurm.items() >= configured.items()
            name = slurm["name"]
            assert world.api.get("nodes/one", node_name=name, cluster_name=site.name).json == (
                document
            )
            seen[site.name, name] = slurm
    assert seen.keys() == {
        *(("mila", name) for name in world.mila.cluster.node_names),
        *(("beluga", name) for name in world.beluga.cluster.node_names),
    }
    drained = seen["beluga", "cn-a002"]
    assert drained["state"] == "IDLE+DRAIN"
    assert drained["comment"] == "a=b c"
    assert drained["reason"].startswith(f"{DRAIN_REASON} [root@2")
    assert "reason" not in seen["beluga", "cn-a001"]
    assert seen["mila", "cn-a003"]["alloc_tres"] == "cpu=1,mem=1000M"


def test_partitions_and_reservations_are_as_they_were_configured(world: World) -> None:
    scrape(world.service)
    for site in (world.mila, world.beluga):
        listed = world.api.get("partitions/list", cluster_name=site.name).json
        found = {each["slurm"]["name"]: each["slurm"] for each in listed}
        assert found.keys() == {"main", "long"}
        assert found["long"]["max_time"] == 7 * 86400
        assert found["main"]["max_time"] is None
        assert found["main"]["default"] == "YES"
        assert found["main"]["total_nodes"] == len(site.cluster.node_names)
    [reserved] = world.api.get("reservations/list").json
    wanted = {"name": "transtech", "users": ALICE, "nodes": "cn-a003", "cluster_name": "mila"}
    assert reserved["slurm"].items() >= wanted.items()
    assert reserved["slurm"]["duration"] == 3600
    assert reserved["slurm"]["start_time"][-6:] in ("-05:00", "-04:00")


def test_only_the_owner_writes_the_user_dict(world: World) -> None:
    alices, bobs = world.jobs["held"].job_id, world.jobs["bob's"].job_id

    def put(token: str, cluster_name: str, job_id: str) -> Answer:
        return Api(world.service.port, token).put(
            "jobs/user_dict_update",
            job_id=job_id,
            cluster_name=cluster_name,
            update_pairs={"note of": token[-4:]},
        )

    try:
        assert put(world.token, "mila", alices).status == 200
        assert put(world.token, "mila", bobs).status == 403
        assert put(world.token, "beluga", world.elsewhere.job_id).status == 200
        assert put(world.other_token, "mila", bobs).json == {"note of": world.other_token[-4:]}
        assert put(world.other_token, "beluga", world.elsewhere.job_id).status == 403
        refused = put("", "mila", alices)
        assert (refused.status, refused.headers["WWW-Authenticate"][:6]) == (401, "Bearer")
        assert world.job(world.mila, alices)["user"] == {"note of": world.token[-4:]}
    finally:
        with world.service.store() as store:
            store.jobs.update_many({}, {"$set": {"user": {}}})


# --- how the clusters are asked --------------------------------------------------------------


def test_a_round_is_one_command_of_each_kind(world: World) -> None:
    before = [requests(site) for site in (world.mila, world.beluga)]
    scrape(world.service)
    for site, was in zip((world.mila, world.beluga), before, strict=True):
        made = {what: count - was[what] for what, count in requests(site).items()}
        # The others read Slurm's configuration, partitions and reservations, which a scraper that
        # runs on does once a day and every few minutes.
        assert made == {"connections": 1, "commands": 5, "show job": 1, "show node": 1}


def requests(site: Site) -> dict[str, int]:
    """What the login host's sshd and the controller were asked for by the scraper, so far."""
    controller = (site.cluster.folder / "log" / "slurmctld.log").read_text(errors="replace")
    login_uid = pwd.getpwnam(LOGIN_USER).pw_uid
    return {
        "connections": site.sshd.connections(),
        "commands": site.sshd.commands_run(),
        "show job": controller.count(f"RPC: REQUEST_JOB_INFO from UID={login_uid}\n"),
        "show node": controller.count(f"RPC: REQUEST_NODE_INFO from UID={login_uid}\n"),
    }


def test_a_controller_that_is_down_marks_nothing_as_gone(world: World) -> None:
    cluster = world.beluga.cluster
    scrape(world.service)
    before = world.listed(world.beluga)
    assert not any("vanished" in job["cw"] for job in before.values() if unfinished(job))
    text = cluster.conf.read_text()
    cluster.stop_controller()
    try:
        cluster.conf.write_text(f"{text}MessageTimeout=1\n")  # scontrol gives up sooner
        failed = world.service.run("scrape", "--once")
        checked = world.service.run("check")
    finally:
        cluster.conf.write_text(text)
        cluster.start_controller()
    assert failed.returncode == 1
    rounds = {
        (event["cluster"], event["kind"]): event
        for event in events(failed.stderr)
        if event["message"].startswith("round")
    }
    assert rounds.keys() == {
        (name, kind) for name in ("mila", "beluga") for kind in ("jobs", "nodes")
    }
    for (name, kind), event in rounds.items():
        if name == "mila":
            assert event["message"] == "round"
        else:
            assert event["level"] == "error"
            assert "Unable to contact slurm controller" in event["message"], kind
            assert "exit status 1" in event["message"]
    assert checked.returncode == 1
    lines = checked.stdout.splitlines()
    failed_parts = [line for line in lines if line.startswith("FAILED cluster beluga, ")]
    assert len(failed_parts) == 4
    assert all("Unable to contact slurm controller" in line for line in failed_parts)
    assert not any(line.startswith("FAILED cluster mila, ") for line in lines)
    assert lines[-1] == f"4 of {len(lines) - 1} checks failed"
    assert world.listed(world.beluga) == before
    scrape(world.service)
    after = world.job(world.beluga, world.elsewhere.job_id)
    assert "vanished" not in after["cw"]
    assert after["cw"]["finished_at"] is None


def unfinished(job: Any) -> bool:
    return job["slurm"]["job_state"] in UNFINISHED


def test_a_job_that_vanishes_is_kept_with_what_its_owner_wrote(world: World) -> None:
    beluga = world.beluga
    job = submit(beluga, Order(script=UNTIL_TOLD, script_name="until-told.sh", user=BOB))
    beluga.cluster.wait_state(job.job_id, "RUNNING")
    # Somebody's text that names the job must not keep it alive.
    record = beluga.cluster.scontrol("show", "job", job.job_id).decode()
    submit(beluga, by_argument(record))
    at_rest = scrape_at_rest(world.service, beluga)
    seen = world.job(beluga, job.job_id)
    assert_right(beluga, job, at_rest[job.job_id], seen)
    assert seen["slurm"]["job_state"] == "RUNNING"
    assert seen["cw"]["finished_at"] is None
    written = {"train_loss": 0.2, "größe": [1, None], "nested": {"a": True}}
    answer = world.api.put(
        "jobs/user_dict_update", job_id=job.job_id, cluster_name="beluga", update_pairs=written
    )
    assert (answer.status, answer.json) == (200, written)

    (beluga.cluster.work / "go").touch()
    beluga.cluster.wait_forgotten(job.job_id)
    scrape(world.service)
    gone = world.job(beluga, job.job_id)
    assert gone["slurm"] == seen["slurm"]
    assert gone["user"] == written
    assert gone["cw"]["vanished"]
    assert gone["cw"]["finished_at"] == gone["cw"]["vanished"]
    assert gone["cw"]["first_seen"] == seen["cw"]["first_seen"]
    assert job.job_id not in world.listed(beluga, time="0")
    assert world.listed(beluga, time="3600")[job.job_id] == gone
    assert "vanished" not in world.job(beluga, world.elsewhere.job_id)["cw"]
    scrape(world.service)
    assert world.job(beluga, job.job_id) == gone


# --- forgeries -------------------------------------------------------------------------------


@dataclass
class Attacked:
    """mila with forgeries in it, scraped; ``facts`` are squeue's by then."""

    victim: Submitted
    before: Any
    """The victim's document before the first forgery was submitted."""
    carriers: dict[str, Submitted]
    bystanders: dict[str, Submitted]
    """Jobs of bob's, whose records stand before those of the carriers."""
    facts: dict[str, Fact]


@pytest.fixture(scope="module")
def attacked(world: World) -> Attacked:
    """bob's job runs and has his note when alice's forgeries come."""
    mila = world.mila
    victim = submit(mila, Order(user=BOB))
    mila.cluster.wait_state(victim.job_id, "RUNNING")
    scrape_at_rest(world.service, mila)
    noted = Api(world.service.port, world.other_token).put(
        "jobs/user_dict_update", job_id=victim.job_id, update_pairs={"loss": 1}, cluster_name="mila"
    )
    assert noted.status == 200
    before = world.job(mila, victim.job_id)
    carriers, bystanders = {}, {}
    for title, order in forgeries(mila, victim.job_id):
        bystanders[title] = submit(mila, held(user=BOB))
        carriers[title] = submit(mila, order)
    at_rest = scrape_at_rest(world.service, mila)
    return Attacked(victim, before, carriers, bystanders, at_rest)


def test_no_forgery_makes_a_job_that_does_not_exist(world: World, attacked: Attacked) -> None:
    assert NOBODYS_ID not in attacked.facts
    assert world.job(world.mila, NOBODYS_ID) == {}
    assert world.listed(world.mila).keys() <= attacked.facts.keys()


def test_no_forgery_touches_another_job(world: World, attacked: Attacked) -> None:
    victim = attacked.victim
    after = world.job(world.mila, victim.job_id)
    assert_right(world.mila, victim, attacked.facts[victim.job_id], after)
    assert after["user"] == {"loss": 1}
    assert_all_but_time_is_as_before(after, attacked.before)
    for title, job in chain(world.jobs.items(), attacked.bystanders.items()):
        document = world.job(world.mila, job.job_id)
        assert document, title
        assert_right(world.mila, job, attacked.facts[job.job_id], document)
    with world.service.store() as store:
        assert store.former_jobs.count_documents({}) == 0


def assert_all_but_time_is_as_before(after: Any, before: Any) -> None:
    volatile = ("run_time", "last_sched_eval", "priority")
    for part in ("slurm", "cw", "user"):
        assert {key: value for key, value in after[part].items() if key not in volatile} == {
            key: value for key, value in before[part].items() if key not in volatile
        }


def test_a_job_that_carries_a_forgery_is_right_or_set_aside(
    world: World, attacked: Attacked
) -> None:
    with world.service.store() as store:
        aside = {
            job_id: kept
            for kept in store.quarantine.find({"cluster_name": "mila", "kind": "jobs"})
            for job_id in kept["ids"]
        }
    for title, job in attacked.carriers.items():
        document = world.job(world.mila, job.job_id)
        if document:
            assert_right(world.mila, job, attacked.facts[job.job_id], document)
        else:
            assert job.job_id in aside, title
            assert aside[job.job_id]["reason"], title
            assert f"JobId={job.job_id} ".encode() in aside[job.job_id]["text"], title
    assert not {job.job_id for job in world.jobs.values()} & aside.keys()


def test_the_crude_comment_is_a_comment(world: World, attacked: Attacked) -> None:
    job = attacked.carriers["crude, by the comment"]
    assert world.job(world.mila, job.job_id)["slurm"]["comment"] == job.wanted["comment"]


# --- the whole in one process ----------------------------------------------------------------


def test_up_follows_a_job_through_its_life(world: World, open_folder: Path) -> None:
    site = world.beluga
    service = Service(open_folder / "in one", [site], jobs_interval=1)
    with service.running("up") as up:
        token = add_user(service, PERSON, mila=ALICE, cc=BOB)
        api = Api(service.port, token)
        job = submit(site, Order(user=BOB))

        def is_now(state: str) -> None:
            def seen() -> bool:
                found = api.get("jobs/one", job_id=job.job_id).json
                return bool(found) and found["slurm"]["job_state"] == state

            wait_until(seen, f"the API says that job {job.job_id} is {state}")

        is_now("RUNNING")
        site.cluster.run("scancel", job.job_id, user=BOB)

        def is_gone() -> bool:
            return "vanished" in api.get("jobs/one", job_id=job.job_id).json["cw"]

        wait_until(is_gone, "the API says that the job is gone")
        assert api.get("jobs/one", job_id=job.job_id).json["cw"]["finished_at"]
    assert not Path(f"/proc/{up.pid}").exists()
    rounds = [event for event in events(up.log.read_text()) if event["message"] == "round"]
    assert len(rounds) > 2
