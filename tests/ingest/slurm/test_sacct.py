"""sacct's table of how jobs ended."""

from zoneinfo import ZoneInfo

import pytest

from ingest.slurm.sacct import AccountingUnreadable, JobEnd, job_list, read_ends

ZONE = ZoneInfo("America/Montreal")
SUBMIT = "2026-11-24T01:00:00-05:00"


def test_ends() -> None:
    output = (
        b"1|2026-11-24T01:00:00|COMPLETED|0:0|2026-11-24T01:01:00|2026-11-24T02:00:00\n"
        b"2|2026-11-24T06:00:00+0000|CANCELLED by 1001|0:15|Unknown|2026-11-24T06:30:00+0000\n"
        b"3|2026-11-24T01:00:00|RUNNING|0:0|2026-11-24T01:01:00|Unknown\n"
    )
    end = "2026-11-24T02:00:00-05:00"
    assert read_ends(output, ZONE) == [
        JobEnd("1", SUBMIT, "COMPLETED", "0:0", "2026-11-24T01:01:00-05:00", end),
        JobEnd("2", SUBMIT, "CANCELLED", "0:15", None, "2026-11-24T01:30:00-05:00"),
    ]


def test_no_ends() -> None:
    assert read_ends(b"", ZONE) == []


@pytest.mark.parametrize(
    "line",
    ["Slurm accounting storage is disabled", "1|a|b", "x|a|DONE|0:0|b|c", "1|a|DONE|0:0|b|c|d"],
)
def test_something_else(line: str) -> None:
    with pytest.raises(AccountingUnreadable, match="JobIDRaw"):
        read_ends(line.encode(), ZONE)


def test_only_job_ids_are_asked_for() -> None:
    assert job_list(["1", "22"]) == "1,22"
    for wrong in ([], ["1", "2;id"], ["1 2"], ["-1"], ["\uff11"]):
        with pytest.raises(ValueError, match="job ids were expected"):
            job_list(wrong)
