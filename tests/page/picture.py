"""Take pictures of every view of a busy site: ``python -m tests.page.picture [name ...]``.

All of them go into build/screenshots, in both colour schemes and four widths, with what the page
looks like while it loads and when something fails; those that the documents show go into
docs/images.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from tests.mongo import secantus
from tests.page.browser import Browser, chromium
from tests.page.busy_cluster import BIG, ENDED, HETEROGENEOUS, NAME, NEVER, fill_busy_cluster
from tests.page.faults import WAITS
from tests.page.site import HOSTILE_NAMES, Site, running_site
from tests.page.visits import LOOK_AGAIN, looked_again

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "build/screenshots"
IMAGES = ROOT / "docs/images"
VIEWS = {
    "my_jobs": "#/",
    "jobs": f"#/jobs?cluster_name={NAME}",
    "job": f"#/job?cluster_name={NAME}&job_id={BIG}",
    "waiting_job": f"#/job?cluster_name={NAME}&job_id={NEVER}",
    "ended_job": f"#/job?cluster_name={NAME}&job_id={ENDED}",
    "component": f"#/job?cluster_name={NAME}&job_id={HETEROGENEOUS}",
    "nodes": f"#/nodes?cluster_name={NAME}&sort=-gpus",
    "grid": f"#/nodes?cluster_name={NAME}&as=grid",
    "node": f"#/node?cluster_name={NAME}&node_name=ng0008",
    "clusters": "#/clusters",
    "cluster": f"#/cluster?cluster_name={NAME}",
    "search": "#/find?q=milauser12",
    "tokens": "#/tokens",
    "no_job": "#/jobs?name=nobody",
    "no_view": "#/nowhere",
    "manual": "api/docs",
}
"""Places of the page by the name of their picture."""
SHOWN = ("my_jobs", "waiting_job", "nodes", "grid")
"""The pictures in the documents."""
WIDTHS = (360, 768, 1280, 2560)
HEIGHT = 720

Fault = Callable[[Site, Browser], AbstractContextManager[object]]


def _nothing(_site: Site, _browser: Browser) -> AbstractContextManager[None]:
    return nullcontext()


@contextmanager
def _stale(site: Site, _browser: Browser) -> Iterator[None]:
    site.fail(NAME, "cw@login1.example port 22: the connection was refused", hours=3)
    try:
        yield
    finally:
        site.mend(NAME)


@contextmanager
def _unreachable(_site: Site, browser: Browser) -> Iterator[None]:
    browser.one("main:not([aria-busy]) > *")
    browser.offline(yes=True)
    try:
        yield
    finally:
        browser.offline(yes=False)


def _answering(part: str, status: int) -> Fault:
    return lambda site, _browser: site.faults.answering(part, status)


FAULTS: dict[str, tuple[str, Fault]] = {
    "loading": ("#/jobs", _answering("/jobs/list", WAITS)),
    "denied": ("#/nodes", _answering("/nodes/list", 403)),
    "failed": ("#/jobs", _answering("/jobs/list", 503)),
    "failed_later": (VIEWS["job"], _unreachable),
    "stale_my_jobs": ("#/", _stale),
    "stale_jobs": ("#/jobs", _stale),
    "stale_job": (VIEWS["job"], _stale),
    "stale_nodes": (VIEWS["nodes"], _stale),
    "stale_clusters": ("#/clusters", _stale),
    "stale_cluster": (VIEWS["cluster"], _stale),
}
"""What can go wrong, by the name of its picture: where, and what brings it about."""
READY = "main:not([aria-busy]) > *, #trouble p, details"


def main() -> None:
    """Take all pictures, or those with the names of the command line."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    wanted = set(sys.argv[1:])
    with (
        tempfile.TemporaryDirectory() as folder,
        secantus(Path(folder) / "database") as uri,
        running_site(uri, NAME) as site,
        chromium(Path(folder) / "profile") as browser,
    ):
        made = [*HOSTILE_NAMES, *(str(800000 + number) for number in range(120))]
        site.store.jobs.delete_many({"slurm.job_id": {"$in": made}})
        fill_busy_cluster(site.store, 1000, 400)
        people = {
            "signed_out": None,
            "nobody": site.token_of("new@mila.quebec"),
            "admin": site.token_of("admin@mila.quebec", "admin"),
            "user": site.token,
        }
        views = {
            "sign_in": ("signed_out", "#/", _nothing),
            "no_own_jobs": ("nobody", "#/", _nothing),
            "stale_clusters_admin": ("admin", "#/clusters", _stale),
            **{name: ("user", place, _nothing) for name, place in VIEWS.items()},
            **{name: ("user", place, fault) for name, (place, fault) in FAULTS.items()},
        }
        for name, (who, place, fault) in views.items():
            if wanted and name not in wanted:
                continue
            browser.forget(site.url)
            if people[who] is not None:
                browser.run("sessionStorage.setItem('clockwork.token', arguments[0])", people[who])
            _take(site, browser, name, place, fault)


def _take(site: Site, browser: Browser, name: str, place: str, fault: Fault) -> None:
    """Take the pictures of one view, in all widths and schemes."""
    offline = fault is _unreachable
    if offline:
        browser.open(f"{site.url}{place}")
    with fault(site, browser):
        if offline:
            browser.run(LOOK_AGAIN)
            browser.one("#trouble p")
        else:
            browser.open(f"{site.url}{place}")
            browser.one("main[aria-busy]" if name == "loading" else READY)
        if fault is _stale:
            browser.wait(lambda: looked_again(browser, "#freshness", "out of date"))
        for scheme in ("light", "dark"):
            for width in WIDTHS:
                browser.screen(width, scheme, HEIGHT)
                shot = SHOTS / f"{name}_{width}_{scheme}.png"
                browser.driver.save_screenshot(str(shot))
                if name in SHOWN and (width, scheme) == (1280, "light"):
                    (IMAGES / f"{name}.png").write_bytes(shot.read_bytes())


if __name__ == "__main__":
    main()
