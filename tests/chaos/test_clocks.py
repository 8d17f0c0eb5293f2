"""Try clocks at odd moments, and clocks that jump."""

from datetime import datetime

from ingest.database.store import Store
from tests.chaos import clocks


def test_no_moment_and_no_jump_breaks_a_round(store: Store) -> None:
    section = clocks.run_injected(store)
    assert not section.problems
    [_, *rows] = section.tables[0]
    assert [(name, printed) for name, printed, _, _ in rows] == [*clocks.MOMENTS.items()]
    for _, printed, in_document, finished_at in rows:
        moment = datetime.strptime(printed, "%Y-%m-%dT%H:%M:%S%z")
        assert datetime.fromisoformat(in_document) == moment
        assert datetime.fromisoformat(finished_at) == moment
