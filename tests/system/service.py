"""Clockwork as an operator runs it: a folder with its clockwork.toml, processes, and HTTP."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from clockwork.embedded.database import EmbeddedDatabase
from config import EmbeddedSettings
from ingest.database.store import Store, connect
from tests.system.daemons import Daemon, free_ports
from tests.system.machine import SEARCH_PATH
from tests.system.real_slurm import RealCluster
from tests.system.real_sshd import RealSshd

REPOSITORY = Path(__file__).parents[2]
COMMAND_SECONDS = 120.0


@dataclass(frozen=True)
class Site:
    """A cluster and the way to it, as the configuration describes them."""

    cluster: RealCluster
    sshd: RealSshd
    timezone: str
    username_field: str
    alias: str = ""
    """The name by which ~/.ssh/config knows the login host; without one clockwork.toml says all."""

    @property
    def name(self) -> str:
        """Its ``cluster_name``."""
        return self.cluster.name

    def toml(self, jobs_interval: int) -> str:
        """Its tables in clockwork.toml; *jobs_interval* in seconds."""
        ssh = {"host": self.alias}
        if not self.alias:
            ssh = {
                "host": self.sshd.host,
                "user": self.sshd.user,
                "key_file": str(self.sshd.private_keys["rsa"]),
                "known_hosts": str(self.sshd.known_hosts),
            }
        table = {"timezone": self.timezone, "username_field": self.username_field}
        return (
            f"[clusters.{self.name}]\njobs_interval = {jobs_interval}\n{_lines(table)}"
            f"sacct = {json.dumps(self.cluster.slurmdbd is not None)}\n"
            f"[clusters.{self.name}.ssh]\n{_lines(ssh)}"
            + ("" if self.alias else f"port = {self.sshd.port}\n")
        )

    def ssh_config(self) -> str:
        """Its block in ~/.ssh/config."""
        if not self.alias:
            return ""
        return (
            f"Host {self.alias}\n  HostName {self.sshd.host}\n  Port {self.sshd.port}\n"
            f"  User {self.sshd.user}\n  IdentityFile {self.sshd.private_keys['ed25519']}\n"
            f"  UserKnownHostsFile {self.sshd.known_hosts}\n"
        )


def _lines(values: Mapping[str, str]) -> str:
    # A JSON string is a TOML string too.
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


@dataclass(frozen=True)
class Answer:
    """What the API said."""

    status: int
    headers: Message
    json: Any


@dataclass(frozen=True)
class Api:
    """The REST API on *port* of this machine, asked with a user's token."""

    port: int
    token: str = ""

    def get(self, endpoint: str, **arguments: str) -> Answer:
        """GET with the arguments in the query."""
        return self._ask("GET", f"{endpoint}?{urlencode(arguments)}", None)

    def put(self, endpoint: str, **arguments: Any) -> Answer:
        """PUT with the arguments in a JSON body."""
        return self._ask("PUT", endpoint, json.dumps(arguments).encode())

    def _ask(self, method: str, path: str, body: bytes | None) -> Answer:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=300)) as connection:
            connection.request(method, f"/api/v1/cluster/{path}", body, headers)
            response = connection.getresponse()
            return Answer(response.status, response.headers, json.load(response))


class Service:
    """A folder, also the operator's home, in which the commands of ``clockwork`` are run.

    It begins with a clockwork.toml for *sites*, an ssh configuration where a site has an alias
    there, and no database. *jobs_interval* is in seconds.
    """

    def __init__(self, folder: Path, sites: Sequence[Site], jobs_interval: int = 60) -> None:
        self.folder = folder
        (self.port,) = free_ports(1)
        folder.mkdir()
        if ssh_config := "".join(site.ssh_config() for site in sites):
            (folder / ".ssh").mkdir()
            (folder / ".ssh" / "config").write_text(ssh_config)
        head = f'[embedded]\npath = "the database"\n[api]\nport = {self.port}\n'
        tables = "".join(site.toml(jobs_interval) for site in sites)
        (folder / "clockwork.toml").write_text(head + tables)

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end; it finds ./clockwork.toml by itself."""
        return subprocess.run(
            [sys.executable, "-m", "clockwork", *args],
            cwd=self.folder,
            env={"PATH": SEARCH_PATH, **self._environment()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    @contextmanager
    def running(self, command: str) -> Iterator[Daemon]:
        """``clockwork serve`` or ``clockwork up`` in the foreground, answering over HTTP."""
        environment = self._environment()
        environment["CLOCKWORK_CONFIG"] = str(self.folder / "clockwork.toml")
        log = self.folder / f"{command}.log"
        daemon = Daemon(sys.executable, ["-m", "clockwork", command], log, environment)
        try:
            daemon.wait_ready(self._answers, f"`clockwork {command}` answers on {self.port}")
            yield daemon
        finally:
            daemon.stop()

    @contextmanager
    def store(self) -> Iterator[Store]:
        """The embedded database, for what the API does not show."""
        settings = EmbeddedSettings(path=self.folder / "the database")
        with EmbeddedDatabase.attach_or_start(settings) as database:
            store = connect(database.uri, "clockwork")
            with closing(store.database.client):
                yield store

    def _answers(self) -> bool:
        try:
            return Api(self.port).get("jobs/list").status == 401
        except OSError:
            return False

    def _environment(self) -> dict[str, str]:
        return {"LC_ALL": "C.UTF-8", "HOME": str(self.folder), "PYTHONPATH": str(REPOSITORY)}


def events(log: str) -> list[dict[str, Any]]:
    """The lines of a log in JSON."""
    return [json.loads(line) for line in log.splitlines() if line.startswith("{")]
