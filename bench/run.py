"""One run: the rows that were asked for, measured one group after the other."""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench import (
    calls,
    growth,
    looking_up,
    reading,
    replaying,
    report,
    serving,
    side_by_side,
    transfer,
    under_load,
    writing,
)
from bench.databases import Databases
from bench.growth import Growth
from bench.results import Row, aligned, remarks, table
from bench.setting import Setting
from bench.sizes import QUICK, Sizes

GROUPS: dict[str, Callable[[Setting], Iterator[Row | Growth]]] = {
    "read": reading.rows,
    "rounds": writing.rows,
    "replay": replaying.rows,
    "ssh": transfer.rows,
    "list": serving.rows,
    "one": looking_up.rows,
    "load": under_load.rows,
    "scontrol": calls.rows,
    "two": side_by_side.rows,
    "growth": growth.growths,
}
"""What can be asked for, by name, in the order in which it is measured."""


def run(groups: Sequence[str], *, quick: bool) -> None:
    """Measure *groups* and print what was found; a whole run that is not *quick* is kept."""
    rows: list[Row] = []
    growths: list[Growth] = []
    with tempfile.TemporaryDirectory(prefix="clockwork-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with Databases(folder / "database") as databases:
            setting = Setting(QUICK if quick else Sizes(), databases, folder)
            started = time.monotonic()
            for group in groups:
                for found in GROUPS[group](setting):
                    seconds = time.monotonic() - started
                    print(f"{seconds:5.0f} s  {group}: {found.name}", file=sys.stderr)
                    if isinstance(found, Growth):
                        growths.append(found)
                    else:
                        rows.append(found)
    tables = [table(rows), *(aligned(each.lines()) for each in growths)]
    print("\n\n".join([*tables, remarks(rows)]))
    if not quick and set(groups) == set(GROUPS):
        report.keep(rows, growths)
