"""The quarantine keeps its limits, and keeps every user's evidence."""

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

import ingest.quarantine.quarantine
from ingest.database.store import Document, Store
from ingest.quarantine.quarantine import Quarantine
from ingest.reading.records import EVIDENCE_BYTES, SetAside

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)
MALLORY, BOB = "mallory(1003)", "bob(1002)"


def record(job_id: str, *owners: str, size: int = 1000, reason: str = "doubt") -> SetAside:
    text = f"JobId={job_id} JobName=x\n" + "".join(
        f"   UserId={each} MCS_label=x" for each in owners
    )
    return SetAside(text.encode().ljust(size, b"z"), reason, (job_id,))


@pytest.fixture
def quarantine(store: Store) -> Quarantine:
    return Quarantine(store, "mila", "jobs")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of 20 and of 50 records of `EVIDENCE_BYTES`."""
    monkeypatch.setattr(ingest.quarantine.quarantine, "MOST_BYTES_OF_A_ROUND", 20 * EVIDENCE_BYTES)
    monkeypatch.setattr(ingest.quarantine.quarantine, "MOST_BYTES", 50 * EVIDENCE_BYTES)


def take(quarantine: Quarantine, *items: SetAside, now: datetime = NOW) -> None:
    quarantine.begin()
    for item in items:
        quarantine.add(item)
    quarantine.write(now)


def kept(store: Store) -> dict[str, Document]:
    return {found["_id"]: found for found in store.quarantine.find()}


def test_a_document(store: Store, quarantine: Quarantine) -> None:
    take(quarantine, record("7", BOB, size=100))
    later = NOW + timedelta(minutes=1)
    take(quarantine, record("7", BOB, size=100), now=later)
    assert list(store.quarantine.find()) == [
        {
            "_id": "mila/jobs/7",
            "cluster_name": "mila",
            "kind": "jobs",
            "ids": ["7"],
            "reason": "doubt",
            "text": record("7", BOB, size=100).text,
            "owner": BOB,
            "bytes": 100,
            "first_seen": NOW,
            "last_seen": later,
            "times": 2,
        }
    ]


def test_the_newest_text_of_an_id_is_kept(store: Store, quarantine: Quarantine) -> None:
    take(quarantine, record("7", BOB), record("7", BOB, reason="other"))
    (found,) = kept(store).values()
    assert (found["reason"], found["times"]) == ("other", 1)
    take(quarantine, record("7", BOB, size=2000))
    (found,) = kept(store).values()
    assert (found["reason"], found["times"], found["bytes"]) == ("doubt", 2, 2000)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("victim_first", [True, False])
@pytest.mark.parametrize(
    ("owners", "size"),
    [
        ((MALLORY,), 30_000),
        ((MALLORY,), EVIDENCE_BYTES),
        ((MALLORY, BOB), 5000),
        ((BOB,), EVIDENCE_BYTES),
    ],
    ids=["short", "long", "that name the victim too", "cut before the true name"],
)
def test_no_flood_of_a_user_pushes_out_another_users_record(
    store: Store, quarantine: Quarantine, owners: tuple[str, ...], size: int, victim_first: bool
) -> None:
    evidence = [record("5000", BOB), SetAside(record("1", BOB).text, "doubt", ("6000", "6001"))]
    for round_number in range(4):
        flood = [
            record(str(10_000 + 1000 * round_number + number), *owners, size=size)
            for number in range(300)
        ]
        both = [*evidence, *flood] if victim_first else [*flood, *evidence]
        take(quarantine, *both)
    found = kept(store)
    assert {"mila/jobs/5000", "mila/jobs/6000"} <= set(found)
    assert len(found) > 20
    assert sum(each["bytes"] for each in found.values()) <= 50 * EVIDENCE_BYTES


@pytest.mark.usefixtures("small")
def test_a_record_that_may_hold_several_jobs_outlives_others_of_its_share(
    store: Store, quarantine: Quarantine
) -> None:
    several = SetAside(record("1", MALLORY, BOB).text, "doubt", ("1", "2"))
    take(quarantine, several)
    for number in range(300):
        take(quarantine, record(str(number + 10), MALLORY, BOB, size=EVIDENCE_BYTES - 1))
    assert "mila/jobs/1" in kept(store)
    assert len(kept(store)) < 60


@pytest.mark.usefixtures("small")
def test_a_new_process_knows_what_is_stored(store: Store, quarantine: Quarantine) -> None:
    old = {"ids": ["1"], "cluster_name": "mila", "kind": "jobs", "text": b"x", "last_seen": NOW}
    store.quarantine.insert_one({"_id": "mila/jobs/1", **old})  # of an earlier release
    store.quarantine.insert_one({"_id": "beluga/jobs/1", **old, "cluster_name": "beluga"})
    items = [record(str(number), MALLORY, size=EVIDENCE_BYTES - 1) for number in range(10, 49)]
    for item in items:
        take(quarantine, item)
    again = Quarantine(store, "mila", "jobs")
    for number in range(100, 130):
        take(again, record(str(number), MALLORY, size=EVIDENCE_BYTES - 1))
    found = set(kept(store))
    assert {"mila/jobs/1", "beluga/jobs/1", "mila/jobs/129"} <= found
    assert "mila/jobs/10" not in found  # the oldest of its owner
    assert len(found) < 52


def test_documents_that_somebody_removed_come_back_whole(
    store: Store, quarantine: Quarantine
) -> None:
    take(quarantine, record("7", BOB))
    store.quarantine.delete_many({})
    take(quarantine, record("7", BOB))
    take(quarantine, record("7", BOB))
    (found,) = kept(store).values()
    assert bytes(found["text"]) == record("7", BOB).text


def test_each_record_is_logged_at_once_and_then_once_an_hour(
    store: Store, quarantine: Quarantine, caplog: pytest.LogCaptureFixture
) -> None:
    def told() -> list[Any]:
        shown = ("ids", "times")
        said = [
            (each.getMessage(), *(vars(each).get(name) for name in shown))
            for each in caplog.records
        ]
        caplog.clear()
        return said

    one = "quarantine: a record could not be read with certainty"
    take(quarantine, record("7", BOB))
    assert told() == [(one, ["7"], 1)]
    for minute in range(1, 60):  # its text changes, as run times do
        take(quarantine, record("7", BOB, size=1000 + minute), now=NOW + minute * MINUTE)
    assert told() == []
    take(quarantine, record("7", BOB), now=NOW + 60 * MINUTE)
    assert told() == [(one, ["7"], 60)]
    take(quarantine, record("7", BOB, reason="other"), now=NOW + 61 * MINUTE)
    assert told() == [(one, ["7"], 1)]
    take(quarantine, *(record(str(number), MALLORY) for number in range(100, 150)))
    *lines, last = told()
    assert lines == [(one, [str(number)], 1) for number in range(100, 120)]
    assert last[0] == "quarantine: 30 more records could not be read with certainty"


@pytest.mark.usefixtures("small")
def test_what_is_not_kept_is_told(quarantine: Quarantine, caplog: pytest.LogCaptureFixture) -> None:
    take(quarantine, *(record(str(n), MALLORY, size=EVIDENCE_BYTES - 1) for n in range(100)))
    last = caplog.records[-1]
    assert last.getMessage().startswith("quarantine: 81 records were not kept")
    assert vars(last)["ids"] == [str(number) for number in range(10)]
    caplog.clear()
    flood = [record(str(n), MALLORY, size=EVIDENCE_BYTES - 1) for n in range(100)]
    take(quarantine, *flood, now=NOW + MINUTE)
    assert not [each for each in caplog.records if "not kept" in each.getMessage()]
    take(quarantine, *flood, now=NOW + 60 * MINUTE)
    [again] = [each for each in caplog.records if "not kept" in each.getMessage()]
    assert vars(again)["times"] == 2
