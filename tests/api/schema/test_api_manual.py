"""docs/api.md tells no lies: its addresses, arguments and keys exist, and its Python runs."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from api.endpoints.manual import OPENAPI
from api.schema.endpoint import BASE
from ingest.clusters.round_log import RoundLog
from ingest.database.store import Store
from tests.api.support.client import Client
from tests.api.support.clusters import COUNTS, a_job
from tests.api.support.serving import served

MANUAL = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
ADDRESS = re.compile(r"/(?:api/|healthz|readyz|metrics)[^\s\"`|]*")
FETCH = re.compile(r'await get\("([^"]+)"(?:, \{([^}]*)\})?\)')
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
PANEL = re.compile(r"^\| [^|]+ \| `(/api/[^`]+)` \| ([^|]+) \|$", re.MULTILINE)


@pytest.fixture
def description(anyone: Client) -> dict[str, Any]:
    found: dict[str, Any] = anyone.get(OPENAPI).json
    return found


def operation(description: dict[str, Any], path: str, method: str = "get") -> dict[str, Any]:
    found: dict[str, Any] = description["paths"][path][method]
    return found


def arguments_of(description: dict[str, Any], path: str, method: str = "get") -> set[str]:
    return {each["name"] for each in operation(description, path, method).get("parameters", ())}


def addresses() -> Iterator[tuple[str, dict[str, str]]]:
    for address in ADDRESS.findall(MANUAL.replace("${partition:csv}", "main")):
        parts = urlsplit(address)
        yield parts.path, dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))


def test_every_address_and_argument_is_described(description: dict[str, Any]) -> None:
    for path, arguments in addresses():
        if path not in ("/api/v1/cluster/", "/api/docs"):
            [method] = description["paths"][path]
            names = {re.sub(r"^user\..+", "user.KEY", name) for name in arguments}
            assert names <= arguments_of(description, path, method), path


def test_every_endpoint_has_a_recipe(description: dict[str, Any]) -> None:
    shown = {path for path, _ in addresses()}

    assert description["paths"].keys() - shown == {BASE + "node/one"}


def test_every_get_of_the_manual_is_answered(client: Client, description: dict[str, Any]) -> None:
    for path, arguments in addresses():
        if "get" in description["paths"].get(path, ()):
            query = "&".join(f"{name}={value}" for name, value in arguments.items())
            answer = client.call("GET", path, query.replace("+", "%2B"))
            assert answer.status == 200, (path, query, answer.body)


def test_javascript_asks_for_what_there_is(description: dict[str, Any]) -> None:
    [script] = re.findall(r"^```js\n(.*?)^```", MANUAL, re.MULTILINE | re.DOTALL)
    asked = FETCH.findall(script)

    assert len(asked) >= 2
    for path, pairs in asked:
        names = set(re.findall(r"(\w+):", pairs))
        assert names <= arguments_of(description, BASE + path), path


def test_columns_of_panels_are_keys_of_the_answer(description: dict[str, Any]) -> None:
    panels = PANEL.findall(MANUAL)
    schemas = description["components"]["schemas"]
    kinds = {"jobs/list": "JobPart", "nodes/list": "NodePart", "clusters/list": "Cluster"}

    assert len(panels) >= 4
    for address, columns in panels:
        parts = urlsplit(address)
        schema = schemas[kinds[parts.path.removeprefix(BASE)]]
        selectors = re.findall(r"`([^`]+)`", columns)
        fields = dict(parse_qsl(parts.query)).get("fields")
        assert fields is None or selectors == fields.split(",")
        for selector in selectors:
            found = schema
            for key in selector.split("."):
                found = found["properties"][key]
                while "$ref" in found:
                    found = schemas[found["$ref"].rpartition("/")[2]]


def run(script: str, port: int, client: Client) -> str:
    _, _, token = client.headers["Authorization"].partition(" ")
    place = {"CLOCKWORK": f"http://127.0.0.1:{port}", "TOKEN": token}
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        env={**os.environ, **place},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_runs(client: Client, store: Store) -> None:
    store.jobs.insert_many(a_job(number, "RUNNING", "long") for number in range(3))
    for cluster in ("beluga", "mila"):
        RoundLog(store, cluster).succeeded("jobs", 1.0, COUNTS, 5)
    with_requests, with_nothing = PYTHON.findall(MANUAL)
    assert "limit=500" in with_requests

    with served(client.app) as port:
        first = run(with_requests.replace("limit=500", "limit=2"), port, client)
        second = run(with_nothing, port, client)

    states, unchanged, *lengths = first.splitlines()
    assert states == "{'PENDING': 1, 'RUNNING': 4}"
    assert unchanged == "unchanged"
    assert len(lengths) == 5
    assert second.splitlines()[:2] == ["beluga down {'PENDING': 1}", "mila down {'RUNNING': 4}"]
    assert len(second.splitlines()) == 7
