"""Measure how cost grows with the number of jobs and of clusters, and fit an exponent."""

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, cast

from api import build_app
from bench import collections, limits, product
from bench.api_client import BASE, Wsgi
from bench.dumps import FIRST_JOB_ID, Dump
from bench.login_host import CONFIGURATION
from bench.plots import log_log_plot
from bench.reading import SEAL
from bench.results import shown_seconds
from bench.setting import Setting
from bench.timing import Contender, Samples, alternate, exponent
from bench.writing import Series
from config import ClusterSettings, ScraperSettings, SshSettings
from ingest.database.store import Store
from ingest.slurm.kinds import JOBS
from scraper.cluster_round import ClusterScraper
from scraper.ssh.connection import Connection

LARGE = 50_000
"""From this many jobs on, once is enough: other work on the machine evens out by itself."""


@dataclass(frozen=True)
class Growth:
    """The costs of several operations at several sizes."""

    name: str
    """Of the plot's file, too."""
    sized_by: str
    """``jobs``, ``clusters``."""
    sizes: tuple[int, ...]
    costs: Mapping[str, tuple[Samples, ...]]
    """By what it is; one for each size."""

    def exponents(self) -> dict[str, float]:
        """Return the exponent of each operation's growth."""
        return {
            what: exponent(self.sizes, [samples.best for samples in costs])
            for what, costs in self.costs.items()
        }

    def document(self) -> dict[str, Any]:
        """Return the table for JSON."""
        return {
            "name": self.name,
            "sized_by": self.sized_by,
            "sizes": self.sizes,
            "seconds": {
                what: [samples.best for samples in costs] for what, costs in self.costs.items()
            },
            "exponents": self.exponents(),
        }


Document = Mapping[str, Any]
"""Growth as `Growth.document` makes it."""


def lines(growth: Document) -> list[list[str]]:
    """Return the lines of the table with a heading: the best figure of each operation and size."""
    return [
        ["", *(f"{size} {growth['sized_by']}" for size in growth["sizes"]), "grows as"],
        *(
            [what, *map(shown_seconds, seconds), f"n^{growth['exponents'][what]:.2f}"]
            for what, seconds in growth["seconds"].items()
        ),
    ]


def plot(growth: Document) -> str:
    """Return the table as SVG."""
    return log_log_plot(
        f"Seconds by number of {growth['sized_by']}",
        growth["sized_by"],
        growth["sizes"],
        {
            f"{what}: n^{growth['exponents'][what]:.2f}": seconds
            for what, seconds in growth["seconds"].items()
        },
    )


def by_jobs(setting: Setting) -> Iterator[Growth]:
    """Measure one cluster with more and more jobs."""
    yield _growth("growth_by_jobs", "jobs", setting.sizes.growth, lambda n: _of_jobs(setting, n))


def by_clusters(setting: Setting) -> Iterator[Growth]:
    """Measure more and more clusters of one size, scraped at the same time by one process."""
    yield _growth(
        "growth_by_clusters",
        "clusters",
        setting.sizes.clusters,
        lambda n: _of_clusters(setting, n),
    )


def _growth(
    name: str, sized_by: str, sizes: Sequence[int], measure: Callable[[int], Mapping[str, Samples]]
) -> Growth:
    measured = [measure(size) for size in sizes]
    costs = {what: tuple(each[what] for each in measured) for what in measured[0]}
    return Growth(name, sized_by, tuple(sizes), costs)


def _of_jobs(setting: Setting, jobs: int) -> dict[str, Samples]:
    turns = 1 if jobs >= LARGE else setting.sizes.turns
    return _of_text(jobs, turns) | _of_rounds(setting, jobs, turns)


def _of_text(jobs: int, turns: int) -> dict[str, Samples]:
    chunks = product.chunks_of(Dump(jobs, seal=SEAL))
    return alternate(
        {
            "split and hash": Contender(lambda: limits.split_and_hash(chunks)),
            "text to documents": Contender(lambda: _exhaust(product.read(chunks, SEAL))),
        },
        turns,
        time.process_time,
    )


def _of_rounds(setting: Setting, jobs: int, turns: int) -> dict[str, Samples]:
    few = Series(setting.databases, Dump(jobs))
    first = alternate({"first round": Contender(few.run)}, 1)
    client = Wsgi(build_app(few.store), collections.token_of_a_user(few.store))
    one = {"job_id": str(FIRST_JOB_ID), "cluster_name": "mila"}
    return (
        first
        | alternate(
            {
                "round, 2 % changed": Contender(few.run, few.prepare),
                "round, none changed": Contender(few.run, few.prepare_again),
                "jobs/list of all": Contender(lambda: client.get(BASE + "jobs/list", {})),
            },
            turns,
        )
        | alternate({"jobs/one": Contender(lambda: client.get(BASE + "jobs/one", one))}, 20)
    )


def _exhaust(stream: Iterator[Any]) -> None:
    for _ in stream:
        pass


# --- clusters -------------------------------------------------------------------------------------


class MemoryConnection:
    """A cluster whose answer lies in memory: `scraper.ssh.connection.Connection` without a
    network."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._numbers = count()
        self.stdout_bytes = 0

    def prepare(self, dump: Dump) -> None:
        """Make the next answer, under the seal that stands for the one asked for."""
        self._chunks = product.chunks_of(dump.at(next(self._numbers), SEAL))

    def run(self, command: str, stdin: bytes) -> "MemoryConnection":
        """The answer to *command*, under the seal that *stdin* holds."""
        if "show config" in command:
            self._stream = iter([CONFIGURATION])
            return self
        asked = re.search(b"%z([A-Za-z0-9]*)", stdin)
        seal = asked[1] if asked else b""
        self._stream = (chunk.replace(SEAL.encode(), seal) for chunk in self._chunks)
        self.stdout_bytes = sum(map(len, self._chunks))
        return self

    def __iter__(self) -> Iterator[bytes]:
        return self._stream

    def whole(self) -> bytes:
        """The answer at once."""
        return b"".join(self._stream)

    def is_alive(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Do nothing."""

    abort = close


class Clusters:
    """Scrapers of several clusters of so many jobs each, into one store, each in a thread."""

    def __init__(self, store: Store, clusters: int, jobs: int) -> None:
        self._connections = {f"cluster-{number}": MemoryConnection() for number in range(clusters)}
        self._dumps = {
            name: Dump(jobs, seed=number) for number, name in enumerate(self._connections)
        }
        self._scrapers = [
            ClusterScraper(
                product.cluster_settings(name), ScraperSettings(), store, self._connect_to
            )
            for name in self._connections
        ]
        self.prepare()

    def _connect_to(self, cluster: str, _settings: SshSettings) -> Connection:
        return cast(Connection, self._connections[cluster])

    def prepare(self) -> None:
        """Prepare the next output of every cluster."""
        for name, connection in self._connections.items():
            connection.prepare(self._dumps[name])

    def run(self) -> None:
        """Run a round of every cluster at the same time. Raises RuntimeError when one fails."""
        failed: list[ClusterSettings] = []

        def one(scraper: ClusterScraper) -> None:
            try:
                scraper.round(JOBS)
            except BaseException:
                failed.append(scraper.cluster)
                raise

        threads = [threading.Thread(target=one, args=(scraper,)) for scraper in self._scrapers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise RuntimeError(f"{len(failed)} rounds failed, one of {failed[0].name}")


def _of_clusters(setting: Setting, number: int) -> dict[str, Samples]:
    clusters = Clusters(setting.databases.new_store(), number, setting.sizes.jobs_per_cluster)
    first = alternate({"first round of each": Contender(clusters.run)}, 1)
    return first | alternate(
        {"round of each, 2 % changed": Contender(clusters.run, clusters.prepare)},
        setting.sizes.few_turns,
    )
