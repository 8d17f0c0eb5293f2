"""What a run has found: rows with ours, a baseline and a limit, as a table and as JSON."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.timing import Samples


@dataclass(frozen=True)
class Target:
    """A bound on a ratio or a figure, and what was found."""

    says: str
    """``at most 1.3 x the limit``."""
    found: float
    bound: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether what was found keeps to the bound."""
        return self.found >= self.bound if self.at_least else self.found <= self.bound


@dataclass(frozen=True)
class Row:
    """One thing that Clockwork does, beside another way to do it and the least that it can cost."""

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
        """How many times ours the baseline is, of the medians."""
        return None if self.baseline is None else _ratio(self.baseline.median, self.ours.median)

    @property
    def distance(self) -> float | None:
        """How many times the limit ours is, of the medians."""
        return None if self.limit is None else _ratio(self.ours.median, self.limit.median)

    def document(self) -> dict[str, Any]:
        """The row for JSON."""
        return {
            "name": self.name,
            "unit": self.ours.unit,
            "ours": _samples(self.ours),
            "baseline": _samples(self.baseline) | {"is": self.baseline_is},
            "limit": _samples(self.limit) | {"is": self.limit_is},
            "baseline_over_ours": _rounded(self.gain),
            "ours_over_limit": _rounded(self.distance),
            "ours_over_limit_of_minima": None
            if self.limit is None
            else _rounded(_ratio(self.ours.minimum, self.limit.minimum)),
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
    """The target that *ours* is at most so many times *limit*, of the medians."""
    return Target(f"at most {bound:g} x {what}", _ratio(ours.median, limit.median), bound)


def at_least_baseline(
    bound: float, ours: Samples, baseline: Samples, what: str = "the baseline"
) -> Target:
    """The target that *ours* is at least so many times faster than *baseline*, of the medians."""
    found = _ratio(baseline.median, ours.median)
    return Target(f"{bound:g} times faster than {what}", found, bound, at_least=True)


HEADINGS = ("what", "ours", "baseline", "limit", "base/ours", "ours/limit", "targets")


def table(rows: Iterable[Row]) -> str:
    """The rows as text: median and, in brackets, minimum of each."""
    lines = [HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join(_line(cells, widths) for cells in lines)


def remarks(rows: Iterable[Row]) -> str:
    """What the baselines and limits of the rows are, and what was measured beside them."""
    lines = []
    for row in rows:
        lines += [f"{row.name}:"] if row.baseline or row.limit or row.beside else []
        lines += [f"    baseline: {row.baseline_is}"] if row.baseline else []
        lines += [f"    limit: {row.limit_is}"] if row.limit else []
        lines += [f"    beside: {what}: {_shown(samples)}" for what, samples in row.beside.items()]
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(
        [cells[0].ljust(widths[0])]
        + [cell.rjust(width) for cell, width in zip(cells[1:6], widths[1:6], strict=True)]
        + [cells[6]]
    ).rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    targets = "; ".join(
        f"{'met' if target.met else 'MISSED'}: {target.says} ({_number(target.found)})"
        for target in row.targets
    )
    measured = (row.ours, row.baseline, row.limit)
    ratios = ("-" if ratio is None else _number(ratio) for ratio in (row.gain, row.distance))
    return (row.name, *(_shown(samples) for samples in measured), *ratios, targets)


def _shown(samples: Samples | None) -> str:
    if samples is None:
        return "-"
    scale, unit = (1000, "ms") if samples.unit == "s" and samples.median < 1 else (1, samples.unit)
    return f"{_number(samples.median * scale)} ({_number(samples.minimum * scale)}) {unit}"


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _ratio(one: float, other: float) -> float:
    return one / other if other > 0 else float("inf")


def _rounded(value: float | None) -> float | None:
    return None if value is None or value == float("inf") else float(f"{value:.4g}")


def _samples(samples: Samples | None) -> dict[str, Any]:
    if samples is None:
        return {}
    shown = {"median": samples.median, "minimum": samples.minimum}
    return {key: _rounded(value) for key, value in shown.items()} | {"turns": len(samples.values)}
