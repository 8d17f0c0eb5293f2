"""What the page says when something fails: of a cluster, of the API, and to whom it says what."""

import pytest

from ingest.accounts.users import add_user
from tests.page.browser import Browser
from tests.page.faults import WAITS
from tests.page.site import EMAIL, Site
from tests.page.visits import LOOK_AGAIN, ids, looked_again, show, sign_in

pytestmark = pytest.mark.browser

WHY = "slurm.job_id,cw.why"
ERROR = "cwscrape@login.beluga.example port 22: unknown host key"


def test_only_admins_see_an_operators_error(browser: Browser, site: Site) -> None:
    admin = site.token_of("admin@mila.quebec", "admin")
    site.fail("beluga", ERROR, hours=3)
    try:
        for token, seen in ((site.token, False), (admin, True)):
            browser.forget(site.url)
            browser.run("sessionStorage.setItem('clockwork.token', arguments[0])", token)
            show(browser, site, "clusters", ".cluster")
            browser.wait(lambda: looked_again(browser, "#freshness", "out of date: beluga"))
            states = '[aria-label="Cluster beluga"] > header .state'
            assert browser.texts(states) == ["out of date"]
            for place in ("clusters", "cluster?cluster_name=beluga", "jobs?cluster_name=beluga"):
                show(browser, site, place, "main:not([aria-busy]) h1")
                text = browser.run("return document.body.innerText")
                told = seen and place.startswith("cluster")
                assert ("login.beluga.example" in text) == told, place
                if not place.startswith("jobs"):
                    continue
                browser.wait_for(".stale-clusters", "It was last reached 3 h")
        listed = site.ask("clusters/list")  # as the ordinary user
        assert ERROR not in str(listed)
        assert "not reached since" in str(listed)
    finally:
        site.mend("beluga")


def test_while_the_api_is_slow_the_page_says_that_it_loads(signed_in: Browser, site: Site) -> None:
    with site.faults.answering("/nodes/list", WAITS):
        signed_in.open(f"{site.url}#/nodes")
        signed_in.wait_for("main[aria-busy] .loading", "Loading")
    signed_in.one("tbody tr")


def test_a_view_that_is_denied(signed_in: Browser, site: Site) -> None:
    with site.faults.answering("/nodes/list", 403):
        signed_in.open(f"{site.url}#/nodes")
        signed_in.wait_for(".denied", "You may not see this")
        signed_in.wait_for(".denied", f"You are signed in as {EMAIL}")
        assert signed_in.texts("#trouble p") == []
    assert [each for each in signed_in.complaints() if " 403 " not in each] == []


def test_an_api_that_fails_at_first_and_later(signed_in: Browser, site: Site) -> None:
    with site.faults.answering("/jobs/list", 503):
        signed_in.open(f"{site.url}#/jobs")
        signed_in.wait_for("#trouble", "is kept from you")
        assert signed_in.texts("#freshness") == ["not refreshed"]
        assert signed_in.texts("tbody td") == ["Not loaded yet."]
    signed_in.one("#trouble button").click()
    signed_in.wait(lambda: signed_in.texts("#trouble p") == [])
    shown = ids(signed_in)
    assert shown
    with site.faults.answering("/jobs/list", 503):
        signed_in.run(LOOK_AGAIN)
        signed_in.wait_for("#trouble", "is kept from you")
        assert ids(signed_in) == shown  # what is there stays
    assert [each for each in signed_in.complaints() if " 503 " not in each] == []


def test_why_a_job_waits_is_shown_before_its_figures(signed_in: Browser, site: Site) -> None:
    [waiting] = site.ask("jobs/list", name="sweep", sort="submit_time", limit="1", fields=WHY)
    place = f"#/job?job_id={waiting['slurm']['job_id']}&cluster_name=mila"
    with site.faults.answering("/jobs/why", WAITS):
        signed_in.open(f"{site.url}{place}")
        signed_in.wait_for("#why", waiting["cw"]["why"])
        assert signed_in.texts("[aria-labelledby=why-it-waits]") == []
    signed_in.one("[aria-labelledby=why-it-waits]")


def test_an_account_without_jobs(browser: Browser, site: Site) -> None:
    browser.open(site.url)
    sign_in(browser, site.token_of("new@mila.quebec"))
    browser.wait_for(".empty", "does not know your username on any cluster")
    browser.one("#sign-out").click()
    _, token = add_user(site.store, "other@mila.quebec", "nobody99")
    sign_in(browser, token)
    browser.wait_for(".empty", "You have no unfinished job")


def test_a_page_that_is_loaded_while_the_api_fails_goes_on_trying(
    signed_in: Browser, site: Site
) -> None:
    with site.faults.answering("/whoami", 503):
        signed_in.open(f"{site.url}#/nodes")
        signed_in.wait_for("#trouble", "The page keeps trying.")
    signed_in.one("tbody tr th a")  # though nobody clicked
    assert signed_in.texts("#trouble p") == []
    assert [each for each in signed_in.complaints() if " 503 " not in each] == []
