"""Take the database away, and fill its disk, for a few seconds."""

import subprocess
from pathlib import Path

import pytest

from tests.chaos import away


def test_all_go_on_when_the_database_is_back(tmp_path: Path, mongo_uri: str) -> None:
    port = int(mongo_uri.rsplit(":", 1)[1].strip("/"))
    section = away.be_away(tmp_path, port, seconds=3.0)
    assert not section.problems
    [_, *rows] = section.tables[0]
    assert [row[0] for row in rows] == ["refuse", "fall silent"]
    assert all("200: " in answers for *_, answers, _ in rows)


def test_all_go_on_when_the_disk_has_room_again(tmp_path: Path) -> None:
    if not away.is_root():
        pytest.skip("only root can make a small disk")
    try:
        with away.small_disk(tmp_path / "probe", 1 << 20):
            pass
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        pytest.skip(f"a small disk can't be mounted here: {error}")
    section = away.fill_up(tmp_path, seconds=3.0)
    assert not section.problems
    assert int(section.value("acknowledged in total, none of them lost")) > 0
