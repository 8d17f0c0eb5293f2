"""Sites to run the program against: simulated clusters, and a clockwork.toml for them."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from clockwork.demo.run import DUMPS
from clockwork.demo.simulated_cluster import SimulatedCluster
from clockwork.demo.ssh_server import Answer, SimulatedLoginHost
from tests.scraper.home import known_hosts_line, new_key

ZONE = "America/Montreal"

_USERNAME_FIELDS = ("mila_cluster_username", "cc_account_username")
_CLUSTER = """
[clusters.{name}]
timezone = "{zone}"
username_field = "{username_field}"
jobs_interval = {jobs_interval}
nodes_interval = {nodes_interval}
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


def clockwork(*words: str) -> list[str]:
    """The command line of ``clockwork`` with *words*, for a process of its own."""
    return [str(Path(sys.executable).with_name("clockwork")), *words]


@contextmanager
def site(folder: Path, settings: str = "") -> Iterator[Site]:
    """A site in *folder* of the two clusters of the demo; *settings* is put before the clusters."""
    clusters = {name: SimulatedCluster(DUMPS / name, ZoneInfo(ZONE)) for name in ("mila", "beluga")}
    answers = {name: cluster.answer for name, cluster in clusters.items()}
    with site_of(folder, answers, settings, jobs_interval=1, nodes_interval=5) as made:
        yield made


@contextmanager
def site_of(
    folder: Path,
    answers: Mapping[str, Callable[[str], Answer]],
    settings: str,
    *,
    jobs_interval: float,
    nodes_interval: float,
) -> Iterator[Site]:
    """A site in *folder* whose clusters give these *answers*; their intervals are in seconds.

    Every second cluster has the other username.  *settings* is put before the clusters.
    """
    key, host_key = new_key("ed25519"), new_key("ecdsa").pkey
    (folder / "key").touch(0o600)
    (folder / "key").write_text(key.text())
    hosts = {
        name: SimulatedLoginHost(answer, host_key, [key.pkey]) for name, answer in answers.items()
    }
    (folder / "known_hosts").write_text(
        "".join(known_hosts_line(f"[127.0.0.1]:{host.port}", host_key) for host in hosts.values())
    )
    tables = [
        _CLUSTER.format(
            name=name,
            zone=ZONE,
            username_field=_USERNAME_FIELDS[number % 2],
            jobs_interval=jobs_interval,
            nodes_interval=nodes_interval,
            port=host.port,
        )
        for number, (name, host) in enumerate(hosts.items())
    ]
    path = folder / "clockwork.toml"
    path.touch(0o600)
    path.write_text(settings + "".join(tables))
    for host in hosts.values():
        host.start()
    try:
        yield Site(path, hosts)
    finally:
        for host in hosts.values():
            host.stop()
