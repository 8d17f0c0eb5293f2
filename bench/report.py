"""Write the results to bench/results.json, docs/benchmarks.md and the plots in docs/."""

import platform
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from os import cpu_count
from pathlib import Path
from typing import Any

import orjson

from bench.growth import Growth, lines, plot
from bench.results import HEADINGS, Row, cells, remarks

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results.json"
DOCS = ROOT / "docs"
PAGE = DOCS / "benchmarks.md"

_PACKAGES = ("pymongo", "orjson", "paramiko", "bottle", "waitress", "flask", "SecantusDB")
_HEAD = """\
# What Clockwork costs

`make bench` wrote this page. It measures Clockwork, a baseline and a limit in turns, several
times, so that other work of the machine disturbs all of them alike. A baseline is another way to
do the same. A limit is the least that it can cost. Each figure is the median and, in brackets,
the best. Look at the ratios, which are those of the medians: the seconds depend on the machine.

`bench/results.json` has the same figures for programs. The modules in `bench/` say how each of
them is measured. `make bench BENCH_ROWS=read,rounds` measures some groups again and keeps the
others.
"""

Results = dict[str, Any]
"""``groups``: for each that was measured, when its run ``began``, its ``rows`` and its ``growth``;
which are ``missing``; and on what the newest of them ran."""


def keep(
    group: str,
    began: datetime,
    rows: Sequence[Row],
    growths: Sequence[Growth],
    order: Sequence[str],
) -> None:
    """Write the files with new results for *group*; *order* is the order of all groups."""
    results: Results = orjson.loads(RESULTS.read_bytes()) if RESULTS.exists() else {}
    groups = results.get("groups", {}) | {
        group: {
            "began": began.isoformat(timespec="minutes"),
            "rows": [row.document() for row in rows],
            "growth": [growth.document() for growth in growths],
        }
    }
    measured = {name: groups[name] for name in order if name in groups}
    missing = [name for name in order if name not in groups]
    write({**_about(), "missing": missing, "groups": measured})


def write(results: Results) -> None:
    """Write the files."""
    RESULTS.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2) + b"\n")
    PAGE.write_text(page(results), encoding="utf-8")
    for growth in _all(results, "growth"):
        (DOCS / f"{growth['name']}.svg").write_text(plot(growth), encoding="utf-8")


def _about() -> Results:
    return {
        "python": platform.python_version(),
        "machine": {"system": platform.platform(), "cores": cpu_count()},
        "versions": {package: version(package) for package in _PACKAGES},
    }


def _all(results: Results, part: str) -> list[Any]:
    return [each for group in results["groups"].values() for each in group[part]]


def page(results: Results) -> str:
    """Return the results in Markdown."""
    versions = ", ".join(f"{package} {number}" for package, number in results["versions"].items())
    rows = _all(results, "rows")
    targets = [target for row in rows for target in row["targets"]]
    met = sum(target["met"] for target in targets)
    runs: dict[str, list[str]] = {}
    for name, group in results["groups"].items():
        runs.setdefault(group["began"], []).append(name)
    parts = [
        _HEAD,
        f"Python {results['python']}, {results['machine']['cores']} cores, {versions}. "
        f"Of {len(targets)} targets, {met} are met.\n",
        "".join(f"- Run of {began}: {', '.join(names)}\n" for began, names in runs.items())
        + (f"- Not measured: {', '.join(results['missing'])}\n" if results["missing"] else ""),
        _markdown([HEADINGS, *(cells(row) for row in rows)]),
        "## What was measured beside it\n",
        f"```\n{remarks(rows)}\n```\n",
    ]
    for growth in _all(results, "growth"):
        parts += [
            f"## By number of {growth['sized_by']}\n",
            _markdown(lines(growth)),
            f"![Seconds by number of {growth['sized_by']}]({growth['name']}.svg)\n",
        ]
    return "\n".join(parts)


def _markdown(table: Sequence[Sequence[str]]) -> str:
    head, *body = (f"| {' | '.join(line)} |" for line in table)
    return "\n".join([head, f"|{' --- |' * len(table[0])}", *body]) + "\n"
