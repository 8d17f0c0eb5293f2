"""A real Prometheus reads the metrics as docs/metrics.md says, every query, and every rule."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from api.app import build_app, utc_now
from config.settings import ApiSettings
from ingest.accounts.users import add_user
from ingest.clusters.round_log import RoundLog
from ingest.database.store import Store
from tests.api.support.clusters import CLUSTERS, COUNTS, a_job, a_node
from tests.api.support.serving import served
from tests.prometheus.boards import REPOSITORY, RULES, queries
from tests.support.ports import LOOPBACK, free_port
from tests.system import machine

pytestmark = pytest.mark.prometheus

MANUAL = REPOSITORY / "docs" / "metrics.md"
PATIENCE = 120.0
"""Seconds until Prometheus has read the metrics: the machine may be loaded."""


def test_every_rule_fires_and_every_query_is_read(tmp_path: Path) -> None:
    """And no rule fires where all is well."""
    rules = "\n".join(
        f"      - record: query:{number}\n        expr: {json.dumps(query)}"
        for number, query in enumerate(queries())
        if not query.startswith("label_values")
    ).replace("$__rate_interval", "5m")
    asked = tmp_path / "asked.yml"
    asked.write_text(f"groups:\n  - name: asked\n    rules:\n{rules}\n")
    for words in (["check", "rules", str(asked)], ["test", "rules", "clockwork.rules.test.yml"]):
        done = subprocess.run(
            [machine.program("promtool"), *words],
            cwd=RULES.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_reads_the_metrics_as_the_manual_says(store: Store, tmp_path: Path) -> None:
    RoundLog(store, "mila").succeeded("jobs", 1.0, COUNTS, 100)
    store.jobs.insert_many([a_job(1, "RUNNING", "long"), a_job(2, "PENDING", "long")])
    store.nodes.insert_one(a_node(1, "IDLE", "cpu=4,gres/gpu:a100=4", "cpu=1"))
    _, token = add_user(store, "prometheus@example.org", role="service")
    settings = ApiSettings(port=free_port(), metrics="token", jobs_visible="own")
    app = build_app(store, utc_now, CLUSTERS, settings)

    with served(app, settings) as port, prometheus(tmp_path, port, token) as server:
        assert server.value('up{job="clockwork"}') == {"": 1.0}
        jobs = 'sum by (state) (clockwork_jobs{cluster="mila"})'
        assert server.value(jobs) == {"PENDING": 1.0, "RUNNING": 1.0}
        assert server.value('clockwork_gpus{cluster="mila"}') == {"": 4.0}
        for query in queries():
            if not query.startswith("label_values"):
                asked = query.replace("$__rate_interval", "5m").replace("$cluster", ".*")
                server.get("query", query=asked)
        assert server.get("label/cluster/values", **{"match[]": "clockwork_up"}) == [
            "beluga",
            "mila",
        ]
        [group] = server.get("rules")["groups"]
        assert len(group["rules"]) >= 8
        assert {rule["health"] for rule in server.evaluated()} == {"ok"}


class Server:
    """A Prometheus on a port of the loopback."""

    def __init__(self, port: int) -> None:
        self._port = port

    def get(self, path: str, **arguments: str) -> Any:
        """Return the data of a response of the API. Fails the test for an error.

        Raises OSError while Prometheus starts.
        """
        connection = HTTPConnection(LOOPBACK, self._port, timeout=300)
        connection.request("GET", f"/api/v1/{path}?{urlencode(arguments)}")
        response = connection.getresponse()
        content = response.read()
        connection.close()
        if response.status == HTTPStatus.SERVICE_UNAVAILABLE:
            raise ConnectionError(content)  # it starts
        answer = json.loads(content)
        assert answer["status"] == "success", (path, arguments, answer)
        return answer["data"]

    def value(self, query: str) -> dict[str, float]:
        """Return the values of *query* by their one label that is not empty, if they have one."""
        found = self.get("query", query=query)["result"]
        return {each["metric"].get("state", ""): float(each["value"][1]) for each in found}

    def evaluated(self) -> list[dict[str, Any]]:
        """Wait until every rule was evaluated; return the rules."""
        until = time.monotonic() + PATIENCE
        while True:
            rules: list[dict[str, Any]] = self.get("rules")["groups"][0]["rules"]
            if all(rule["health"] != "unknown" for rule in rules) or time.monotonic() > until:
                return rules
            time.sleep(0.2)

    def wait(self) -> None:
        """Wait until the metrics were read once."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            try:
                if self.value('up{job="clockwork"} == 1'):
                    return
            except OSError:
                pass
            time.sleep(0.2)
        pytest.fail(f"Prometheus read no metrics within {PATIENCE:.0f} s")


@contextmanager
def prometheus(folder: Path, port: int, token: str) -> Iterator[Server]:
    """Run a Prometheus with the manual's configuration and the rules, for metrics on *port*."""
    (folder / "token").write_text(token)
    block = re.search(r"^ {4}scrape_configs:\n(?: {4}.*\n)+", MANUAL.read_text(), re.MULTILINE)
    assert block is not None
    scrape = re.sub(r"^ {4}", "", block[0], flags=re.MULTILINE)
    scrape = scrape.replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    scrape = scrape.replace("/etc/prometheus/token", str(folder / "token"))
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        f"rule_files: [{json.dumps(str(RULES))}]\n{scrape}"
    )
    own = free_port()
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [
                machine.program("prometheus"),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={LOOPBACK}:{own}",
            ],
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            server = Server(own)
            server.wait()
            yield server
        finally:
            process.terminate()
