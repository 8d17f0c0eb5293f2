"""When the tests of the page run: on a machine that has, or can be given, a Chromium."""

from collections.abc import Iterator

import pytest

from tests.page.browser import Browser, chromium
from tests.page.site import Site, running_site
from tests.system import machine

_REASON_TO_SKIP = pytest.StashKey[str | None]()
_BROKEN = pytest.StashKey[str]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Prepare the machine, once, before the first test's time limit begins to run."""
    wanted = any(item.get_closest_marker("browser") for item in session.items)
    if not wanted or session.config.option.collectonly:
        return
    try:
        session.config.stash[_REASON_TO_SKIP] = machine.why_no_browser()
    except machine.InstallError as error:
        session.config.stash[_BROKEN] = str(error)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test in the browser with the machine's reason; fail it when installing broke."""
    if item.get_closest_marker("browser") is None:
        return
    if broken := item.config.stash.get(_BROKEN, None):
        pytest.fail(f"The packages of the page's tests could not be installed. {broken}", False)
    if reason := item.config.stash.get(_REASON_TO_SKIP, None):
        pytest.skip(reason)


@pytest.fixture(scope="session")
def site(mongo_uri: str) -> Iterator[Site]:
    """The API with its page, over a database that scrapes have filled."""
    with running_site(mongo_uri) as site:
        yield site


@pytest.fixture(scope="session")
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


@pytest.fixture
def signed_in(browser: Browser, site: Site) -> Browser:
    """The browser, whose tab has a token."""
    browser.run("sessionStorage.setItem('clockwork.token', arguments[0])", site.token)
    return browser
