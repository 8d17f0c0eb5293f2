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
    return browser.texts("tbody .id a")


def shows(browser: Browser, wanted: list[str]) -> bool:
    return ids(browser) == wanted


def differs(browser: Browser, before: list[str]) -> bool:
    return not set(ids(browser)) & set(before)
