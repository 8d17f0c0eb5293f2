"""The page of a busy centre: 20,000 jobs, 2,000 nodes, ten tabs, and somebody who reads French."""

import logging
import re
from collections.abc import Iterator

import pytest
from selenium.webdriver import Keys

from ingest.reasons.english import explain
from tests.page.browser import Browser
from tests.page.busy_cluster import ARRAY, BIG, ENDED, NAME, NEVER, fill_busy_cluster
from tests.page.site import Site, running_site
from tests.page.visits import job_ids

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1200)]

JOBS, NODES, TABS = 20_000, 2_000, 10


@pytest.fixture(scope="module")
def busy(mongo_uri: str) -> Iterator[Site]:
    """A site with a busy cluster."""
    with running_site(mongo_uri, NAME) as site:
        fill_busy_cluster(site.store, JOBS, NODES)
        yield site


@pytest.fixture
def visitor(chromium_browser: Browser, busy: Site) -> Iterator[Browser]:
    """The browser of the user who has jobs of every kind, at the first view."""
    chromium_browser.forget(busy.url)
    chromium_browser.run("sessionStorage.setItem('clockwork.token', arguments[0])", busy.token)
    chromium_browser.complaints()
    chromium_browser.open(busy.url)
    chromium_browser.one("tbody tr")
    yield chromium_browser
    assert chromium_browser.complaints() == []
    chromium_browser.forget(busy.url)


def row_of(browser: Browser, job_id: str) -> str:
    """The text of a job's row."""
    link = f"tbody tr:has(a[href*='job_id={job_id}'])"
    [text] = browser.texts(link)
    return text


def test_the_five_questions(visitor: Browser, busy: Site) -> None:
    # My jobs, and is this current?  No click.
    assert {BIG, NEVER} <= set(job_ids(visitor))
    assert visitor.texts("#freshness") == ["up to date"]

    # Why does it wait, and until when?  No click, and one for all of it.
    assert "starts in 2 h" in row_of(visitor, "700202")
    assert explain("Priority").sentence in row_of(visitor, "700202")
    visitor.one(f"a[href*='job_id={NEVER}']").click()
    visitor.wait_for("#why", "The job will never start")
    assert visitor.run("return document.querySelector(`a[href*='q=narval']`).textContent") == BIG

    # What did my job use?  One click.
    visitor.driver.back()
    visitor.one(f"a[href*='job_id={BIG}']").click()
    visitor.wait_for("#why", "It has run for 10 h")
    resources = visitor.texts("[aria-labelledby=resources] dd")
    assert resources[:4] == ["2", "64", "512\u00a0GiB", "8 a100"]
    assert "of 1 d" in resources[4]

    visitor.go(f"/job?cluster_name={NAME}&job_id={ENDED}")
    used = visitor.texts("[aria-labelledby=what-it-used] dd")
    assert used == ["9 h of 12 h 75 %", "16\u00a0GiB of 32\u00a0GiB 50 %", "2.0 kWh"]
    visitor.driver.back()

    # Which nodes have free GPUs?  One click.
    visitor.driver.back()
    visitor.one(f"[aria-label='Cluster {NAME}'] a[href*='free=gpu']").click()
    visitor.wait(lambda: set(visitor.texts("tbody .state")) == {"IDLE", "MIXED"})
    assert not any(text.startswith("0") for text in visitor.texts("tbody td:nth-child(5)"))


def test_how_long_jobs_wait_in_a_partition(visitor: Browser) -> None:
    visitor.go(f"/cluster?cluster_name={NAME}")
    rows = visitor.texts("[aria-label=Partitions] tbody tr")
    assert len(rows) == 3
    assert all("5 h eight of ten: " in row for row in rows)


def test_an_array_is_one_row_that_opens(visitor: Browser) -> None:
    group = f"tr.group:has(a[href*='array_job_id={ARRAY}'])"
    assert "21 tasks" in visitor.texts(group)[0]
    first = f"a[href*='job_id={int(ARRAY) + 1}']"
    assert not visitor.one(first).is_displayed()
    visitor.one(f"{group} button").click()
    assert visitor.one(first).is_displayed()
    assert visitor.texts(first) == [f"{ARRAY}_1"]


def test_a_grid_of_two_thousand_nodes(visitor: Browser) -> None:
    visitor.go(f"/nodes?cluster_name={NAME}&as=grid")
    visitor.wait(lambda: len(visitor.texts(".grid a")) == NODES)
    assert visitor.run("return document.querySelectorAll('.grid a[tabindex=\"0\"]').length") == 1


def test_somebody_who_reads_french(visitor: Browser, busy: Site) -> None:
    """Of the page's own words, none is shown in English that has another word in French."""
    agent = visitor.run("return navigator.userAgent")
    override = {"userAgent": agent, "acceptLanguage": "fr-CA,fr"}
    visitor.driver.execute_cdp_cmd("Emulation.setUserAgentOverride", override)
    try:
        visitor.open(busy.url)
        visitor.one("tbody tr")
        assert visitor.run("return document.documentElement.lang") == "fr"
        jobs = [f"job?cluster_name={NAME}&job_id={job_id}" for job_id in (NEVER, ENDED)]
        others = ["clusters", f"cluster?cluster_name={NAME}", "nodes?as=grid", "jobs", "tokens"]
        for place in ("", *jobs, *others):
            visitor.go(f"/{place}?" if place == "" else f"/{place}")
            assert visitor.driver.execute_async_script(ENGLISH_LEFT) == [], place
            if NEVER in place:
                visitor.wait_for("#why", "La tâche ne commencera jamais")
    finally:
        override["acceptLanguage"] = "en"
        visitor.driver.execute_cdp_cmd("Emulation.setUserAgentOverride", override)


ENGLISH_LEFT = """
    const done = arguments[0];
    import("./page/words/french.js").then(({ FRENCH }) => {
        const english = new Set(Object.keys(FRENCH).filter((text) => FRENCH[text] !== text));
        const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        const found = [];
        while (walker.nextNode()) {
            const text = walker.currentNode.data.trim();
            if (english.has(text) && !/^[a-z]$/.test(text)) found.push(text);
        }
        done(found);
    });
"""


def test_ten_tabs_ask_for_changes_once(
    visitor: Browser, busy: Site, caplog: pytest.LogCaptureFixture
) -> None:
    place = f"{busy.url}#/job?cluster_name={NAME}&job_id={BIG}"
    driver, first = visitor.driver, visitor.driver.current_window_handle
    visitor.run("localStorage.setItem('clockwork.token', arguments[0])", busy.token)
    try:
        for _ in range(TABS - 1):
            driver.switch_to.new_window("tab")
            driver.get(place)
            visitor.one("#why")
        with caplog.at_level(logging.INFO, logger="api.app"):
            where = f"job_id={BIG}&cluster_name={NAME}"
            busy.call("PUT", "jobs/user_dict_update", where, {"update_pairs": {"note": "tabs"}})
            visitor.wait_for("[aria-label='Notes of the owner'] td", "tabs")
        asked = [re.sub(r":.*", "", record.getMessage()) for record in caplog.records]
        assert len([line for line in asked if line.endswith("jobs/changes")]) <= 3
        assert len([line for line in asked if line.endswith("jobs/one")]) <= TABS
    finally:
        for handle in driver.window_handles:
            if handle != first:
                driver.switch_to.window(handle)
                driver.close()
        driver.switch_to.window(first)
        visitor.press(Keys.ESCAPE)
