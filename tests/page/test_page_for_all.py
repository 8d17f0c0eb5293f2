"""The page for those who use a keyboard or a small screen, and for names that mean harm."""

import re
from typing import Any
from urllib.parse import quote

import pytest
from selenium.webdriver import Keys

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
from tests.page.visits import ids, show

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
    "jobs": "tbody tr",
    "jobs?cluster_name=mila&sort=-name": "tbody tr",
    "jobs?name=nobody": ".empty",
    "job?job_id=900004": "h1",
    f"job?job_id={TOKENS_OWNER_JOB}": "[aria-label^='Notes'] td",
    "nodes": "tbody tr",
    "nodes?as=grid": ".grid",
    "find?q=milauser12": ".steps",
    "node?node_name=cn-a006": "h1",
}


@pytest.mark.parametrize(
    ("width", "scheme"), [(360, "dark"), (768, "light"), (1280, "dark"), (2560, "light")]
)
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
    assert roles.count("rowheader") >= 50


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
