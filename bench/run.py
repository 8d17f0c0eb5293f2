"""One run: the rows that were asked for, measured one group after the other."""

import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from os import cpu_count
from pathlib import Path

import orjson

from bench import (
    calls,
    growth,
    looking_up,
    reading,
    replaying,
    serving,
    side_by_side,
    transfer,
    under_load,
    writing,
)
from bench.databases import Databases
from bench.growth import Growth
from bench.results import Row, remarks, table
from bench.setting import Setting
from bench.sizes import QUICK, Sizes

GROUPS: dict[str, Callable[[Setting], Iterator[Row | Growth]]] = {
    "read": reading.rows,
    "rounds": writing.rows,
    "list": serving.rows,
    "one": looking_up.rows,
    "load": under_load.rows,
    "replay": replaying.rows,
    "ssh": transfer.rows,
    "scontrol": calls.rows,
    "two": side_by_side.rows,
    "growth": growth.growths,
}
"""What can be asked for, by name, in the order in which it is measured."""

RESULTS = Path(__file__).with_name("results.json")
PLOTS = Path(__file__).parents[1] / "docs"
_PACKAGES = ("pymongo", "orjson", "paramiko", "bottle", "waitress", "flask", "SecantusDB")


def run(groups: Sequence[str], *, quick: bool) -> None:
    """Measure *groups* and print what was found; not when *quick*, keep it as JSON and plots."""
    sizes = QUICK if quick else Sizes()
    rows: list[Row] = []
    growths: list[Growth] = []
    with tempfile.TemporaryDirectory(prefix="clockwork-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with Databases(folder / "database") as databases:
            setting = Setting(sizes, databases, folder)
            for group in groups:
                for found in GROUPS[group](setting):
                    print(f"{group}: {found.name}", file=sys.stderr)
                    if isinstance(found, Growth):
                        growths.append(found)
                    else:
                        rows.append(found)
    print("\n\n".join([table(rows), remarks(rows), *(each.table() for each in growths)]))
    if not quick:
        _keep(groups, rows, growths)


def _keep(groups: Sequence[str], rows: Sequence[Row], growths: Sequence[Growth]) -> None:
    document = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": {"system": platform.platform(), "cores": cpu_count()},
        "versions": {package: version(package) for package in _PACKAGES},
        "groups": list(groups),
        "rows": [row.document() for row in rows],
        "growth": [each.document() for each in growths],
    }
    RESULTS.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    for each in growths:
        (PLOTS / f"{each.name}.svg").write_text(each.plot(), encoding="utf-8")
