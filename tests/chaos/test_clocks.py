"""Clocks at odd moments, and clocks that jump."""

from ingest.database.store import Store
from tests.chaos import clocks


def test_no_moment_and_no_jump_breaks_a_round(store: Store) -> None:
    section = clocks.run_injected(store)
    assert not section.problems
