"""Where a run measures: its sizes, its database, its folder."""

from dataclasses import dataclass
from pathlib import Path

from bench.databases import Databases
from bench.sizes import Sizes


@dataclass(frozen=True)
class Setting:
    """What every measurement is given."""

    sizes: Sizes
    databases: Databases
    folder: Path
    """Temporary, and open to every Unix user: sshd's sessions read dumps in it."""
