"""The misfortunes of SSH with a real sshd, whose forced command is a script that does them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from config import ClusterSettings, ScraperSettings
from ingest.database.store import Store
from ingest.slurm.kinds import JOBS
from scraper.cluster_round import ClusterScraper, log_round
from tests.chaos.login_hosts import told
from tests.ingest.reading.attacks import job
from tests.system.real_sshd import FORCED_COMMAND, RealSshd, make_key

pytestmark = pytest.mark.system

TIME = "2026-11-23T20:13:41+0000"
JOB_COUNT = 150
"""More than 64 KiB: keys are renewed on the way."""
LIMIT = 1.0

SCRIPT = """\
#!/bin/bash
read -r time_format
seal=${time_format#%FT%T%z}
whole() { sed "s/@TIME@/2026-11-23T20:13:41+0000$seal/g; s/@STATE@/$state/g" '@FOLDER@/jobs'; }
state=COMPLETED
session=$(ps -o ppid= -p $PPID)  # sshd's process; the parent is a shell
case "$(cat '@FOLDER@/mode')" in
  good) state=RUNNING; whole ;;
  rekeys) whole ;;
  greets) echo 'Welcome to login1.'; whole ;;
  cut) whole | head -c 100003; kill -9 $session ;;
  killed) whole | head -c 100003; kill -9 $PPID ;;
  cut_at_the_end) whole; kill -9 $session ;;
  fails) whole; exit 1 ;;
  nothing) ;;
  endless) while whole; do :; done ;;
  complains) yes 'slurm_load_jobs error' >&2 ;;
  letters) for _ in 1 2 3 4 5 6 7 8 9; do printf x; sleep 1; done ;;
  hangs) whole | head -c 1000; sleep 20 ;;
esac
"""
MISFORTUNES = {
    "cut": "ended before the command's exit status",
    "killed": "was killed by signal KILL",
    "cut_at_the_end": "ended before the command's exit status",
    "fails": "exit status 1",
    "nothing": "no record in the output",
    "endless": "did not end within 1 s|longer than round_timeout",
    "complains": "did not end within 1 s",
    "letters": "did not end within 1 s",
    "hangs": "did not end within 1 s",
}
"""What the script does, and what of the log's message tells it: one thing, or another behind ``|``
where two limits are reached at about the same time."""


@pytest.fixture(scope="module")
def sshd(open_folder: Path) -> Iterator[RealSshd]:
    server = RealSshd(open_folder)
    with (server.folder / "sshd_config").open("a") as config:
        config.write("RekeyLimit 64K\nBanner none\n")
    script = server.folder / FORCED_COMMAND.name
    script.write_text(SCRIPT.replace("@FOLDER@", str(server.folder)))
    text = "".join(
        job(str(1000 + number), "alice(1001)", sealed=False, state="@STATE@")
        for number in range(JOB_COUNT)
    )
    (server.folder / "jobs").write_text(text.replace(TIME, "@TIME@"))
    with server:
        yield server


class Cluster:
    """The cluster behind the real sshd, in *store*."""

    def __init__(self, sshd: RealSshd, store: Store) -> None:
        self._sshd = sshd
        self._store = store

    def round(
        self, mode: str, key_file: Path | None = None, known_hosts: Path | None = None
    ) -> str:
        """One round in which *mode* happens; what was logged of it."""
        (self._sshd.folder / "mode").write_text(mode)
        ssh = self._sshd.settings()
        changed = {
            "command_timeout": LIMIT if "did not end" in MISFORTUNES.get(mode, "") else 60.0,
            "key_file": key_file or ssh.key_file,
            "known_hosts": known_hosts or ssh.known_hosts,
        }
        settings = ClusterSettings(
            name="mila",
            timezone="America/Montreal",
            username_field="mila_cluster_username",
            round_timeout=2 * LIMIT if mode == "endless" else 60.0,
            ssh=ssh.model_copy(update=changed),
        )
        scraper = ClusterScraper(settings, ScraperSettings(), self._store)
        with told() as log:
            log_round(scraper, JOBS)
        scraper.close()
        (message,) = log.of["mila"]
        assert message.isprintable()
        return message

    def jobs(self) -> tuple[int, int]:
        """How many there are, and how many are marked as gone."""
        gone = self._store.jobs.count_documents({"cw.vanished": {"$exists": True}})
        return self._store.jobs.count_documents({}), gone

    def completed(self) -> int:
        """How many of the output with the misfortune were taken in."""
        return self._store.jobs.count_documents({"slurm.job_state": "COMPLETED"})


@pytest.fixture
def cluster(sshd: RealSshd, store: Store) -> Cluster:
    """The cluster after a good round."""
    cluster = Cluster(sshd, store)
    assert cluster.round("good") == "round"
    return cluster


def test_no_misfortune_takes_a_job_away(cluster: Cluster) -> None:
    for mode, told_as in MISFORTUNES.items():
        said = cluster.round(mode)
        assert any(words in said for words in told_as.split("|")), said
        assert cluster.jobs() == (JOB_COUNT, 0)
    assert cluster.round("rekeys") == "round"
    assert cluster.jobs() == (JOB_COUNT, 0)
    assert cluster.completed() == JOB_COUNT


def test_a_login_message_is_no_job(cluster: Cluster) -> None:
    assert cluster.round("greets") == "round"
    assert cluster.jobs() == (JOB_COUNT, 0)
    assert cluster.completed() == JOB_COUNT


def test_a_changed_host_key_and_a_wrong_key(cluster: Cluster, sshd: RealSshd) -> None:
    other = make_key(sshd.folder / "other", "ed25519")
    public = other.with_name("other.pub").read_text()
    changed = sshd.folder / "changed_hosts"
    changed.write_text(f"[{sshd.host}]:{sshd.port} {public}")
    assert "THE HOST KEY HAS CHANGED" in cluster.round("good", known_hosts=changed)
    assert "no key was accepted" in cluster.round("good", key_file=other)
    assert cluster.jobs() == (JOB_COUNT, 0)
