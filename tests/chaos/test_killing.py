"""kill -9, a few times."""

from pathlib import Path

from tests.chaos import killing


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    section = killing.kill(tmp_path, kills=3, seed=7, writers=3, dashboards=3)
    assert not section.problems
