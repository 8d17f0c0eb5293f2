"""A real slurmdbd over a real MariaDB, which keep the jobs of one `RealCluster`."""

import socket
import subprocess
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from tests.system.daemons import Daemon, free_ports
from tests.system.machine import MARIADB_TABLES, program

if TYPE_CHECKING:
    from tests.system.real_slurm import RealCluster

ACCOUNT = "def-pomme"
SMALL = ["--innodb-log-file-size=16M", "--innodb-buffer-pool-size=32M"]

SLURM_CONF = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={folder}/munge/socket
AccountingStorageTRES=gres/gpu"""

SLURMDBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_acct
PidFile={folder}/slurmdbd.pid
"""


class Accounted(NamedTuple):
    """One run of a job in slurmdbd's database. Times are seconds since 1970, 0 for none."""

    job_id: str
    uid: str
    state: str
    submit: int
    start: int
    end: int


class RealSlurmdbd:
    """A context in which slurmdbd answers; the cluster, an account and users are in it.

    MariaDB listens on a socket in a folder of its own, for root alone.
    """

    def __init__(self, cluster: "RealCluster") -> None:
        self._cluster = cluster
        self._mariadb = cluster.folder / "mariadb"
        (self._port,) = free_ports(1)
        self._at_close = ExitStack()
        self.daemon: Daemon | None = None

    def slurm_conf(self) -> str:
        """Its lines of slurm.conf."""
        return SLURM_CONF.format(port=self._port, folder=self._cluster.folder)

    def __enter__(self) -> "RealSlurmdbd":
        with ExitStack() as undo:
            undo.callback(self._at_close.close)
            self._write_files()
            self._start_mariadb()
            self.start()
            self._sacctmgr("add", "cluster", self._cluster.name)
            self._sacctmgr("add", "account", ACCOUNT)
            undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._at_close.close()

    def add_user(self, user: str) -> None:
        """Give *user* an association with the account."""
        self._sacctmgr("add", "user", user, f"account={ACCOUNT}")

    def start(self) -> None:
        """Start slurmdbd, again after `stop`."""
        env = {
            "SLURM_CONF": str(self._cluster.conf),
            "MYSQL_UNIX_PORT": str(self._mariadb / "socket"),
        }
        log = self._cluster.folder / "log" / "slurmdbd.log"
        self.daemon = Daemon("slurmdbd", ["-D"], log, env)
        self._at_close.callback(self.daemon.stop)
        self.daemon.wait_ready(
            lambda: (
                self._cluster.run("sacctmgr", "-n", "show", "cluster", check=False).returncode == 0
            ),
            f"slurmdbd of {self._cluster.name} answers",
        )

    def stop(self) -> None:
        """Stop slurmdbd; slurmctld keeps what it has to tell until slurmdbd is back."""
        if self.daemon is not None:
            self.daemon.stop()

    def jobs(self) -> list[Accounted]:
        """Every run of every job, in the order of submission, as an administrator's sacct says.

        Runs whose owner slurmdbd does not know are left out: they have no partition.
        """
        fields = "JobIDRaw,UID,State,Submit,Start,End,Partition"
        listed = self._cluster.run(
            *("sacct", "-n", "-P", "-X", "-D", "-a", "-o", fields, "-S", "uts1000000"),
            *("-E", "uts4000000000"),
            *("-s", "BF,CA,CD,DL,F,NF,OOM,PD,PR,R,RQ,RV,S,TO"),
            env={"SLURM_TIME_FORMAT": "%s"},
        ).stdout.decode()
        rows = [line.split("|") for line in listed.splitlines()]
        runs = [
            Accounted(job_id, uid, state.split(" ")[0], *map(_seconds, times))
            for job_id, uid, state, *times, partition in rows
            if partition
        ]
        return sorted(runs, key=lambda run: (run.submit, run.end))

    def _sacctmgr(self, *args: str) -> None:
        self._cluster.run("sacctmgr", "--immediate", "--quiet", *args)

    def _write_files(self) -> None:
        (self._mariadb / "data" / "mysql").mkdir(parents=True)
        self._mariadb.chmod(0o700)
        conf = self._cluster.folder / "slurmdbd.conf"
        conf.touch(mode=0o600)
        conf.write_text(
            SLURMDBD_CONF.format(
                folder=self._cluster.folder, host=socket.gethostname(), port=self._port
            )
        )

    def _start_mariadb(self) -> None:
        options = ["--no-defaults", "--user=root", f"--datadir={self._mariadb / 'data'}", *SMALL]
        subprocess.run(
            [program("mariadbd"), *options, "--bootstrap"],
            input=f"use mysql;\n{MARIADB_TABLES.read_text()}".encode(),
            capture_output=True,
            check=True,
        )
        path = self._mariadb / "socket"
        log = self._cluster.folder / "log" / "mariadb.log"
        mariadb = Daemon(
            "mariadbd",
            [
                *options,
                *("--skip-networking", "--skip-grant-tables", f"--socket={path}"),
                *("--innodb-flush-log-at-trx-commit=0", "--innodb-lock-wait-timeout=900"),
            ],
            log,
        )
        self._at_close.callback(mariadb.stop)
        mariadb.wait_ready(path.exists, f"MariaDB of {self._cluster.name} answers")


def _seconds(printed: str) -> int:
    return int(printed) if printed.isdigit() else 0
