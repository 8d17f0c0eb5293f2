"""Measure our own processor time of rounds, with a database that answers at once."""

import time
from collections.abc import Iterator

from bench import product
from bench.dumps import Dump
from bench.instant import InstantDatabase
from bench.results import Row
from bench.setting import Setting
from bench.timing import Contender, alternate
from bench.writing import Bare, Series
from ingest.reading.records import Record


def rows(setting: Setting) -> Iterator[Row]:
    """Measure a first round, and a round after it in which all jobs changed."""
    dump = Dump(setting.sizes.jobs, percent=100)
    with InstantDatabase() as database:
        series = Series(database, dump)
        records = product.read(product.chunks_of(dump), "")
        bare = Bare(
            database,
            [
                {"_id": record.id, "slurm": record.slurm}
                for record in records
                if isinstance(record, Record)
            ],
        )
        times = alternate(
            {
                "first": Contender(series.run, series.begin),
                "changed": Contender(series.run, series.prepare),
                "insert": Contender(bare.insert),
                "update": Contender(lambda: bare.update(dump.jobs)),
            },
            setting.sizes.few_turns,
            time.process_time,
        )
    for name, what, limit in (
        ("first", "first round", "insert"),
        ("changed", "round in which all jobs changed", "update"),
    ):
        yield Row(
            name=f"our own processor time: {what}, {dump.jobs} jobs",
            ours=times[name],
            limit=times[limit],
            limit_is="the same written by pymongo alone",
        )
