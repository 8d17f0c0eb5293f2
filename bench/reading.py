"""Measure the reader beside other readers, and beside the least that a reader must do.

All of it is this process's own work, and its processor time is what counts.
"""

import time
from collections.abc import Iterator
from zoneinfo import ZoneInfo

from bench import baselines, limits, product
from bench.dumps import Dump
from bench.results import Row, at_least_baseline
from bench.setting import Setting
from bench.timing import Contender, alternate
from ingest.reading.records import Record
from ingest.slurm.kinds import NODES

SEAL = "q7Rk2Xa"


def rows(setting: Setting) -> Iterator[Row]:
    """A dump as a scrape has it, one without a seal, one with a key of a later Slurm; nodes."""
    zone = ZoneInfo("America/Montreal")
    dump = Dump(setting.sizes.jobs, seal=SEAL)
    sealed = product.chunks_of(dump)
    plain = product.chunks_of(Dump(setting.sizes.jobs))
    future = [chunk.replace(b" Reboot=0", b" Reboot=0 FutureFlag=1") for chunk in sealed]
    nodes = product.chunks_of(Dump(0, nodes=setting.sizes.jobs, seal=SEAL), NODES)
    text = b"".join(sealed).decode()
    documents = [each.slurm for each in product.read(sealed, SEAL) if isinstance(each, Record)]
    times = alternate(
        {
            "sealed": Contender(lambda: list(product.read(sealed, SEAL))),
            "captured, no seal": Contender(lambda: list(product.read(plain, ""))),
            "sealed, unknown keys": Contender(lambda: list(product.read(future, SEAL))),
            "nodes": Contender(lambda: list(product.read(nodes, SEAL, NODES))),
            "naive": Contender(lambda: list(baselines.naive_split(text))),
            "patterns": Contender(
                lambda: baselines.regular_expression_documents(text, zone, "mila")
            ),
            "split": Contender(lambda: limits.split_and_hash(sealed)),
            "bson": Contender(lambda: limits.encode(documents)),
        },
        2 * setting.sizes.turns,
        time.process_time,
    )
    naive, patterns = times["naive"], times["patterns"]
    for name in ("sealed", "captured, no seal", "sealed, unknown keys"):
        yield Row(
            name=f"text to documents, {setting.sizes.jobs} jobs, {name}",
            ours=times[name],
            baseline=patterns,
            baseline_is="a regular expression per line, fields typed",
            limit=times["split"],
            limit_is="the bytes split into records and hashed",
            targets=(at_least_baseline(3.5, times[name], patterns, "the regular expressions"),),
            beside={
                "the naive split, strings alone": naive,
                "BSON of the documents": times["bson"],
            },
        )
    yield Row(name=f"text to documents, {setting.sizes.jobs} nodes, sealed", ours=times["nodes"])
