"""Hostile records, arguments and tokens, in their short form."""

from ingest.database.store import Store
from tests.api.support.client import Client
from tests.chaos import hostile_input


def test_no_record_harms_another(store: Store) -> None:
    section = hostile_input.run_records(store)
    assert not section.problems
    [_, *rows] = section.tables[0]
    assert len(rows) == len(hostile_input.OUTPUTS) + len(hostile_input.FORGED_KEYS)
    outcome = {name: outcome for name, _, outcome, _, _ in rows}
    assert outcome["a line of 100 MB"] != "kept"
    assert outcome["script"] == "kept"


def test_no_argument_selects_or_changes_what_it_should_not(client: Client, filled: Store) -> None:
    section = hostile_input.run_arguments(client, filled, step=12)
    assert not section.problems
    [_, *statuses], [_, *bodies] = section.tables
    asked = {endpoint for endpoint, _, _ in (row[0].partition(":") for row in statuses)}
    assert {"jobs/list", "jobs/one", "jobs/user_dict_update", "nodes/list", "nodes/one"} <= asked
    assert sum(int(row[1]) for row in statuses) == int(section.value("requests")) > 500
    assert {row[1] for row in bodies} == {"400", "413"}


def test_no_wrong_token_is_taken(client: Client) -> None:
    section = hostile_input.run_tokens(client, times=5)
    assert not section.problems
    [_, *shapes] = section.tables[0]
    assert {"wrong in the last letter", "its own hash"} <= {row[0] for row in shapes}
