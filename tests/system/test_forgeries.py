"""The worst forgeries, by a real Slurm and a real sshd, through a scrape into the database."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from config import ClusterSettings, ScraperSettings
from ingest.database.store import Store
from ingest.reading.reader import Reader
from ingest.reading.records import Record
from ingest.slurm.kinds import JOBS, NODES, Kind
from scraper.cluster_round import ClusterScraper
from tests.system.forgeries import NOBODYS_ID, NOBODYS_NODE, besiege, node_labels
from tests.system.real_slurm import ALICE, BOB, RealCluster
from tests.system.real_sshd import RealSshd
from tests.system.service import Site
from tests.system.submissions import Order, expected, facts, shown, submit

pytestmark = pytest.mark.system

SEAL = "q7Rk2Xa"
TIME_FORMAT = {"SLURM_TIME_FORMAT": f"%FT%T%z{SEAL}"}


@pytest.fixture(scope="module")
def site(open_folder: Path) -> Iterator[Site]:
    with (
        RealCluster(open_folder, "mila", nodes=3) as cluster,
        RealSshd(open_folder, {"SLURM_CONF": str(cluster.conf), "TZ": "America/Montreal"}) as sshd,
    ):
        yield Site(cluster, sshd, "America/Montreal", "mila_cluster_username")


@pytest.fixture
def scraper(site: Site, store: Store) -> Iterator[ClusterScraper]:
    scraper = ClusterScraper(settings(site), ScraperSettings(), store)
    yield scraper
    scraper.close()


def settings(site: Site) -> ClusterSettings:
    return ClusterSettings(
        name=site.name,
        timezone=site.timezone,
        username_field="mila_cluster_username",
        ssh=site.sshd.settings(),
    )


def alone(site: Site, kind: Kind, name: str) -> Mapping[str, Any]:
    """What Slurm says of one job or node when it is asked for nothing else."""
    output = site.cluster.scontrol("-a", "show", kind.table.kind, name, env=TIME_FORMAT)
    (record,) = Reader(kind.table, settings(site)).read([output], seal=SEAL)
    assert isinstance(record, Record)
    return lasting(kind, record.slurm)


def lasting(kind: Kind, slurm: Mapping[str, Any]) -> Mapping[str, Any]:
    """*slurm* without what changes while nothing happens."""
    volatile = {*kind.table.volatile}
    names = {key.document for key in kind.table.keys.values() if key.name in volatile}
    return {name: value for name, value in slurm.items() if name not in names}


def test_no_forgery_harms_another_users_jobs(
    site: Site, store: Store, scraper: ClusterScraper
) -> None:
    bobs = besiege(site)
    scraper.round(JOBS)
    now = facts(site)
    for title, job in bobs.items():
        document = store.jobs.find_one({"slurm.job_id": job.job_id})
        assert document, title
        wanted = expected(site, job, now[job.job_id])
        assert shown(document["slurm"], wanted) == wanted, title
        assert lasting(JOBS, document["slurm"]) == alone(site, JOBS, job.job_id), title
    stored = {each["slurm"]["job_id"]: each["slurm"] for each in store.jobs.find()}
    assert NOBODYS_ID not in stored
    assert stored.keys() <= now.keys()
    assert all(slurm["uid"] == now[job_id].uid for job_id, slurm in stored.items())

    for title, job in bobs.items():
        site.cluster.run("scontrol", "update", f"JobId={job.job_id}", f"Name={title}", user=BOB)
    scraper.round(JOBS)
    for title, job in bobs.items():
        changed = store.jobs.find_one({"slurm.job_id": job.job_id})
        assert changed, title
        assert (changed["slurm"]["name"], changed["cw"].get("vanished")) == (title, None)
    site.cluster.run("scancel", "--user", ALICE)
    site.cluster.run("scancel", "--user", BOB)


def test_no_label_harms_another_node(site: Site, store: Store, scraper: ClusterScraper) -> None:
    held_node, *others = site.cluster.node_names
    for label in node_labels(others[0]):
        options = ("--exclusive=mcs", f"--mcs-label={label}", f"--nodelist={held_node}")
        job = submit(site, Order(options))
        site.cluster.wait_state(job.job_id, "RUNNING")
        assert label.encode() in site.cluster.scontrol("-a", "show", "node", held_node)
        scraper.round(NODES)
        stored = {each["slurm"]["name"]: each["slurm"] for each in store.nodes.find()}
        assert NOBODYS_NODE not in stored
        assert stored.keys() <= set(site.cluster.node_names)
        for name in others:
            assert lasting(NODES, stored[name]) == alone(site, NODES, name), label
        assert store.nodes.count_documents({"cw.vanished": {"$exists": True}}) == 0
        site.cluster.run("scancel", job.job_id)
        site.cluster.wait_state(job.job_id, "CANCELLED")
