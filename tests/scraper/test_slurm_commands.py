import string

import pytest

from scraper.slurm_commands import new_seal, show_command


@pytest.mark.parametrize("kind", ["job", "node"])
def test_a_command_is_exactly_what_the_forced_command_allows(kind: str) -> None:
    assert (
        show_command("/opt/slurm/bin/scontrol", kind, "q7Rk2Xa")
        == f"env SLURM_TIME_FORMAT=%FT%T%zq7Rk2Xa /opt/slurm/bin/scontrol -a show {kind}"
    )


def test_without_a_seal_the_time_format_ends_with_the_offset() -> None:
    command = show_command("scontrol", "job", "")
    assert command == "env SLURM_TIME_FORMAT=%FT%T%z scontrol -a show job"


def test_every_seal_is_new_and_made_of_seven_letters_and_digits() -> None:
    seals = {new_seal() for _ in range(1000)}
    assert len(seals) == 1000
    assert {len(seal) for seal in seals} == {7}
    assert set("".join(seals)) <= set(string.ascii_letters + string.digits)
