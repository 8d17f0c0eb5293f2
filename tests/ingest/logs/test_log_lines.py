"""The lines that one cause writes into the log are bounded, and the others are counted."""

from ingest.logs import log_lines
from ingest.logs.log_lines import LogLines


def test_one_line_at_once_and_one_for_each_interval() -> None:
    lines = LogLines(60)
    assert [lines.due("a", now) for now in (0, 1, 59, 60, 61, 120, 500)] == [1, 0, 0, 3, 0, 2, 1]
    assert lines.due("b", 1) == 1


def test_a_clock_that_was_set_back_silences_nothing() -> None:
    lines = LogLines(60)
    assert (lines.due("a", 1000), lines.due("a", 0), lines.due("a", 1)) == (1, 1, 0)


def test_very_many_causes_are_not_all_remembered() -> None:
    lines = LogLines(60)
    most = log_lines._MOST_CAUSES
    assert all(lines.due(str(number), 0) == 1 for number in range(most + 10))
    assert len(lines._causes) == most
    assert lines.due(str(most), 1) == 0
    assert lines.due("0", 1) == 1
