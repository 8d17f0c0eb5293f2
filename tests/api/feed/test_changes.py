"""jobs/changes and nodes/changes: what follows a cursor, for whom, and when to list anew."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import ingest.database.changes
from api.app import build_app
from config import ApiSettings, RetentionSettings
from ingest.accounts.users import add_user
from ingest.clusters.renaming import rename_cluster
from ingest.database.change_tokens import user_dict_token
from ingest.database.store import Store
from ingest.retention.retention import restore, retain
from tests.api.support.client import Answer, Client
from tests.api.support.examples import NOW
from tests.chaos.hostile_input import feed_cursor
from tests.ingest.sync.outputs import Clock
from tests.ingest.sync.sealed_outputs import Rounds, later, many, one

ALICE, BOB = "alice(1001)", "bob(1002)"


class World:
    """Rounds of mila, and a client who reads what they change."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = Clock()
        self.rounds = Rounds(store, self.clock)
        _, token = add_user(store, "alice@mila.example", "alice")
        self.client = Client(build_app(store), {"Authorization": f"Bearer {token}"})
        own = build_app(store, settings=ApiSettings(jobs_visible="own"))
        self.own = replace(self.client, app=own)

    def start(self, client: Client | None = None, **arguments: str) -> str:
        answer = (client or self.client).get("jobs/changes", **arguments)
        assert answer.json["changed"] == answer.json["gone"] == []
        return str(answer.json["cursor"])

    def after(self, cursor: str, client: Client | None = None, **arguments: str) -> Answer:
        answer = (client or self.client).get("jobs/changes", cursor=cursor, **arguments)
        assert answer.status == 200, answer.json
        return answer


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


def changed(answer: Answer) -> dict[str, str]:
    """The states of the jobs that changed, by their ids."""
    return {each["slurm"]["job_id"]: each["slurm"]["job_state"] for each in answer.json["changed"]}


def gone(answer: Answer) -> list[str]:
    return [f"{each['cluster_name']}/{each['job_id']}" for each in answer.json["gone"]]


def test_each_change_is_told_once_and_a_job_as_it_is_now(world: World) -> None:
    start = world.start()
    world.rounds.take(one("1", state="PENDING"), one("2", state="PENDING"))
    first = world.after(start)
    world.rounds.take(one("1", state="RUNNING"), one("2", state="PENDING"))
    world.rounds.take(one("1", state="COMPLETED"), one("2", state="PENDING"))
    second = world.after(first.json["cursor"])
    third = world.after(second.json["cursor"])

    assert changed(first) == {"1": "PENDING", "2": "PENDING"}
    assert changed(second) == {"1": "COMPLETED"}
    assert changed(third) == {}
    assert changed(world.after(start)) == {"1": "COMPLETED", "2": "PENDING"}
    assert third.json["cursor"] == second.json["cursor"]
    assert first.header("ETag") is None
    listed = world.client.get("jobs/list").json
    assert world.after(start).json["changed"] == listed


def test_a_job_that_vanished_and_a_user_dict_are_changes(world: World) -> None:
    world.rounds.take(one("1"), one("2"))
    start = world.start()
    world.rounds.take(one("2"))
    vanished = world.after(start)
    world.client.put("jobs/user_dict_update", job_id="2", update_pairs={"loss": 0.5})
    written = world.after(vanished.json["cursor"])

    assert [each["slurm"]["job_id"] for each in vanished.json["changed"]] == ["1"]
    assert "vanished" in vanished.json["changed"][0]["cw"]
    assert [each["user"] for each in written.json["changed"]] == [{"loss": 0.5}]
    assert world.store.change_tokens.count_documents({"_id": user_dict_token("mila", "2")}) == 1


def test_volatile_values_are_no_change(world: World) -> None:
    world.rounds.take(one("1"))
    start = world.start()
    world.clock.now += timedelta(seconds=900)
    assert world.rounds.take(later(one("1"))).changed == 1

    assert world.after(start).json == {"cursor": start, "changed": [], "gone": [], "more": False}


def test_what_retention_deletes_and_restores(world: World, tmp_path: Path) -> None:
    world.rounds.take(one("1", state="COMPLETED"))
    world.rounds.take()
    start = world.start(world.own)
    settings = RetentionSettings(after_days=1, archive=tmp_path)
    [left, *_] = list(retain(world.store, settings, NOW + timedelta(days=9999)))
    deleted = world.after(start, world.own)
    assert left.archive is not None
    restore(world.store, left.archive)

    assert (gone(deleted), changed(deleted)) == (["mila/1"], {})
    assert changed(world.after(deleted.json["cursor"], world.own)) == {"1": "COMPLETED"}


def test_an_id_that_gets_another_owner(world: World) -> None:
    """Who sees their own jobs alone learns that theirs is gone, and nothing of the other's."""
    world.rounds.take(one("1", owner=ALICE), one("2", owner=BOB))
    start = world.start(world.own)
    world.rounds.take(one("1", owner=BOB), one("2", owner=BOB, state="FAILED"))
    own = world.after(start, world.own)
    world.rounds.take(one("1", owner=BOB, state="FAILED"), one("2", owner=BOB))
    own_later = world.after(own.json["cursor"], world.own)

    assert (gone(own), changed(own)) == (["mila/1"], {})
    assert (gone(own_later), changed(own_later)) == ([], {})
    assert set(changed(world.after(world.start(world.client)))) == set()


def test_a_cluster_that_is_renamed(world: World) -> None:
    world.rounds.take(one("1"))
    start = world.start()
    rename_cluster(world.store, "mila", "cedar", 30)
    renamed = world.after(start)

    assert gone(renamed) == ["mila/1"]
    assert [each["slurm"]["cluster_name"] for each in renamed.json["changed"]] == ["cedar"]


def test_an_account_that_is_added_changes_its_jobs(world: World) -> None:
    world.rounds.take(one("1", owner=BOB))
    start = world.start()
    add_user(world.store, "bob@mila.example", "bob")

    [job] = world.after(start).json["changed"]
    assert job["cw"]["mila_email_username"] == "bob@mila.example"


def test_fields_and_a_cluster(world: World) -> None:
    start, elsewhere = world.start(), world.start(cluster_name="beluga")
    world.rounds.take(one("1"))
    asked = world.after(start, fields="slurm.job_id")

    assert asked.json["changed"] == [{"slurm": {"job_id": "1"}}]
    assert world.after(elsewhere, cluster_name="beluga").json["changed"] == []


def test_many_changes_come_in_portions(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.feed.reading.MOST_DOCUMENTS", 2)
    cursor, ids, answers = world.start(), set(), 0
    for number in range(5):
        world.rounds.take(*many(number + 1))
    while True:
        answer = world.after(cursor)
        cursor, answers = answer.json["cursor"], answers + 1
        ids |= set(changed(answer))
        if not answer.json["more"]:
            break

    assert ids == {str(1000 + each) for each in range(5)}
    assert answers == 3


def refused(client: Client, cursor: str, **arguments: str) -> Answer:
    answer = client.get("jobs/changes", cursor=cursor, **arguments)
    assert "without a cursor" in answer.json["detail"]
    return answer


def test_a_cursor_whose_changes_are_gone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("MOST_ENTRIES", 4), ("ENTRIES_AT_ONCE", 2)):
        monkeypatch.setattr(ingest.database.changes, name, value)
    start = world.start()
    world.rounds.take(one("1"))
    first = world.start()
    for number in range(8):
        world.rounds.take(one("1", comment=f"{number}"))

    assert world.store.changes.count_documents({}) <= 6
    assert refused(world.client, start).status == refused(world.client, first).status == 410
    latest = world.start()
    world.store.changes.delete_many({})  # all of them became too old while nothing happened
    world.rounds.take(one("1", comment="x"))
    assert set(changed(world.after(latest))) == {"1"}


def test_a_cursor_of_something_else(world: World) -> None:
    world.rounds.take(one("1"))
    cursor = world.start()

    assert refused(world.client, cursor, cluster_name="mila").status == 410
    assert refused(world.own, cursor).status == 410
    assert world.client.get("nodes/changes", cursor=cursor).status == 410
    for text in ("x", "AAAA", cursor[:-4], feed_cursor('{"mila":{"scrape":Infinity}}')):
        answer = world.client.get("jobs/changes", cursor=text)
        assert answer.status == 400, text
        assert answer.json["detail"].startswith("cursor is not valid")


def test_a_backup_that_was_restored_is_noticed(world: World) -> None:
    """Also where as many changes followed as the cursor had seen."""
    world.rounds.take(one("1"))
    saved: dict[str, list[Any]] = {
        name: list(world.store.database[name].find()) for name in ("marks", "changes", "jobs")
    }
    world.rounds.take(one("1", comment="lost"))
    cursor = world.start()
    for name, documents in saved.items():
        world.store.database[name].delete_many({})
        world.store.database[name].insert_many(documents)
    assert refused(world.client, cursor).status == 410
    for comment in ("other", "and another"):
        Rounds(world.store, world.clock).take(one("1", comment=comment))
        assert refused(world.client, cursor).status == 410


def test_events_without_a_server_that_waits(world: World) -> None:
    """The first answer of a stream; Last-Event-ID goes before the cursor of the address."""
    start = world.start()
    world.rounds.take(one("1"))
    stream = replace(world.client, headers={**world.client.headers, "Accept": "text/event-stream"})
    answer = stream.get("jobs/changes", cursor=start)
    assert answer.header("Content-Type") == "text/event-stream"
    told, event, data, *_ = answer.body.decode().split("\n")
    assert event == "event: changes"
    assert '"job_id":"1"' in data
    again = replace(stream, headers={**stream.headers, "Last-Event-ID": told.removeprefix("id: ")})
    assert again.get("jobs/changes", cursor=start).body == b": nothing has changed\n\n"


def test_nodes(client: Client) -> None:
    cursor = client.get("nodes/changes").json["cursor"]
    assert client.get("nodes/changes", cursor=cursor).json["changed"] == []
