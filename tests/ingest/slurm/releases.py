"""What each release of Slurm prints, by ``releases.json``, which names the facts' source."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ingest.slurm.keys import KeyTable

_FACTS = json.loads(Path(__file__).with_name("releases.json").read_text(encoding="utf-8"))
RELEASES: tuple[str, ...] = tuple(_FACTS["job"])


class Line(NamedTuple):
    """A line that a release can print."""

    keys: tuple[tuple[str, bool], ...]
    """The keys in their order, and whether each is always there when the line is."""
    condition: str
    """When the line is there: ``always``, ``optional``, or ``detail`` for ``-d``."""
    indent: int

    def openers(self) -> Iterator[str]:
        """The keys that can open the line."""
        for name, is_always in self.keys:
            yield name
            if is_always:
                return

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Keys of which the second can stand straight behind the first."""
        for number, (name, _) in enumerate(self.keys):
            for other, is_always in self.keys[number + 1 :]:
                yield name, other
                if is_always:
                    break


def lines_of(table: KeyTable, release: str) -> list[Line]:
    """The lines that *release* can print, in their order."""
    return [
        Line(
            tuple((name, when == "always") for name, when in line["keys"]),
            line["cond"],
            line["indent"],
        )
        for line in _FACTS[table.kind][release]
    ]


def names_of(table: KeyTable, release: str) -> list[str]:
    """The keys that *release* can print, in their order."""
    return [name for line in lines_of(table, release) for name, _ in line.keys]
