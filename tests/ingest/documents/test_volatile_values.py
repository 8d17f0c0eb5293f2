"""Volatile values stand in packs: what is shown is what a write of the document would show."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.app import build_app
from ingest.accounts.users import add_user
from ingest.clusters.renaming import rename_cluster
from ingest.database.store import INDEXES, Store
from ingest.documents.volatile_values import IDS_IN_SLOT, LONGEST_VALUES, fit_into_pack
from tests.api.support.client import Client
from tests.ingest.sync.outputs import ALICE, BOB, Clock, found
from tests.ingest.sync.sealed_outputs import Rounds, one, slurm_dicts

IDS = ("1", "2", str(IDS_IN_SLOT), "99999")


def at(job_id: str, minutes: int, **texts: str) -> str:
    """A job that has run for so many minutes."""
    return one(job_id, **texts).replace("RunTime=00:10:00", f"RunTime=00:{minutes:02}:00")


def later(clock: Clock) -> None:
    clock.now += timedelta(seconds=900)


def raw(store: Store, job_id: str = "1") -> dict[str, Any]:
    document = store.jobs.find_one({"_id": f"mila/{job_id}"})
    assert document is not None
    return document


def test_a_volatile_round_leaves_the_documents_alone(store: Store, clock: Clock) -> None:
    rounds = Rounds(store, clock)
    rounds.take(*(at(each, 10) for each in IDS))
    before = list(store.jobs.find())
    later(clock)
    assert rounds.take(*(at(each, 25) for each in IDS)).changed == len(IDS)
    assert list(store.jobs.find()) == before
    assert {slurm["run_time"] for slurm in slurm_dicts(store).values()} == {1500}
    assert store.database["volatile_jobs"].count_documents({}) == 3


def test_a_finished_job_holds_its_last_values_itself(store: Store, clock: Clock) -> None:
    rounds = Rounds(store, clock)
    for minutes, state in ((10, "RUNNING"), (25, "RUNNING"), (40, "COMPLETED"), (41, "COMPLETED")):
        rounds.take(at("1", minutes, state=state))
        later(clock)
    assert raw(store)["slurm"]["run_time"] == found(store)["slurm"]["run_time"] == 41 * 60


def test_a_job_that_goes_holds_its_last_values_itself(store: Store, clock: Clock) -> None:
    rounds = Rounds(store, clock)
    rounds.take(at("1", 10), at("2", 10))
    later(clock)
    rounds.take(at("1", 25), at("2", 25))
    rounds.take(at("2", 25))
    assert raw(store)["slurm"]["run_time"] == 25 * 60
    assert b'"1"' not in store.database["volatile_jobs"].find_one({})["values"]  # type: ignore[index]
    rounds.take()
    assert raw(store, "2")["slurm"]["run_time"] == 25 * 60
    assert store.database["volatile_jobs"].count_documents({}) == 0


def test_a_reused_id_keeps_the_values_of_both_jobs(store: Store, clock: Clock) -> None:
    rounds = Rounds(store, clock)
    rounds.take(at("1", 10, owner=ALICE))
    later(clock)
    rounds.take(at("1", 25, owner=ALICE))
    rounds.take(at("1", 3, owner=BOB))
    assert found(store)["slurm"]["run_time"] == 3 * 60
    former = store.former_jobs.find_one({})
    assert former is not None
    assert former["slurm"]["run_time"] == 25 * 60


def test_packs_without_jobs_are_removed_at_the_start(store: Store, clock: Clock) -> None:
    rounds = Rounds(store, clock)
    rounds.take(at("1", 10), at("99999", 10))
    later(clock)
    rounds.take(at("1", 25), at("99999", 25))
    store.jobs.delete_one({"_id": "mila/99999"})
    Rounds(store, clock).take(at("1", 25))
    assert [pack["_id"] for pack in store.database["volatile_jobs"].find()] == ["mila/0"]


def test_a_key_that_is_no_longer_printed_is_not_shown(store: Store, clock: Clock) -> None:
    rounds = Rounds(store, clock)
    rounds.take(at("1", 10))
    later(clock)
    rounds.take(at("1", 10).replace("Priority=10 ", ""))
    assert "priority" not in found(store)["slurm"]


def test_large_values_go_into_the_document() -> None:
    assert fit_into_pack({"run_time": 1, "priority": 4294967295})
    assert not fit_into_pack({"run_time": "x" * LONGEST_VALUES})


def test_a_renamed_cluster_takes_the_values_along(store: Store, clock: Clock) -> None:
    rounds = Rounds(store, clock)
    rounds.take(at("1", 10))
    later(clock)
    rounds.take(at("1", 25))
    rename_cluster(store, "mila", "narval", 5.0)
    assert slurm_dicts(store, "narval")["1"]["run_time"] == 25 * 60
    assert store.database["volatile_jobs"].count_documents({}) == 0


def test_the_api_shows_the_newest_values_and_another_tag(store: Store, clock: Clock) -> None:
    _, token = add_user(store, "alice@mila.example", "alice")
    client = Client(build_app(store, clock=clock), {"Authorization": f"Bearer {token}"})
    lists: Sequence[dict[str, str]] = (
        {},
        {"limit": "5", "sort": "-submit_time"},
        {"format": "ndjson"},
        {"fields": "slurm.run_time,slurm.job_id"},
        {"fields": "slurm,cw.vanished"},
    )
    rounds = Rounds(store, clock)
    rounds.take(at("1", 10))
    whole = client.get("jobs/list").json
    tags = [client.get("jobs/list", **each).header("ETag") for each in lists]
    later(clock)
    rounds.take(at("1", 25))
    for arguments, tag in zip(lists, tags, strict=True):
        answer = client.get("jobs/list", **arguments)
        assert b'"run_time":1500' in answer.body
        assert answer.header("ETag") != tag
    whole[0]["slurm"]["run_time"] = 1500
    assert client.get("jobs/list").json == whole
    assert client.get("jobs/one", job_id="1").json == whole[0]
    [fields] = client.get("jobs/list", fields="slurm.run_time,slurm.job_id").json
    assert fields == {"slurm": {"run_time": 1500, "job_id": "1"}}
    assert client.get("jobs/list", fields="slurm.job_id").json == [{"slurm": {"job_id": "1"}}]


Step = dict[str, tuple[int, str] | None]
steps = st.lists(
    st.tuples(
        st.dictionaries(
            st.sampled_from(IDS),
            st.none()
            | st.tuples(st.integers(0, 59), st.sampled_from(["PENDING", "RUNNING", "COMPLETED"])),
        ),
        st.sampled_from([900, 900, -86_400, 1]),
        st.booleans(),
    ),
    min_size=2,
    max_size=7,
)


@pytest.mark.parametrize("interval", [900, 0])
def test_what_is_shown_is_what_was_last_written(
    store: Store, clock: Clock, interval: float
) -> None:
    @settings(
        max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
    )
    @given(steps)
    def rounds_in_any_order(sequence: list[tuple[Step, int, bool]]) -> None:
        for name in INDEXES:
            store.database[name].delete_many({})
        rounds = Rounds(store, clock, volatile_interval=interval)
        printed: dict[str, tuple[int, str]] = {}
        shown: dict[str, tuple[int, str]] = {}
        for changes, seconds, restarted in sequence:
            clock.now += timedelta(seconds=seconds)
            if restarted:
                rounds = Rounds(store, clock, volatile_interval=interval)
            for job_id, change in changes.items():
                printed.pop(job_id, None)
                if change is not None:
                    printed[job_id] = change
            rounds.take(*(at(each, run, state=state) for each, (run, state) in printed.items()))
            now = {
                key: (slurm["run_time"] // 60, slurm["job_state"])
                for key, slurm in slurm_dicts(store).items()
            }
            assert now.keys() == printed.keys()
            for key, value in now.items():
                assert value[1] == printed[key][1]
                is_due = interval == 0 or shown.get(key, (0, ""))[1] != value[1]
                assert value == printed[key] if is_due else value in (shown[key], printed[key])
            for key in shown.keys() - printed.keys():
                assert raw(store, key)["slurm"]["run_time"] // 60 == shown[key][0]
            shown = now

    rounds_in_any_order()
