"""A cluster whose users have one plain name, and a cluster whose username field changed."""

from datetime import timedelta
from typing import Any

import pytest

from config.settings import UsernameField
from ingest.accounts.username_field import adopt_username_field
from ingest.accounts.users import NAME_FIELDS, add_user, remove
from ingest.clusters.round_log import RoundLog
from ingest.database.store import Store
from ingest.slurm.kinds import JOBS
from ingest.sync.sync_rounds import RoundCounts, SyncRounds
from tests.ingest.reading.attacks import job
from tests.ingest.sync.outputs import BOB, Clock, cluster, found, one
from tests.support.reading import read_lazily

ALICE = "alice@mila.example"


class Rounds:
    """Rounds of mila's jobs under a username field."""

    def __init__(self, store: Store, field: UsernameField) -> None:
        self.clock = Clock()
        self._store, self._cluster = store, cluster(username_field=field)
        self._sync = SyncRounds(store, self._cluster, JOBS, volatile_interval=900, clock=self.clock)

    def take(self, *records: str) -> RoundCounts:
        text = "".join(records) or "No jobs in the system\n"
        counts = self._sync.take_in(read_lazily([text.encode()], cluster=self._cluster))
        RoundLog(self._store, "mila").succeeded("jobs", 1.0, counts, len(text))
        self.clock.now += timedelta(minutes=1)
        return counts


def names(document: dict[str, Any]) -> dict[str, Any]:
    """The names in ``cw`` that are there."""
    return {field: document["cw"][field] for field in NAME_FIELDS if field in document["cw"]}


NO_NAMES = dict.fromkeys(field for field in NAME_FIELDS if field != "username")


def test_a_plain_username_stands_where_slurm_gave_it(store: Store) -> None:
    rounds = Rounds(store, "username")
    rounds.take(one())
    document = found(store)
    assert document["slurm"]["username"] == "alice"
    assert not {"mila_cluster_username", "cc_account_username"} & document["slurm"].keys()
    assert names(document) == NO_NAMES | {"username": "alice"}
    assert document["cw"]["filters"]["owner"] == "username/alice"
    assert document["cw"]["filters"]["names"] == ["alice"]

    add_user(store, ALICE, cc_account_username="acc01", username="alice")
    document = found(store)
    expected = {"mila_email_username": ALICE, "cc_account_username": "acc01", "username": "alice"}
    assert names(document) == NO_NAMES | expected
    rounds.take(one(state="COMPLETED"))
    assert names(found(store)) == NO_NAMES | expected


def test_a_key_named_username_is_another(store: Store) -> None:
    Rounds(store, "username").take(one().replace("Comment=", "Username="))
    slurm = found(store)["slurm"]
    assert (slurm["username"], slurm["slurm_username"]) == ("alice", "hello")


def test_where_nobody_has_a_plain_username_no_document_shows_one(store: Store) -> None:
    rounds = Rounds(store, "mila_cluster_username")
    add_user(store, ALICE, "alice", username="al")
    rounds.take(one(), job("2", BOB, sealed=False))
    assert found(store)["cw"]["username"] == "al"
    assert "username" not in found(store, "2")["cw"]

    remove(store, ALICE)
    assert names(found(store)) == NO_NAMES | {"mila_cluster_username": "alice"}


def test_a_scrape_with_accounts_of_before_is_put_right(store: Store) -> None:
    rounds = Rounds(store, "mila_cluster_username")
    rounds.take(one())
    store.jobs.update_one({"_id": "mila/1"}, {"$set": {"cw.username": "al"}})
    rounds.take(one(state="COMPLETED"))
    assert "username" not in found(store)["cw"]


@pytest.mark.parametrize("new", ["cc_account_username", "username"])
def test_a_changed_field_reaches_every_job(store: Store, new: UsernameField) -> None:
    before = Rounds(store, "mila_cluster_username")
    again = job("2", BOB, sealed=False)
    before.take(one(), again, job("3", "nobody(99)", sealed=False))
    reused = again.replace("SubmitTime=2026-11-23T20", "SubmitTime=2026-11-23T21")
    before.take(reused)
    assert store.former_jobs.count_documents({}) == 1
    add_user(store, ALICE, **{new: "alice"})  # type: ignore[arg-type]
    other = {"_id": "beluga/9", "slurm": {"job_id": "9", "cluster_name": "beluga", **NAMED}}
    store.jobs.insert_one({**other, "cw": {}, "user": {}})

    assert adopt_username_field(store, "mila", new) == 4
    for document in (
        *store.jobs.find({"slurm.cluster_name": "mila"}),
        store.former_jobs.find_one(),
    ):
        assert document is not None
        slurm = document["slurm"]
        assert "mila_cluster_username" not in slurm
        assert document["cw"][new] == slurm[new]
        assert document["cw"]["filters"]["owner"] == f"{new}/{slurm[new]}"
    assert found(store)["cw"]["mila_email_username"] == ALICE
    assert found(store)["cw"]["filters"]["names"] == ["alice", ALICE]
    assert store.jobs.find_one({"_id": "beluga/9"}) == {**other, "cw": {}, "user": {}}

    state = [*store.jobs.find(), *store.former_jobs.find()]
    assert adopt_username_field(store, "mila", new) == 0
    after = Rounds(store, new)
    counts = after.take(reused)
    assert (counts.changed, counts.inserted, counts.vanished) == (0, 0, 0)
    assert [*store.jobs.find(), *store.former_jobs.find()] == state


NAMED = {"mila_cluster_username": "alice"}


def test_a_round_before_the_change_is_adopted_starts_no_other_job(store: Store) -> None:
    Rounds(store, "mila_cluster_username").take(one(), job("2", BOB, sealed=False))
    store.jobs.update_one({"_id": "mila/1"}, {"$set": {"user": {"loss": 0.2}}})
    counts = Rounds(store, "username").take(one())
    assert (counts.changed, counts.inserted, counts.vanished) == (1, 0, 1)
    assert found(store)["slurm"]["username"] == "alice"
    assert found(store)["user"] == {"loss": 0.2}
    assert adopt_username_field(store, "mila", "username") == 1
    assert found(store, "2")["slurm"]["username"] == "bob"
    assert store.former_jobs.count_documents({}) == 0


def test_a_cluster_without_a_round_gets_no_document(store: Store) -> None:
    assert adopt_username_field(store, "mila", "username") == 0
    assert store.clusters.count_documents({}) == 0
