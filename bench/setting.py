"""Hold what all measurements of a run share: sizes, database and folder."""

from dataclasses import dataclass
from pathlib import Path

from bench.databases import Databases
from bench.sizes import Sizes


@dataclass(frozen=True)
class Setting:
    """The sizes, the database and the folder of a run."""

    sizes: Sizes
    databases: Databases
    folder: Path
    """Temporary, and open to every Unix user: sshd's sessions read dumps in it."""
