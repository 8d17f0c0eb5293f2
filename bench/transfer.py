"""SSH to Mongo: rounds of a scraper through a real sshd, beside the transfer of the same bytes.

What a round has to write takes the database its time; a round in which nothing changed shows what
the way from SSH to the documents takes.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count

import paramiko

from bench.dumps import Dump
from bench.login_host import LoginHost, login_host
from bench.results import Row, at_most_limit
from bench.setting import Setting
from bench.timing import Contender, alternate
from config import ScraperSettings
from ingest.slurm.kinds import JOBS, NODES
from scraper.cluster_round import ClusterScraper
from scraper.commands.slurm_commands import new_seal, show_command, time_format_line
from scraper.ssh.connection import connect

_COMMAND = show_command("scontrol", "job")
_READ_BYTES = 1 << 16
_TRANSFERS_A_TURN = 3
"""They take half a second each, and vary much."""


def rows(setting: Setting) -> Iterator[Row]:
    """Rounds in which nothing changed, 2 %, and all, over connections that are open."""
    dump = Dump(setting.sizes.transferred)
    with ExitStack() as undo:
        host = undo.enter_context(login_host(setting.folder))
        numbers = count(1)
        host.print_from_now_on(dump)
        first, following = First(setting, host), _scraper(setting, host)
        undo.callback(first.close)
        undo.callback(following.close)
        following.round(JOBS)
        client = undo.enter_context(_paramiko_alone(host))
        ours = undo.enter_context(connect("mila", host.cluster("mila").ssh))
        # What writes keeps the database busy for a while afterwards: it goes last.
        times = alternate(
            {
                "again": Contender(lambda: following.round(JOBS)),
                "paramiko": Contender(lambda: _transfer(client)),
                "ours drained": Contender(
                    lambda: sum(map(len, ours.run(_COMMAND, time_format_line(new_seal()))))
                ),
            },
            _TRANSFERS_A_TURN * setting.sizes.turns,
        ) | alternate(
            {
                "first": Contender(first.run, first.begin, turns=1),
                "next": Contender(
                    lambda: following.round(JOBS),
                    lambda: host.print_from_now_on(dump.at(next(numbers))),
                ),
            },
            setting.sizes.turns,
        )
    rounds = {"again": "none changed", "next": "2 % changed", "first": "the first round"}
    for name, what in rounds.items():
        yield Row(
            name=f"SSH to Mongo, {dump.jobs} jobs, {what}",
            ours=times[name],
            limit=times["paramiko"],
            limit_is="paramiko's exec_command, the same output thrown away",
            targets=(at_most_limit(1.3, times[name], times["paramiko"], "the transfer"),),
            beside={"the scraper's own connection, output thrown away": times["ours drained"]},
        )


class First:
    """First rounds, each of a new scraper into an empty store."""

    def __init__(self, setting: Setting, host: LoginHost) -> None:
        self._setting = setting
        self._host = host
        self._scraper: ClusterScraper | None = None

    def begin(self) -> None:
        """A new one, connected: it has asked for the nodes."""
        self.close()
        self._scraper = _scraper(self._setting, self._host)
        self._scraper.round(NODES)

    def run(self) -> None:
        """The round."""
        assert self._scraper is not None  # noqa: S101 - for the type checker
        self._scraper.round(JOBS)

    def close(self) -> None:
        """End its connection."""
        if self._scraper is not None:
            self._scraper.close()


def _scraper(setting: Setting, host: LoginHost) -> ClusterScraper:
    return ClusterScraper(host.cluster("mila"), ScraperSettings(), setting.databases.new_store())


def _paramiko_alone(host: LoginHost) -> paramiko.SSHClient:
    client = paramiko.SSHClient()
    client.load_host_keys(str(host.sshd.known_hosts))
    client.connect(
        host.sshd.host,
        host.sshd.port,
        host.sshd.user,
        key_filename=str(host.sshd.private_keys["ed25519"]),
        allow_agent=False,
        look_for_keys=False,
    )
    return client


def _transfer(client: paramiko.SSHClient) -> int:
    """Bytes of jobs that paramiko alone brings."""
    stdin, stdout, _ = client.exec_command(_COMMAND)
    stdin.write(time_format_line(new_seal()))
    stdin.channel.shutdown_write()
    size = 0
    while chunk := stdout.channel.recv(_READ_BYTES):
        size += len(chunk)
    return size
