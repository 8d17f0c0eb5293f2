"""Who on the host can reach what."""

from pathlib import Path

from tests.chaos import rights


def test_nobody_else_reads_a_file_or_is_answered_by_the_database(tmp_path: Path) -> None:
    section = rights.run(tmp_path)
    assert not section.problems
