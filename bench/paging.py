"""Measure pages of 100 among very many jobs: in each order, and by the usual filters."""

import re
import time
from collections.abc import Iterator, Mapping

from api import build_app
from bench import collections
from bench.api_client import BASE, Wsgi
from bench.results import Row, Target
from bench.setting import Setting
from bench.timing import Samples

LIMIT = 100
PAGES = 3
"""Pages that follow one another in each turn."""
ORDERS = ("", "submit_time", "-submit_time", "finished_at", "-finished_at", "name", "-name")
"""All that the API offers; without one, jobs come in the order of their ids."""
FILTERS: tuple[Mapping[str, str], ...] = (
    {"job_state": "RUNNING"},
    {"partition": "main"},
    {"user": collections.USERNAME},
    {"account": "mila"},
)
"""Each in the order that the page shows first."""
NEWEST_FIRST = "-submit_time"
TARGET = 0.05
"""Seconds that a page may take."""


def rows(setting: Setting) -> Iterator[Row]:
    """Measure pages that follow one another: of all jobs in each order, and of fewer jobs."""
    store = collections.with_jobs(setting.databases, setting.sizes.paged)
    client = Wsgi(build_app(store), collections.token_of_a_user(store))
    wanted = [{"sort": order} if order else {} for order in ORDERS]
    wanted += [{**filters, "sort": NEWEST_FIRST} for filters in FILTERS]
    seconds: list[list[float]] = [[] for _ in wanted]
    for _ in range(setting.sizes.turns):
        for found, arguments in zip(seconds, wanted, strict=True):
            found.extend(_pages(client, arguments))
    for found, arguments in zip(seconds, wanted, strict=True):
        samples = Samples(tuple(found))
        asked = "&".join(f"{name}={value}" for name, value in arguments.items())
        yield Row(
            name=f"a page of {LIMIT} among {setting.sizes.paged} jobs, {asked or 'by id'}",
            ours=samples,
            targets=(Target("p50 under 50 ms", samples.median, TARGET),),
        )


def _pages(client: Wsgi, arguments: Mapping[str, str]) -> Iterator[float]:
    """Yield how long each page takes. Raises RuntimeError for a response that is none."""
    asked = {**arguments, "limit": str(LIMIT)}
    for _ in range(PAGES):
        began = time.perf_counter()
        status, fields, _ = client.get(f"{BASE}jobs/list", asked)
        yield time.perf_counter() - began
        if not status.startswith("200"):
            raise RuntimeError(f"no page: {status}")
        cursor = re.search(r"[?&]cursor=([^&>]+)", fields.get("link", ""))
        if cursor is None:
            return
        asked = {**asked, "cursor": cursor[1]}
