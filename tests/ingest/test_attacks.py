"""Which forgery each defence stops: the table of docs/forged_records.md, made and checked here."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.grammar import JOB
from ingest.records import Record, SetAside, read_records
from ingest.second_list import hold_against
from tests.ingest.attacks import (
    CARRIER,
    SEAL,
    VICTIM,
    Attack,
    attacks,
    output,
    read_values,
    true_values,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "forged_records.md"
ATTACKS = list(attacks())
LISTED = {CARRIER: "1001", VICTIM: "1002", "21": "1003"}
RIGHT, ASIDE, OWN, FOOLED = "read right", "set aside", "own job misread", "**fooled**"


def records(attack: Attack, *, sealed: bool, one_line: bool) -> list[Record | SetAside]:
    text = output(attack, sealed=sealed, one_line=one_line)
    return list(read_records([text], JOB, seal=SEAL if sealed else ""))


def with_list(attack: Attack) -> list[Record | SetAside]:
    plain = records(attack, sealed=False, one_line=False)
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
    yield "| forgery | carried by | `-o` | structure | structure and squeue | seal |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for attack in ATTACKS:
        outcomes = [
            outcome(attack, records(attack, sealed=False, one_line=True)),
            outcome(attack, records(attack, sealed=False, one_line=False)),
            outcome(attack, with_list(attack)),
            outcome(attack, records(attack, sealed=True, one_line=False)),
        ]
        yield f"| {attack.name} | {attack.field} | {' | '.join(outcomes)} |"


def test_the_table_in_the_documentation_is_what_happens() -> None:
    assert "\n".join(rows()) in DOCUMENT.read_text()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_with_the_seal_nobody_is_fooled_and_no_other_job_suffers(attack: Attack) -> None:
    found = records(attack, sealed=True, one_line=False)
    assert outcome(attack, found) != FOOLED
    read = {item.raw.pairs[0].value for item in found if isinstance(item, Record)}
    assert {VICTIM, "21"} <= read


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_with_squeues_list_no_job_is_invented(attack: Attack) -> None:
    found = with_list(attack)
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
