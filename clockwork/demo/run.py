"""``clockwork demo``: the whole service against two clusters that exist only here.

Everything is real but the clusters: an SSH server on loopback for each, the database, the scraper,
the API.  All of it lives in a temporary folder and is gone afterwards.
"""

import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zoneinfo import ZoneInfo

import paramiko
from pymongo.errors import PyMongoError

from clockwork.demo.simulated_cluster import SimulatedCluster
from clockwork.demo.ssh_server import SimulatedLoginHost
from clockwork.embedded.database import EmbeddedDatabase
from clockwork.processes.specs import api_process, check_port, listens, scraper_process
from clockwork.processes.supervisor import Supervisor
from config import ApiSettings, OperatorError, Settings, load_settings
from ingest.accounts.users import add_user
from ingest.database.store import Store, connect

DUMPS = Path(__file__).parents[2] / "fake_slurm_outputs"
EMAIL = "demo.user@mila.quebec"
MILA_USERNAME, CC_USERNAME = "milauser12", "ccuser01"
"""The names of the demo's user, who owns some jobs on both clusters and not the others."""

_CONFIGURATION = """
[embedded]
path = "data"
[api]
port = {api_port}
[log]
level = "warning"
"""
_CLUSTER = """
[clusters.{name}]
timezone = "{zone}"
username_field = "{username_field}"
jobs_interval = 5
nodes_interval = 15
[clusters.{name}.ssh]
host = "127.0.0.1"
port = {port}
user = "clockwork"
key_file = "id_demo"
known_hosts = "known_hosts"
config_file = "ssh_config"
"""
_USERNAME_FIELDS = {"mila": "mila_cluster_username", "beluga": "cc_account_username"}
_ZONE = "America/Montreal"
_POLL_SECONDS = 0.2


class DemoError(OperatorError):
    """The demo can't run here; the message is for the operator."""


def run_demo(port: int) -> int:
    """Run the demo until Ctrl-C, its API on *port*; says on standard output when it is ready."""
    if not DUMPS.is_dir():
        raise DemoError(f"the demo's dumps are not here ({DUMPS}): run it in a source checkout")
    check_port(ApiSettings(port=port))
    with _signals_interrupt(), tempfile.TemporaryDirectory(prefix="clockwork-demo-") as name:
        folder = Path(name)
        with _simulated_clusters(folder) as cluster_tables:
            path = folder / "clockwork.toml"
            path.write_text(_CONFIGURATION.format(api_port=port) + cluster_tables)
            settings = load_settings(path, {})
            _progress("starting the database")
            with EmbeddedDatabase(settings.embedded) as database:
                database.claim()
                announcer = threading.Thread(
                    target=_announce, args=(database.uri, settings), daemon=True
                )
                announcer.start()
                return Supervisor(
                    [
                        database.process(),
                        scraper_process(path, database.uri),
                        api_process(path, database.uri),
                    ]
                ).run()


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Until the supervisor listens to them, these signals end the demo as Ctrl-C does.

    Without that its folder would stay behind.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        if number != signal.SIGHUP or before[number] != signal.SIG_IGN:  # run under nohup
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, before[number])


@contextmanager
def _simulated_clusters(folder: Path) -> Iterator[str]:
    """The clusters' login hosts, answering; yields their part of the configuration."""
    client_key = paramiko.ECDSAKey.generate()
    client_key.write_private_key_file(str(folder / "id_demo"))
    hosts = []
    tables, known_hosts = "", ""
    for name, username_field in _USERNAME_FIELDS.items():
        host_key = paramiko.ECDSAKey.generate()
        cluster = SimulatedCluster(DUMPS / name, ZoneInfo(_ZONE))
        host = SimulatedLoginHost(cluster.answer, host_key, [client_key])
        hosts.append(host)
        tables += _CLUSTER.format(
            zone=_ZONE, name=name, username_field=username_field, port=host.port
        )
        known_hosts += f"[127.0.0.1]:{host.port} {host_key.get_name()} {host_key.get_base64()}\n"
    (folder / "ssh_config").touch()
    (folder / "known_hosts").write_text(known_hosts)
    for host in hosts:
        host.start()
    try:
        yield tables
    finally:
        for host in hosts:
            host.stop()


def _announce(uri: str, settings: Settings) -> None:
    """Say that the demo is ready, once every cluster's jobs and nodes are in and the API is up."""
    store = connect(uri, settings.mongo.database)
    _progress("waiting for the clusters' first rounds")
    while not _all_scraped(store):
        time.sleep(_POLL_SECONDS)
    _, token = add_user(store, EMAIL, MILA_USERNAME, CC_USERNAME)
    while not listens(settings.api):
        time.sleep(_POLL_SECONDS)
    url = f"http://{settings.api.host}:{settings.api.port}"
    base = f"{url}/api/v1/cluster"
    sys.stdout.write(
        f"ready: {url} token: {token}\n"
        f"curl -H 'Authorization: Bearer {token}' '{base}/jobs/list?user={MILA_USERNAME}'\n"
        f"curl -H 'Authorization: Bearer {token}' "
        f"'{base}/jobs/one?job_id=233874&cluster_name=mila'\n"
    )
    sys.stdout.flush()


def _all_scraped(store: Store) -> bool:
    try:
        return all(
            collection.find_one({"slurm.cluster_name": name}, {"_id": 1}) is not None
            for name in _USERNAME_FIELDS
            for collection in (store.jobs, store.nodes)
        )
    except PyMongoError:
        return False


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"demo: {text} ...\n")
