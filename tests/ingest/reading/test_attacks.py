"""Which forgery each defence stops: the table of docs/forged_records.md, made and checked here."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from ingest.slurm.grammar import JOB

from ingest.reading.records import Record, SetAside, read_records
from ingest.reading.squeue_check import hold_against
from tests.ingest.reading.attacks import (
    CARRIER,
    SEAL,
    VICTIM,
    Attack,
    attacks,
    output,
    read_values,
    true_values,
)

DOCUMENT = Path(__file__).parents[3] / "docs" / "forged_records.md"
ATTACKS = list(attacks())
LISTED = {CARRIER: "1001", VICTIM: "1002", "21": "1003"}
RIGHT, ASIDE, OWN, FOOLED = "read right", "set aside", "own job misread", "**fooled**"


def records(
    attack: Attack, *, sealed: bool, one_line: bool, place: int = 0, listed: bool = True
) -> list[Record | SetAside]:
    """What is read; a scrape, which has a seal, asks for the list of ids where it needs it."""
    text = output(attack, sealed=sealed, one_line=one_line, place=place)
    seal = SEAL if sealed else ""
    return list(read_records([text], JOB, seal=seal, listed=lambda: LISTED if listed else ()))


def with_list(attack: Attack, place: int = 0) -> list[Record | SetAside]:
    plain = records(attack, sealed=False, one_line=False, place=place)
    return list(hold_against(plain, LISTED, lambda: LISTED))


def outcome(attack: Attack, found: list[Record | SetAside]) -> str:
    """What the reader made of the attack, the worst of it first."""
    truth = true_values(attack)
    read = {
        record.raw.pairs[0].value: read_values(record.raw)
        for record in found
        if isinstance(record, Record)
    }
    for job_id, values in read.items():
        if job_id not in truth or values["owner"] != truth[job_id]["owner"]:
            return FOOLED
        if job_id != CARRIER and not same(values, truth[job_id]):
            return FOOLED
    if CARRIER in read and not same(read[CARRIER], truth[CARRIER]):
        return OWN
    return RIGHT if read.keys() == truth.keys() else ASIDE


def same(read: dict[str, str], truth: dict[str, str]) -> bool:
    return {key: value.rstrip(" ") for key, value in read.items()} == truth


def rows() -> Iterator[str]:
    yield "| forgery | carried by | `-o` | structure | structure and squeue | scrape |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for attack in ATTACKS:
        outcomes = [
            outcome(attack, records(attack, sealed=False, one_line=True, place=1)),
            outcome(attack, records(attack, sealed=False, one_line=False, place=1)),
            outcome(attack, with_list(attack, place=1)),
            outcome(attack, records(attack, sealed=True, one_line=False, place=1)),
        ]
        yield f"| {attack.name} | {attack.field} | {' | '.join(outcomes)} |"


def test_the_table_in_the_documentation_is_what_happens() -> None:
    assert "\n".join(rows()) in DOCUMENT.read_text()


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_with_the_seal_nobody_is_fooled_and_no_other_job_suffers(
    attack: Attack, place: int
) -> None:
    found = records(attack, sealed=True, one_line=False, place=place)
    assert outcome(attack, found) != FOOLED
    read = {item.raw.pairs[0].value for item in found if isinstance(item, Record)}
    assert {VICTIM, "21"} <= read
    if attack.text.endswith("JobName=y"):
        assert CARRIER in read


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_with_the_seal_alone_nobody_is_fooled_and_no_job_is_lost(
    attack: Attack, place: int
) -> None:
    found = records(attack, sealed=True, one_line=False, place=place, listed=False)
    assert outcome(attack, found) != FOOLED
    read = {item.raw.pairs[0].value for item in found if isinstance(item, Record)}
    aside = {job_id for item in found if isinstance(item, SetAside) for job_id in item.ids}
    assert LISTED.keys() <= read | aside


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_with_the_seal_a_job_that_is_gone_is_not_kept_by_a_text(attack: Attack) -> None:
    text = output(attack, sealed=True, one_line=False)
    victims = text.index(f"\nJobId={VICTIM} JobName=train\n".encode(), len(attack.text))
    without = text[: victims + 1] + text[text.rindex(b"JobId=21 ") :]
    found = list(read_records([without], JOB, seal=SEAL, listed=lambda: {CARRIER, "21"}))
    names = {
        job_id
        for item in found
        for job_id in (item.ids if isinstance(item, SetAside) else (item.raw.pairs[0].value,))
    }
    assert names == {CARRIER, "21"}


def test_the_list_is_asked_for_only_when_it_is_needed() -> None:
    plain = Attack("none", "comment", "hello")

    def listed() -> set[str]:
        raise AssertionError

    found = list(
        read_records([output(plain, sealed=True, one_line=False)], JOB, seal=SEAL, listed=listed)
    )
    assert len(found) == 3


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_with_squeues_list_no_job_is_invented(attack: Attack, place: int) -> None:
    found = with_list(attack, place)
    read = {item.raw.pairs[0].value for item in found if isinstance(item, Record)}
    assert read <= LISTED.keys()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
@pytest.mark.parametrize("sealed", [True, False])
def test_a_job_that_is_set_aside_is_known_to_be_there(attack: Attack, sealed: bool) -> None:
    found = records(attack, sealed=sealed, one_line=False)
    read = {item.raw.pairs[0].value for item in found if isinstance(item, Record)}
    aside = {job_id for item in found if isinstance(item, SetAside) for job_id in item.ids}
    assert LISTED.keys() <= read | aside


def test_what_the_list_contradicts_names_the_job_before_it() -> None:
    seamless = next(attack for attack in ATTACKS if attack.name == "a seamless record")
    (aside,) = (item for item in with_list(seamless) if isinstance(item, SetAside))
    assert aside.ids == ("77",)
    assert f"behind that of job {CARRIER}" in aside.reason
