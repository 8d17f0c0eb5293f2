"""No owner pushes out what another owner has."""

import random

import pytest

from ingest.quarantine.fair_shares import FairShares


def test_all_stays_while_there_is_room() -> None:
    shares = FairShares(100)
    assert [shares.put(str(number), "alice", 10) for number in range(10)] == [[]] * 10
    assert len(shares) == 10
    assert shares.put("0", "alice", 10) == []  # in place of itself


def test_the_owner_of_the_most_bytes_loses_the_oldest() -> None:
    shares = FairShares(100)
    shares.put("bobs", "bob", 30)
    for number in range(7):
        shares.put(str(number), "alice", 10)
    assert shares.put("7", "alice", 10) == ["0"]
    shares.put("1", "alice", 10)  # seen again: the newest
    assert shares.put("8", "alice", 25) == ["2", "3", "4"]
    assert "bobs" in shares
    assert shares.put("carols", "carol", 60) == ["8", "5"] or "bobs" in shares


def test_what_matters_leaves_last() -> None:
    shares = FairShares(30)
    shares.put("several", "alice", 10, matters=True)
    for number in range(5):
        shares.put(str(number), "alice", 10)
    assert "several" in shares
    assert len(shares) == 3


@pytest.mark.parametrize("seed", range(20))
def test_an_equal_share_is_safe(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311
    owners = ["alice", "bob", "carol", "dave"]
    limit = 1000
    shares = FairShares(limit)
    held: dict[str, tuple[str, int]] = {}
    for number in range(400):
        key, owner, size = str(dice.randrange(100)), dice.choice(owners[:3]), dice.randint(1, 60)
        if number == 50:
            key, owner, size = "daves", "dave", limit // len(owners)
        elif key in held and held[key][0] == "dave":
            continue
        left = shares.put(key, owner, size)
        held[key] = (owner, size)
        for each in left:
            del held[each]
        assert {each for each in held if each in shares} == set(held)
        assert sum(size for _, size in held.values()) <= limit
        assert len(shares) == len(held)
    assert "daves" in shares
