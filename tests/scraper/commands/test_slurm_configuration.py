"""``scontrol show config`` of a real Slurm, and what else it may print."""

import math
from datetime import datetime, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from scraper.commands.slurm_configuration import (
    ConfigurationUnreadable,
    SlurmConfiguration,
    read_configuration,
)

REAL = (Path(__file__).parents[1] / "outputs" / "show_config_22.05.8.txt").read_bytes()
MONTREAL = ZoneInfo("America/Montreal")


def test_a_real_configuration() -> None:
    assert read_configuration(REAL, MONTREAL) == SlurmConfiguration(
        purge_seconds=300.0,
        private_data=frozenset(),
        booted=datetime(2026, 11, 29, 20, 1, 39, tzinfo=timezone.utc),
    )


def test_a_time_without_an_offset_is_of_the_clusters_zone() -> None:
    found = read_configuration(REAL.replace(b"+0000", b""), MONTREAL)
    assert found.booted == datetime(2026, 11, 30, 1, 1, 39, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("line", "seconds"),
    [(b"2 sec", 2.0), (b"300 sec ", 300.0), (b"0 sec", math.inf), (b"65533 sec", 65533.0)],
)
def test_the_purge_time(line: bytes, seconds: float) -> None:
    assert read_configuration(REAL.replace(b"300 sec", line), MONTREAL).purge_seconds == seconds


@pytest.mark.parametrize(
    ("value", "hidden"),
    [
        (b"none", set()),
        (b"jobs", {"jobs"}),
        (b"accounts,events,jobs,nodes", {"accounts", "events", "jobs", "nodes"}),
    ],
)
def test_what_is_private(value: bytes, hidden: set[str]) -> None:
    line = b"PrivateData             = "
    output = REAL.replace(line + b"none", line + value)
    assert read_configuration(output, MONTREAL).private_data == hidden


def test_a_login_message_before_it_changes_nothing() -> None:
    assert read_configuration(b"Welcome\n" + REAL, MONTREAL) == read_configuration(REAL, MONTREAL)


def test_an_output_without_a_boot_time() -> None:
    found = read_configuration(b"MinJobAge               = 300 sec\n", MONTREAL)
    assert found == SlurmConfiguration(300.0, frozenset(), None)


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"Welcome\n",
        b"\xff\xfe",
        REAL.replace(b"MinJobAge", b"MinJobAgo"),
        REAL.replace(b"300 sec", b"5 min"),
        REAL.replace(b"300 sec", b"-1 sec"),
    ],
)
def test_what_is_no_configuration(output: bytes) -> None:
    with pytest.raises(ConfigurationUnreadable, match="expected MinJobAge in seconds"):
        read_configuration(output, MONTREAL)
