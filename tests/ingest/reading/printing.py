"""Records printed as each release of Slurm prints them, from values that tests choose.

Which keys stand where is drawn from ``tests/ingest/slurm/releases.json``, not from our own table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from ingest.slurm.keys import JOB, KeyTable
from tests.ingest.slurm.releases import RELEASES, Line, lines_of

_TIME = "2026-11-23T20:13:41+0000"

_VALUES = {
    "integer": "1",
    "decimal": "0.50",
    "duration": "00:10:00",
    "owner": "CORP\\jane doe(1105)",
    "verbatim": "train",
    "comment": "a comment",
    "text": "a text",
}


@dataclass(frozen=True)
class Printed:
    """A record as one release prints it."""

    table: KeyTable
    release: str
    lines: tuple[tuple[int, tuple[str, ...]], ...]
    """Indent and keys of each line."""
    values: Mapping[str, str]
    """By key. The lines of a group of nodes all bear the same values."""

    @property
    def keys(self) -> list[str]:
        return [key for _, keys in self.lines for key in keys]

    def with_values(self, values: Mapping[str, str]) -> "Printed":
        return replace(self, values={**self.values, **values})

    def text(self, *, seal: str = "", one_line: bool = False) -> str:
        """The record as scontrol prints it, *seal* behind every time."""
        parts = []
        for indent, keys in self.lines:
            printed = self._line(keys, seal)
            if indent:
                parts.append((" " if one_line else "\n   ") + " " * (indent - 3))
            parts.append(printed)
        return "".join(parts) + self._end(one_line=one_line)

    def _line(self, keys: tuple[str, ...], seal: str) -> str:
        pairs = []
        for key in keys:
            value = self.values[key]
            row = self.table.keys.get(key)
            if row and row.value == "comment" and self.release <= "25.05":
                value += " "
            if value == _TIME:
                value += seal
            pairs.append(f"{key}{self._sign(key)}{value}")
        row = self.table.keys.get(keys[0])
        return self._flag_separator().join(pairs) if row and row.flag else " ".join(pairs)

    def _sign(self, key: str) -> str:
        return ":" if (key, self.release) == ("NtasksPerTRES", "20.11") else "="

    def _flag_separator(self) -> str:
        if self.release < "23.11":
            return ""
        return "," if self.release <= "25.05" else " "

    def _end(self, *, one_line: bool) -> str:
        has_spaces = self.table is JOB and "21.08" <= self.release <= "25.05"
        if one_line:
            return " \n" if has_spaces else "\n"
        return "\n   \n\n" if has_spaces else "\n\n"


def _lines_of(table: KeyTable, release: str) -> list[Line]:
    """All lines but the script, which only ``-dd`` prints."""
    lines = lines_of(table, release)
    return [line for line in lines if line.keys[0][0] != "BatchScript"]


def value_of(table: KeyTable, name: str) -> str:
    """A value such as Slurm prints for the key *name*."""
    key = table.keys[name]
    if name == table.first:
        return "19" if table is JOB else "cn-a001"
    if key.value in {"time", "time_or_unknown"}:
        return _TIME
    if key.flag:
        return "Yes"
    if key.value == "word":
        return "some words (x), a=b" if key.holds == "name" else "word"
    return _VALUES[key.value]


@st.composite
def printed_records(
    draw: st.DrawFn, table: KeyTable, releases: tuple[str, ...] = RELEASES
) -> Printed:
    """Records with any of the keys that a release prints at times."""
    release = draw(st.sampled_from(releases), label="release")
    has_details = draw(st.booleans(), label="with -d")
    lines = []
    for line in _lines_of(table, release):
        if line.condition == "detail" and not has_details:
            continue
        if line.condition == "optional" and not draw(st.booleans()):
            continue
        keys = tuple(name for name, is_always in line.keys if is_always or draw(st.booleans()))
        repeated = draw(st.integers(0, 2)) if line.indent > 3 else 1
        lines += [(line.indent, keys)] * repeated if keys else []
    printed = Printed(table, release, tuple(lines), {})
    wanted = printed.keys
    for name in ("HetJobIdSet", "PackJobIdSet"):
        if name in wanted and name.removesuffix("Set") not in wanted:
            lines.remove((3, (name,)))
    return _filled(replace(printed, lines=tuple(lines)))


def printed_by(table: KeyTable, release: str, *, with_optional: bool) -> Printed:
    """A record with all keys that *release* can print, or with those that it always prints."""
    lines = tuple(
        (line.indent, keys)
        for line in _lines_of(table, release)
        if with_optional or line.condition == "always"
        if (keys := tuple(name for name, is_always in line.keys if with_optional or is_always))
    )
    return _filled(Printed(table, release, lines, {}))


def _filled(printed: Printed) -> Printed:
    values = {name: value_of(printed.table, name) for name in printed.keys}
    if "BatchFlag" in values and "StdOut" not in values:
        values["BatchFlag"] = "0"
    return printed.with_values(values)


_BITS = st.sampled_from(
    [
        *("\n", "\n   ", "\n\n", "   ", " ", "=", "(null)", "N/A"),
        *("JobId=7 JobName=x", "\n\nJobId=7 JobName=x\n   UserId=bob(2)", "UserId=bob(2)"),
        *("\n   JobState=FAILED Reason=x", " QOS=high", "\n   Comment=y"),
        *("\n   StdOut=/z\n   Power=", "\n   FutureKey=1", " FutureKey=1", "\n   StdErr=/e"),
        *("SubmitTime=2021-01-01T00:00:00", "\n   SubmitTime=2021-01-01T00:00:00"),
        *("\x1b[31m", "\r", "\t", "\u2028", "\u00e9", "\U0001d6cc", "\udcff"),
    ]
)
_ANY = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
texts = st.lists(st.one_of(_BITS, _ANY), max_size=6).map("".join)
"""What users can write: any Unicode, newlines, ``=``, keys, parts of records."""

plain_texts = st.text(
    st.characters(exclude_characters="\n\0", exclude_categories=["Cs"]), max_size=30
)
"""What users mostly write: any text of one line."""
