"""The site and the browser of the tests of the page."""

from collections.abc import Iterator

import pytest

from tests.page.browser import Browser, chromium
from tests.page.site import Site, running_site


@pytest.fixture(scope="package")
def site(mongo_uri: str) -> Iterator[Site]:
    """The API with its page, over a database that scrapes have filled."""
    with running_site(mongo_uri) as site:
        yield site


@pytest.fixture(scope="package")
def chromium_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests."""
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def browser(chromium_browser: Browser, site: Site) -> Iterator[Browser]:
    """The browser, nobody signed in; afterwards its console and its network must be clean."""
    chromium_browser.forget(site.url)
    chromium_browser.complaints()
    chromium_browser.requested()
    yield chromium_browser
    assert chromium_browser.complaints() == []
    assert [each for each in chromium_browser.requested() if not each.startswith(site.url)] == []
    chromium_browser.leave()


@pytest.fixture
def signed_in(browser: Browser, site: Site) -> Browser:
    """The browser, whose tab has a token."""
    browser.run("sessionStorage.setItem('clockwork.token', arguments[0])", site.token)
    return browser
