"""The page behind a proxy that signs people in by a cookie, as oauth2-proxy does."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from api.app import build_app
from api.server import Server
from config.settings import ApiSettings, TrustedHeaderSettings
from ingest.accounts.users import add_user
from ingest.database.store import Store
from tests.api.support.examples import NOW, job_document
from tests.page.browser import Browser
from tests.page.visits import LOOK_AGAIN
from tests.support.documented import MILA_JOB
from tests.support.ports import LOOPBACK, free_port

pytestmark = pytest.mark.browser
EMAIL = "alice@mila.example"
NAME = "X-Forwarded-Email"
WRITE = """
const done = arguments[0];
const page = document.querySelector("script[src]").src;
import(new URL("frame/client.js", page)).then(async ({ Client }) => {
  const fields = { job_id: "233874", update_pairs: '{"by": "alice"}' };
  done(await new Client(null).put("jobs/user_dict_update", fields));
});
"""


def behind_proxy(app: Any) -> Any:
    """The app behind a proxy: without the cookie, the API is a redirect to a form.

    With another cookie, the proxy keeps the nodes from everybody.
    """

    def proxy(environ: dict[str, Any], start: Any) -> Any:
        is_known = "proxy=alice" in environ.get("HTTP_COOKIE", "")
        if not is_known and environ["PATH_INFO"].startswith("/api/"):
            start(
                "302 Found", [("Location", "https://login.example.org/"), ("Content-Length", "0")]
            )
            return [b""]
        if (
            "keeps=nodes" in environ.get("HTTP_COOKIE", "")
            and "/nodes/list" in environ["PATH_INFO"]
        ):
            start("403 Forbidden", [("Content-Length", "0")])
            return [b""]
        environ.pop("HTTP_X_FORWARDED_EMAIL", None)
        if is_known:
            environ["HTTP_X_FORWARDED_EMAIL"] = EMAIL
        return app(environ, start)

    return proxy


@contextmanager
def running(store: Store) -> Iterator[str]:
    header = TrustedHeaderSettings(name=NAME, proxies=(LOOPBACK,))
    settings = ApiSettings(port=free_port(), trusted_header=header)
    server = Server(behind_proxy(build_app(store, lambda: NOW, settings=settings)), settings)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{settings.port}/"
    finally:
        server.stop()
        thread.join()


def test_who_is_signed_in_by_the_proxy_needs_no_token(
    chromium_browser: Browser, store: Store
) -> None:
    browser = chromium_browser
    add_user(store, EMAIL, "milauser12")
    store.jobs.insert_one(job_document(dict(MILA_JOB)))
    with running(store) as url:
        browser.open(url)
        browser.one("#token")  # a proxy that knows nobody yet
        browser.run("document.cookie = 'proxy=alice'")

        browser.open(url)
        browser.wait_for("#who", EMAIL)
        browser.one("tbody tr")
        assert not browser.one("#sign-out").is_displayed()
        assert browser.run("return sessionStorage.length + localStorage.length") == 0
        assert browser.driver.execute_async_script(WRITE) == {"by": "alice"}

        browser.run("document.cookie = 'keeps=nodes'")
        browser.go("#/nodes")
        browser.wait_for(".denied", "You may not see this")
        assert browser.texts("#trouble p") == browser.texts("tbody tr") == []
        browser.run("document.cookie = 'keeps=; max-age=0'")
        browser.run(LOOK_AGAIN)
        browser.wait_for("h1", "Nodes")
        browser.go("#/jobs")

        browser.run("document.cookie = 'proxy=; max-age=0'")
        browser.go("#/nodes")
        browser.wait_for("#refusal", "Your sign-in has ended")
        browser.open("about:blank")
    browser.complaints()
    browser.requested()
