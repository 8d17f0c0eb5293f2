"""A watch: it tells each change, and reads little while nothing changes."""

from datetime import datetime, timedelta, timezone

import pytest

import ingest.database.changes
from ingest.database.change_tokens import replace_token, scrape_token
from ingest.database.changes import Changed, Watch, read_heads
from ingest.database.store import Store
from ingest.database.transactions import in_transaction

TOPICS = ("jobs", "jobs/mila", "jobs/beluga", "nodes", "nodes/mila")


def change(store: Store, kind: str, cluster_name: str) -> None:
    row = scrape_token(kind, cluster_name)
    in_transaction(store, lambda session: replace_token(store, session, row, Changed(["1"])))


def changed_topics(watch: Watch, before: dict[str, str]) -> list[str]:
    now = watch.states(TOPICS)
    return [topic for topic in TOPICS if now[topic] != before[topic]]


def test_each_topic_changes_with_its_own_entries(store: Store) -> None:
    watch = Watch(store)
    before = watch.states(TOPICS)
    assert changed_topics(watch, before) == []
    change(store, "jobs", "mila")
    assert changed_topics(watch, before) == ["jobs", "jobs/mila"]
    before = watch.states(TOPICS)
    change(store, "nodes", "mila")
    change(store, "jobs", "beluga")
    assert changed_topics(watch, before) == ["jobs", "jobs/beluga", "nodes", "nodes/mila"]
    assert watch.states(TOPICS) == Watch(store).states(TOPICS)


def test_while_nothing_changes_no_heads_are_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []

    def noted(*arguments: object) -> object:
        reads.append(str(arguments[2]))
        return read_heads(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ingest.database.changes, "read_heads", noted)
    monkeypatch.setattr(ingest.database.changes, "HEADS_SECONDS", 3600.0)
    change(store, "jobs", "mila")
    watch = Watch(store)
    for _ in range(5):
        watch.states(TOPICS)
    assert sorted(reads) == ["jobs", "nodes"]
    change(store, "jobs", "mila")
    for _ in range(5):
        watch.states(TOPICS)
    assert sorted(reads) == ["jobs", "jobs", "nodes"]


@pytest.mark.parametrize("off", [timedelta(hours=-3), timedelta(hours=3)])
def test_an_entry_of_a_clock_that_is_wrong(
    store: Store, monkeypatch: pytest.MonkeyPatch, off: timedelta
) -> None:
    """It is found among the newest, or, when it looks old, by the next look at all heads."""
    watch = Watch(store)
    before = watch.states(TOPICS)
    change(store, "jobs", "mila")
    wrong = {"$set": {"at": datetime.now(timezone.utc) + off}}
    store.changes.update_one({"_id": "jobs/mila/scrape/1"}, wrong)
    if off < timedelta():
        assert changed_topics(watch, before) == []
        monkeypatch.setattr(ingest.database.changes, "HEADS_SECONDS", 0.0)
    assert changed_topics(watch, before) == ["jobs", "jobs/mila"]
    change(store, "jobs", "beluga")
    assert "jobs/beluga" in changed_topics(watch, before)
