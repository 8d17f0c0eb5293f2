"""A login host of a cluster: a real sshd, the project's forced command, and a `scontrol` of ours.

That one prints a dump under the seal that it is asked for, and notes when it began and ended.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import product
from bench.dumps import Dump
from config import ClusterSettings, SshSettings
from ingest.slurm.kinds import JOBS, NODES
from tests.system.machine import why_not
from tests.system.real_sshd import RealSshd

PLACEHOLDER = "SEALhere"
"""Stands in the files where a seal belongs."""
CONFIGURATION = b"MinJobAge               = 300 sec\nPrivateData             = none\n"
"""What `scontrol show config` prints, as far as the scraper reads it."""
_SCONTROL = """\
#!/bin/sh
LC_ALL=C; export LC_ALL
echo "begin $3 $$ $(date +%s.%N)" >> "{folder}/calls"
if [ $# = 4 ]; then lines="/^JobId=$4 /,/^ *$/p"; else lines=p; fi
sed -n "s/{placeholder}/${{SLURM_TIME_FORMAT#%FT%T%z}}/g; $lines" "{folder}/$3"
echo "end $3 $$ $(date +%s.%N)" >> "{folder}/calls"
"""


class NoLoginHost(Exception):
    """This machine can't run a real sshd; the message says why."""


@dataclass(frozen=True)
class Call:
    """One run of scontrol. Times in seconds since 1970."""

    kind: str
    """``job`` or ``node``."""
    began: float
    ended: float


class LoginHost:
    """A running sshd; `login_host` makes one."""

    def __init__(self, sshd: RealSshd, folder: Path) -> None:
        self.sshd = sshd
        self._folder = folder

    def print_from_now_on(self, dump: Dump) -> None:
        """What `scontrol show job` and `show node` answer."""
        self._put("config", [CONFIGURATION])
        for kind in (JOBS, NODES):
            self._put(kind.table.kind, product.chunks_of(dump.at(dump.round, PLACEHOLDER), kind))

    def _put(self, name: str, chunks: Iterable[bytes]) -> None:
        new = self._folder / f"{name}.new"
        with new.open("wb") as file:
            file.writelines(chunks)
        new.chmod(0o644)
        new.rename(self._folder / name)  # a call that reads the old one reads it to its end

    def cluster(self, name: str) -> ClusterSettings:
        """A cluster of this name whose login host this is."""
        ssh = SshSettings(
            host=self.sshd.host,
            port=self.sshd.port,
            user=self.sshd.user,
            key_file=self.sshd.private_keys["ed25519"],
            known_hosts=self.sshd.known_hosts,
            config_file=self._folder / "ssh_config",
        )
        return product.cluster_settings(name).model_copy(update={"ssh": ssh})

    def configuration(
        self, names: Sequence[str], jobs_interval: float, nodes_interval: float
    ) -> str:
        """The tables of clockwork.toml for clusters of these *names*, all with this login host."""
        lines = []
        for name in names:
            cluster = self.cluster(name)
            lines += [
                f"[clusters.{name}]",
                f"timezone = {json.dumps(cluster.timezone)}",
                f"username_field = {json.dumps(cluster.username_field)}",
                f"jobs_interval = {jobs_interval}",
                f"nodes_interval = {nodes_interval}",
                f"[clusters.{name}.ssh]",
                *(
                    f"{key} = {json.dumps(value if key == 'port' else str(value))}"
                    for key, value in cluster.ssh
                    if key in cluster.ssh.model_fields_set
                ),
            ]
        return "\n".join(lines) + "\n"

    def calls(self) -> list[Call]:
        """The runs of scontrol so far that have ended."""
        began: dict[str, float] = {}
        calls = []
        for line in (self._folder / "calls").read_text().splitlines():
            event, kind, pid, moment = line.split()
            if event == "begin":
                began[pid] = float(moment)
            else:
                calls.append(Call(kind, began.pop(pid), float(moment)))
        return sorted(calls, key=lambda call: call.began)


@contextmanager
def login_host(folder: Path) -> Iterator[LoginHost]:
    """A login host with its files in a new folder below *folder*, which every user may enter.

    Raises NoLoginHost; as root on Debian, sshd is installed where it is missing.
    """
    reason = why_not()
    if reason is not None:
        raise NoLoginHost(reason)
    own = folder / "login_host"
    own.mkdir(exist_ok=True)
    scontrol = own / "scontrol"
    scontrol.write_text(_SCONTROL.format(folder=own, placeholder=PLACEHOLDER))
    scontrol.chmod(0o755)
    (own / "ssh_config").touch()
    calls = own / "calls"
    calls.write_text("")
    calls.chmod(0o666)
    path = f"{own}:/usr/bin:/bin"
    with RealSshd(folder, {"PATH": path, "LC_ALL": "C", "HOME": os.sep}) as sshd:
        yield LoginHost(sshd, own)
