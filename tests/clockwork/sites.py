"""Sites to run the program against: two simulated clusters, and a clockwork.toml for them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from clockwork.demo.run import DUMPS
from clockwork.demo.simulated_cluster import SimulatedCluster
from clockwork.demo.ssh_server import SimulatedLoginHost
from tests.scraper.home import known_hosts_line, new_key

USERNAME_FIELDS = {"mila": "mila_cluster_username", "beluga": "cc_account_username"}
ZONE = "America/Montreal"

_CLUSTER = """
[clusters.{name}]
timezone = "{zone}"
username_field = "{username_field}"
jobs_interval = 1
nodes_interval = 5
[clusters.{name}.ssh]
host = "127.0.0.1"
port = {port}
user = "clockwork"
key_file = "key"
known_hosts = "known_hosts"
config_file = "/dev/null"
"""


@dataclass(frozen=True)
class Site:
    """A folder with its configuration, and the login hosts of its clusters by cluster name."""

    path: Path
    hosts: dict[str, SimulatedLoginHost]


@contextmanager
def site(folder: Path, settings: str = "") -> Iterator[Site]:
    """A site in *folder* whose hosts answer; *settings* is put before the clusters."""
    key, host_key = new_key("ed25519"), new_key("ecdsa").pkey
    (folder / "key").touch(0o600)
    (folder / "key").write_text(key.text())
    hosts = {}
    for name in USERNAME_FIELDS:
        cluster = SimulatedCluster(DUMPS / name, ZoneInfo(ZONE))
        hosts[name] = SimulatedLoginHost(cluster.answer, host_key, [key.pkey])
    (folder / "known_hosts").write_text(
        "".join(known_hosts_line(f"[127.0.0.1]:{host.port}", host_key) for host in hosts.values())
    )
    tables = [
        _CLUSTER.format(name=name, zone=ZONE, username_field=USERNAME_FIELDS[name], port=host.port)
        for name, host in hosts.items()
    ]
    path = folder / "clockwork.toml"
    path.write_text(settings + "".join(tables))
    for host in hosts.values():
        host.start()
    try:
        yield Site(path, hosts)
    finally:
        for host in hosts.values():
            host.stop()
