"""Load held, for half a minute."""

from pathlib import Path

from tests.chaos import load


def test_load_is_held(tmp_path: Path) -> None:
    section = load.run(tmp_path, seconds=10.0, dashboards=20, writers=5, pause=1.0)
    assert not section.problems
