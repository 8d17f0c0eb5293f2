"""SSH to Mongo: rounds of a scraper through a real sshd, beside the transfer of the same bytes."""

from collections.abc import Iterator
from itertools import count

import paramiko

from bench.dumps import Dump
from bench.login_host import LoginHost, login_host
from bench.results import Row, at_most_limit
from bench.setting import Setting
from bench.timing import Contender, alternate
from config import ScraperSettings
from ingest.intake import JOBS
from scraper.commands import new_seal, show_command
from scraper.rounds import ClusterScraper
from scraper.ssh import connect

_READ_BYTES = 1 << 16


def rows(setting: Setting) -> Iterator[Row]:
    """The first round, and rounds in which 2 % changed."""
    dump = Dump(setting.sizes.transferred)
    with login_host(setting.folder) as host:
        numbers = count(1)
        host.print_from_now_on(dump)
        first = [
            ClusterScraper(host.cluster("mila"), ScraperSettings(), setting.databases.new_store())
        ]

        def begin() -> None:
            first[0].close()
            store = setting.databases.new_store()
            first[0] = ClusterScraper(host.cluster("mila"), ScraperSettings(), store)

        store = setting.databases.new_store()
        scraper = ClusterScraper(host.cluster("beluga"), ScraperSettings(), store)
        scraper.round(JOBS)
        times = alternate(
            {
                "first": Contender(lambda: first[0].round(JOBS), begin, turns=1),
                "next": Contender(
                    lambda: scraper.round(JOBS),
                    lambda: host.print_from_now_on(dump.at(next(numbers))),
                ),
                "paramiko": Contender(lambda: _transfer(host)),
                "ours drained": Contender(lambda: _drain(host)),
            },
            setting.sizes.turns,
        )
        first[0].close()
        scraper.close()
    for name, what in (("next", "2 % changed"), ("first", "the first round")):
        yield Row(
            name=f"SSH to Mongo, {dump.jobs} jobs, {what}",
            ours=times[name],
            limit=times["paramiko"],
            limit_is="paramiko's exec_command, the same output thrown away",
            targets=(at_most_limit(1.3, times[name], times["paramiko"], "the transfer"),),
            beside={"the scraper's own connection, output thrown away": times["ours drained"]},
        )


def _transfer(host: LoginHost) -> int:
    """Bytes of jobs that paramiko alone brings."""
    with paramiko.SSHClient() as client:
        client.load_host_keys(str(host.sshd.known_hosts))
        client.connect(
            host.sshd.host,
            host.sshd.port,
            host.sshd.user,
            key_filename=str(host.sshd.private_keys["ed25519"]),
            allow_agent=False,
            look_for_keys=False,
        )
        _, stdout, _ = client.exec_command(show_command("scontrol", "job", new_seal()))
        size = 0
        while chunk := stdout.channel.recv(_READ_BYTES):
            size += len(chunk)
        return size


def _drain(host: LoginHost) -> int:
    """The same over the connection that a scraper has."""
    with connect("mila", host.cluster("mila").ssh) as connection:
        return sum(map(len, connection.run(show_command("scontrol", "job", new_seal()))))
