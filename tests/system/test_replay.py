"""A captured output is replayed beside `clockwork up`, which scrapes a real cluster meanwhile."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.system.daemons import wait_until
from tests.system.real_slurm import RealCluster
from tests.system.real_sshd import RealSshd
from tests.system.service import REPOSITORY, Api, Service, Site

pytestmark = pytest.mark.system

OF_ANOTHER_CLUSTER = REPOSITORY / "fake_slurm_outputs" / "mila" / "jobs_21.08.txt"
EMAIL = "admin@example.org"


@pytest.fixture
def site(open_folder: Path) -> Iterator[Site]:
    with ExitStack() as running:
        cluster = running.enter_context(RealCluster(open_folder, "bravo"))
        environment = {"SLURM_CONF": str(cluster.conf), "TZ": "America/Montreal"}
        sshd = running.enter_context(RealSshd(open_folder, environment))
        yield Site(cluster, sshd, "America/Montreal", "mila_cluster_username")


def test_replay_ends_no_job_that_runs(site: Site, open_folder: Path) -> None:
    ids = {site.cluster.sbatch() for _ in range(3)}
    for job_id in ids:
        site.cluster.wait_state(job_id, "RUNNING")
    first, second, _ = sorted(ids)
    captured = open_folder / "one.txt"
    captured.write_bytes(site.cluster.scontrol("show", "job", first))
    service = Service(open_folder / "the service", [site], jobs_interval=1)
    added = service.run("user", "add", EMAIL, "--role", "admin")
    assert added.returncode == 0, added.stderr
    api = Api(service.port, added.stdout.strip())

    def present() -> set[str]:
        jobs = api.get("jobs/list", cluster_name=site.name, time="0", job_state="RUNNING").json
        return {job["slurm"]["job_id"] for job in jobs}

    def replay(file: Path, *options: str) -> str:
        done = service.run("replay", "--cluster", site.name, "--jobs", str(file), *options)
        assert done.returncode == 1, done.stdout
        return done.stderr

    with service.running("up"):
        wait_until(lambda: present() == ids, "the first round is in")
        assert "is being scraped" in replay(captured)
        assert "is being scraped" in replay(OF_ANOTHER_CLUSTER, "--force", "--complete")
        site.cluster.run("scancel", second)
        wait_until(lambda: present() == ids - {second}, "the rounds go on")
    assert "only 0 of its 33 jobs are among the 3 jobs" in replay(OF_ANOTHER_CLUSTER)
    with service.running("up"):
        assert present() == ids - {second}
