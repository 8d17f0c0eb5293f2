"""Take pictures of every view: ``python -m tests.page.picture``, of a site with a busy cluster.

All of them go into build/screenshots, in both colour schemes and three widths; those that the
documents show go into docs/images.
"""

import tempfile
from pathlib import Path

from tests.mongo import secantus
from tests.page.browser import chromium
from tests.page.busy_cluster import BIG, ENDED, NAME, NEVER, fill_busy_cluster
from tests.page.site import HOSTILE_NAMES, running_site

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "build/screenshots"
IMAGES = ROOT / "docs/images"
VIEWS = {
    "my_jobs": "",
    "jobs": f"jobs?cluster_name={NAME}",
    "job": f"job?cluster_name={NAME}&job_id={BIG}",
    "waiting_job": f"job?cluster_name={NAME}&job_id={NEVER}",
    "ended_job": f"job?cluster_name={NAME}&job_id={ENDED}",
    "nodes": f"nodes?cluster_name={NAME}&sort=-gpus",
    "grid": f"nodes?cluster_name={NAME}&as=grid",
    "node": f"node?cluster_name={NAME}&node_name=ng0008",
    "clusters": "clusters",
    "cluster": f"cluster?cluster_name={NAME}",
    "search": "find?q=milauser12",
    "tokens": "tokens",
    "no_job": "jobs?name=nobody",
}
"""Places of the page by the name of their picture."""
SHOWN = ("my_jobs", "waiting_job", "nodes", "grid")
"""The pictures in the documents."""
WIDTHS = (360, 768, 1280)
HEIGHT = 720


def main() -> None:
    """Take all pictures."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        secantus(Path(folder) / "database") as uri,
        running_site(uri, NAME) as site,
        chromium(Path(folder) / "profile") as browser,
    ):
        made = [*HOSTILE_NAMES, *(str(800000 + number) for number in range(120))]
        site.store.jobs.delete_many({"slurm.job_id": {"$in": made}})
        fill_busy_cluster(site.store, 1000, 400)
        browser.forget(site.url)
        browser.run("sessionStorage.setItem('clockwork.token', arguments[0])", site.token)
        for scheme in ("light", "dark"):
            for width in WIDTHS:
                browser.screen(width, scheme, HEIGHT)
                for name, place in VIEWS.items():
                    browser.open(f"{site.url}#/{place}")
                    browser.one("main:not([aria-busy]) > *")
                    shot = SHOTS / f"{name}_{width}_{scheme}.png"
                    browser.driver.save_screenshot(str(shot))
                    if name in SHOWN and (width, scheme) == (WIDTHS[-1], "light"):
                        (IMAGES / f"{name}.png").write_bytes(shot.read_bytes())


if __name__ == "__main__":
    main()
