"""Every misfortune of SSH, for a few seconds."""

from ingest.database.store import Store
from tests.chaos import login_hosts
from tests.scraper.home import Home


def test_no_misfortune_loses_a_job_or_delays_another_cluster(home: Home, store: Store) -> None:
    section = login_hosts.run(home, store, seconds=3.0)
    assert not section.problems
    assert len(section.tables[0]) == len(login_hosts.CASES) + 1
