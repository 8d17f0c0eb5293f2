"""Which unknown keys behind a user's text are Slurm's."""

import pytest

from ingest.reading import vouching
from ingest.reading.vouching import EveryPlace, Survey, Vouching

PLACE = ("Comment", "FutureKey")


def test_a_place_is_vouched_for_once_two_users_show_it() -> None:
    vouched = Vouching()
    assert not vouched.note(PLACE, "1001")
    assert PLACE not in vouched
    assert not vouched.note(PLACE, "1001")
    assert PLACE not in vouched
    assert vouched.note(PLACE, "1002")
    assert PLACE in vouched
    assert not vouched.note(PLACE, "1003")  # nothing new
    assert ("Comment", "Other") not in vouched
    assert ("WorkDir", "FutureKey") not in vouched


def test_a_place_that_all_show_is_vouched_for() -> None:
    vouched = Vouching(shown_by_all=frozenset({PLACE}))
    assert PLACE in vouched
    assert ("Comment", "Other") not in vouched


def test_one_user_can_be_the_first_to_show_only_so_many_places() -> None:
    vouched = Vouching()
    for number in range(vouching.MAX_PLACES_OF_AN_OWNER + 1):
        vouched.note(("Comment", f"Key{number}"), "1001")
    last = vouching.MAX_PLACES_OF_AN_OWNER
    assert vouched.note(("Comment", f"Key{last - 1}"), "1002")
    assert not vouched.note(("Comment", f"Key{last}"), "1002")  # the first to show it
    assert vouched.note(("Comment", f"Key{last}"), "1003")


def surveyed(*records: tuple[set[str], set[tuple[str, str]], str]) -> frozenset[tuple[str, str]]:
    survey = Survey()
    for texts, places, owner in records:
        survey.note(texts, places, owner)
    return survey.shown_by_all()


@pytest.mark.parametrize(
    ("text", "owners", "shows"),
    [
        ("Comment", ["1", "2"], True),
        ("Comment", ["1", "1"], True),
        ("Comment", ["1"], False),
        ("Command", ["1", "2"], True),
        ("Command", ["1", "1"], False),
        ("JobName", ["1", "1"], False),
        ("SubmitLine", ["1", "1"], False),
    ],
)
def test_in_the_o_form_every_record_must_show_a_place(
    text: str, owners: list[str], *, shows: bool
) -> None:
    place = (text, "FutureKey")
    records = [({text}, {place}, owner) for owner in owners]
    assert surveyed(*records) == (frozenset({place}) if shows else frozenset())
    assert surveyed(*records, ({text}, set(), "3")) == frozenset()
    assert surveyed(*records, (set(), set(), "3")) == (frozenset({place}) if shows else frozenset())


def test_how_many_places_are_surveyed_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vouching, "MAX_SURVEYED", 1)
    two = {PLACE}
    records = [({"Comment"}, two, owner) for owner in "12"]
    late = [({"Comment"}, {PLACE, ("Comment", "Late")}, owner) for owner in "12"]
    assert surveyed(*records, *late) == frozenset({PLACE})


def test_every_place_is_every_place() -> None:
    assert PLACE in EveryPlace()
