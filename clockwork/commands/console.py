"""What the commands write for people, and the error of a command that does not fit."""

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime

from config import OperatorError
from scraper.ssh.errors import printable


class CommandError(OperatorError):
    """The command does not fit the configuration, or the other way round; for the operator."""


def say(text: str) -> None:
    """Write a line for people to standard error."""
    sys.stderr.write(printable(text) + "\n")


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print *headings* and *rows* to standard output, with tabs between the cells."""
    for row in (headings, *rows):
        print_row(row)


def print_row(row: Iterable[str]) -> None:
    """Print *row* to standard output, with tabs between the cells."""
    sys.stdout.write("\t".join(printable(cell) for cell in row) + "\n")


def moment_text(time: datetime | None) -> str:
    """Return a moment in UTC to the second; ``-`` where there was none."""
    return "-" if time is None else time.strftime("%Y-%m-%dT%H:%M:%SZ")
