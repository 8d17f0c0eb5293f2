"""Whether other users of a login host can see the seal of a scrape in the list of processes."""

import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import ClusterSettings, ScraperSettings
from config.settings import SshSettings
from ingest.database.store import Store
from ingest.slurm.kinds import JOBS
from scraper.cluster_round import ClusterScraper
from scraper.commands.slurm_commands import first_release_show_command
from scraper.ssh.connection import connect
from tests.ingest.reading.attacks import job
from tests.system.daemons import wait_until
from tests.system.real_sshd import FORCED_COMMAND, RealSshd

pytestmark = pytest.mark.system

DOORS = ("forced command", "login shell", "first release")
"""What the key opens; the last is the forced command of the first release."""
FIRST_RELEASE = Path(__file__).parent / "forced_command_of_first_release.sh"
LOOKS = 50
"""How often the list of processes is read while scontrol runs."""
JOB = job("1", "alice(1001)", sealed=False)

SCONTROL = f"""\
#!/bin/sh
case $3 in
config) echo 'MinJobAge               = 300 sec'; exit ;;
partition | reservation) exit 1 ;;
esac
seal=${{SLURM_TIME_FORMAT#%FT%T%z}}
echo "$seal" > '@FOLDER@/seal.new'
mv '@FOLDER@/seal.new' '@FOLDER@/seal'
read -r _ < '@FOLDER@/go'
sed "s/+0000/+0000$seal/g" <<'END'
{JOB}END
"""
"""Of the jobs: tells its seal, waits until it may go on, and prints one job under the seal."""


class Watcher:
    """Everything that stands on the command line of any process, as every user can read it."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()

    def look(self) -> None:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                self.seen.add((process / "cmdline").read_bytes())
            except OSError:
                continue  # the process has ended

    def saw(self, text: str) -> bool:
        return any(text.encode() in command for command in self.seen)


class Host:
    """A real sshd whose keys open what a test chooses."""

    def __init__(self, sshd: RealSshd, folder: Path) -> None:
        self._sshd = sshd
        self._folder = folder
        self._keys = (sshd.folder / "authorized_keys").read_text()

    def settings(self, opens: str) -> SshSettings:
        """How to log in with a key that *opens* one of `DOORS`."""
        script = self._sshd.folder / FORCED_COMMAND.name
        script.write_bytes(
            (FIRST_RELEASE if opens == "first release" else FORCED_COMMAND).read_bytes()
        )
        (self._sshd.folder / "authorized_keys").write_text(
            re.sub('^.*" ', "", self._keys, flags=re.M) if opens == "login shell" else self._keys
        )
        return self._sshd.settings()

    def watch(self, asks: threading.Thread) -> tuple[str, Watcher]:
        """The seal of the one call that *asks* makes, and what was seen until scontrol ended."""
        watcher = Watcher()
        seal = self._folder / "seal"
        asks.start()

        def told() -> bool:
            watcher.look()
            return seal.exists()

        wait_until(told, "scontrol runs")
        for _ in range(LOOKS):
            watcher.look()
        with (self._folder / "go").open("w") as go:
            go.write("\n")
        asks.join(60)
        assert not asks.is_alive()
        found = seal.read_text().strip()
        seal.unlink()
        return found, watcher


@pytest.fixture(scope="module")
def host(open_folder: Path) -> Iterator[Host]:
    folder = open_folder / "seal"
    folder.mkdir()
    folder.chmod(0o777)
    scontrol = folder / "scontrol"
    scontrol.write_text(SCONTROL.replace("@FOLDER@", str(folder)))
    scontrol.chmod(0o755)
    os.mkfifo(folder / "go")
    (folder / "go").chmod(0o666)
    with RealSshd(open_folder, {"PATH": f"{folder}:/usr/bin:/bin"}) as sshd:
        yield Host(sshd, folder)


@pytest.mark.parametrize("opens", DOORS)
def test_the_seal_of_a_scrape_is_on_no_command_line(host: Host, store: Store, opens: str) -> None:
    cluster = ClusterSettings(
        name="mila",
        timezone="America/Montreal",
        username_field="mila_cluster_username",
        ssh=host.settings(opens),
    )
    scraper = ClusterScraper(cluster, ScraperSettings(), store)
    seal, watcher = host.watch(threading.Thread(target=scraper.round, args=(JOBS,)))
    scraper.close()
    assert len(seal) == 7
    assert store.jobs.count_documents({"slurm.job_id": "1"}) == 1
    assert watcher.saw("scontrol\0-a\0show\0job\0")
    assert not watcher.saw(seal)


def test_the_watcher_would_see_a_seal_on_a_command_line(host: Host) -> None:
    """The login shell stays there behind the command of the first release, seal and all."""
    command = first_release_show_command("scontrol", "job", "q7Rk2Xa") + "; true"
    with connect("mila", host.settings("login shell")) as connection:
        run = connection.run(command)
        seal, watcher = host.watch(threading.Thread(target=lambda: b"".join(run)))
    assert seal == "q7Rk2Xa"
    assert watcher.saw(seal)
