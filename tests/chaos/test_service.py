"""Look at one running service from outside, put it under load, and kill it a few times."""

from collections.abc import Iterator

import pytest

from tests.chaos import killing, load, rights
from tests.chaos.killing import Scene


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with killing.scene(tmp_path_factory.mktemp("chaos")) as scene:
        yield scene


def test_nobody_else_reads_a_file_or_is_answered_by_the_database(here: Scene) -> None:
    section = rights.run(here)
    assert not section.problems
    assert int(section.value("files and folders looked at")) > 5
    assert section.value("open to others") == "0"
    assert section.value("processes listen on") == "127.0.0.1"
    assert section.value("commands that were answered without the password") == "0"


def test_load_is_held(here: Scene) -> None:
    section = load.run(here, 6.0, interval=1.0, dashboards=20, writers=5, pause=1.0)
    assert not section.problems
    assert int(section.value("requests answered")) > 20
    assert int(section.value("updates acknowledged, none of them lost")) > 0
    assert int(section.value("good rounds")) > 0
    assert section.value("failed rounds") == "0"
    [_, *processes] = section.tables[0]
    assert {row[0] for row in processes} == {"supervisor", "database", "scraper", "api"}


def test_nothing_acknowledged_is_lost(here: Scene) -> None:
    """The last test of this file, because it stops the service."""
    section = killing.kill(here, kills=2, seed=7, writers=3, dashboards=3)
    assert not section.problems
    assert section.value("kills") == "2"
    assert int(section.value("updates of user dicts acknowledged")) > 0
    assert section.value("acknowledged updates lost") == "0"
    assert int(section.value("jobs, each exactly once")) > 0
    [_, *killed] = section.tables[0]
    assert sum(int(times) for _, times in killed) == 2
