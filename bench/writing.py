"""Measure rounds: the first one, those in which little changed, those in which nothing changed.

Every round has a seal of its own, as every scrape has, so no two texts are the same.
"""

from collections.abc import Iterator
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from bench import baselines, limits, product
from bench.databases import Databases
from bench.dumps import Dump
from bench.instant import InstantDatabase
from bench.results import Row, at_least_baseline, at_most_limit
from bench.setting import Setting
from bench.timing import Contender, Samples, alternate

BASELINE = "a regular expression per line, two updates per job"
SPLIT = "the bytes split into records and hashed"


def seal(number: int) -> str:
    """A seal that no other round has."""
    return f"q{number:06}"


class Series:
    """Rounds that follow each other in one store; each one's text is made before it is timed."""

    def __init__(
        self,
        databases: Databases | InstantDatabase,
        dump: Dump,
        volatile_interval: float | None = None,
    ) -> None:
        self._databases = databases
        self._dump = dump
        self._volatile_interval = volatile_interval
        self.begin()

    def begin(self) -> None:
        """An empty store, and the text of the first round."""
        self.store = self._databases.new_store()
        self._rounds = product.Rounds(self.store, volatile_interval=self._volatile_interval)
        self._numbers = count()
        self._seals = count()
        self.prepare()

    def prepare(self) -> None:
        """Make the text of the next round."""
        self._number = next(self._numbers)
        self.prepare_again()

    def prepare_again(self) -> None:
        """Make the text of the last round once more: but for its seal, nothing in it is new."""
        self._seal = seal(next(self._seals))
        self.chunks = product.chunks_of(self._dump.at(self._number, self._seal))

    def run(self) -> None:
        """The round, from text to Mongo."""
        self._rounds.take_in(self.chunks, self._seal)


class Baseline:
    """Rounds of a whole text into one store: a regular expression per line, two updates per job."""

    def __init__(self, databases: Databases, dump: Dump) -> None:
        self._databases = databases
        self._texts = [b"".join(product.chunks_of(dump.at(n))).decode() for n in range(2)]
        self._cluster = product.cluster_settings()
        self._turn = 0
        self.begin()

    def begin(self) -> None:
        """An empty store."""
        self._jobs = self._databases.new_store().jobs

    def prepare(self) -> None:
        """Another text than the one before."""
        self._turn += 1

    def run(self) -> None:
        """The round, from text to Mongo."""
        text = self._texts[self._turn % 2]
        name, zone = self._cluster.name, ZoneInfo(self._cluster.timezone)
        documents = baselines.regular_expression_documents(text, zone, name)
        baselines.two_updates_per_job(self._jobs, documents)


class Bare:
    """The same documents written by pymongo alone."""

    def __init__(
        self, databases: Databases | InstantDatabase, documents: list[dict[str, Any]]
    ) -> None:
        self._databases = databases
        self._documents = documents
        self.begin()

    def begin(self) -> None:
        """An empty store."""
        self._jobs = self._databases.new_store().jobs

    def insert(self) -> None:
        """Insert all of them."""
        limits.insert(self._jobs, self._documents)

    def change(self) -> None:
        """Make each of them another one than before."""
        for document in self._documents:
            document["slurm"]["restarts"] += 1

    def update(self, count: int) -> None:
        """Write the first so many of them again."""
        limits.update(self._jobs, self._documents[:count])


def rows(setting: Setting) -> Iterator[Row]:
    """Measure first rounds, then the rounds after them."""
    dump = Dump(setting.sizes.jobs)
    baseline = Baseline(setting.databases, dump)
    first = Series(setting.databases, dump)
    first.run()
    bare = Bare(setting.databases, list(first.store.jobs.find()))
    yield _first_round(setting, first, baseline, bare)
    yield from _next_rounds(setting, dump, baseline, bare)


def _first_round(setting: Setting, series: Series, baseline: Baseline, bare: Bare) -> Row:
    times = alternate(
        {
            "ours": Contender(series.run, series.begin),
            "two updates": Contender(baseline.run, baseline.begin, turns=1),
            "insert": Contender(bare.insert, bare.begin),
        },
        setting.sizes.few_turns,
    )
    return Row(
        name=f"first round, {setting.sizes.jobs} jobs",
        ours=times["ours"],
        baseline=times["two updates"],
        baseline_is=BASELINE,
        limit=times["insert"],
        limit_is="insert_many of the same documents, unordered, under the same indexes",
        targets=(at_most_limit(1.3, times["ours"], times["insert"], "insert_many"),),
    )


def _next_rounds(setting: Setting, dump: Dump, baseline: Baseline, bare: Bare) -> Iterator[Row]:
    """*baseline* and *bare* have written all jobs already."""
    few = Series(setting.databases, dump)
    moved = Series(setting.databases, Dump(dump.jobs, percent=0))
    still = Series(setting.databases, Dump(dump.jobs, percent=0, moving=False))
    due = Series(setting.databases, Dump(dump.jobs, percent=0), volatile_interval=1e-6)
    for series in (few, moved, still, due):
        series.run()
    times = alternate(
        {
            "2 %": Contender(few.run, few.prepare),
            "moved": Contender(moved.run, moved.prepare),
            "still": Contender(still.run, still.prepare),
            "due": Contender(due.run, due.prepare),
            "two updates": Contender(baseline.run, baseline.prepare, turns=1),
            "split": Contender(lambda: limits.split_and_hash(few.chunks)),
            "writes": Contender(lambda: bare.update(dump.changes), bare.change),
        },
        setting.sizes.turns,
    )
    split, theirs = times["split"], times["two updates"]
    least = Samples(tuple(map(sum, zip(split.values, times["writes"].values, strict=True))))
    yield Row(
        name=f"round in which 2 % of {dump.jobs} jobs changed",
        ours=times["2 %"],
        baseline=theirs,
        baseline_is=BASELINE,
        limit=least,
        limit_is=f"{SPLIT}, and the changed 2 % updated",
        targets=(
            at_least_baseline(50, times["2 %"], theirs, "the baseline's round"),
            at_most_limit(3, times["2 %"], least, "split, hash and 2 % of the writes"),
        ),
        beside={"split and hash alone": split, "the writes alone": times["writes"]},
    )
    for name, what in (
        ("moved", "run times and priorities moved"),
        ("still", "not even run times"),
    ):
        yield Row(
            name=f"round in which none of {dump.jobs} jobs changed, {what}",
            ours=times[name],
            baseline=theirs,
            baseline_is=BASELINE,
            limit=split,
            limit_is=SPLIT,
            targets=(at_most_limit(1.5, times[name], split, "split and hash"),),
        )
    yield Row(
        name=f"round in which run times and priorities of {dump.jobs} jobs are due to be written",
        ours=times["due"],
        baseline=theirs,
        baseline_is=BASELINE,
        targets=(at_least_baseline(10, times["due"], theirs, "the baseline's round"),),
    )
