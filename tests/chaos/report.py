"""Hold the results of an experiment, and write them as text for docs/chaos.md."""

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass
class Section:
    """One experiment. ``problems`` is empty when every promise held."""

    title: str
    what: str
    """What was done, in sentences."""
    figures: list[tuple[str, str]] = field(default_factory=list)
    tables: list[list[Sequence[str]]] = field(default_factory=list)
    """Each with its heading as the first row."""
    problems: list[str] = field(default_factory=list)

    def figure(self, name: str, value: object) -> None:
        """Add a figure."""
        self.figures.append((name, str(value)))

    def value(self, name: str) -> str:
        """The value of the figure *name*. Raises KeyError if there is none."""
        return dict(self.figures)[name]

    def markdown(self) -> str:
        """Return the section of the report in Markdown."""
        parts = [f"## {self.title}", self.what]
        if self.figures:
            parts.append(_table([("figure", "value"), *self.figures]))
        parts += [_table(rows) for rows in self.tables]
        parts += [f"**Broken:** {problem}" for problem in self.problems]
        return "\n\n".join(parts) + "\n"


def document(sections: Iterable[Section], seed: int) -> str:
    """Return the whole report, for docs/chaos.md."""
    machine = (
        f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} processors"
    )
    head = (
        "# What was tried to break Clockwork\n\n"
        f"`make chaos` wrote this page (seed {seed}; {machine}). The times are those of this "
        "machine, which also did other work. Each section is from the newest run of its part. The "
        "parts can be run one by one: `.venv/bin/python -m tests.chaos --help`. `make test` runs a "
        "short form of each part.\n"
    )
    return "\n".join([head, *(section.markdown() for section in sections)])


def spread(values: Sequence[float], unit: str = "s") -> str:
    """Return median and largest of *values* as text."""
    if not values:
        return "none"
    return f"median {median(values):.1f} {unit}, longest {max(values):.1f} {unit}"


def _table(rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    lines.insert(1, "|" + " --- |" * lines[0].count(" | ") + " --- |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
