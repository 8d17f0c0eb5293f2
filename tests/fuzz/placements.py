"""Hold the reader to forged texts in every place, many thousand times.

``python -m tests.fuzz.placements --count 100000`` reads as many placements of one attacker and as
many of two, on every core, prints figures, and ends with status 1 where another user's job was
harmed.
``--number 4711`` reads one placement again.  See `tests.ingest.reading.placements`.
"""

import argparse
import os
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing import Pool

from ingest.reading.reader import Reader
from ingest.slurm.keys import JOB
from tests.ingest.reading import forged_nodes
from tests.ingest.reading.placements import (
    Outcome,
    Placement,
    check,
    one_attacker,
    one_attacker_count,
    two_attackers,
)
from tests.support.reading import CLUSTER

_BATCH = 500
_MAKERS = (one_attacker, two_attackers)
_Make = Callable[[int], Placement]


def _run(batch: tuple[int, int, int]) -> tuple[Outcome, list[str]]:
    """Read the placements of one batch, most with readers that are kept as a daemon keeps them."""
    which, start, stop = batch
    make = _MAKERS[which]
    outcome, failures = Outcome(), []
    kept: dict[tuple[str, int], Reader] = {}
    for number in range(start, stop):
        placement = make(number)
        reader = Reader(JOB, CLUSTER, placement.max_bytes)
        if number % 4:
            reader = kept.setdefault((placement.jobs[0].release, placement.max_bytes), reader)
        try:
            outcome.add(check(placement, reader))
        except Exception as error:  # noqa: BLE001 - any error of the reader is a find
            where = traceback.extract_tb(error.__traceback__)[-1]
            failures.append(f"{placement.name}: {error!r} ({where.name}, line {where.lineno})")
    return outcome, failures


def _nodes() -> list[str]:
    failures = []
    for holder in forged_nodes.HELD:
        for placement in forged_nodes.placements(holder):
            try:
                forged_nodes.check(placement)
            except Exception as error:  # noqa: BLE001 - any error of the reader is a find
                failures.append(f"{placement}: {error!r}")
    return failures


def main() -> int:
    """Run the program; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.placements")
    parser.add_argument("--count", type=int, default=50_000, help="placements of each kind")
    parser.add_argument("--start", type=int, default=0, help="the first number")
    parser.add_argument("--number", type=int, help="one placement of each kind, alone")
    given = parser.parse_args()
    start, stop = given.start, given.start + given.count
    if given.number is not None:
        start, stop = given.number, given.number + 1
    say = sys.stdout.write
    failures: list[str] = []
    for which, make in enumerate(_MAKERS):
        begun = time.monotonic()
        batches = [(which, at, min(at + _BATCH, stop)) for at in range(start, stop, _BATCH)]
        total = Outcome()
        with Pool(os.cpu_count()) as pool:
            for outcome, found in pool.imap_unordered(_run, batches):
                total.add(outcome)
                failures += found
        say(
            f"{make.__name__}: {stop - start} placements, {total.rounds} rounds in "
            f"{time.monotonic() - begun:.0f} s; attackers' own records: {total.right} read, "
            f"{total.aside} set aside; {total.asked} jobs asked for alone\n"
        )
    say(f"one_attacker repeats after {one_attacker_count()} placements\n")
    if given.number is None:
        failures += _nodes()
        say("nodes: every label on every held node\n")
    for failure in failures[:50]:
        say(f"FAILED {failure}\n")
    say(f"{len(failures)} failures\n")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
