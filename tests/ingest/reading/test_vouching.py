"""Which unknown keys behind a user's text are Slurm's."""

import pytest

from ingest.reading import vouching
from ingest.reading.parsing import Place, Shown
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


Places = frozenset[Place]
NONE: Places = frozenset()


def shows(text: str, *places: Place, words: bool = True) -> Shown:
    return Shown(frozenset({text}), frozenset(places), frozenset(places if words else ()))


def surveyed(*records: tuple[Shown, str]) -> tuple[Places, Places]:
    survey = Survey()
    for shown, owner in records:
        survey.note(shown, owner)
    return survey.shown_by_all()


@pytest.mark.parametrize(
    ("text", "owners", "vouched"),
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
    text: str, owners: list[str], *, vouched: bool
) -> None:
    place = (text, "FutureKey")
    records = [(shows(text, place), owner) for owner in owners]
    found = (frozenset({place}), NONE) if vouched else (NONE, frozenset({place}))
    assert surveyed(*records) == found
    assert surveyed(*records, (shows(text), "3")) == (NONE, NONE)
    assert surveyed(*records, (shows("Extra"), "3")) == found
    several = [(shows(text, place, words=False), owner) for owner in owners]
    assert surveyed(*several) == (found[0], NONE)


def test_how_many_places_are_surveyed_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vouching, "MAX_SURVEYED", 1)
    records = [(shows("Comment", PLACE), owner) for owner in "12"]
    late = [(shows("Extra", ("Extra", "Late")), owner) for owner in "12"]
    assert surveyed(*records, *late) == (frozenset({PLACE}), NONE)


def test_every_place_is_every_place() -> None:
    assert PLACE in EveryPlace()
