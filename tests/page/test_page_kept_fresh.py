"""The page that stays open: changes, unchanged lists, an API that is away, a token revoked."""

from typing import Any

import pytest

from ingest.accounts.users import revoke
from tests.page.browser import Browser
from tests.page.site import EMAIL, STARTED_JOB, TOKENS_OWNER_JOB, Site
from tests.page.visits import LOOK_AGAIN, ids, show, sign_in

pytestmark = pytest.mark.browser


def statuses(browser: Browser) -> list[int]:
    """Of the API's answers since the network was last looked at."""
    answers = browser.answers()
    return [
        status for address, status in answers if "/api/" in address and "/changes" not in address
    ]


def test_an_unchanged_list_is_not_sent_again(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, "jobs?limit=50", "tbody tr")
    statuses(signed_in)
    signed_in.run(LOOK_AGAIN)
    answered: list[int] = []
    signed_in.wait(lambda: answered.extend(statuses(signed_in)) or len(answered) >= 2)  # type: ignore[func-returns-value]
    assert sorted(answered) == [200, 304]  # the clusters' ages always change
    assert len(ids(signed_in)) >= 50


def test_a_change_is_shown(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, f"job?job_id={STARTED_JOB}&cluster_name=mila", "h1")
    where = f"job_id={TOKENS_OWNER_JOB}&cluster_name=mila"
    show(signed_in, site, f"job?{where}", "[aria-label^='Notes'] td")
    pairs: dict[str, Any] = {"train_loss": 0.125}
    site.call("PUT", "jobs/user_dict_update", where, {"update_pairs": pairs})
    signed_in.run(LOOK_AGAIN)
    signed_in.wait(lambda: "0.125" in signed_in.texts("[aria-label^='Notes'] td"))
    site.call("PUT", "jobs/user_dict_update", where, {"update_pairs": {"train_loss": 0.25}})


def test_an_api_that_is_away_and_comes_back(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, "jobs?limit=50", "tbody tr")
    signed_in.offline(yes=True)
    signed_in.run(LOOK_AGAIN)
    signed_in.wait_for("#trouble", "does not answer")
    assert len(ids(signed_in)) == 50
    assert signed_in.texts("#freshness") == ["not refreshed"]
    signed_in.offline(yes=False)
    signed_in.one("#trouble button").click()
    signed_in.wait(lambda: signed_in.texts("#trouble p") == [])
    assert [
        each for each in signed_in.complaints() if "ERR_INTERNET_DISCONNECTED" not in each
    ] == []


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


def test_what_is_selected_stays_and_the_header_says_so(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, "jobs?limit=50", "tbody tr th a")
    shown = "return document.querySelector('tbody').firstChild === window.kept"
    signed_in.run("window.kept = document.querySelector('tbody').firstChild")
    signed_in.run("getSelection().selectAllChildren(document.querySelector('h1'))")
    signed_in.run(LOOK_AGAIN)
    signed_in.wait_for("#freshness", "not refreshed while text is selected")
    assert signed_in.run(shown)
    signed_in.run("getSelection().removeAllRanges()")
    signed_in.run(LOOK_AGAIN)
    signed_in.wait_for("#freshness", "up to date")
    assert not signed_in.run(shown)
