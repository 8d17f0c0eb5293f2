"""A database that is away, for a few seconds."""

from pathlib import Path

from tests.chaos import away


def test_all_go_on_when_the_database_is_back(tmp_path: Path, mongo_uri: str) -> None:
    port = int(mongo_uri.rsplit(":", 1)[1].strip("/"))
    section = away.be_away(tmp_path, port, seconds=3.0)
    assert not section.problems
