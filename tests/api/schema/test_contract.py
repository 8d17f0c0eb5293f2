"""The API keeps to its description, tried by schemathesis over HTTP; the description to the API."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bottle
import jsonschema_rs
import pytest

from api.app import ENDPOINTS, build_app
from api.endpoints.manual import OPENAPI
from api.schema.arguments import names_of
from api.schema.endpoint import BASE, OLDER_BASE
from ingest.accounts.users import add_user
from ingest.clusters.round_log import RoundLog
from ingest.database.store import Store
from tests.api.support.client import Client
from tests.api.support.clusters import CLUSTERS, COUNTS
from tests.api.support.serving import served
from tests.ingest.reading.golden import GOLDEN, kind_of
from tests.support.accounts import update_accounts

REPOSITORY = Path(__file__).parents[3]
EXAMPLES = 10
"""Cases that schemathesis makes up for each operation, in each of its two ways to do that."""
SECONDS = 1000
"""A limit for a run that hangs; a busy machine takes minutes."""


@dataclass(frozen=True)
class Contract:
    """The API on a port, and its description."""

    port: int
    token: str
    description: dict[str, Any]


@pytest.fixture
def contract(filled: Store) -> Iterator[Contract]:
    log = RoundLog(filled, "mila")
    log.succeeded("jobs", 1.0, COUNTS, 5)
    log.failed("nodes", 1.0, "no route to host")
    _, token = add_user(filled, "mila12@mila.example", "milauser12", "ccuser12", "own")
    app = build_app(filled, clusters=CLUSTERS)

    def roomy(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "PUT":  # or else so many cases fill the user dict
            filled.jobs.update_many({}, {"$set": {"user": {}}})
        if environ["REQUEST_METHOD"] == "POST":  # or else they are soon too many tokens
            update_accounts(filled, {"$pull": {"tokens": {"name": {"$ne": "own"}}}})
        answer: Iterable[bytes] = app(environ, start)
        return answer

    with served(roomy) as port:
        yield Contract(port, token, Client(app).get(OPENAPI).json)


@pytest.mark.timeout(SECONDS + 100)
@pytest.mark.parametrize("with_token", [True, False], ids=["with_token", "without_token"])
def test_schemathesis_finds_nothing(
    contract: Contract, with_token: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, settings = tmp_path / "report.json", tmp_path / "schemathesis.toml"
    settings.write_text("cache.enabled = false\n")  # every run is the same
    token = ["--header", f"Authorization: Bearer {contract.token}"] if with_token else []
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings)),
        *("run", f"http://127.0.0.1:{contract.port}{OPENAPI}", *token),
        *("--checks", "all", "--max-examples", str(EXAMPLES), "--seed", "1"),
        *("--generation-database", "none", "--no-color"),
        *("--report", "json", "--report-json-path", str(report)),
    ]
    hooks = {"SCHEMATHESIS_HOOKS": "tests.api.schema.contract_hooks"}
    run = subprocess.run(
        command,
        check=False,
        cwd=REPOSITORY,
        env={**os.environ, **hooks},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
    )

    assert run.returncode == 0, run.stdout
    found = json.loads(report.read_text())
    operations, cases = found["operations"], found["test_cases"]
    # schemathesis leaves out the address from which it has the description.
    assert operations["tested"] == operations["total"] == len(contract.description["paths"]) - 1
    assert found["failures"] == found["errors"] == []
    assert cases["with_failures"] == cases["errored"] == 0
    with capsys.disabled():
        print(  # noqa: T201
            f"\nschemathesis, {'with' if with_token else 'without'} a token:"
            f" {operations['tested']} operations, {cases['generated']} cases, nothing found"
        )


def test_every_route_is_described_and_no_other(contract: Contract, store: Store) -> None:
    app = build_app(store)
    assert isinstance(app, bottle.Bottle)
    routes = {(route.rule, route.method.lower()) for route in app.routes}
    older = {(path, method) for path, method in routes if path.startswith(OLDER_BASE)}
    described = {
        (path, method) for path, item in contract.description["paths"].items() for method in item
    }

    page = {(path, "get") for path, _ in routes if path == "/" or path.startswith("/page/")}

    assert described == routes - older - page
    assert {(path.replace(OLDER_BASE, BASE), method) for path, method in older} == {
        (path, method) for path, method in described if path.startswith(BASE)
    }


def test_every_argument_is_described_and_no_other(contract: Contract) -> None:
    for endpoint, path in ((each, path) for each in ENDPOINTS for path in each.shown):
        operation = contract.description["paths"][path][endpoint.method.lower()]
        described = [each["name"] for each in operation["parameters"] if each["in"] == "query"]

        assert described == list(names_of(endpoint.arguments))
        for media in operation.get("requestBody", {}).get("content", {}).values():
            assert list(media["schema"]["properties"]) == described
        for rule in ("x-at-most-one-of", "x-at-least-one-of"):
            for names in operation.get(rule, ()):
                assert set(names) <= set(described)


def test_the_route_knows_the_arguments_that_are_described(
    contract: Contract, client: Client
) -> None:
    for path, item in contract.description["paths"].items():
        for method, operation in item.items():
            described = {
                each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"
            }
            refusal = client.call(method.upper(), path, "no_such_argument=1")
            assert refusal.status == 400
            listed = refusal.json["detail"].partition("the arguments are: ")[2]
            assert set(listed.split(", ")) == described or {"none"}


def test_every_reference_leads_somewhere_and_every_schema_is_referred_to(
    contract: Contract,
) -> None:
    text = json.dumps(contract.description)
    defined = contract.description["components"]["schemas"]

    for name in defined:
        assert f'"#/components/schemas/{name}"' in text, name
    assert text.count("$ref") == sum(
        text.count(f'"$ref": "#/components/schemas/{name}"') for name in defined
    )


def test_operations_have_names_of_their_own(contract: Contract) -> None:
    items = contract.description["paths"].values()
    names = [operation["operationId"] for item in items for operation in item.values()]

    assert len(set(names)) == len(names)


def test_the_description_needs_no_token_and_tells_nothing_of_the_place(
    anyone: Client, contract: Contract
) -> None:
    assert anyone.get(OPENAPI).json == contract.description
    assert anyone.get(OPENAPI).header("Content-Type") == "application/json"
    assert contract.token not in json.dumps(contract.description)


def test_all_captured_records_are_as_described(contract: Contract) -> None:
    schemas = contract.description["components"]["schemas"]
    validators = {
        name: jsonschema_rs.validator_for(
            {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}},
            validate_formats=True,
        )
        for name in ("Job", "Node")
    }
    checked = 0
    names = dict.fromkeys(("cc_account_username", "mila_cluster_username", "mila_email_username"))
    for dump in GOLDEN:
        kind = kind_of(dump).table.kind
        for slurm in json.loads(dump.with_suffix(".json").read_text()):
            if "cluster_name" in slurm:
                document = {"slurm": slurm, "cw": names, "user": {}}
                validators[kind.capitalize()].validate(document)
                checked += 1
    assert checked > 100
