"""ETag and If-None-Match: 304 while nothing has changed, and never a wrong one."""

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any

import pytest
from bson.binary import UUID_SUBTYPE, Binary

from api.app import build_app
from config import ClusterSettings, RetentionSettings, SshSettings
from ingest.accounts.users import add_user
from ingest.clusters.accounting import take_accounted
from ingest.database.change_tokens import ACCOUNTS, ChangeTokens, SeenTokens
from ingest.database.leases import Lease
from ingest.database.store import Store
from ingest.retention.retention import restore, retain
from ingest.slurm.kinds import JOBS
from ingest.sync.sync_rounds import SyncRounds
from tests.api.support.client import Answer, Client
from tests.ingest.programs.accounted import CLUSTER, accounted
from tests.ingest.reading.attacks import job
from tests.support.reading import read_lazily

URLS: list[tuple[str, dict[str, str]]] = [
    ("jobs/list", {}),
    ("jobs/list", {"cluster_name": "mila"}),
    ("jobs/list", {"cluster_name": "beluga", "time": "60"}),
    ("jobs/list", {"time": "60"}),
    ("jobs/list", {"user": "alice@mila.example", "fields": "slurm.job_id,user"}),
    ("jobs/list", {"limit": "2", "sort": "-name", "cluster_name": "mila"}),
    ("jobs/list", {"count": "true", "job_state": "RUNNING", "time": "0"}),
    ("jobs/one", {"job_id": "1", "cluster_name": "mila"}),
]


class World:
    """Two clusters, their writers, an API whose clock is moved, and what its client was told."""

    def __init__(self, store: Store, archive: Path) -> None:
        self.store = store
        self.archive = archive
        self.now = datetime(2026, 11, 24, 17, tzinfo=timezone.utc)
        self.states: dict[str, dict[str, str]] = {"mila": {}, "beluga": {}}
        self.ends: dict[str, str] = {}
        self.intakes = {name: self._intake(name) for name in self.states}
        _, token = add_user(store, "alice@mila.example", "alice", "alice")
        app = build_app(store, clock=lambda: self.now)
        self.client = Client(app, {"Authorization": f"Bearer {token}"})
        self.told: dict[int, dict[str, Answer]] = {number: {} for number in range(len(URLS))}

    def _cluster(self, name: str) -> ClusterSettings:
        return ClusterSettings(
            name=name,
            timezone="America/Montreal",
            username_field="mila_cluster_username" if name == "mila" else "cc_account_username",
            ssh=SshSettings(host="nowhere"),
        )

    def _intake(self, name: str) -> SyncRounds:
        lease = Lease(self.store, name, 30)
        assert lease.keep()
        return SyncRounds(
            self.store,
            self._cluster(name),
            JOBS,
            volatile_interval=900,
            bulk_write=lease.bulk_write,
            clock=lambda: self.now,
        )

    def scrape(self, name: str) -> None:
        text = "".join(self._printed(*each) for each in self.states[name].items())
        chunks = [(text or "No jobs in the system\n").encode()]
        self.intakes[name].take_in(read_lazily(chunks, cluster=self._cluster(name)))

    def _printed(self, job_id: str, state: str) -> str:
        if state in ("PENDING", "RUNNING"):
            self.ends.pop(job_id, None)
        end = self.ends.setdefault(job_id, self.now.strftime("%Y-%m-%dT%H:%M:%S+0000"))
        name = f"n{int(job_id) % 3}"
        text = job(job_id, "alice(1001)", sealed=False, state=state, name=name)
        return re.sub(r"(?<=EndTime=)\S+", end, text)

    def ask(self, number: int, *tags: str) -> Answer:
        path, arguments = URLS[number]
        given = {"If-None-Match": ", ".join(tags)} if tags else {}
        return Client(self.client.app, {**self.client.headers, **given}).get(path, **arguments)

    def check(self) -> None:
        """Ask every address with all the tags it ever gave: a 304 must stand for today's answer."""
        for number, told in self.told.items():
            fresh = self.ask(number)
            assert fresh.status == 200
            if told:
                answer = self.ask(number, *told)
                if answer.status == 304:
                    known = told[str(answer.header("ETag"))]
                    assert (known.body, known.header("Link")) == (fresh.body, fresh.header("Link"))
                    assert answer.body == b""
                else:
                    assert answer.body == fresh.body
            told[str(fresh.header("ETag"))] = fresh


@pytest.fixture
def world(store: Store, tmp_path: Path) -> World:
    world = World(store, tmp_path)
    for name, states in world.states.items():
        states |= {str(number): "RUNNING" for number in range(1, 5)}
        world.scrape(name)
    return world


def scrape_changes(world: World, chance: Random) -> None:
    name = chance.choice(["mila", "beluga"])
    for _ in range(chance.randrange(3)):
        job_id = str(chance.randrange(1, 8))
        state = chance.choice(["PENDING", "RUNNING", "COMPLETED", "FAILED", "gone"])
        world.states[name][job_id] = state
        if state == "gone":
            del world.states[name][job_id]
    world.scrape(name)


def users_write(world: World, chance: Random) -> None:
    arguments = {"job_id": str(chance.randrange(1, 8)), "cluster_name": "mila"}
    pairs = {chance.choice("ab"): chance.randrange(2)}
    world.client.put("jobs/user_dict_update", **arguments, update_pairs=pairs)


def accounts_change(world: World, chance: Random) -> None:
    email = chance.choice(["alice@mila.example", "bob@mila.example"])
    world.store.users.update_many({}, {"$unset": {"cc_account_username": ""}})
    add_user(world.store, email, cc_account_username="alice")


def time_passes(world: World, chance: Random) -> None:
    world.now += timedelta(seconds=chance.choice([0.001, 1, 20, 59, 700]))


def time_goes_back(world: World, chance: Random) -> None:
    world.now -= timedelta(seconds=chance.choice([0.001, 30]))


def old_jobs_leave(world: World, chance: Random) -> None:
    settings = RetentionSettings(after_days=1, archive=world.archive)
    list(
        retain(world.store, settings, world.now + timedelta(days=1, seconds=-chance.randrange(90)))
    )


def old_jobs_come_back(world: World, chance: Random) -> None:
    for path in world.archive.glob("jobs-*"):
        restore(world.store, path)
        path.unlink()


def ends_are_told(world: World, chance: Random) -> None:
    for found in world.store.jobs.find({"cw.vanished": {"$ne": None}}).limit(2):
        slurm = found["slurm"]
        end = accounted(
            job_id=slurm["job_id"],
            uid=slurm["uid"],
            submit_time=slurm["submit_time"],
            state="FAILED",
            exit_code=f"{chance.randrange(9)}:0",
        )
        cluster = CLUSTER.model_copy(update={"name": slurm["cluster_name"]})
        write = world.intakes[slurm["cluster_name"]].bulk_write
        take_accounted(world.store, cluster, [end], write)


STEPS: list[Callable[[World, Random], None]] = [
    *(scrape_changes, scrape_changes, users_write, users_write, accounts_change),
    *(time_passes, time_passes, time_goes_back, old_jobs_leave, old_jobs_come_back, ends_are_told),
]


@pytest.mark.parametrize("seed", range(2))
def test_no_304_is_wrong_whatever_happens(world: World, seed: int) -> None:
    chance = Random(seed)  # noqa: S311
    world.check()
    for _ in range(25):
        for step in chance.choices(STEPS, k=chance.randrange(1, 3)):
            step(world, chance)
        world.check()


def test_every_address_answers_304_while_nothing_changes(world: World) -> None:
    tags = [str(world.ask(number).header("ETag")) for number in range(len(URLS))]
    world.scrape("mila")  # finds nothing new
    world.client.put("jobs/user_dict_update", job_id="9", cluster_name="mila", update_pairs={})
    world.now += timedelta(seconds=30)

    for number, tag in enumerate(tags):
        answer = world.ask(number, '"other"', tag)
        assert (answer.status, answer.body) == (304, b"")
        assert answer.header("ETag") == tag
        assert answer.header("Cache-Control") == "private, no-cache"
        assert answer.header("Content-Type") is None
        assert world.ask(number, tag.removeprefix("W/")).status == 304
        assert world.ask(number, "*").status == 304
        for other in ("", '"', 'W/""', tag[:-2] + '"', tag.upper(), "W/" + tag):
            assert world.ask(number, other).status == 200 or other == "W/" + tag


def test_a_change_in_one_cluster_is_none_in_another(world: World) -> None:
    tag = str(world.ask(1).header("ETag"))

    world.states["beluga"]["1"] = "FAILED"
    world.scrape("beluga")
    assert world.ask(1, tag).status == 304

    world.states["mila"]["1"] = "FAILED"
    world.scrape("mila")
    assert world.ask(1, tag).status == 200


def test_a_job_that_drops_out_by_itself_ends_the_304s(world: World) -> None:
    world.states["beluga"]["1"] = "COMPLETED"
    world.scrape("beluga")
    found = world.store.jobs.find_one({"slurm.job_id": "1", "slurm.cluster_name": "beluga"})
    assert found is not None
    end = found["cw"]["finished_at"]
    world.now = end
    tag = str(world.ask(2).header("ETag"))

    world.now = end + timedelta(seconds=60)
    assert world.ask(2, tag).status == 304
    world.now = end + timedelta(seconds=60, milliseconds=1)
    assert world.ask(2, tag).status == 200

    later = str(world.ask(2).header("ETag"))
    assert world.ask(2, later).status == 304
    world.now = end  # a clock that was set back: the job is in the list again
    assert world.ask(2, later).status == 200


def test_each_writer_ends_the_304s_of_what_it_changes(world: World) -> None:
    def changes(write: Callable[[], object], *numbers: int) -> None:
        before = [world.ask(number) for number in numbers]
        write()
        for number, old in zip(numbers, before, strict=True):
            new = world.ask(number, str(old.header("ETag")))
            assert new.status == 200
            assert new.body != old.body

    both, mila, beluga = 0, 1, 2
    for states in world.states.values():
        del states["1"]
    changes(lambda: world.scrape("mila"), both, mila)
    changes(lambda: world.scrape("beluga"), both, beluga)
    world.now += timedelta(seconds=1)
    changes(lambda: ends_are_told(world, Random()), both, mila)  # noqa: S311
    update = {"job_id": "2", "cluster_name": "mila", "update_pairs": {"a": 1}}
    changes(lambda: world.client.put("jobs/user_dict_update", **update), both, mila)
    changes(lambda: add_user(world.store, "alice@mila.example", "other", rename=True), both, mila)
    world.now += timedelta(days=2)
    settings = RetentionSettings(after_days=1, archive=world.archive)
    changes(lambda: list(retain(world.store, settings, world.now)), both, mila)
    assert world.store.jobs.count_documents({"slurm.job_id": "1"}) == 0
    changes(lambda: old_jobs_come_back(world, Random()), both, mila)  # noqa: S311
    assert world.store.jobs.count_documents({"slurm.job_id": "1"}) == 2


def test_a_writer_between_the_marks_and_the_documents(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = SeenTokens.listed

    def read(seen: SeenTokens, *arguments: Any) -> ChangeTokens:
        found = listed(seen, *arguments)
        for state in ("FAILED", "COMPLETED"):
            world.states["mila"]["1"] = state
            world.scrape("mila")
        return found

    before = world.ask(1)
    monkeypatch.setattr(SeenTokens, "listed", read)
    torn = world.ask(1)
    monkeypatch.undo()

    assert torn.body != before.body
    assert torn.header("ETag") == before.header("ETag")  # old: it may only cost another answer
    fresh = world.ask(1, str(torn.header("ETag")))
    assert (fresh.status, fresh.body) == (200, torn.body)


def test_documents_and_marks_are_written_together_or_not_at_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = [str(world.ask(number).header("ETag")) for number in range(len(URLS))]
    before = list(world.store.jobs.find())

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError

    for module in (
        "ingest.database.change_tokens.replace_token",
        "api.endpoints.user_dict.replace_token",
    ):
        monkeypatch.setattr(module, fails)
    for write in (
        lambda: world.scrape("mila"),
        lambda: add_user(world.store, "bob@mila.example", "alice"),
    ):
        world.states["mila"]["1"] = "FAILED"
        world.store.users.update_many({}, {"$set": {"mila_cluster_username": None}})
        with pytest.raises(RuntimeError):
            write()
    update = {"job_id": "1", "cluster_name": "beluga", "update_pairs": {"a": 1}}
    assert world.client.put("jobs/user_dict_update", **update).status == 500
    monkeypatch.undo()

    assert list(world.store.jobs.find()) == before
    assert [world.ask(number, tag).status for number, tag in enumerate(tags)] == [304] * len(URLS)


KILLED = """
import sys, time
from ingest.database.change_tokens import replace_token, scrape_token
from ingest.database.transactions import in_transaction
from ingest.database.store import connect

store = connect(sys.argv[1], sys.argv[2])

def write(session):
    store.jobs.update_many({}, {"$set": {"slurm.job_state": "WRONG"}}, session=session)
    if sys.argv[3] == "marked":
        replace_token(store, session, scrape_token("jobs", "mila"))
    print(session.session_id["id"].hex(), flush=True)
    time.sleep(600)

in_transaction(store, write)
"""


@pytest.mark.parametrize("when", ["unmarked", "marked"])
def test_a_writer_that_is_killed_between_its_steps(world: World, mongo_uri: str, when: str) -> None:
    fresh = world.ask(1)
    command = [sys.executable, "-c", KILLED, mongo_uri, world.store.database.name, when]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
    ) as process:
        assert process.stdout is not None
        session_id = {"id": Binary(bytes.fromhex(process.stdout.readline().decode()), UUID_SUBTYPE)}
        assert world.ask(1, str(fresh.header("ETag"))).status == 304
        process.send_signal(signal.SIGKILL)

    assert world.ask(1, str(fresh.header("ETag"))).status == 304
    assert world.ask(1).body == fresh.body
    # Left alone, a database ends a dead writer's transaction only after a minute.
    world.store.database.client.admin.command("killSessions", [session_id])


def test_what_was_not_changed_is_not_marked(world: World) -> None:
    def all_marks() -> Any:
        return list(world.store.change_tokens.find({"_id": {"$ne": ACCOUNTS}}))

    update = {"job_id": "1", "cluster_name": "mila", "update_pairs": {"a": 1}}
    assert world.client.put("jobs/user_dict_update", **update).status == 200
    before = all_marks()

    assert world.client.put("jobs/user_dict_update", **update).status == 200
    assert world.client.put("jobs/user_dict_update", **{**update, "job_id": "99"}).status == 404
    add_user(world.store, "alice@mila.example", "alice")
    world.scrape("mila")
    list(retain(world.store, RetentionSettings(after_days=1, delete=True), world.now))

    assert all_marks() == before
    assert len({each["mark"] for each in before}) == len(before)
