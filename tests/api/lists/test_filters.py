"""The table of filters: whoever adds a row finds here what else the row has to be in."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from api.endpoints.jobs import JOBS
from api.endpoints.manual import OPENAPI
from api.endpoints.nodes import NODES
from api.lists.filters import ListFilter
from api.lists.listing import Kind
from api.schema.endpoint import BASE
from ingest.database import embedded_pages
from ingest.database.store import INDEXES, OWN_JOBS_INDEXES
from tests.api.support.client import Client

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(params=[JOBS, NODES], ids=["jobs", "nodes"])
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


def names(filters: Sequence[ListFilter]) -> set[str]:
    return {each.shown_name for each in filters}


def test_the_page_offers_filters_that_there_are(kind: Kind) -> None:
    script = (REPOSITORY / "api" / "page" / "views" / f"{kind.name}.js").read_text()
    [listed] = re.findall(r"const FILTERS = \[(.*?)\];", script, re.DOTALL)
    offered = set(re.findall(r'"(\w+)"', listed))

    assert offered <= names(kind.filters)
    for name in offered:
        assert f'name: "{name}"' in script


def test_every_filter_has_an_index(kind: Kind) -> None:
    first = {next(iter(index.document["key"])) for index in INDEXES[kind.name]}

    assert {each.path for each in kind.filters if not each.beside} <= first
    alone = {each.name for each in kind.filters if not each.beside}
    assert all(set(each.beside) <= alone for each in kind.filters)


def test_the_manual_says_what_each_index_is_for(kind: Kind) -> None:
    manual = (REPOSITORY / "docs" / "lists.md").read_text()
    _, _, table = manual.partition(f"| of {kind.name} | serves |\n| --- | --- |\n")
    rows = [row.split(" | ") for row in table.partition("\n\n")[0].splitlines()]
    listed = [row[0].removeprefix("| ").partition(" (")[0].replace("`", "") for row in rows]
    tables = (INDEXES, OWN_JOBS_INDEXES, embedded_pages.INDEXES)
    made = [index for table in tables for index in table.get(kind.name, ())]
    paths = [", ".join(key.rpartition(".")[2] for key in each.document["key"]) for each in made]

    assert sorted(listed) == sorted(paths)
    assert all(len(row) == 2 and row[1].strip(" |") for row in rows)


def test_every_filter_is_described_with_its_values(kind: Kind, anyone: Client) -> None:
    description = anyone.get(OPENAPI).json["paths"][f"{BASE}{kind.name}/list"]["get"]
    parameters = {each["name"]: each for each in description["parameters"]}

    for each in kind.filters:
        found = parameters[each.shown_name]
        assert found["description"].startswith(each.description)
        assert (found["schema"].get("type") == "array") == each.takes_several
        if each.example is not None:
            assert json.dumps(found["example"]) == json.dumps(each.example)


def test_the_manual_names_every_filter(kind: Kind) -> None:
    manual = (REPOSITORY / "docs" / "lists.md").read_text()

    for name in names(kind.filters):
        assert f"`{name}`" in manual, name
