"""PrivateData=jobs of a real Slurm: jobs that a user may not see have not ended."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from config import ClusterSettings, ScraperSettings
from ingest.database.store import Store
from ingest.slurm.kinds import JOBS, NODES
from scraper.cluster_round import ClusterScraper, log_round
from scraper.trial import try_cluster
from tests.system.daemons import wait_until
from tests.system.real_slurm import RealCluster
from tests.system.real_sshd import LOGIN_USER, RealSshd

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def cluster(open_folder: Path) -> Iterator[RealCluster]:
    with RealCluster(open_folder) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def sshd(open_folder: Path, cluster: RealCluster) -> Iterator[RealSshd]:
    environment = {"SLURM_CONF": str(cluster.conf), "TZ": "America/Montreal"}
    with RealSshd(open_folder, environment) as sshd:
        yield sshd


@pytest.fixture
def settings(sshd: RealSshd) -> ClusterSettings:
    return ClusterSettings(
        name="mila",
        timezone="America/Montreal",
        username_field="mila_cluster_username",
        ssh=sshd.settings(),
    )


def test_jobs_that_private_data_hides_have_not_ended(
    cluster: RealCluster, settings: ClusterSettings, store: Store
) -> None:
    scraper = ClusterScraper(settings, ScraperSettings(), store)
    for job_id in [cluster.sbatch() for _ in range(3)]:
        cluster.wait_state(job_id, "RUNNING")
    assert {finding.level for finding in try_cluster(settings)} == {"ok"}
    assert log_round(scraper, NODES)
    assert log_round(scraper, JOBS)
    assert store.jobs.count_documents({"cw.finished_at": None}) == 3

    before = cluster.conf.read_text()
    cluster.conf.write_text(f"{before}PrivateData=jobs\n")
    cluster.run("scontrol", "reconfigure")
    wait_until(
        lambda: cluster.run("squeue", "-h", user=LOGIN_USER).stdout == b"", "the jobs are hidden"
    )
    found = {finding.part: finding for finding in try_cluster(settings)}
    assert found["jobs"].level == "failed"
    assert "yet the nodes show 3 allocated CPUs" in found["jobs"].text
    assert found["PrivateData"].level == "warning"
    assert not log_round(scraper, JOBS)
    stands = store.clusters.find_one({"_id": "mila/jobs"})
    assert stands is not None
    assert "PrivateData=jobs" in stands["last_error"]["error"]
    assert store.jobs.count_documents({"cw.finished_at": None}) == 3

    cluster.conf.write_text(before)
    cluster.run("scontrol", "reconfigure")
    wait_until(
        lambda: cluster.run("squeue", "-h", user=LOGIN_USER).stdout != b"", "the jobs are shown"
    )
    assert log_round(scraper, JOBS)
    assert store.jobs.count_documents({"cw.finished_at": None}) == 3
    scraper.close()
