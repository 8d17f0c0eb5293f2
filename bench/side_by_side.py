"""Measure what a second API process, or a second scraper, gains on one machine."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

from api.query_slots import QuerySlots
from bench import collections
from bench.api_client import BASE, requests_a_second
from bench.dumps import Dump
from bench.login_host import LoginHost, login_host
from bench.looking_up import CLIENTS
from bench.results import Row
from bench.servers import THREADS, api_server
from bench.setting import Setting
from bench.timing import Samples
from config.load import MONGO_URI_VARIABLE
from ingest.database.store import Store

CLUSTERS = 8
_INTERVAL = 0.25
"""Seconds; more rounds are due than one process manages."""
_LEASE = 5
_SECONDS_TO_STOP = 30


def rows(setting: Setting) -> Iterator[Row]:
    """Measure two processes, with one process as the baseline."""
    yield from _apis(setting)
    yield from _scrapers(setting)


def _apis(setting: Setting) -> Iterator[Row]:
    store = collections.with_jobs(setting.databases, jobs := 100)
    token = collections.token_of_a_user(store)
    ids = [document["slurm"]["job_id"] for document in store.jobs.find({}, {"slurm.job_id": 1})]
    targets = {
        "jobs/one": ([f"{BASE}jobs/one?job_id={job_id}" for job_id in ids], CLIENTS),
        f"jobs/list of {jobs} jobs": ([f"{BASE}jobs/list"], QuerySlots(THREADS).per_account),
    }
    with ExitStack() as undo:
        ports = [
            undo.enter_context(api_server(setting.databases.uri, store, setting.folder))
            for _ in range(2)
        ]
        for name, (asked, clients) in targets.items():
            rates: dict[int, list[float]] = {1: [], 2: []}
            for _ in range(setting.sizes.few_turns):
                for number, values in rates.items():
                    seconds = setting.sizes.seconds / 2
                    values.append(requests_a_second(ports[:number], token, asked, clients, seconds))
            yield Row(
                name=f"{name}, {clients} clients, two API processes",
                ours=Samples(tuple(rates[2]), "1/s"),
                baseline=Samples(tuple(rates[1]), "1/s"),
                baseline_is="one API process",
            )


def _scrapers(setting: Setting) -> Iterator[Row]:
    names = [f"cluster-{number}" for number in range(CLUSTERS)]
    dump = Dump(min(setting.sizes.jobs_per_cluster, setting.sizes.jobs), nodes=20)
    rates: dict[int, float] = {}
    with login_host(setting.folder) as host:
        host.print_from_now_on(dump)
        for number in (1, 2):
            store = setting.databases.new_store()
            rates[number], held = _rounds_a_second(setting, host, store, names, number)
    shares = " and ".join(str(share) for share in sorted(held.values()))
    yield Row(
        name=f"rounds of {CLUSTERS} clusters of {dump.jobs} jobs, two scrapers under leases",
        ours=Samples((rates[2],), "1/s"),
        baseline=Samples((rates[1],), "1/s"),
        baseline_is="one scraper",
        beside={f"scrapers that hold {shares} clusters": Samples((float(len(held)),), "scrapers")},
    )


def _rounds_a_second(
    setting: Setting, host: LoginHost, store: Store, names: Sequence[str], scrapers: int
) -> tuple[float, Mapping[str, int]]:
    """Good rounds a second by so many scrapers together, and how many clusters each one holds."""
    config = setting.folder / f"scrapers-{scrapers}.toml"
    config.write_text(
        f"[mongo]\ndatabase = {json.dumps(store.database.name)}\n[scraper]\nlease = {_LEASE}\n"
        + host.configuration(names, _INTERVAL, 600)
    )
    with ExitStack() as undo:
        for _ in range(scrapers):
            process = undo.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "clockwork", "--config", str(config), "scrape"],
                    env={**os.environ, MONGO_URI_VARIABLE: setting.databases.uri},
                    stdin=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
            undo.callback(process.wait, _SECONDS_TO_STOP)
            undo.callback(process.send_signal, signal.SIGTERM)
        _wait_for_first_rounds(store, len(names))
        before, started = _good_rounds(store), time.monotonic()
        time.sleep(2 * setting.sizes.seconds)
        done, seconds = _good_rounds(store) - before, time.monotonic() - started
        # A holder is named by host, process and lease.
        held = Counter(lease["holder"].rpartition("/")[0] for lease in store.leases.find())
    return done / seconds, held


def _wait_for_first_rounds(store: Store, clusters: int) -> None:
    """Raises TimeoutError when the clusters have not all been scraped in good time."""
    give_up_at = time.monotonic() + 30 * clusters
    while store.clusters.count_documents({"totals.ok": {"$gte": 1}, "kind": "jobs"}) < clusters:
        if time.monotonic() > give_up_at:
            raise TimeoutError("the scrapers have not done a first round of every cluster")
        time.sleep(0.1)


def _good_rounds(store: Store) -> int:
    return sum(each["totals"]["ok"] for each in store.clusters.find({"kind": "jobs"}))
