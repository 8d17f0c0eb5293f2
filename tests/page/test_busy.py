"""The page of a busy centre: 20,000 jobs, 2,000 nodes, ten tabs, and somebody who reads French."""

from collections.abc import Iterator

import pytest
from selenium.webdriver import Keys

from tests.page.browser import Browser
from tests.page.busy_cluster import (
    ARRAY,
    BIG,
    ENDED,
    HETEROGENEOUS,
    NAME,
    NEVER,
    TASK,
    fill_busy_cluster,
)
from tests.page.five_questions import JOBS, NODES, QUESTIONS, Question, seconds_to_answer
from tests.page.site import Site, running_site
from tests.support.logs import Messages, listening

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1200)]

TABS = 10


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
    # On a busy machine, a query may take longer than the API lets it; the page asks again.
    assert [each for each in chromium_browser.complaints() if " 503 " not in each] == []
    chromium_browser.forget(busy.url)
    chromium_browser.leave()


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.words)
def test_the_five_questions(visitor: Browser, busy: Site, question: Question) -> None:
    assert len(question.clicks) <= 2
    seconds_to_answer(visitor, busy, question)
    answers = visitor.texts(question.where)
    assert any(all(part in answer for part in question.answers) for answer in answers)


def test_what_a_running_job_holds_and_what_is_free(visitor: Browser) -> None:
    visitor.one(f"a[href*='job_id={BIG}']").click()
    visitor.wait_for("#why", "It has run for 10 h")
    resources = visitor.texts("[aria-labelledby=resources] dd")
    assert resources[:4] == ["2", "64", "512\u00a0GiB", "8 a100"]
    assert "of 1 d" in resources[4]

    visitor.go(f"/nodes?cluster_name={NAME}&free=gpu")
    visitor.wait(lambda: set(visitor.texts("tbody .state")) == {"IDLE", "MIXED"})
    assert not any(text.startswith("0") for text in visitor.texts("tbody td:nth-child(5)"))


def test_how_long_jobs_wait_in_a_partition(visitor: Browser) -> None:
    visitor.go(f"/cluster?cluster_name={NAME}")
    rows = visitor.wait(lambda: visitor.texts("[aria-label=Partitions] tbody tr"))
    assert len(rows) == 3
    assert all("5 h eight of ten: " in row for row in rows)


def test_an_array_is_one_row_that_opens(visitor: Browser) -> None:
    group = f"tr.group:has(a[href*='array_job_id={ARRAY}'])"
    rows = visitor.wait(lambda: visitor.texts(group))
    assert "21 tasks" in rows[0]
    first = f"a[href*='job_id={int(ARRAY) + 1}']"
    assert not visitor.one(first).is_displayed()
    visitor.one(f"{group} button").click()
    assert visitor.one(first).is_displayed()
    assert visitor.texts(first) == [f"{ARRAY}_1"]


def test_every_id_of_another_job_is_a_link_to_it(visitor: Browser) -> None:
    def lead(selector: str, text: str, heading: str) -> None:
        """Click the link of this text; it leads to the job."""
        place = visitor.driver.current_url

        def is_clicked() -> bool:
            links = [each for each in visitor.all(f"{selector} a") if each.text == text]
            for link in links[:1]:
                link.click()
            return links != []

        visitor.wait(is_clicked)
        visitor.wait_for(".job > header p", f"Job {heading} on {NAME}")
        if visitor.driver.current_url != place:
            visitor.go(place.partition("#")[2])

    visitor.go(f"/job?cluster_name={NAME}&job_id={NEVER}")
    for section in ("about-the-job", "why-it-waits"):
        for text, heading in ((BIG, BIG), (TASK, TASK), (HETEROGENEOUS, f"{HETEROGENEOUS}+0")):
            lead(f"[aria-labelledby={section}]", text, heading)
    visitor.run("document.querySelector('.all-keys summary').click()")
    lead(".all-keys", TASK, TASK)

    visitor.go(f"/job?cluster_name={NAME}&job_id={HETEROGENEOUS}")
    lead("[aria-labelledby=about-the-job]", f"{HETEROGENEOUS}+1", f"{HETEROGENEOUS}+1")

    visitor.go("/mine")
    lead("tr.group", f"{HETEROGENEOUS}+[…]", f"{HETEROGENEOUS}+0")
    visitor.one(f"tr.group a[href*='array_job_id={ARRAY}']").click()
    visitor.wait_for(".chip", f"Array: {ARRAY}")


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
    const page = document.querySelector("script[src]").src;
    import(new URL("words/french.js", page)).then(({ FRENCH }) => {
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


def test_ten_tabs_ask_for_changes_once(visitor: Browser, busy: Site) -> None:
    place = f"{busy.url}#/job?cluster_name={NAME}&job_id={BIG}"
    driver, first = visitor.driver, visitor.driver.current_window_handle
    visitor.run("localStorage.setItem('clockwork.token', arguments[0])", busy.token)
    try:
        for _ in range(TABS - 1):
            driver.switch_to.new_window("tab")
            driver.get(place)
            visitor.one("#why")
        log = Messages()
        with listening(log, "api.app"):
            where = f"job_id={BIG}&cluster_name={NAME}"
            busy.call("PUT", "jobs/user_dict_update", where, {"update_pairs": {"note": "tabs"}})
            visitor.wait_for("[aria-label='Notes of the owner'] td", "tabs")
        asked = [line.partition(":")[0] for line in log.texts]
        assert len([line for line in asked if line.endswith("jobs/changes")]) <= 3
        assert len([line for line in asked if line.endswith("jobs/one")]) <= TABS
    finally:
        for handle in driver.window_handles:
            if handle != first:
                driver.switch_to.window(handle)
                driver.close()
        driver.switch_to.window(first)
        visitor.press(Keys.ESCAPE)
