"""Hostile records, arguments and tokens, in their short form."""

from ingest.database.store import Store
from tests.api.support.client import Client
from tests.chaos import hostile_input


def test_no_record_harms_another(store: Store) -> None:
    section = hostile_input.run_records(store)
    assert not section.problems


def test_no_argument_selects_or_changes_what_it_should_not(client: Client, filled: Store) -> None:
    section = hostile_input.run_arguments(client, filled, step=6)
    assert not section.problems


def test_no_wrong_token_is_taken(client: Client) -> None:
    section = hostile_input.run_tokens(client, times=5)
    assert not section.problems
