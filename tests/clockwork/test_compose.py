"""`compose.yaml` fits the image and `docs/containers.md`: names, ports, folders, the replica set.

No MongoDB is started: its image is in a registry, which tests do not reach.
"""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from clockwork.cli import main
from config.settings import ApiSettings
from ingest.database.store import connect

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
CONTAINERFILE = (ROOT / "Containerfile").read_text()
PAGE = (ROOT / "docs" / "containers.md").read_text()


def instruction(name: str) -> str:
    """What the last line of the Containerfile with this instruction says."""
    return str(re.findall(rf"^\s*{name}\s+(.*)$", CONTAINERFILE, re.MULTILINE)[-1])


def own(service: dict[str, Any]) -> bool:
    return "build" in service


def test_the_services_run_commands_of_clockwork(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(instruction("ENTRYPOINT")) == ["clockwork"]
    commands = [service["command"] for service in SERVICES.values() if own(service)]
    assert commands == [["scrape"], ["serve"]]
    for words in [*commands, json.loads(instruction("CMD"))]:
        with pytest.raises(SystemExit) as ended:
            main([*words, "--help"])
        assert ended.value.code == 0
    assert "clockwork" in capsys.readouterr().out


def test_one_port_everywhere() -> None:
    port = ApiSettings().port
    assert int(instruction("EXPOSE")) == port
    check = json.loads(
        CONTAINERFILE.partition("HEALTHCHECK")[2].partition("CMD")[2].splitlines()[0]
    )
    assert f"http://127.0.0.1:{port}/healthz" in check[-1]
    published = {port for service in SERVICES.values() for port in service.get("ports", ())}
    assert published == {f"127.0.0.1:{port}:{port}"}
    assert f"--publish {published.pop()}" in PAGE


def test_the_containers_find_their_files() -> None:
    folder = Path(re.findall(r"CLOCKWORK_CONFIG=(\S+)", CONTAINERFILE)[0]).parent
    assert f"`{folder}/clockwork.toml`" in PAGE
    for service in filter(own, SERVICES.values()):
        assert service["volumes"] == [f"./etc:{folder}:ro"]
        assert service["build"] == {"context": ".", "dockerfile": "Containerfile"}
        assert service["read_only"]
        assert service["tmpfs"] == ["/tmp"]
    assert f"--volume ./etc:{folder}:ro" in PAGE
    [(volume, target)] = [each.split(":") for each in SERVICES["mongo"]["volumes"]]
    assert volume in COMPOSE["volumes"]
    assert target == "/data/db"  # of MongoDB's image


def test_the_replica_set_is_the_documented_one() -> None:
    mongo = SERVICES["mongo"]
    [uri] = re.findall(r"^ +(mongodb://\S+)$", PAGE, re.MULTILINE)
    with connect(uri, "clockwork").database.client as client:
        name, seeds = (
            client.options.replica_set_name,
            client.topology_description.server_descriptions(),
        )
    [(host, port)] = seeds
    assert SERVICES[host] is mongo
    command = mongo["command"]
    assert command[command.index("--replSet") + 1] == name
    made = mongo["healthcheck"]["test"][-1]
    assert f'rs.initiate({{_id: "{name}", members: [{{_id: 0, host: "{host}:{port}"}}]}})' in made
    assert "isWritablePrimary ? 0 : 1" in made
    for service in filter(own, SERVICES.values()):
        assert service["depends_on"] == {host: {"condition": "service_healthy"}}


def test_the_health_checks() -> None:
    assert SERVICES["scraper"]["healthcheck"] == {"disable": True}
    assert SERVICES["api"]["healthcheck"] == {}  # that of the image
    assert "test" in SERVICES["mongo"]["healthcheck"]


def test_the_commands_of_the_page_name_services() -> None:
    lines = re.findall(r"^ +podman compose (.*)$", PAGE, re.MULTILINE)
    assert [shlex.split(line)[0] for line in lines] == ["up", "exec"]
    assert shlex.split(lines[1])[1] in SERVICES
