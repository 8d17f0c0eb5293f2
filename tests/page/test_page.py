"""The page in a real browser, over the real API and a database that scrapes have filled."""

import re
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest
from selenium.webdriver import Keys

from ingest.users import revoke
from tests.page.browser import Browser
from tests.page.site import (
    BREAKS_OUT,
    EMAIL,
    ESCAPES,
    HOSTILE_NAMES,
    STARTED_JOB,
    SWEEP,
    TERMS,
    TOKENS_OWNER_JOB,
    TURNS_ROUND,
    Site,
)

pytestmark = pytest.mark.browser

LOOK_AGAIN = "document.dispatchEvent(new Event('visibilitychange'))"
"""What happens when somebody comes back to the tab: the page asks the API at once."""


def sign_in(browser: Browser, token: str) -> None:
    browser.one("#token").send_keys(token, Keys.ENTER)


@pytest.fixture
def signed_in(browser: Browser, site: Site) -> Browser:
    """The browser, whose tab has a token."""
    browser.run("sessionStorage.setItem('clockwork.token', arguments[0])", site.token)
    return browser


def show(browser: Browser, site: Site, where: str, selector: str) -> None:
    """Go to a place on the page, which is loaded where it is not yet; until *selector* is there."""
    address = browser.driver.current_url
    if "#" in address and address != f"{site.url}#/{where}":
        browser.go(f"/{where}")
    else:
        browser.open(f"{site.url}#/{where}")
    browser.one(selector)


def ids(browser: Browser) -> list[str]:
    return browser.texts("tbody .id a")


def shows(browser: Browser, wanted: list[str]) -> bool:
    return ids(browser) == wanted


def differs(browser: Browser, before: list[str]) -> bool:
    return not set(ids(browser)) & set(before)


# --- signing in -----------------------------------------------------------------------------------


def test_signing_in_and_out(browser: Browser, site: Site) -> None:
    browser.open(f"{site.url}#/jobs?partition=long")
    sign_in(browser, "")
    browser.wait_for("#refusal", "Type or paste your token")
    sign_in(browser, "two words")
    browser.wait_for("#refusal", "no spaces")
    assert browser.complaints() == []

    sign_in(browser, "cw_" + "A" * 43)
    browser.wait_for("#refusal", "refused")
    assert browser.run("return sessionStorage.length + localStorage.length") == 0
    assert [each for each in browser.complaints() if " 401 " not in each] == []

    sign_in(browser, site.token)
    browser.one("tbody tr")  # what the link asked for
    assert browser.run("return [sessionStorage.length, localStorage.length]") == [1, 0]
    assert browser.run("return document.cookie") == ""
    assert site.token not in browser.run("return document.documentElement.outerHTML")

    browser.one("#sign-out").click()
    browser.one("#token")
    assert browser.run("return sessionStorage.length + localStorage.length") == 0
    assert not browser.one("#views").is_displayed()


def test_staying_signed_in(browser: Browser, site: Site) -> None:
    browser.open(site.url)
    browser.one("#stay").click()
    sign_in(browser, site.token)
    browser.one(".cluster")
    assert browser.run("return [sessionStorage.length, localStorage.length]") == [0, 1]
    browser.open(site.url)
    browser.one(".cluster")


def test_a_token_that_is_revoked_meanwhile(browser: Browser, site: Site) -> None:
    token = site.new_token("lost")
    browser.open(f"{site.url}#/nodes")
    sign_in(browser, token)
    browser.one("tbody tr")
    revoke(site.store, EMAIL, "lost")
    browser.run(LOOK_AGAIN)
    browser.wait_for("#refusal", "no longer accepted")
    assert browser.run("return sessionStorage.length") == 0
    assert browser.texts("tbody tr") == []
    assert [each for each in browser.complaints() if " 401 " not in each] == []

    sign_in(browser, site.token)
    browser.one("tbody tr")


# --- what is shown is what the API says -----------------------------------------------------------


def legend(browser: Browser, cluster: str, title: str) -> dict[str, int]:
    """The counts beside a picture, by state."""
    part = f'[aria-label="Cluster {cluster}"] [aria-label="{title}"]'
    return read_counts(browser.texts(f"{part} .legend li"))


def read_counts(texts: list[str]) -> dict[str, int]:
    return {name: int(count) for name, count in (text.rsplit(" ", 1) for text in texts)}


def test_the_figures_are_the_apis(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, "", ".cluster")
    clusters = site.ask("clusters/list")

    assert [each["name"] for each in clusters] == ["beluga", "mila"]
    assert signed_in.texts(".cluster h2") == ["beluga", "mila"]
    for cluster in clusters:
        name = cluster["name"]
        assert legend(signed_in, name, "Unfinished jobs by state") == cluster["unfinished_jobs"]
        assert legend(signed_in, name, "Nodes by state") == cluster["nodes"]
        part = f'[aria-label="Cluster {name}"] .partitions li'
        bars = zip(signed_in.texts(f"{part} a"), signed_in.texts(f"{part} .number"), strict=True)
        assert {partition: int(count) for partition, count in bars} == {
            partition: sum(counts.values()) for partition, counts in cluster["partitions"].items()
        }
        tres = cluster["tres"]
        told = signed_in.texts(f'[aria-label="Cluster {name}"] .allocated small')
        assert f"{tres['allocated_cpus']} of {tres['cpus']}" in told
        assert signed_in.texts(f'[aria-label="Cluster {name}"] > header .state') == ["fresh"]


def test_a_picture_is_drawn_to_scale(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, "", ".cluster")
    drawn = signed_in.run("""
        const bar = document.querySelector(
            '[aria-label="Cluster mila"] [aria-label="Unfinished jobs by state"] svg');
        return [bar.ariaLabel, [...bar.querySelectorAll("rect:not(.track)")].map((rect) =>
            [rect.textContent, rect.getBoundingClientRect().width, getComputedStyle(rect).fill])];
    """)
    label, parts = drawn
    mila = site.ask("clusters/list")[1]["unfinished_jobs"]

    assert label == "Unfinished jobs by state: " + ", ".join(
        f"{state} {mila[state]}" for state in ("RUNNING", "PENDING")
    )
    (running, running_width, blue), (pending, pending_width, amber) = parts
    assert (running, pending) == (f"RUNNING: {mila['RUNNING']}", f"PENDING: {mila['PENDING']}")
    assert running_width / pending_width == pytest.approx(mila["RUNNING"] / mila["PENDING"], 0.01)
    assert blue != amber


def test_a_picture_leads_to_its_jobs(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, "", ".cluster")
    signed_in.one('[aria-label="Cluster mila"] .legend a').click()
    running = site.ask("clusters/list")[1]["unfinished_jobs"]["RUNNING"]

    signed_in.wait_for(".page-title", f"{running} jobs")
    assert set(signed_in.texts("tbody .state")) == {"RUNNING"}
    assert signed_in.one("#filter-cluster_name").get_attribute("value") == "mila"


# --- jobs -----------------------------------------------------------------------------------------


def test_filters_are_the_apis_and_stand_in_the_address(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, "jobs", "tbody tr")
    signed_in.one("#filter-user").send_keys("milauser12", Keys.TAB)
    signed_in.one("#filter-partition").send_keys("long,main", Keys.ENTER)
    wanted = {"user": "milauser12", "partition": "long,main"}
    signed_in.wait_for(".page-title", f"{site.ask('jobs/list', **wanted, count='true')['count']} ")
    signed_in.one("input[value=RUNNING]").click()
    wanted["job_state"] = "RUNNING"
    found = [job["slurm"]["job_id"] for job in site.ask("jobs/list", **wanted, sort="-submit_time")]

    signed_in.wait(lambda: ids(signed_in) == found)
    assert found
    address = signed_in.driver.current_url
    for part in ("user=milauser12", "partition=long%2Cmain", "job_state=RUNNING"):
        assert part in address

    signed_in.open(address)  # as somebody does who was sent the link
    signed_in.wait(lambda: ids(signed_in) == found)
    signed_in.driver.back()
    signed_in.driver.back()
    signed_in.driver.forward()


def test_a_filter_that_the_api_refuses(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, "jobs?array_job_id=one", ".page-title")
    signed_in.wait_for("#trouble", "array_job_id")
    assert [each for each in signed_in.complaints() if " 400 " not in each] == []

    signed_in.one("#filter-array_job_id").clear()
    signed_in.one("#filter-array_job_id").send_keys("233884", Keys.ENTER)
    tasks = site.ask("jobs/list", array_job_id="233884", sort="-submit_time")
    signed_in.wait(lambda: ids(signed_in) == [job["slurm"]["job_id"] for job in tasks])
    assert signed_in.texts("#trouble p") == []


def test_pages_hold_every_job_once(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, "jobs?name=sweep", "tbody tr")
    seen: list[str] = ids(signed_in)
    for size in (50, SWEEP - 100):
        signed_in.one("a[rel=next]").click()
        signed_in.wait(partial(differs, signed_in, seen[-50:]))
        assert len(ids(signed_in)) == size
        seen += ids(signed_in)
    assert signed_in.texts("a[rel=next]") == []
    assert sorted(seen) == sorted(str(800000 + number) for number in range(SWEEP))
    signed_in.one(".pager a").click()
    signed_in.wait(lambda: ids(signed_in) == seen[:50])


def test_sorting_by_a_column(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, "jobs?cluster_name=beluga&limit=500", "tbody tr")
    for direction, sort in (("ascending", "name"), ("descending", "-name")):
        signed_in.one("th .sort").click()
        signed_in.one(f"th[aria-sort={direction}]")
        found = site.ask("jobs/list", cluster_name="beluga", sort=sort)
        wanted = [job["slurm"]["job_id"] for job in found]
        signed_in.wait(partial(shows, signed_in, wanted))
        assert signed_in.focused().startswith("Name")


def test_a_jobs_page(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, "jobs?partition=fun_partition&cluster_name=mila", "tbody a")
    signed_in.one("tbody a").click()
    signed_in.wait_for("h1", "somejobname_942640")
    job = site.ask("jobs/one", job_id=TOKENS_OWNER_JOB, cluster_name="mila")

    keys = signed_in.texts("[aria-label='All that Slurm said of this job'] th")
    assert keys == list(job["slurm"])
    values = signed_in.texts("[aria-label='All that Slurm said of this job'] td")
    for key, value in zip(keys, values, strict=True):
        said = job["slurm"][key]
        assert value.startswith("\N{EN DASH}" if said is None else str(said)), key
    assert signed_in.texts('[aria-label="Written by the job\'s owner"] th') == list(job["user"])
    written = signed_in.texts('[aria-label="Written by the job\'s owner"] td')
    assert written[:2] == ["0.25", "9007199254740993"]  # which JavaScript can't count to


def test_a_jobs_history(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, f"job?job_id={STARTED_JOB}", ".steps")
    steps = site.ask("jobs/history", job_id=STARTED_JOB, cluster_name="mila")["history"]

    assert [step["state"] for step in steps] == ["PENDING", "RUNNING"]
    assert signed_in.texts(".steps .state") == ["PENDING", "RUNNING"]
    shown = [
        each.get_attribute("datetime")
        for each in signed_in.driver.find_elements("css selector", ".steps time")
    ]
    assert shown == [step["seen"] for step in steps]


def test_a_job_by_its_id(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, "", ".cluster")
    signed_in.one("#find-job").send_keys(f"mila/{STARTED_JOB}", Keys.ENTER)
    signed_in.wait_for("h1", "sweep lr=0.1")
    signed_in.one("#find-job").clear()
    signed_in.one("#find-job").send_keys("7", Keys.ENTER)
    signed_in.wait_for("main", "No cluster has a job of this id")


def test_nodes(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, "nodes?cluster_name=mila", "tbody tr")
    nodes = site.ask("nodes/list", cluster_name="mila", sort="name")
    assert ids(signed_in) == [node["slurm"]["name"] for node in nodes]
    assert signed_in.texts("tbody .state") == [node["slurm"]["state"] for node in nodes]

    signed_in.one("input[value=DRAIN]").click()
    signed_in.wait(lambda: set(signed_in.texts("tbody .state")) == {"IDLE+DRAIN"})
    signed_in.one("tbody a").click()
    signed_in.one("[aria-label='All that Slurm said of this node']")


def test_an_unknown_view(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, "constructor", "h1")
    signed_in.wait_for("h1", "no such view")


# --- names that mean harm -------------------------------------------------------------------------


def test_hostile_names_are_text(signed_in: Browser, site: Site) -> None:
    names = {}
    for job_id in HOSTILE_NAMES:
        show(signed_in, site, f"job?job_id={job_id}&cluster_name=mila", "h1 bdi")
        [names[job_id]] = signed_in.texts("h1 bdi")
    marked = {ESCAPES: "\\x1b[31mred\\x1b]0;title\\x07", TURNS_ROUND: "invoice\\u{202e}fdp.exe"}
    assert names == {key: marked.get(name, name) for key, name in HOSTILE_NAMES.items()}
    for where, selector in (
        (f"jobs?user={quote(BREAKS_OUT)}&name={quote(BREAKS_OUT)}", "tbody tr"),
        (f"job?job_id={quote(BREAKS_OUT)}&cluster_name={quote(ESCAPES)}", "h1"),
        (f"node?node_name={quote(BREAKS_OUT)}", "h1"),
        (f"job?job_id={TOKENS_OWNER_JOB}&cluster_name=mila", "[aria-label^='Written'] td"),
        ("jobs?cluster_name=mila&limit=500", "tbody tr"),
    ):
        show(signed_in, site, where, selector)
        assert signed_in.run("return window.hacked ?? null") is None
        assert (
            signed_in.run("return document.querySelectorAll('main img, main script').length") == 0
        )
        assert not re.search(
            "[\x00-\x08\x0b-\x1f\u202e]", signed_in.run("return document.body.innerText")
        )


def test_a_name_with_commas_is_one_name(signed_in: Browser, site: Site) -> None:
    show(
        signed_in,
        site,
        f"jobs?name={quote(TERMS.replace(chr(92), chr(92) * 2).replace(',', chr(92) + ','))}",
        "tbody a",
    )
    assert signed_in.texts("tbody .name bdi") == [TERMS]


# --- who sees it, and how -------------------------------------------------------------------------


def test_by_keyboard_alone(browser: Browser, site: Site) -> None:
    browser.open(site.url)
    browser.one("#token")
    browser.press(site.token, Keys.ENTER)
    browser.one(".cluster")
    browser.tab_to("RUNNING", most=2)  # the first picture's legend: signing in led to the content

    browser.open(site.url)
    browser.one(".cluster")
    browser.tab_to("Skip to the content", most=1)
    browser.press(Keys.ENTER)
    browser.tab_to("RUNNING", most=1)
    browser.run("document.getElementById('skip').focus()")
    browser.tab_to("Jobs", most=4)
    browser.press(Keys.ENTER)
    browser.one("tbody tr")
    browser.tab_to("PENDING")
    browser.press(Keys.SPACE)
    browser.wait(lambda: set(browser.texts("tbody .state")) == {"PENDING"})
    assert browser.focused() == "PENDING"
    browser.tab_to("Job name")
    browser.press("sweep", Keys.ENTER)
    browser.wait_for(".page-title", f"{SWEEP} jobs")
    browser.tab_to("Name")
    browser.press(Keys.ENTER)
    browser.one("th[aria-sort=ascending]")
    browser.tab_to(ids(browser)[0])
    browser.press(Keys.ENTER)
    browser.wait_for("h1", "sweep")
    browser.run("document.getElementById('skip').focus()")
    browser.tab_to("Sign out")
    browser.press(Keys.ENTER)
    browser.one("#token")


VIEWS = {
    "": ".cluster",
    "jobs": "tbody tr",
    "jobs?cluster_name=mila&sort=-name": "tbody tr",
    "jobs?name=nobody": ".empty",
    "job?job_id=900004": "h1",
    f"job?job_id={TOKENS_OWNER_JOB}": "[aria-label^='Written'] td",
    "nodes": "tbody tr",
    "node?node_name=cn-a006": "h1",
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_every_view_fits_and_can_be_read(
    signed_in: Browser, site: Site, width: int, scheme: str
) -> None:
    signed_in.screen(width, scheme)
    for where, selector in VIEWS.items():
        show(signed_in, site, where, selector)
        assert signed_in.run("return document.documentElement.scrollWidth") <= width, where
        assert signed_in.run(FAINT_TEXTS) == [], where
        ground = signed_in.run("return getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", ground))) > 384) == (scheme == "light")
        assert [node for node in accessible(signed_in) if not node["name"]["value"]] == [], where


def accessible(browser: Browser) -> list[dict[str, Any]]:
    """What assistive technology finds, of those things that need a name."""
    tree = browser.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    return [node for node in tree if not node["ignored"] and node["role"]["value"] in NAMED]


def test_a_narrow_table_is_still_a_table(signed_in: Browser, site: Site) -> None:
    signed_in.screen(360)
    show(signed_in, site, "jobs", "tbody tr")
    roles = [node["role"]["value"] for node in accessible(signed_in)]

    assert roles.count("table") == 1
    assert roles.count("rowheader") == 50


NAMED = {"link", "button", "textbox", "searchbox", "combobox", "checkbox", "img", "image", "region"}
NAMED |= {"table", "rowheader"}

FAINT_TEXTS = """
    const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
        .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const ground = (e) => {
        const found = parts(getComputedStyle(e).backgroundColor);
        return found[3] === 0 ? ground(e.parentElement) : found;
    };
    return [...document.body.querySelectorAll("*")]
        .filter((e) => e.checkVisibility() && [...e.childNodes].some(
            (node) => node.nodeType === Node.TEXT_NODE && node.data.trim() !== ""))
        .map((e) => {
            const [a, b] = [light(parts(getComputedStyle(e).color)), light(ground(e))];
            return [e.textContent, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
        })
        .filter(([, contrast]) => contrast < 4.5);
"""
"""The texts whose contrast is less than WCAG's 4.5."""


# --- keeping it fresh -----------------------------------------------------------------------------


def statuses(browser: Browser) -> list[int]:
    """Of the API's answers since the network was last looked at."""
    return [status for address, status in browser.answers() if "/api/" in address]


def test_an_unchanged_list_is_not_sent_again(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, "jobs", "tbody tr")
    statuses(signed_in)
    signed_in.run(LOOK_AGAIN)
    answered: list[int] = []
    signed_in.wait(lambda: answered.extend(statuses(signed_in)) or len(answered) >= 2)  # type: ignore[func-returns-value]
    assert answered == [304, 304]
    assert len(ids(signed_in)) == 50


def test_a_change_is_shown(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, f"job?job_id={STARTED_JOB}&cluster_name=mila", "h1")
    where = f"job_id={TOKENS_OWNER_JOB}&cluster_name=mila"
    show(signed_in, site, f"job?{where}", "[aria-label^='Written'] td")
    pairs: dict[str, Any] = {"train_loss": 0.125}
    site.call("PUT", "jobs/user_dict_update", where, {"update_pairs": pairs})
    signed_in.run(LOOK_AGAIN)
    signed_in.wait(lambda: "0.125" in signed_in.texts("[aria-label^='Written'] td"))
    site.call("PUT", "jobs/user_dict_update", where, {"update_pairs": {"train_loss": 0.25}})


def test_an_api_that_is_away_and_comes_back(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, "jobs", "tbody tr")
    signed_in.offline(yes=True)
    signed_in.run(LOOK_AGAIN)
    signed_in.wait_for("#trouble", "does not answer")
    assert len(ids(signed_in)) == 50
    assert signed_in.texts("#freshness") == ["Not fresh"]
    signed_in.offline(yes=False)
    signed_in.one("#trouble button").click()
    signed_in.wait(lambda: signed_in.texts("#trouble p") == [])
    assert [
        each for each in signed_in.complaints() if "ERR_INTERNET_DISCONNECTED" not in each
    ] == []
