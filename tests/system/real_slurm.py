"""A real Slurm on this machine: its controller, its nodes, and jobs of several Unix users."""

import itertools
import os
import pwd
import shlex
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType

from tests.system.daemons import Daemon, check_reachable, free_ports, kill_marked, wait_until
from tests.system.machine import SEARCH_PATH, program
from tests.system.real_slurmdbd import RealSlurmdbd
from tests.system.unix_users import UnixUsers

ALICE = "cwtest-alice"
BOB = "cwtest-bob"
GPUS_PER_NODE = 4
SLEEP = "#!/bin/sh\nsleep 3600\n"
COMMAND_SECONDS = 120.0
"""A command to a controller that is down gives up by itself long before."""

SLURM_CONF = """\
ClusterName={name}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=1000
GresTypes=gpu
# Nodes may claim more processors and memory than this machine has.
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
SchedulerParameters=batch_sched_delay=0
MailProg=/bin/true
{accounting}
JobAcctGatherType=jobacct_gather/none
MinJobAge={min_job_age}
KillWait=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
NodeName=DEFAULT CPUs=32 RealMemory=128000 Gres=gpu:rtx8000:{gpus} Feature=x86_64,turing
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE
PartitionName=long Nodes=ALL MaxTime=7-00:00:00
{extra_conf}
"""

NO_ACCOUNTING = "AccountingStorageType=accounting_storage/none"


class SlurmCommandError(Exception):
    """A Slurm command ended with a status other than 0."""


class RealCluster:
    """A context in which a Slurm cluster runs, its nodes idle at first.

    ``folder``
        Where the cluster keeps its files, in a new folder of its own. Every user must be able to
        enter it, which pytest's ``tmp_path`` forbids: take the fixture ``open_folder``.
    ``name``
        Slurm's ClusterName.
    ``nodes``
        How many nodes run: cn-a001 and on, each with 32 CPUs, 128000 MiB and 4 rtx8000 GPUs, all
        in the partitions ``main`` and ``long``.
    ``min_job_age``
        Seconds after which the controller forgets a finished job.
    ``accounting``
        Whether slurmdbd and its MariaDB run too, and keep every job: see ``slurmdbd``.
    ``extra_conf``
        Further lines of slurm.conf. ``NodeName=cn-b[001-900] NodeAddr=127.0.0.1 Port=9`` adds nodes
        that never answer; without an address slurmctld would wait long for each name.
    """

    def __init__(
        self,
        folder: Path,
        name: str = "testcluster",
        nodes: int = 2,
        min_job_age: int = 300,
        extra_conf: str = "",
        *,
        accounting: bool = False,
    ) -> None:
        check_reachable(folder)
        self.name = name
        self.node_names = [f"cn-a{number:03}" for number in range(1, nodes + 1)]
        self.folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder))
        self.conf = self.folder / "slurm.conf"
        self.work = self.folder / "work"
        """Where commands are run and jobs write: open to every user, as /tmp is."""
        self.controller: Daemon | None = None
        self._script_numbers = itertools.count(1)
        self._at_close = ExitStack()
        self.slurmdbd = RealSlurmdbd(self) if accounting else None
        self._write_files(min_job_age, extra_conf)

    def __enter__(self) -> "RealCluster":
        with ExitStack() as undo:
            undo.callback(self.close)
            self._at_close.enter_context(UnixUsers(ALICE, BOB))
            self._at_close.callback(self._end_processes)
            self._start_munged()
            if self.slurmdbd is not None:
                self._at_close.enter_context(self.slurmdbd)
            self.start_controller()
            self._start_nodes()
            undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the daemons, and every job with its processes, at once. Twice does no harm."""
        self._at_close.close()

    def run(
        self,
        *args: str,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        check: bool = True,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command, most often one of Slurm's, on this cluster, in the folder ``work``.

        As Unix user ``user`` (root by default), with ``env`` over a small plain environment.
        SlurmCommandError holds what the command said when it fails, unless ``check`` is False.
        """
        account = pwd.getpwnam(user or "root")
        environment = {
            "PATH": SEARCH_PATH,
            "LC_ALL": "C.UTF-8",
            "HOME": account.pw_dir,
            "USER": account.pw_name,
            "LOGNAME": account.pw_name,
            "SLURM_CONF": str(self.conf),
            **(env or {}),
        }
        done = subprocess.run(
            args,
            env=environment,
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
            cwd=self.work,
            input=stdin,
            capture_output=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        if check and done.returncode != 0:
            raise SlurmCommandError(
                f"`{shlex.join(args)[:200]}` on {self.name} ended with status {done.returncode}: "
                f"{done.stderr.decode(errors='replace').strip()}"
            )
        return done

    def sbatch(
        self,
        *options: str,
        script: str = SLEEP,
        script_args: Sequence[str] = (),
        user: str = ALICE,
        env: Mapping[str, str] | None = None,
    ) -> str:
        """Submit a job and return its id. The script stands in ``work`` as job-1.sh and so on."""
        path = self.work / f"job-{next(self._script_numbers)}.sh"
        path.write_text(script)
        path.chmod(0o755)
        done = self.run(
            "sbatch", "--parsable", *options, str(path), *script_args, user=user, env=env
        )
        return done.stdout.decode().strip()

    def scontrol(self, *args: str, env: Mapping[str, str] | None = None) -> bytes:
        """What scontrol prints, byte by byte."""
        return self.run("scontrol", *args, env=env).stdout

    def squeue_ids(self) -> set[str]:
        """The ids of all jobs that the controller still knows, finished ones included."""
        return set(self._job_states())

    def squeue_owners(self) -> dict[str, str]:
        """The uid of each of these jobs' owners, by id."""
        listed = self.run("squeue", "-h", "-a", "-t", "all", "-o", "%A:%U").stdout.decode()
        return dict(line.split(":", 1) for line in listed.splitlines())

    def wait_state(self, job_id: str, state: str) -> None:
        """Wait until the job is in ``state``, in squeue's long form: ``RUNNING``, ``COMPLETED``."""
        wait_until(
            lambda: self._job_states().get(job_id) == state,
            f"job {job_id} of {self.name} is {state}",
        )

    def wait_forgotten(self, job_id: str) -> None:
        """Wait until the controller has dropped the finished job: ``min_job_age`` and some."""
        wait_until(
            lambda: job_id not in self.squeue_ids(), f"{self.name} has forgotten job {job_id}"
        )

    def start_controller(self) -> None:
        """Start slurmctld, with the jobs and nodes that it knew when it was stopped."""
        self.controller = self._start("slurmctld", ["-D", "-f", str(self.conf)])
        self.controller.wait_ready(
            lambda: self.run("scontrol", "ping", check=False).returncode == 0,
            f"slurmctld of {self.name} answers",
        )

    def stop_controller(self) -> None:
        """Stop slurmctld; jobs and nodes go on."""
        if self.controller is not None:
            self.controller.stop()

    def _job_states(self) -> dict[str, str]:
        listed = self.run("squeue", "-h", "-a", "-t", "all", "-o", "%A:%T").stdout.decode()
        return dict(line.split(":", 1) for line in listed.splitlines())

    def _write_files(self, min_job_age: int, extra_conf: str) -> None:
        host = socket.gethostname()
        controller_port, *node_ports = free_ports(1 + len(self.node_names))
        self.folder.chmod(0o755)
        for name in ("munge", "state", "log"):
            (self.folder / name).mkdir()
        self.work.mkdir()
        self.work.chmod(0o1777)
        key = self.folder / "munge" / "key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(1024))
        for number in range(GPUS_PER_NODE):
            # slurmd counts the files; that they are no devices does not trouble it.
            (self.folder / f"gpu{number}").touch()
        gpus = f"{self.folder}/gpu[0-{GPUS_PER_NODE - 1}]"
        (self.folder / "gres.conf").write_text(
            "".join(
                f"NodeName={name} Name=gpu Type=rtx8000 File={gpus}\n" for name in self.node_names
            )
        )
        self.conf.write_text(
            SLURM_CONF.format(
                name=self.name,
                host=host,
                folder=self.folder,
                controller_port=controller_port,
                min_job_age=min_job_age,
                gpus=GPUS_PER_NODE,
                accounting=(NO_ACCOUNTING if self.slurmdbd is None else self.slurmdbd.slurm_conf()),
                nodes="\n".join(
                    f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port}"
                    for name, port in zip(self.node_names, node_ports, strict=True)
                ),
                extra_conf=extra_conf,
            )
        )

    def _start(self, name: str, args: Sequence[str], log_name: str | None = None) -> Daemon:
        daemon = Daemon(
            name,
            args,
            self.folder / "log" / f"{log_name or name}.log",
            {"SLURM_CONF": str(self.conf)},
        )
        self._at_close.callback(daemon.stop)
        return daemon

    def _start_munged(self) -> None:
        folder = self.folder / "munge"
        files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "seed-file": "seed"}
        args = [f"--{option}={folder / file}" for option, file in files.items()]
        munged = self._start("munged", ["--foreground", "--force", *args])
        munged.wait_ready(
            lambda: (
                self.run(
                    program("munge"), "-n", "-S", str(folder / "socket"), check=False
                ).returncode
                == 0
            ),
            f"munged of {self.name} answers",
        )

    def _start_nodes(self) -> None:
        slurmds = {
            name: self._start(
                "slurmd", ["-D", "-f", str(self.conf), "-N", name], log_name=f"slurmd-{name}"
            )
            for name in self.node_names
        }
        for name, slurmd in slurmds.items():
            slurmd.wait_ready(partial(self._is_idle, name), f"node {name} is idle")

    def _is_idle(self, node: str) -> bool:
        listed = self.run("sinfo", "-h", "-p", "main", "-n", node, "-o", "%T", check=False)
        return listed.stdout.strip() == b"idle"

    def _end_processes(self) -> None:
        """End job steps, which detach themselves from the slurmd that they came from.

        Slurm leaves SLURM_CONF in the environment of every process of a job, whatever the job
        exports, and here it is a path that no other cluster ever had.
        """
        kill_marked(f"SLURM_CONF={self.conf}")
