"""The life of a node, from what rounds show of it."""

from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.clusters.node_life import (
    Life,
    changes,
    condition_words,
    life,
    node_class,
    note_nodes,
)
from ingest.database.store import Store
from ingest.sync.sync_rounds import plain_bulk_write
from tests.ingest.programs.accounted import CLUSTER

START = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
ONSET = datetime(2026, 11, 23, 20, 13, 46, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("IDLE", ()),
        ("MIXED+PLANNED", ()),
        ("IDLE+CLOUD", ()),
        ("IDLE+DRAIN", ("DRAIN",)),
        ("ALLOCATED+DRAIN", ("DRAIN",)),
        ("DOWN*+DRAIN+NOT_RESPONDING", ("DOWN", "DRAIN", "NOT_RESPONDING")),
        ("DOWN*", ("DOWN",)),
        (None, ()),
    ],
)
def test_the_words_of_a_state(state: str | None, words: tuple[str, ...]) -> None:
    assert life({"state": state}, CLUSTER.zone).words == words


@pytest.mark.parametrize(
    ("state", "its_class"),
    [
        ("IDLE+CLOUD", None),
        ("IDLE+CLOUD+POWERED_DOWN", None),
        ("IDLE+CLOUD+NOT_RESPONDING+POWERING_UP", None),
        ("ALLOCATED+CLOUD+NOT_RESPONDING+POWERING_UP", None),
        ("IDLE+CLOUD+NOT_RESPONDING+POWERING_DOWN", None),
        ("MIXED+CLOUD+NOT_RESPONDING", "down"),
        ("DOWN+CLOUD+POWERED_DOWN", "down"),
        ("DOWN+CLOUD+NOT_RESPONDING+POWERING_UP", "down"),
        ("IDLE+INVALID_REG", "down"),
        ("IDLE+CLOUD+DRAIN+POWERED_DOWN", "drained"),
        ("IDLE+MAINTENANCE+RESERVED", "drained"),
    ],
)
def test_the_class_of_a_node(state: str, its_class: str | None) -> None:
    assert node_class(condition_words({"state": state})) == its_class


@pytest.mark.parametrize(
    ("reason", "wanted"),
    [
        (None, (None, None, None)),
        ("bad disk", ("bad disk", None, None)),
        (
            "bad disk=sda [user JobId=3] [root@2026-11-23T20:13:46+0000]",
            ("bad disk=sda [user JobId=3]", "root", ONSET),
        ),
        ("x [root@2026-11-23T15:13:46]", ("x", "root", ONSET)),
        ("x [root@Unknown]", ("x", "root", None)),
        ("two\nlines [slurm@2026-11-23T20:13:46+0000]", ("two\nlines", "slurm", ONSET)),
    ],
)
def test_the_onset_is_the_reasons(reason: str | None, wanted: tuple[Any, ...]) -> None:
    found = life({"state": "DOWN", "reason": reason}, CLUSTER.zone)
    assert (found.reason, found.reason_by, found.onset) == wanted


def with_words(*words: str) -> Life:
    return Life(words, None, None, None, None, None, None)


UP, DOWN = with_words(), with_words("DOWN")


def test_changes() -> None:
    before = {"a": UP, "b": UP, "c": DOWN}
    now = {"a": UP, "b": DOWN, "d": UP}
    assert list(changes(before, now)) == [("b", UP, DOWN), ("c", DOWN, None), ("d", None, UP)]


class Rounds:
    """Rounds of the cluster's nodes, a minute apart."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = START

    def show(self, **states: str) -> int:
        self.store.nodes.delete_many({})
        self.store.nodes.insert_many(
            {
                "slurm": {"name": name, "cluster_name": "mila", "state": state, "version": "26.05"},
                "cw": {},
            }
            for name, state in states.items()
        )
        self.now += timedelta(minutes=1)
        write = plain_bulk_write(self.store, CLUSTER)
        return note_nodes(self.store, CLUSTER, write, self.now)

    def periods(self, name: str) -> list[tuple[list[str], int, int | None]]:
        """Words, and begin and end in minutes."""

        def minutes(moment: datetime | None) -> int | None:
            return None if moment is None else int((moment - START).total_seconds() / 60)

        found = self.store.node_periods.find({"name": name}).sort("since")
        return [
            (each["words"], minutes(each["since"]) or 0, minutes(each["until"])) for each in found
        ]


@pytest.fixture
def rounds(store: Store) -> Rounds:
    return Rounds(store)


def test_a_node_that_goes_down_and_comes_back(rounds: Rounds) -> None:
    assert rounds.show(a="IDLE", b="IDLE") == 2
    assert rounds.show(a="MIXED", b="ALLOCATED") == 0
    assert rounds.show(a="DOWN*", b="IDLE") == 1
    assert rounds.show(a="DOWN*", b="IDLE") == 0
    assert rounds.show(a="IDLE", b="IDLE") == 1
    assert rounds.periods("a") == [([], 1, 3), (["DOWN"], 3, 5), ([], 5, None)]
    assert rounds.periods("b") == [([], 1, None)]


def test_a_node_that_is_gone_and_comes_back(rounds: Rounds) -> None:
    rounds.show(a="IDLE", b="IDLE")
    rounds.show(b="IDLE")
    rounds.show(a="IDLE", b="IDLE")
    assert rounds.periods("a") == [([], 1, 2), ([], 3, None)]


def test_other_clusters_are_left_alone(rounds: Rounds, store: Store) -> None:
    rounds.show(a="IDLE")
    store.nodes.delete_many({})
    beluga = CLUSTER.model_copy(update={"name": "beluga"})
    assert note_nodes(store, beluga, plain_bulk_write(store, beluga), rounds.now) == 0
    assert rounds.periods("a") == [([], 1, None)]


STATES = st.sampled_from([UP, DOWN, with_words("DRAIN")])


@given(st.lists(st.dictionaries(st.sampled_from("ab"), STATES), max_size=8))
def test_periods_follow_one_another(shown: list[dict[str, Life]]) -> None:
    held: dict[str, Life] = {}
    for now in shown:
        for name, past, present in changes(held, now):
            assert held.get(name) == past
            assert past != present
            held.pop(name, None)
            if present is not None:
                held[name] = present
        assert held == now


def test_no_period_ends_before_it_begins(store: Store) -> None:
    write = plain_bulk_write(store, CLUSTER)
    for state, minutes in (("IDLE", 0), ("DOWN", 60), ("IDLE", 5), ("DOWN", 6), ("IDLE", 90)):
        node = {"name": "n1", "cluster_name": CLUSTER.name, "state": state}
        store.nodes.replace_one({"_id": "n1"}, {"slurm": node, "cw": {}}, upsert=True)
        note_nodes(store, CLUSTER, write, START + timedelta(minutes=minutes))
    periods = list(store.node_periods.find().sort("since"))
    assert [period["words"] for period in periods] == [[], ["DOWN"], [], ["DOWN"], []]
    assert all(one["until"] == next_one["since"] for one, next_one in pairwise(periods))
    assert periods[-1]["until"] is None
