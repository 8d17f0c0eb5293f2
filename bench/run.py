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
from bench.login_host import NoLoginHost
from bench.results import Row, aligned, remarks, table
from bench.setting import Setting
from bench.sizes import QUICK, Sizes

GROUPS: dict[str, Callable[[Setting], Iterator[Row | Growth]]] = {
    "read": reading.rows,
    "rounds": writing.rows,
    "list": serving.rows,
    "ssh": transfer.rows,
    "scontrol": calls.rows,
    "load": under_load.rows,
    "two": side_by_side.rows,
    "replay": replaying.rows,
    "one": looking_up.rows,
    "growth": growth.growths,
}
"""What can be asked for, by name, in the order in which it is measured: the longest last."""


def run(groups: Sequence[str], *, quick: bool) -> None:
    """Measure *groups* and print what was found.

    A run of all groups that is not *quick* is kept, group by group: one that is cut short has kept
    what it found, and says what it did not come to.
    """
    rows: list[Row] = []
    growths: list[Growth] = []
    left_out = list(GROUPS)
    kept = not quick and set(groups) == set(GROUPS)
    with tempfile.TemporaryDirectory(prefix="clockwork-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with Databases(folder / "database") as databases:
            setting = Setting(QUICK if quick else Sizes(), databases, folder)
            started = time.monotonic()
            for group in groups:
                try:
                    for found in GROUPS[group](setting):
                        _say(f"{time.monotonic() - started:5.0f} s  {group}: {found.name}")
                        if isinstance(found, Growth):
                            growths.append(found)
                        else:
                            rows.append(found)
                except NoLoginHost as error:
                    _say(f"{group}: left out: {error}")
                else:
                    left_out.remove(group)
                if kept:
                    report.keep(rows, growths, left_out)
    tables = [table(rows), *(aligned(each.lines()) for each in growths)]
    print("\n\n".join([*tables, remarks(rows)]))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
