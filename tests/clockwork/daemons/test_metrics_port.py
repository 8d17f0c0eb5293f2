"""The scraper's own /metrics, over real HTTP."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.server import ServerError
from clockwork.daemons.metrics_port import metrics_port
from config import ScraperSettings, Settings, load_settings
from config.load import MONGO_URI_VARIABLE
from ingest.database.store import Store
from tests.support.ports import free_port

CLUSTER = """
[clusters.mila]
timezone = "America/Montreal"
username_field = "mila_cluster_username"
jobs_interval = 1
[clusters.mila.ssh]
host = "127.0.0.1"
port = {port}
user = "clockwork"
key_file = "no key"
"""
PATIENCE = 60.0


def settings(port: int) -> Settings:
    return Settings(scraper=ScraperSettings(metrics_port=port))


def get(port: int, path: str = "/metrics") -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def sample(text: str, name: str, **labels: str) -> float:
    [value] = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    ]
    return value


def test_figures_without_a_token_and_nothing_else(store: Store) -> None:
    threads = {*threading.enumerate()}
    port = free_port()
    with metrics_port(settings(port), store):
        status, text = get(port)
        assert status == 200
        assert "# TYPE clockwork_up gauge" in text
        assert get(port, "/api/v1/cluster/jobs/list")[0] == 404
    with pytest.raises(ConnectionRefusedError):
        get(port)
    assert {*threading.enumerate()} <= threads


def test_no_port_is_taken_unless_one_is_asked_for(store: Store) -> None:
    threads = set(threading.enumerate())
    with metrics_port(settings(0), store):
        assert threads.issuperset(threading.enumerate())


def test_a_port_that_is_taken_is_named_with_its_key(store: Store) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(ServerError, match=f"127.0.0.1:{port}: .* another scraper.metrics_port"),
            metrics_port(settings(port), store),
        ):
            pass


def test_the_daemon_tells_how_its_rounds_go(store: Store, mongo_uri: str, tmp_path: Path) -> None:
    port = free_port()
    path = tmp_path / "clockwork.toml"
    path.write_text(
        f'[mongo]\ndatabase = "{store.database.name}"\n[scraper]\nmetrics_port = {port}\n'
        + CLUSTER.format(port=free_port())  # where nothing listens
    )
    load_settings(path, {})
    with subprocess.Popen(
        [sys.executable, "-m", "clockwork", "--config", str(path), "scrape"],
        env={**os.environ, MONGO_URI_VARIABLE: mongo_uri},
        stderr=subprocess.DEVNULL,
    ) as daemon:
        try:
            text = _figures_after_a_round(port)
            mine = {"cluster": "mila", "kind": "jobs"}
            assert sample(text, "clockwork_up", **mine) == 0
            assert sample(text, "clockwork_last_success_timestamp_seconds", **mine) == 0
            assert sample(text, "clockwork_rounds_total", result="failed", **mine) >= 1
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(PATIENCE) == 0
        finally:
            daemon.kill()


def _figures_after_a_round(port: int) -> str:
    gives_up = time.monotonic() + PATIENCE
    while time.monotonic() < gives_up:
        try:
            _, text = get(port)
        except (OSError, HTTPException):
            text = ""
        if 'clockwork_round_duration_seconds{cluster="mila",kind="jobs"}' in text:
            return text
        time.sleep(0.2)
    pytest.fail("the daemon's figures never spoke of a round")
