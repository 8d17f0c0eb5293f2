"""Simulate clusters that show all jobs and nodes in a newer version at every scrape.

A job of version 7 bears the 7 in three places, so that a document that is half one version and half
another can be told.  The jobs' ids are a window that moves on: some leave and others come.
"""

import re
import threading
from collections.abc import Iterator

from clockwork.demo.ssh_server import Answer
from tests.ingest.reading.attacks import job

TIME = "2026-11-23T20:13:41"
ALICE = "alice"
"""Owns every job, under either username."""

_VERSIONS_A_JOB = 3
"""After so many versions the first job of the window leaves and a new one comes."""
_FINISHED = 5
"""As many of the oldest jobs are completed."""

_NODE = """\
NodeName={name} Arch=x86_64 CoresPerSocket=16
   CPUAlloc=4 CPUTot=32 CPULoad=3.98
   AvailableFeatures=v{version}
   NodeAddr={name} NodeHostName={name} Version=22.05.8
   RealMemory=128000 AllocMem=4000 FreeMem=90000 Sockets=2 Boards=1
   State=MIXED ThreadsPerCore=1 TmpDisk=0 Weight=1 Owner=N/A MCS_label=N/A
   Partitions=main
   BootTime={time} SlurmdStartTime={time}
   CfgTRES=cpu=32,mem=125G,billing=32
   AllocTRES=cpu=4,mem=4000M
   Comment=v{version}

"""


class ChangingCluster:
    """Answer scontrol's commands; every output about the jobs is a new version."""

    def __init__(self, jobs: int = 30, nodes: int = 3, *, moves: bool = True) -> None:
        self._jobs = jobs
        self._nodes = nodes
        self._moves = moves
        self._lock = threading.Lock()
        self.version = 0
        """Of the newest answer."""

    def window(self, version: int) -> range:
        """Return the ids of the jobs that a version shows."""
        first = 1000 + (version // _VERSIONS_A_JOB if self._moves else 0)
        return range(first, first + self._jobs)

    def answer(self, command: str) -> Answer:
        """Return what the login host prints for *command*."""
        seal = re.search("%z([A-Za-z0-9]*) ", command)
        time = f"{TIME}+0000{seal[1] if seal else ''}"
        if command.endswith("show node"):
            return Answer(self._print_nodes(time))
        if not command.endswith("show job"):
            return Answer(stderr=b"refused\n", exit_status=126)
        with self._lock:
            self.version += 1
            version = self.version
        return Answer(self._print_jobs(version, time))

    def _print_nodes(self, time: str) -> Iterator[bytes]:
        for number in range(self._nodes):
            name, version = f"cn-{number:03d}", self.version
            yield _NODE.format(name=name, version=version, time=time).encode()

    def _print_jobs(self, version: int, time: str) -> Iterator[bytes]:
        window = self.window(version)
        for job_id in window:
            record = job(
                str(job_id),
                f"{ALICE}(1001)",
                sealed=False,
                state="COMPLETED" if job_id < window.start + _FINISHED else "RUNNING",
                work_dir=f"/v/{version}",
                comment=f"v{version}",
                stdout=f"/v/{version}",
            )
            yield record.replace(f"{TIME}+0000", time).encode()
