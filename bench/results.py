"""Hold the results of a run: rows with ours, a baseline and a limit, as JSON and as a table."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.timing import Samples


@dataclass(frozen=True)
class Target:
    """A bound on a ratio or a figure, and the measured value."""

    says: str
    """``at most 1.3 x the limit``."""
    found: float
    bound: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the measured value respects the bound."""
        return self.found >= self.bound if self.at_least else self.found <= self.bound


@dataclass(frozen=True)
class Row:
    """One operation of Clockwork, beside another way to do it and the least that it can cost."""

    name: str
    ours: Samples
    baseline: Samples | None = None
    limit: Samples | None = None
    baseline_is: str = ""
    limit_is: str = ""
    targets: tuple[Target, ...] = ()
    beside: Mapping[str, Samples] = field(default_factory=dict)
    """Whatever else was measured in the same turns, by what it is."""

    @property
    def gain(self) -> float | None:
        """How many times better ours is than the baseline."""
        return None if self.baseline is None else self.ours.times_better(self.baseline)

    @property
    def distance(self) -> float | None:
        """How many times better the limit is than ours."""
        return None if self.limit is None else self.limit.times_better(self.ours)

    def document(self) -> dict[str, Any]:
        """Return the row for JSON."""
        return {
            "name": self.name,
            "ours": _samples(self.ours),
            "baseline": _samples(self.baseline, self.baseline_is),
            "limit": _samples(self.limit, self.limit_is),
            "times_better_than_baseline": _rounded(self.gain),
            "times_the_limit": _rounded(self.distance),
            "times_the_limit_at_best": self.limit and _rounded(self.ours.best / self.limit.best),
            "targets": [
                {
                    "target": target.says,
                    "found": _rounded(target.found),
                    "bound": target.bound,
                    "met": target.met,
                }
                for target in self.targets
            ],
            "beside": {what: _samples(samples) for what, samples in self.beside.items()},
        }


def at_most_limit(bound: float, ours: Samples, limit: Samples, what: str = "the limit") -> Target:
    """Return the target that the median of *ours* is at most *bound* times that of *limit*."""
    return Target(f"at most {bound:g} x {what}", limit.times_better(ours), bound)


def at_least_baseline(
    bound: float, ours: Samples, baseline: Samples, what: str = "the baseline"
) -> Target:
    """Return the target that *ours* is at least *bound* times faster than *baseline*."""
    found = ours.times_better(baseline)
    return Target(f"{bound:g} times faster than {what}", found, bound, at_least=True)


HEADINGS = ("what", "ours", "baseline", "limit", "x baseline", "x limit", "targets")


Document = Mapping[str, Any]
"""A row as `Row.document` makes it."""


def table(rows: Iterable[Document]) -> str:
    """Return the rows as text: the median of each and, in brackets, the best."""
    return aligned([HEADINGS, *(cells(row) for row in rows)])


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Return the cells in columns. All but the first and the last column are aligned right."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(_line(cells, widths) for cells in lines)


def remarks(rows: Iterable[Document]) -> str:
    """Return what the baselines and limits of the rows are, and what else was measured."""
    lines = []
    for row in rows:
        said = [f"    {part}: {row[part]['is']}" for part in ("baseline", "limit") if row[part]]
        said += [f"    beside: {what}: {shown(each)}" for what, each in row["beside"].items()]
        lines += [f"{row['name']}:", *said] if said else []
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(
        [cells[0].ljust(widths[0])]
        + [cell.rjust(width) for cell, width in zip(cells[1:-1], widths[1:-1], strict=True)]
        + [cells[-1]]
    ).rstrip()


def cells(row: Document) -> tuple[str, ...]:
    """Return the row's line in the table, with the columns of `HEADINGS`."""
    targets = "; ".join(
        f"{'met' if each['met'] else 'MISSED'}: {each['target']} ({_number(each['found'])})"
        for each in row["targets"]
    )
    measured = (shown(row[part]) for part in ("ours", "baseline", "limit"))
    found = (row["times_better_than_baseline"], row["times_the_limit"])
    return (row["name"], *measured, *map(_number, found), targets)


def shown(samples: Document) -> str:
    """Return the median and, in brackets, the best, with their unit; ``-`` for None."""
    if not samples:
        return "-"
    in_ms = samples["unit"] == "s" and samples["median"] < 1
    scale, unit = (1000, "ms") if in_ms else (1, samples["unit"])
    return f"{_number(samples['median'] * scale)} ({_number(samples['best'] * scale)}) {unit}"


def shown_seconds(seconds: float) -> str:
    """Return a number of seconds with a suitable unit."""
    return f"{_number(seconds * 1000)} ms" if seconds < 1 else f"{_number(seconds)} s"


def _number(value: float | None) -> str:
    """``-`` for one that is not there, or has no bounds: JSON has no infinity."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _rounded(value: float | None) -> float | None:
    return None if value is None or math.isinf(value) else float(f"{value:.4g}")


def _samples(samples: Samples | None, what: str = "") -> dict[str, Any]:
    if samples is None:
        return {}
    figures = {"median": _rounded(samples.median), "best": _rounded(samples.best)}
    return figures | {"unit": samples.unit, "turns": len(samples.values), "is": what}
