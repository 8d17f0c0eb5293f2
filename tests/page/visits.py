"""What the tests of the page do again and again: sign in, go somewhere, read the table."""

from selenium.webdriver import Keys

from tests.page.browser import Browser
from tests.page.site import Site

LOOK_AGAIN = "document.dispatchEvent(new Event('visibilitychange'))"
"""What happens when somebody comes back to the tab: the page asks the API at once."""


def sign_in(browser: Browser, token: str) -> None:
    browser.one("#token").send_keys(token, Keys.ENTER)


def show(browser: Browser, site: Site, where: str, selector: str) -> None:
    """Go to a place on the page, which is loaded where it is not yet; until *selector* is there."""
    address = browser.driver.current_url
    if "#" in address and address != f"{site.url}#/{where}":
        browser.go(f"/{where}")
    else:
        browser.open(f"{site.url}#/{where}")
    browser.one(selector)


def ids(browser: Browser) -> list[str]:
    """What the rows are about, as the page writes it; rows that are folded away count, too."""
    return browser.texts("tbody .id a")


def job_ids(browser: Browser) -> list[str]:
    """Slurm's ids of the jobs in the table, whichever way the page writes them."""
    script = """return [...document.querySelectorAll("tbody .id a")].map(
        (link) => new URLSearchParams(link.hash.split("?")[1]).get("job_id")).filter(Boolean)"""
    found: list[str] = browser.run(script)
    return found


def shows(browser: Browser, wanted: list[str]) -> bool:
    return job_ids(browser) == wanted


def differs(browser: Browser, before: list[str]) -> bool:
    return not set(ids(browser)) & set(before)


def looked_again(browser: Browser, selector: str, part: str) -> bool:
    """Whether *part* is there, after the page was told to ask again: the API keeps some answers
    for a few seconds."""
    browser.run(LOOK_AGAIN)
    return any(part in text for text in browser.texts(selector))
