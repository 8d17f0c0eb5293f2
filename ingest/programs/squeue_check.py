"""A second list without free text, against which ids and owners of jobs are held.

``squeue -h -a -t all -o %A:%U`` prints a line ``id:uid`` for every job, and nothing that a user
could choose.  A job that scontrol's text shows and this list lacks, or gives to another user, is
either newer than the list or forged inside the text of the job that stands before it.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from ingest.reading.records import Record, SetAside, Unchanged

MAX_UNLISTED = 1000
"""Jobs that wait for the list to be asked for again; more are set aside at once."""

_LINE = re.compile(r"(\d{1,20}):(\d{1,20})", re.ASCII)

Owners = Mapping[str, str]
"""uid by job id."""


class ListUnreadable(ValueError):
    """squeue printed something else than its list."""


def read_list(output: bytes) -> dict[str, str]:
    """The uid of every job id in squeue's *output*. Raises `ListUnreadable`, naming the line."""
    owners = {}
    for line in output.decode("utf-8", "backslashreplace").split("\n"):
        if not line:
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ListUnreadable(f"expected id:uid, found {line[:80]!r}")
        owners[match[1]] = match[2]
    return owners


def hold_against(
    records: Iterable[Record | SetAside | Unchanged],
    listed: Owners,
    ask_again: Callable[[], Owners],
) -> Iterator[Record | SetAside | Unchanged]:
    """*records* of jobs, those set aside that the list contradicts.

    *listed* is the list as it was before scontrol was asked.  When jobs are missing from it, they
    wait until the end, and *ask_again* gives a newer list to tell new jobs from forged ones.
    """
    waiting: list[tuple[Record, str]] = []
    before = "the first record"
    for record in records:
        if isinstance(record, Unchanged):
            yield record
            continue
        if isinstance(record, SetAside):
            before = f"job {record.ids[0]}" if record.ids else before
            yield record
            continue
        if _is_listed(record, listed):
            yield record
        elif len(waiting) < MAX_UNLISTED:
            waiting.append((record, before))
        else:
            yield _contradicted(record, before)
        before = f"job {record.id}"
    if waiting:
        newer = ask_again()
        for record, before in waiting:
            yield record if _is_listed(record, newer) else _contradicted(record, before)


def _is_listed(record: Record, owners: Owners) -> bool:
    return bool(owners.get(record.id) == record.slurm["uid"])


def _contradicted(record: Record, before: str) -> SetAside:
    reason = f"squeue lists no such job of this user; its record stands behind that of {before}"
    return SetAside(record.text, reason, (record.id,))
