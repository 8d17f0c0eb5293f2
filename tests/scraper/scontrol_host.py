"""A login host whose scontrol shows ten jobs and a node, and what can happen to its output."""

import re
import socket
from collections.abc import Callable

import paramiko

from clockwork.demo.ssh_server import Answer, Session, SimulatedLoginHost
from tests.ingest.reading.attacks import job

TIME = "2026-11-23T20:13:41"
NODE = f"""\
NodeName=cn-a001 Arch=x86_64 CoresPerSocket=16
   CPUAlloc=4 CPUTot=32 CPULoad=3.98
   AvailableFeatures=(null)
   NodeAddr=cn-a001 NodeHostName=cn-a001 Version=22.05.8
   RealMemory=128000 AllocMem=4000 FreeMem=90000 Sockets=2 Boards=1
   State=MIXED ThreadsPerCore=1 TmpDisk=0 Weight=1 Owner=N/A MCS_label=N/A
   Partitions=main
   BootTime={TIME} SlurmdStartTime={TIME}
   CfgTRES=cpu=32,mem=125G,billing=32
   AllocTRES=cpu=4,mem=4000M

"""
CONFIGURATION = b"""\
Configuration data as of 2026-11-23T20:13:41+0000
BOOT_TIME               = 2026-11-01T00:00:00+0000
MinJobAge               = 300 sec
PrivateData             = none
"""
PARTITION = b"""\
PartitionName=main
   AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL
   MaxNodes=UNLIMITED MaxTime=UNLIMITED MinNodes=0
   State=UP TotalCPUs=32 TotalNodes=1 SelectTypeParameters=NONE

"""
JOB_IDS = [str(number) for number in range(11, 21)]
"""Ten jobs, in the order in which they are printed and sorted."""
BANNER = b"Welcome to login1.\nMaintenance on Friday.\n"
NONE = b"No jobs in the system\n"
SLURMCTLD_DOWN = b"slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n"

Misfortune = Callable[["LoginHost", paramiko.Channel, bytes], None]


class LoginHost(SimulatedLoginHost):
    """A login host whose scontrol shows ten jobs and a node, but for the misfortunes in store."""

    def __init__(
        self, host_key: paramiko.PKey, authorized_keys: list[paramiko.PKey], port: int = 0
    ) -> None:
        super().__init__(lambda _: Answer(), host_key, authorized_keys, port)
        self.state = "RUNNING"
        self.misfortunes: list[Misfortune] = []
        """What happens to the next commands, one each."""
        self.knows_time_format = True
        self.is_of_first_release = False
        """Refuse what the forced command of the first release refuses."""
        self.seldom = {
            "show config": CONFIGURATION,
            "show partition": PARTITION,
            "show reservation": b"No reservations in the system\n",
        }
        """What these commands print. Misfortunes spare them, and the lists below leave them out."""
        self.refused: tuple[str, ...] = ()
        """Ends of commands that the forced command refuses."""
        self.requested: list[str] = []
        """Command lines as they came over SSH."""
        self.asked: list[str] = []
        """Commands that were run, each with the time format that it had in its environment."""
        self.transports: list[paramiko.Transport] = []

    def session(self, transport: paramiko.Transport) -> Session:
        self.transports.append(transport)
        return super().session(transport)

    def shell(self, channel: paramiko.Channel, command: str) -> str:
        if not any(each in command for each in self.seldom):
            self.requested.append(command)
        return command if self.is_of_first_release else super().shell(channel, command)

    def respond(self, channel: paramiko.Channel, command: str) -> None:
        if command.startswith("sh ") or (self.refused and command.endswith(self.refused)):
            channel.sendall_stderr(b"clockwork-forced-command: refused: this key runs ...\n")
            channel.send_exit_status(126)
            return
        if command.endswith(tuple(self.seldom)):
            (output,) = (self.seldom[end] for end in self.seldom if command.endswith(end))
            channel.sendall(output)
            channel.send_exit_status(0)
            return
        self.asked.append(command)
        whole = self.output(command)
        if self.misfortunes:
            self.misfortunes.pop(0)(self, channel, whole)
            return
        channel.sendall(whole)
        channel.send_exit_status(0)

    def output(self, command: str) -> bytes:
        """What scontrol prints; the jobs' names are not ASCII."""
        text = NODE
        if command.endswith("job"):
            text = "".join(
                job(job_id, "alice(1001)", sealed=False, state=self.state, name="résumé")
                for job_id in JOB_IDS
            ).replace(TIME + "+0000", TIME)
        seal = re.search("%z([A-Za-z0-9]*) ", command)
        printed = f"{TIME}+0000{seal[1] if seal else ''}"
        return text.replace(TIME, printed if self.knows_time_format else TIME).encode()


def cut_the_connection(channel: paramiko.Channel) -> None:
    """End the connection; what was sent before still arrives.

    Only when the scraper has begun to listen: to one that is still asking, nothing has come, and it
    asks again over a new connection.
    """
    assert channel.transport is not None
    assert isinstance(channel.transport.sock, socket.socket)
    assert channel.recv(1) == b""
    channel.transport.sock.shutdown(socket.SHUT_WR)


def cut_behind(text: str, extra_bytes: int = 0) -> Misfortune:
    """The connection ends behind the first *text* in the output, and so many bytes more."""

    def happen(_host: LoginHost, channel: paramiko.Channel, whole: bytes) -> None:
        channel.sendall(whole[: whole.index(text.encode()) + len(text.encode()) + extra_bytes])
        cut_the_connection(channel)

    return happen


def cut_before_the_exit_status(_host: LoginHost, channel: paramiko.Channel, whole: bytes) -> None:
    channel.sendall(whole)
    cut_the_connection(channel)


def cut_at_once(_host: LoginHost, channel: paramiko.Channel, _whole: bytes) -> None:
    cut_the_connection(channel)


def no_exit_status(_host: LoginHost, channel: paramiko.Channel, whole: bytes) -> None:
    channel.sendall(whole)


def slurmctld_is_down(_host: LoginHost, channel: paramiko.Channel, _whole: bytes) -> None:
    channel.sendall_stderr(SLURMCTLD_DOWN)
    channel.send_exit_status(1)


def refuses(_host: LoginHost, channel: paramiko.Channel, _whole: bytes) -> None:
    channel.send_exit_status(126)


def fails_after_its_output(_host: LoginHost, channel: paramiko.Channel, whole: bytes) -> None:
    channel.sendall(whole)
    channel.send_exit_status(1)


def prints(output: bytes) -> Misfortune:
    """scontrol prints *output* and is content."""

    def happen(_host: LoginHost, channel: paramiko.Channel, _whole: bytes) -> None:
        channel.sendall(output)
        channel.send_exit_status(0)

    return happen


def greets(_host: LoginHost, channel: paramiko.Channel, whole: bytes) -> None:
    channel.sendall(BANNER + whole)
    channel.send_exit_status(0)


def hangs(host: LoginHost, channel: paramiko.Channel, whole: bytes) -> None:
    channel.sendall(whole[: len(whole) // 2])
    host.stopping.wait()


def hangs_at_once(host: LoginHost, _channel: paramiko.Channel, _whole: bytes) -> None:
    host.stopping.wait()


def complains_without_end(host: LoginHost, channel: paramiko.Channel, _whole: bytes) -> None:
    while not host.stopping.is_set():
        channel.sendall_stderr(SLURMCTLD_DOWN * 100)


CUT_IN_KEY = cut_behind("JobId=18 JobName=résumé\n   UserI")
CUT_IN_CHARACTER = cut_behind("JobId=18 JobName=r", 1)


def cut_between_records(_host: LoginHost, channel: paramiko.Channel, whole: bytes) -> None:
    channel.sendall(whole[: whole.index(b"JobId=18")])
    cut_the_connection(channel)
