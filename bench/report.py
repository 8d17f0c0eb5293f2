"""A whole run as files: bench/results.json, docs/benchmarks.md, and the plots beside that."""

import platform
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from os import cpu_count
from pathlib import Path
from typing import Any

import orjson

from bench.growth import Growth
from bench.results import HEADINGS, Row, cells, remarks

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results.json"
DOCS = ROOT / "docs"
PAGE = DOCS / "benchmarks.md"

_PACKAGES = ("pymongo", "orjson", "paramiko", "bottle", "waitress", "flask", "SecantusDB")
_HEAD = """\
# What Clockwork costs

Written by `make bench`, which measures all of it in one run: ours, a baseline and a limit in turn,
several times, so that whatever else the machine does falls on all of them alike. Every figure is
the median and, in brackets, the best; ratios are of the medians. What counts are the ratios: the
seconds are those of this machine. `bench/results.json` has the same for programs, and `bench/` says
how each is measured.
"""


def keep(rows: Sequence[Row], growths: Sequence[Growth]) -> None:
    """Write the files of a run."""
    about = _about()
    document = {
        **about,
        "rows": [row.document() for row in rows],
        "growth": [growth.document() for growth in growths],
    }
    RESULTS.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    PAGE.write_text(page(about, rows, growths), encoding="utf-8")
    for growth in growths:
        (DOCS / f"{growth.name}.svg").write_text(growth.plot(), encoding="utf-8")


def _about() -> dict[str, Any]:
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": {"system": platform.platform(), "cores": cpu_count()},
        "versions": {package: version(package) for package in _PACKAGES},
    }


def page(about: dict[str, Any], rows: Sequence[Row], growths: Sequence[Growth]) -> str:
    """The run in Markdown."""
    versions = ", ".join(f"{package} {number}" for package, number in about["versions"].items())
    targets = [target for row in rows for target in row.targets]
    met = sum(target.met for target in targets)
    parts = [
        _HEAD,
        f"{about['date']}, Python {about['python']}, {about['machine']['cores']} cores, "
        f"{versions}. Of {len(targets)} targets, {met} are met.\n",
        _markdown([HEADINGS, *(cells(row) for row in rows)]),
        "## What was measured beside it\n",
        f"```\n{remarks(rows)}\n```\n",
    ]
    for growth in growths:
        parts += [
            f"## By number of {growth.sized_by}\n",
            _markdown(growth.lines()),
            f"![Seconds by number of {growth.sized_by}]({growth.name}.svg)\n",
        ]
    return "\n".join(parts)


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    head, *body = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([head, f"|{' --- |' * len(lines[0])}", *body]) + "\n"
