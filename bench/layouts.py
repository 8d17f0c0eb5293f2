"""Read the layout of records from a captured dump, to fill it with other values.

A captured dump shows which lines a release prints, in which order, and which keys share a line.
Put together, its records give one `Layout`, from which a record takes the lines that apply to it.
"""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path

CAPTURED = Path(__file__).parents[1] / "fake_slurm_outputs"

_RECORD = re.compile(r"\n *\n(?=JobId=|NodeName=)")
_PAIR = re.compile(r"([A-Z][A-Za-z0-9_/:]*)=(\S*)")
_WHOLE_LINES = frozenset(
    {
        *("Command", "SubmitLine", "WorkDir", "Comment", "StdErr", "StdIn", "StdOut"),
        *("OS", "Reason", "Extra", "Partitions"),
    }
)
"""Keys whose value runs to the line's end, spaces included, where they open the line."""


@dataclass(frozen=True)
class Layout:
    """The lines of one release's records, each with the key that opens it and places for values."""

    lines: tuple[tuple[str, str], ...]
    end: str
    """What stands behind a record."""

    def record(self, values: Mapping[str, str], left_out: Container[str]) -> str:
        """A record with these *values*, without the lines that the keys *left_out* open.

        Raises KeyError for a place without a value.
        """
        lines = [line for key, line in self.lines if key not in left_out]
        return "\n   ".join(lines) % values + self.end


def read_layout(dump: Path, filled: Container[str]) -> Layout:
    """The layout of the records in *dump*; values of keys that are not *filled* stay as they are.

    What a key opens a second time in one record, or what is no pair, is somebody's text and is
    passed over, and so is a key that stands before one that comes later elsewhere.
    """
    text = dump.read_text("utf-8", errors="replace")
    lines: dict[str, str] = {}
    order: list[str] = []
    for record in _RECORD.split(text.rstrip()):
        place = 0
        for line in record.split("\n"):
            match = _PAIR.match(line.strip())
            if match is None:
                continue
            key = match[1]
            if key not in lines:
                lines[key] = _with_places(line.removeprefix("   "), filled)
                order.insert(place, key)
                place += 1
            elif key in order[place:]:
                place = order.index(key) + 1
    end = "\n   \n\n" if "\n   \n\n" in text else "\n\n"
    return Layout(tuple((key, lines[key]) for key in order), end)


def _with_places(line: str, filled: Container[str]) -> str:
    """*line* as a format whose places bear the names of keys."""
    parts: list[str] = []
    position = 0
    for match in _PAIR.finditer(line):
        if match.start() and line[match.start() - 1] != " ":
            continue
        key = match[1]
        parts.append(line[position : match.start(2)].replace("%", "%%"))
        to_the_end = key == "JobName" or (key in _WHOLE_LINES and match.start() == 0)
        position = len(line) if to_the_end else match.end()
        parts.append(f"%({key})s" if key in filled else line[match.start(2) : position])
        if to_the_end:
            break
    return "".join([*parts, line[position:].replace("%", "%%")])
