"""A cluster gets another name, and keeps all that the database holds of it."""

import threading
from datetime import datetime, timedelta, timezone
from operator import methodcaller
from typing import Any

import pytest
from bson import ObjectId, json_util

from api.app import build_app
from ingest.accounts.users import add_user
from ingest.clusters import renaming
from ingest.clusters.coverage import CoverageLedger, coverage_of
from ingest.clusters.renaming import held_of, rename_cluster
from ingest.clusters.retired_clusters import retire
from ingest.clusters.round_log import RoundLog
from ingest.database.change_tokens import SeenTokens, read_scraped_token
from ingest.database.leases import Lease, LeaseBusy, LeaseLost
from ingest.database.store import INDEXES, Document, Store
from ingest.quarantine.quarantine import Quarantine
from ingest.reading.records import SetAside
from ingest.sync.sync_rounds import RoundCounts
from tests.api.support.client import Client
from tests.api.support.examples import job_document, node_document
from tests.support.documented import MILA_JOB, MILA_NODE

LEASE = 5.0
NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
BEFORE = NOW - timedelta(days=2)
JOBS = 120
AWARE = json_util.JSONOptions(tz_aware=True, tzinfo=timezone.utc)


def a_job(job_id: str, cluster_name: str = "old", **slurm: Any) -> Document:
    return job_document({**MILA_JOB, "job_id": job_id, "cluster_name": cluster_name, **slurm})


def a_period(cluster_name: str, since: datetime, until: datetime | None = None) -> Document:
    """A time in which nothing changed for the node cn-1."""
    _id = f"{cluster_name}/cn-1/{since.isoformat()}"
    which = {"_id": _id, "cluster_name": cluster_name, "name": "cn-1"}
    return {**which, "since": since, "until": until, "words": [], "reason": None}


def cover(store: Store, name: str, *rounds: int) -> None:
    """Note good rounds of a cluster at these seconds."""
    ledger = CoverageLedger(store, name)
    for asked in rounds:
        ledger.change(asked, methodcaller("after_round", asked, asked + 1, 300))


def fill(store: Store, name: str = "old", jobs: int = JOBS) -> None:
    """Give a cluster documents in every collection.

    They are jobs with user dicts, nodes and periods of a node, a former job, a quarantine, a round
    log and a coverage.
    """
    documents = [a_job(str(number), name) for number in range(1, jobs + 1)]
    for document in documents:
        document["user"] = {"of": document["slurm"]["job_id"]}
    store.jobs.insert_many(documents)
    store.nodes.insert_many(
        node_document({**MILA_NODE, "name": f"cn-{number}", "cluster_name": name})
        for number in range(3)
    )
    former = a_job("7", name)
    store.former_jobs.insert_one({**former, "_id": f"{name}/7/then/before"})
    quarantine = Quarantine(store, name, "jobs")
    quarantine.add(SetAside(b"JobId=99 x", "doubt", ("99",)))
    quarantine.write(NOW)
    log = RoundLog(store, name, lambda: NOW)
    log.succeeded("jobs", 1.0, RoundCounts(read=5), 100)
    log.failed("nodes", 1.0, "no route")
    store.node_periods.insert_many([a_period(name, BEFORE, NOW), a_period(name, NOW)])
    cover(store, name, 1000, 1060)
    store.forecasts.insert_one({"_id": f"{name}/7/then", "cluster_name": name})
    store.schedulers.insert_one({"_id": name, "cluster_name": name})
    for collection in (store.partitions, store.reservations):
        slurm = {"name": "main", "cluster_name": name}
        collection.insert_one({"_id": f"{name}/main", "slurm": slurm, "cw": {}})


def everything(store: Store) -> dict[str, list[Document]]:
    """All documents of the clusters, but for the tokens and leases."""
    names = {*INDEXES} - {"marks", "changes", "leases", "lease_beats", "users"}
    return {name: list(store.database[name].find().sort("_id")) for name in names}


def tokens(store: Store, name: str, kind: str) -> list[tuple[str, str]]:
    return SeenTokens(store, kind, name).listed(kind, name)


def test_everything_moves_to_the_new_name(store: Store) -> None:
    fill(store)
    fill(store, "other", jobs=3)
    before = json_util.dumps(everything(store), sort_keys=True)
    held = held_of(store, "old")

    moved = rename_cluster(store, "old", "new", LEASE)

    assert moved == held == {
        "jobs": JOBS, "nodes": 3, "former_jobs": 1, "set_aside": 1, "scrapes": 2, "clusters": 2,
        "node_periods": 2, "coverage": 1, "partitions": 1, "reservations": 1, "forecasts": 1,
        "schedulers": 1,
    }  # fmt: skip
    assert not any(held_of(store, "old").values())
    renamed = before.replace('"old/', '"new/').replace('"old"', '"new"')
    by_id = [
        {name: {str(each["_id"]): each for each in documents} for name, documents in found.items()}
        for found in (json_util.loads(renamed, json_options=AWARE), everything(store))
    ]
    assert by_id[0] == by_id[1]


def test_the_change_tokens_of_both_names_move(store: Store) -> None:
    fill(store, jobs=1)
    for name in ("old", "new"):
        store.change_tokens.insert_one({"_id": f"jobs/{name}/scrape", "mark": ObjectId()})
    names = [(name, kind) for name in ("old", "new") for kind in ("jobs", "nodes")]
    before = [tokens(store, *each) for each in names]
    scraped = [read_scraped_token(store, kind, name) for name, kind in names]

    rename_cluster(store, "old", "new", LEASE)

    assert all(tokens(store, *each) != old for each, old in zip(names, before, strict=True))
    after = [read_scraped_token(store, kind, name) for name, kind in names]
    assert all(each not in (None, old) for each, old in zip(after, scraped, strict=True))


def test_etags_of_lists_follow_the_name(store: Store) -> None:
    fill(store, jobs=3)
    _, token = add_user(store, "a@example.org", "milauser12")
    client = Client(build_app(store), {"Authorization": f"Bearer {token}"})
    before = {name: client.get("jobs/list", cluster_name=name) for name in ("old", "new")}

    rename_cluster(store, "old", "new", LEASE)

    for name, jobs in (("old", 0), ("new", 3)):
        etag = before[name].header("ETag")
        headers = {**client.headers} | ({} if etag is None else {"If-None-Match": etag})
        answer = Client(client.app, headers).get("jobs/list", cluster_name=name)
        assert (answer.status, len(answer.json)) == (200, jobs)


@pytest.mark.parametrize("batches", [0, 1, 2, 3, 4, 5, 6])
def test_a_run_that_was_cut_short_is_continued(
    store: Store, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    fill(store)
    left = batches
    move = renaming._Move._move_batch

    def cut(self: Any, session: Any) -> int:
        nonlocal left
        if not left:
            raise KeyboardInterrupt
        left -= 1
        return move(self, session)

    with monkeypatch.context() as patched:
        patched.setattr(renaming._Move, "_move_batch", cut)
        with pytest.raises(KeyboardInterrupt):
            rename_cluster(store, "old", "new", LEASE)
    assert held_of(store, "new")["jobs"] == min(batches * renaming.BATCH, JOBS)

    rename_cluster(store, "old", "new", LEASE)

    assert not any(held_of(store, "old").values())
    assert held_of(store, "new")["jobs"] == JOBS
    assert {each["_id"]: each["user"] for each in store.jobs.find()} == {
        f"new/{number}": {"of": str(number)} for number in range(1, JOBS + 1)
    }
    assert not any(rename_cluster(store, "old", "new", LEASE).values())


@pytest.mark.parametrize("held", ["old", "new"])
def test_a_cluster_that_is_being_scraped_is_left_alone(store: Store, held: str) -> None:
    fill(store)
    before = everything(store)
    with Lease(store, held, LEASE).holding(), pytest.raises(LeaseBusy, match=held):
        rename_cluster(store, "old", "new", LEASE)
    assert everything(store) == before


@pytest.mark.parametrize("taken", ["old", "new"])
def test_nothing_is_written_once_another_process_has_a_lease(
    store: Store, monkeypatch: pytest.MonkeyPatch, taken: str
) -> None:
    fill(store)
    move = renaming._Move._move_batch
    calls = 0

    def take_over(self: Any, session: Any) -> int:
        nonlocal calls
        calls += 1
        if calls == 2:
            store.leases.update_one({"_id": taken}, {"$set": {"holder": "another"}})
        return move(self, session)

    monkeypatch.setattr(renaming._Move, "_move_batch", take_over)
    with pytest.raises(LeaseLost):
        rename_cluster(store, "old", "new", LEASE)
    assert held_of(store, "new")["jobs"] == renaming.BATCH
    assert held_of(store, "old")["jobs"] == JOBS - renaming.BATCH


def test_what_both_names_have_is_put_together(store: Store) -> None:
    old, new = a_job("1"), a_job("1", "new", job_state="COMPLETED")
    old["user"], new["user"] = {"a": 1, "b": 1}, {"b": 2}
    old["cw"] |= {"first_seen": BEFORE, "history": [_step("PENDING"), _step("RUNNING")]}
    new["cw"] |= {"first_seen": NOW, "history": [_step("RUNNING"), _step("COMPLETED")]}
    another, reused = a_job("2", uid="1"), a_job("2", "new", uid="2")
    another["user"] = {"secret": 1}
    store.jobs.insert_many([old, new, another, reused])
    nodes = [
        node_document({**MILA_NODE, "cluster_name": name, "state": state})
        for name, state in (("old", "DOWN"), ("new", "IDLE"))
    ]
    for node, moment in zip(nodes, (BEFORE, NOW), strict=True):
        node["cw"]["first_seen"] = moment
    store.nodes.insert_many(nodes)

    rename_cluster(store, "old", "new", LEASE)

    first, second = store.jobs.find().sort("_id")
    assert first["slurm"] == new["slurm"]
    assert first["user"] == {"a": 1, "b": 2}
    assert first["cw"]["first_seen"] == BEFORE
    states = [step["state"] for step in first["cw"]["history"]]
    assert states == ["PENDING", "RUNNING", "COMPLETED"]
    assert second == reused
    [former] = store.former_jobs.find()
    assert former["_id"].startswith("new/2/")
    assert (former["slurm"]["uid"], former["slurm"]["cluster_name"]) == ("1", "new")
    assert former["user"] == {"secret": 1}
    [node] = store.nodes.find()
    assert (node["slurm"]["state"], node["cw"]["first_seen"]) == ("IDLE", BEFORE)


def _step(state: str) -> Document:
    return {"state": state, "seen": NOW}


def test_a_retired_cluster_stays_retired_under_its_new_name(store: Store) -> None:
    fill(store, jobs=1)
    retire(store, "old", NOW)
    rename_cluster(store, "old", "new", LEASE)
    assert store.clusters.find_one({"_id": "new"}) == {
        "_id": "new", "cluster_name": "new", "retired": NOW,
    }  # fmt: skip


def test_a_cluster_in_use_does_not_retire_with_what_joins_it(store: Store) -> None:
    fill(store, jobs=1)
    retire(store, "old", NOW)
    RoundLog(store, "new", lambda: NOW).succeeded("jobs", 1.0, RoundCounts(read=9), 1)
    rename_cluster(store, "old", "new", LEASE)
    assert {each["_id"] for each in store.clusters.find()} == {"new/jobs", "new/nodes"}
    standing = store.clusters.find_one({"_id": "new/jobs"})
    assert standing is not None
    assert standing["last_figures"]["records"] == 9


DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("theirs", "until"),
    [
        ([], None),
        ([(NOW, None)], NOW),
        ([(BEFORE + DAY, NOW), (NOW, None)], BEFORE + DAY),
        ([(BEFORE + DAY, NOW)], BEFORE + DAY),
        ([(BEFORE - 2 * DAY, BEFORE - DAY), (NOW, None)], NOW),
        ([(BEFORE - 2 * DAY, BEFORE - DAY)], None),
        ([(BEFORE - DAY, None)], BEFORE),
    ],
    ids=["none", "open", "several", "ended", "earlier-and-open", "earlier", "open-before"],
)
def test_a_node_has_one_open_period_at_most(
    store: Store, theirs: list[tuple[datetime, datetime | None]], until: datetime | None
) -> None:
    past = a_period("old", BEFORE - 5 * DAY, BEFORE)
    theirs_then = [a_period("new", *each) for each in theirs]
    store.node_periods.insert_many([past, a_period("old", BEFORE), *theirs_then])

    assert rename_cluster(store, "old", "new", LEASE)["node_periods"] == 2

    moved = [a_period("new", BEFORE - 5 * DAY, BEFORE), a_period("new", BEFORE, until)]
    found = list(store.node_periods.find().sort("since"))
    assert found == sorted([*moved, *theirs_then], key=lambda each: each["since"])
    assert sum(each["until"] is None for each in found) <= 1


def test_the_coverage_of_the_new_name_stays(store: Store) -> None:
    cover(store, "old", 1000, 1060, 9000)
    cover(store, "new", 2000, 5000)
    before = coverage_of(store, "new")

    assert rename_cluster(store, "old", "new", LEASE)["coverage"] == 1

    assert coverage_of(store, "new") == before
    assert coverage_of(store, "old") is None


def test_the_next_round_goes_on_with_the_coverage_that_moved(store: Store) -> None:
    cover(store, "old", 1000, 1060)
    rename_cluster(store, "old", "new", LEASE)
    cover(store, "new", 9000)
    found = coverage_of(store, "new")
    assert found is not None
    assert found["missing_seconds"] == 9000 - 1060


def test_no_write_of_a_user_is_lost_meanwhile(store: Store) -> None:
    """Users write into their jobs while the jobs move: every 200 is found in the end."""
    fill(store)
    _, token = add_user(store, "a@example.org", "milauser12")
    app = build_app(store)
    written: dict[str, dict[str, int]] = {}
    ended = threading.Event()

    def write(job_id: str) -> None:
        client = Client(app, {"Authorization": f"Bearer {token}"})
        number = 0
        while not ended.is_set():
            number += 1
            pairs = {f"key{number}": number}
            answer = client.put("jobs/user_dict_update", job_id=job_id, update_pairs=pairs)
            if answer.status == 200:
                written.setdefault(job_id, {}).update(pairs)

    writers = [threading.Thread(target=write, args=(str(JOBS - each),)) for each in range(3)]
    for writer in writers:
        writer.start()
    try:
        rename_cluster(store, "old", "new", LEASE)
    finally:
        ended.set()
        for writer in writers:
            writer.join()

    assert store.jobs.count_documents({"slurm.cluster_name": "new"}) == JOBS
    for job_id, pairs in written.items():
        job = store.jobs.find_one({"_id": f"new/{job_id}"})
        assert job is not None
        assert job["user"] == {"of": job_id, **pairs}
