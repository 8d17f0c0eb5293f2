"""Run the measurements: the groups that were asked for, one after the other."""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from datetime import datetime, timezone
from pathlib import Path

from bench import (
    calls,
    growth,
    looking_up,
    own_time,
    paging,
    reading,
    replaying,
    report,
    serving,
    side_by_side,
    transfer,
    under_load,
    waking,
    writing,
)
from bench.databases import Databases
from bench.growth import Growth, lines
from bench.login_host import NoLoginHost
from bench.results import Row, aligned, remarks, table
from bench.setting import Setting
from bench.sizes import QUICK, Sizes

GROUPS: dict[str, Callable[[Setting], Iterator[Row | Growth]]] = {
    "read": reading.rows,
    "rounds": writing.rows,
    "own": own_time.rows,
    "list": serving.rows,
    "pages": paging.rows,
    "ssh": transfer.rows,
    "scontrol": calls.rows,
    "load": under_load.rows,
    "two": side_by_side.rows,
    "changes": waking.rows,
    "replay": replaying.rows,
    "one": looking_up.rows,
    "growth_by_clusters": growth.by_clusters,
    "growth_by_jobs": growth.by_jobs,
}
"""What can be asked for, by name, in the order in which it is measured: the longest last."""


def run(groups: Sequence[str], *, quick: bool) -> None:
    """Measure *groups* and print the results.

    Unless *quick*, the results of each group are written as soon as the group is done.
    """
    began = datetime.now(timezone.utc)
    all_rows: list[Row] = []
    all_growths: list[Growth] = []
    with tempfile.TemporaryDirectory(prefix="clockwork-bench-") as name, ExitStack() as undo:
        Path(name).chmod(0o755)
        started = time.monotonic()
        shared = undo.enter_context(Databases(Path(name) / "database")) if quick else None
        for group in groups:
            rows: list[Row] = []
            growths: list[Growth] = []
            folder = Path(name) / group
            folder.mkdir()
            folder.chmod(0o755)
            # A database of its own: all collections share its cache, and those of other groups
            # would fill it, but for small ones.
            with nullcontext(shared) if shared else Databases(folder / "database") as databases:
                setting = Setting(QUICK if quick else Sizes(), databases, folder)
                try:
                    for found in GROUPS[group](setting):
                        _say(f"{time.monotonic() - started:5.0f} s  {group}: {found.name}")
                        if isinstance(found, Growth):
                            growths.append(found)
                        else:
                            rows.append(found)
                except NoLoginHost as error:
                    _say(f"{group}: left out: {error}")
                    continue
            if not quick:
                report.keep(group, began, rows, growths, list(GROUPS))
            all_rows += rows
            all_growths += growths
    documents = [row.document() for row in all_rows]
    tables = [aligned(lines(growth.document())) for growth in all_growths]
    print("\n\n".join([table(documents), *tables, remarks(documents)]))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
