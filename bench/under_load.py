"""Measure ``jobs/list`` of 100 jobs while another process writes into the same database.

``python -m bench.under_load DATABASE JOBS`` is that process; the URI comes from the environment.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

from api import build_app
from bench import collections
from bench.api_client import BASE, Http, Wsgi
from bench.results import Row, Target
from bench.servers import api_server
from bench.setting import Setting
from bench.timing import Samples, timed
from config.load import MONGO_URI_VARIABLE
from ingest.database.store import Store, connect

LISTED = 100
SMALL, LARGE = "small", "large"
_FEWEST = 20
"""Requests of each kind that make a percentile worth printing."""
_SECONDS_TO_WRITE = 1800


def rows(setting: Setting) -> Iterator[Row]:
    """Measure the median and the 99th percentile of requests, beside those of the bare find."""
    store = collections.with_jobs(setting.databases, LISTED, SMALL)
    token = collections.token_of_a_user(store)
    with api_server(setting.databases.uri, store, setting.folder) as port:
        ours, http, find = _meanwhile(setting, store, Wsgi(build_app(store), token), port, token)
    targets = tuple(
        Target(
            f"p{round(share * 100)} at most 1.3 x the bare find's",
            ours.percentile(share) / find.percentile(share),
            1.3,
        )
        for share in (0.5, 0.99)
    )
    yield Row(
        name=f"jobs/list of {LISTED} jobs while {setting.sizes.under_load} are written",
        ours=ours,
        limit=find,
        limit_is="pymongo's find of the same jobs meanwhile",
        targets=targets,
        beside={
            "p99 of ours": Samples((ours.percentile(0.99),)),
            "p99 of find": Samples((find.percentile(0.99),)),
            "`clockwork serve` over HTTP": http,
            "p99 of `clockwork serve` over HTTP": Samples((http.percentile(0.99),)),
        },
    )


def _meanwhile(
    setting: Setting, store: Store, client: Wsgi, port: int, token: str
) -> tuple[Samples, Samples, Samples]:
    """Seconds of our requests, of those over HTTP, and of the bare find, in turn."""
    http = Http(port, token)
    target = f"{BASE}jobs/list?cluster_name={SMALL}"
    contenders = (
        lambda: client.get(BASE + "jobs/list", {"cluster_name": SMALL}),
        lambda: http.get(target),
        lambda: list(store.jobs.find({"slurm.cluster_name": SMALL})),
    )
    for contender in contenders:
        contender()
    seconds: tuple[list[float], ...] = ([], [], [])
    turn = 0
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "bench.under_load"),
            *(store.database.name, str(setting.sizes.under_load)),
        ],
        env={**os.environ, MONGO_URI_VARIABLE: setting.databases.uri},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    ) as writer:
        assert writer.stdout is not None  # noqa: S101 - for the type checker
        writer.stdout.readline()  # it says when it begins
        give_up_at = time.monotonic() + _SECONDS_TO_WRITE
        while writer.poll() is None or turn < _FEWEST:
            if time.monotonic() > give_up_at:
                writer.kill()
                break
            for place in range(len(contenders)):
                number = (turn + place) % len(contenders)
                seconds[number].append(timed(contenders[number]))
            turn += 1
    http.close()
    if writer.returncode:
        raise RuntimeError(f"the process that writes ended with status {writer.returncode}")
    ours, over_http, find = (Samples(tuple(each)) for each in seconds)
    return ours, over_http, find


def _write(database: str, jobs: int) -> None:
    store = connect(os.environ[MONGO_URI_VARIABLE], database)
    collections.add_round(store, jobs, LARGE, begins=lambda: print("begins", flush=True))


if __name__ == "__main__":
    _write(sys.argv[1], int(sys.argv[2]))
