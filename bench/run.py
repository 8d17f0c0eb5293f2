"""One run: the rows that were asked for, measured one group after the other."""

import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from os import cpu_count
from pathlib import Path
from typing import Any

import orjson

from bench import looking_up, reading, serving, under_load, writing
from bench.databases import Databases
from bench.results import Row, remarks, table
from bench.setting import Setting
from bench.sizes import QUICK, Sizes

GROUPS: dict[str, Callable[[Setting], Iterator[Row]]] = {
    "read": reading.rows,
    "rounds": writing.rows,
    "list": serving.rows,
    "one": looking_up.rows,
    "load": under_load.rows,
}
"""What can be asked for, by name, in the order in which it is measured."""

RESULTS = Path(__file__).with_name("results.json")
_PACKAGES = ("pymongo", "orjson", "paramiko", "bottle", "waitress", "flask", "SecantusDB")


def run(groups: Sequence[str], *, quick: bool) -> None:
    """Measure *groups*, print the table, and write it as JSON."""
    sizes = QUICK if quick else Sizes()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="clockwork-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with Databases(folder / "database") as databases:
            setting = Setting(sizes, databases, folder)
            for group in groups:
                for row in GROUPS[group](setting):
                    rows.append(row)
                    print(f"{group}: {row.name}", file=sys.stderr)
    print(table(rows))
    print()
    print(remarks(rows))
    if not quick:
        RESULTS.write_bytes(orjson.dumps(_document(rows), option=orjson.OPT_INDENT_2) + b"\n")


def _document(rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": {"system": platform.platform(), "cores": cpu_count()},
        "versions": {package: version(package) for package in _PACKAGES},
        "rows": [row.document() for row in rows],
    }
