"""Which outputs that lack jobs are believed: a table of cases."""

from dataclasses import replace

import pytest

from scraper.watch.missing_jobs import Evidence, Missing, is_doubtful, why_not_believed

QUIET = Evidence(
    allocated_cpus=0,
    jobs_are_private=False,
    restarted=False,
    unwatched_seconds=60,
    purge_seconds=300,
    doubted_seconds=0,
)
"""Nothing happened: an ordinary round a minute after the last one."""
BUSY = replace(QUIET, allocated_cpus=3)
NO_NODES = replace(QUIET, allocated_cpus=None)
PRIVATE = replace(NO_NODES, jobs_are_private=True)
UNKNOWN = replace(NO_NODES, jobs_are_private=None)
RESTARTED = replace(NO_NODES, restarted=True)
AWAY = replace(NO_NODES, unwatched_seconds=300)
AFTER_AN_HOUR = replace(NO_NODES, doubted_seconds=3600)

NOTHING = Missing(listed=0, expected=0, lost=0)
ALL_OF_3 = Missing(listed=0, expected=3, lost=3)
ALL_OF_100 = Missing(listed=0, expected=100, lost=100)
OTHERS = Missing(listed=40, expected=100, lost=100)
MOST = Missing(listed=49, expected=100, lost=51)
HALF = Missing(listed=50, expected=100, lost=50)
OTHERS_FEW = Missing(listed=1, expected=4, lost=3)
FEW = Missing(listed=9, expected=18, lost=9)


@pytest.mark.parametrize(
    ("missing", "evidence", "believed"),
    [
        # No job is listed, and none was known to be unfinished.
        (NOTHING, QUIET, True),
        (NOTHING, NO_NODES, True),
        (NOTHING, PRIVATE, True),
        (NOTHING, BUSY, False),
        (NOTHING, replace(BUSY, restarted=True), False),
        (NOTHING, replace(BUSY, jobs_are_private=None), False),
        # A handful of unfinished jobs is missing, and nothing is listed.
        (ALL_OF_3, QUIET, True),
        (ALL_OF_3, BUSY, False),
        (ALL_OF_3, replace(BUSY, restarted=True), False),
        (ALL_OF_3, replace(BUSY, unwatched_seconds=9999), False),
        (ALL_OF_3, replace(BUSY, doubted_seconds=9999), False),
        (ALL_OF_3, PRIVATE, False),
        (ALL_OF_3, replace(PRIVATE, restarted=True), False),
        (ALL_OF_3, replace(PRIVATE, doubted_seconds=9999), False),
        (ALL_OF_3, UNKNOWN, True),
        # All of many.
        (ALL_OF_100, QUIET, False),
        (ALL_OF_100, UNKNOWN, False),
        (ALL_OF_100, PRIVATE, False),
        (ALL_OF_100, RESTARTED, True),
        (ALL_OF_100, AWAY, True),
        (ALL_OF_100, replace(AWAY, unwatched_seconds=299.9), False),
        (ALL_OF_100, replace(QUIET, purge_seconds=30), True),
        (ALL_OF_100, AFTER_AN_HOUR, True),
        (ALL_OF_100, replace(AFTER_AN_HOUR, doubted_seconds=3599), False),
        (ALL_OF_100, replace(AFTER_AN_HOUR, jobs_are_private=None), False),
        (ALL_OF_100, replace(AFTER_AN_HOUR, jobs_are_private=True), False),
        # Other jobs are listed, as by another cluster: what the nodes show says nothing then.
        (OTHERS, QUIET, False),
        (OTHERS, BUSY, False),
        (OTHERS, RESTARTED, True),
        (OTHERS, replace(RESTARTED, allocated_cpus=3, jobs_are_private=True), True),
        (OTHERS, AWAY, True),
        (OTHERS, AFTER_AN_HOUR, True),
        # Most, half, and few of them.
        (MOST, QUIET, False),
        (MOST, RESTARTED, True),
        (HALF, QUIET, True),
        (FEW, QUIET, True),
        (FEW, PRIVATE, True),
        # A few of others', where PrivateData shows the login user their own jobs.
        (OTHERS_FEW, QUIET, True),
        (OTHERS_FEW, PRIVATE, False),
        (OTHERS_FEW, replace(PRIVATE, restarted=True), True),
        (OTHERS_FEW, replace(PRIVATE, unwatched_seconds=300), True),
        (OTHERS_FEW, replace(PRIVATE, doubted_seconds=3600), True),
    ],
)
def test_which_outputs_are_believed(missing: Missing, evidence: Evidence, believed: bool) -> None:
    reason = why_not_believed(missing, evidence)
    assert (reason is None) == believed
    if reason is not None:
        assert is_doubtful(missing)
        assert "PrivateData" in reason
        assert "level Operator" in reason
        assert "No job was marked as ended" in reason


@pytest.mark.parametrize(
    ("missing", "doubtful"),
    [
        (NOTHING, True),
        (ALL_OF_3, True),
        (MOST, True),
        (HALF, False),
        (Missing(listed=1, expected=1, lost=0), False),
        (Missing(listed=1, expected=0, lost=0), False),
        (Missing(listed=1, expected=1, lost=1), True),
    ],
)
def test_an_ordinary_round_needs_no_evidence(missing: Missing, doubtful: bool) -> None:
    assert is_doubtful(missing) == doubtful


def test_the_reason_has_the_numbers() -> None:
    assert "the nodes show 3 allocated CPUs" in (why_not_believed(ALL_OF_3, BUSY) or "")
    assert "51 of 100 unfinished jobs are missing" in (why_not_believed(MOST, QUIET) or "")
    assert "3 were unfinished" in (why_not_believed(ALL_OF_3, PRIVATE) or "")
