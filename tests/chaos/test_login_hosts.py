"""Let every failure of SSH happen for a few seconds."""

from ingest.database.store import Store
from tests.chaos import login_hosts
from tests.scraper.home import Home


def test_no_misfortune_loses_a_job_or_delays_another_cluster(home: Home, store: Store) -> None:
    section = login_hosts.run(home, store, seconds=3.0)
    assert not section.problems
    [_, *rows] = section.tables[0]
    assert [row[0] for row in rows] == [case.name for case in login_hosts.CASES]
    assert {gone for *_, gone in rows} == {"0"}
    assert all(
        int(taken_in) in case.taken_in
        for case, (*_, taken_in, _) in zip(login_hosts.CASES, rows, strict=True)
    )
    assert int(section.value("rounds of the healthy cluster")) > 1
