"""The page for those who use a keyboard or a small screen, and for names that mean harm."""

import re
from itertools import product
from typing import Any
from urllib.parse import quote

import pytest
from selenium.webdriver import Keys

from tests.page.axe import axe_script, violations
from tests.page.browser import Browser
from tests.page.site import (
    BREAKS_OUT,
    ESCAPES,
    HOSTILE_NAMES,
    SWEEP,
    TERMS,
    TOKENS_OWNER_JOB,
    TURNS_ROUND,
    Site,
)
from tests.page.visits import ids, show, sign_in

pytestmark = pytest.mark.browser


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
        (f"job?job_id={TOKENS_OWNER_JOB}&cluster_name=mila", "[aria-label^='Notes'] td"),
        ("jobs?cluster_name=mila&limit=1000", "tbody tr"),
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
    browser.one("tbody tr")
    first = ids(browser)[0]
    browser.tab_to(first, most=4)  # signing in led to the content

    browser.open(f"{site.url}#/jobs")
    browser.one("tbody tr")
    browser.tab_to("Skip to the content", most=1)
    browser.press(Keys.ENTER)
    browser.tab_to(ids(browser)[0], most=5)
    browser.press(Keys.ARROW_DOWN)
    assert browser.focused() == ids(browser)[1]
    browser.press(Keys.ARROW_UP, Keys.ARROW_UP)
    assert browser.focused().startswith("Submitted")
    browser.press(Keys.ARROW_LEFT)
    assert browser.focused() == "Name"
    browser.press(Keys.ENTER)
    browser.one("th[aria-sort=ascending]")

    browser.press("/")
    assert browser.focused().startswith("Search")
    browser.run("document.getElementById('skip').focus()")
    browser.tab_to("Jobs", most=4)
    browser.press(Keys.ENTER)
    browser.one("tbody tr")
    browser.tab_to("Filters")
    if not browser.run("return document.querySelector('.fold').open"):
        browser.press(Keys.ENTER)
    browser.tab_to("Job name")
    browser.press("sweep", Keys.ENTER)
    browser.wait_for(".page-title", f"{SWEEP} jobs")
    browser.tab_to("PENDING")
    browser.press(Keys.SPACE)
    browser.wait_for(".chip", "PENDING")
    assert browser.focused() == "PENDING"
    browser.tab_to(ids(browser)[0])
    browser.press(Keys.ENTER)
    browser.wait_for("h1", "sweep")
    browser.run("document.getElementById('skip').focus()")
    browser.tab_to("Sign out")
    browser.press(Keys.ENTER)
    browser.one("#token")


VIEWS = {
    "": ".cluster",
    "clusters": ".cluster",
    "cluster?cluster_name=mila": ".scroll",
    "jobs?limit=50": "tbody tr",
    "jobs?cluster_name=mila&sort=-name&limit=50": "tbody tr",
    "jobs?name=nobody": ".empty",
    "job?job_id=900004": "h1",
    f"job?job_id={TOKENS_OWNER_JOB}": "[aria-label^='Notes'] td",
    "nodes": "tbody tr",
    "nodes?as=grid": ".grid",
    "find?q=milauser12": ".steps",
    "node?node_name=cn-a006": "h1",
    "tokens": "tbody tr",
    "nowhere": "h1",
}
SCREENS = [(360, "dark"), (768, "light"), (1280, "dark"), (2560, "light")]


def test_every_view_fits(signed_in: Browser, site: Site) -> None:
    for where, selector in VIEWS.items():
        show(signed_in, site, where, selector)
        for width, scheme in SCREENS:
            signed_in.screen(width, scheme)
            assert signed_in.run(FITS), (where, width)
            assert signed_in.run(BROKEN_STATES) == [], (where, width)
            ground = signed_in.run("return getComputedStyle(document.body).backgroundColor")
            assert (sum(map(int, re.findall(r"\d+", ground))) > 384) == (scheme == "light")


@pytest.mark.timeout(1200)
def test_everybody_can_use_every_view(browser: Browser, site: Site) -> None:
    script = axe_script()
    browser.open(site.url)
    browser.one("#token")
    for screen in product((360, 1280), ("light", "dark")):
        browser.screen(*screen)
        assert violations(browser, script) == [], ("signing in", screen)
    sign_in(browser, site.token)
    browser.one(".cluster")
    for where, selector in VIEWS.items():
        show(browser, site, where, selector)
        for screen in product((360, 1280), ("light", "dark")):
            browser.screen(*screen)
            assert violations(browser, script) == [], (where, screen)
    browser.open(f"{site.url}api/docs")
    browser.one("details")
    for screen in ((360, "dark"), (1280, "light")):
        browser.screen(*screen)
        assert violations(browser, script) == [], ("/api/docs", screen)
        assert browser.run(FITS), screen


def accessible(browser: Browser) -> list[dict[str, Any]]:
    """What assistive technology finds."""
    tree = browser.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    return [node for node in tree if not node["ignored"]]


def test_a_narrow_table_is_still_a_table(signed_in: Browser, site: Site) -> None:
    signed_in.screen(360)
    show(signed_in, site, "jobs", "tbody tr")
    roles = [node["role"]["value"] for node in accessible(signed_in)]

    assert roles.count("table") == 1
    assert roles.count("rowheader") >= 50


FITS = """
    const { scrollWidth, clientWidth } = document.documentElement;
    return scrollWidth <= clientWidth;
"""
"""Whether nothing is wider than the screen."""

BROKEN_STATES = r"""
    const lines = (word) => new Set([...word.getClientRects()].map((box) => box.top)).size;
    const broken = (text) => [...text.data.matchAll(/\w+/g)].some((match) => {
        const word = new Range();
        word.setStart(text, match.index);
        word.setEnd(text, match.index + match[0].length);
        return lines(word) > 1;
    });
    return [...document.querySelectorAll(".state bdi")].filter((state) =>
        [...state.childNodes].some((each) => each.nodeType === Node.TEXT_NODE && broken(each)))
        .map((state) => state.textContent);
"""
"""The states of which a word stands on two lines."""
