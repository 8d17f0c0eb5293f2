"""A scraper notices what others did to the database, and puts it right."""

from datetime import timedelta

import pytest

import ingest.sync.read_back
from ingest.accounts.users import add_user
from ingest.database.migrations import migrate
from ingest.database.store import Store
from ingest.retention.retention import retain
from tests.ingest.retention.jobs import DELETE
from tests.ingest.sync.outputs import Clock, new_rounds
from tests.ingest.sync.sealed_outputs import Rounds, many, one, slurm_dicts


@pytest.fixture
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest.sync.read_back, "COMPARED_OF_A_ROUND", 2)


def states(store: Store) -> dict[str, str]:
    return {key: slurm["job_state"] for key, slurm in slurm_dicts(store).items()}


def test_an_older_backup_is_noticed_in_the_next_round(
    store: Store, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """All collections are restored: a job is missing, one has an older state, one is back."""
    rounds = Rounds(store, clock)
    rounds.take(one("1"), one("2"), *many(300))
    backup = {name: list(store.database[name].find()) for name in ("jobs", "marks")}
    now = [one("1", state="COMPLETED"), one("3"), *many(300)]
    rounds.take(*now)
    for name, documents in backup.items():
        store.database[name].delete_many({})
        store.database[name].insert_many(documents)

    counts = rounds.take(*now)

    assert (counts.inserted, counts.changed, counts.vanished) == (1, 1, 1)
    assert states(store) == {"1": "COMPLETED", "3": "RUNNING"} | {
        str(1000 + number): "RUNNING" for number in range(300)
    }
    assert "another process has changed the documents" in caplog.text


def test_another_writer_is_noticed_in_the_next_round(store: Store, clock: Clock) -> None:
    rounds = Rounds(store, clock)
    rounds.take(one("1"), one("2"))
    Rounds(store, clock).take(one("1"), one("9"))  # says that 2 is gone and 9 there
    counts = rounds.take(one("1"), one("2"))
    assert (counts.inserted, counts.changed, counts.vanished) == (0, 1, 1)
    assert set(slurm_dicts(store)) == {"1", "2"}


def test_accounts_retention_and_migrations_cost_no_new_comparison(
    store: Store, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    rounds = Rounds(store, clock)
    rounds.take(one("1"), one("2", state="COMPLETED"))
    rounds.take(one("1"))
    add_user(store, "alice@example.org", "alice")
    store.jobs.update_one({"_id": "mila/1"}, {"$unset": {"cw.filters.version": ""}})
    assert migrate(store) == 1
    jobs, *_ = retain(store, DELETE, clock.now + timedelta(days=100))
    assert jobs.deleted == 1
    rounds.take(one("1"))
    assert rounds.passed_over == 1
    assert caplog.text == ""


@pytest.mark.usefixtures("few_at_once")
def test_what_was_lost_or_changed_is_found_in_slow_turns(
    store: Store, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    rounds = Rounds(store, clock)
    output = [*many(9), one("1"), one("2")]
    rounds.take(*output)
    expected = slurm_dicts(store)
    store.jobs.delete_one({"_id": "mila/1000"})
    store.jobs.update_one({"_id": "mila/1003"}, {"$set": {"slurm.job_state": "WRONG"}})
    store.jobs.update_one({"_id": "mila/1007"}, {"$set": {"cw.vanished": clock.now}})
    store.jobs.update_one({"_id": "mila/1"}, {"$set": {"slurm.run_time": 1, "user.a": 1}})
    changes = 0
    for _ in range(8):
        counts = rounds.take(*output)
        changes += counts.inserted + counts.changed
        assert counts.vanished == 0
    assert changes == 4
    assert slurm_dicts(store) == expected
    found = store.jobs.find_one({"_id": "mila/1"})
    assert found is not None
    assert found["user"] == {"a": 1}
    assert caplog.text.count("are not what this scraper wrote") >= 2
    caplog.clear()
    for _ in range(8):
        assert rounds.take(*output).changed == 0
        assert rounds.passed_over == len(output)
    assert caplog.text == ""


@pytest.mark.usefixtures("few_at_once")
def test_a_job_that_is_not_there_is_found_in_slow_turns(store: Store, clock: Clock) -> None:
    """A running job came back by a backup of the jobs alone, after it had gone."""
    rounds = Rounds(store, clock)
    rounds.take(*many(5), one("1"))
    before = store.jobs.find_one({"_id": "mila/1"})
    assert before is not None
    rounds.take(*many(5))
    store.jobs.replace_one({"_id": "mila/1"}, before)
    vanished = sum(rounds.take(*many(5)).vanished for _ in range(5))
    assert vanished == 1
    assert "1" not in slurm_dicts(store)


@pytest.mark.usefixtures("few_at_once")
def test_jobs_that_come_and_go_differ_from_nothing(
    store: Store, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    rounds = Rounds(store, clock)
    for number in range(12):
        rounds.take(*many(7 - number % 5), *(one(str(number + each)) for each in range(3)))
    assert caplog.text == ""


def test_a_round_that_is_not_complete_marks_nothing_as_gone(store: Store, clock: Clock) -> None:
    sync = new_rounds(store, clock)
    rounds = Rounds(store, clock)
    rounds.sync = sync
    rounds.take(one("1"), one("2"))
    counts = sync.take_in(rounds.changes([one("3").encode()]), is_complete=False)
    assert (counts.inserted, counts.vanished, counts.unseen_ends) == (1, 0, [])
    assert set(slurm_dicts(store)) == {"1", "2", "3"}
