"""Which parts of a document an answer holds: all that the API shows, or the ``fields`` asked for.

A field is a part, ``slurm``, or one key of a part, ``slurm.job_id``.  What keys ``slurm`` and
``user`` have is for Slurm and the owner to say: a key that a document lacks is left out of it.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from api.endpoints.update_pairs import LONGEST_KEY
from api.http.problems import bad_request

Document = dict[str, Any]

MOST_FIELDS = 50

_SLURM_KEY = re.compile(r"[a-z0-9_]{1,64}")
_CW_KEYS = {
    "job": (
        *("cc_account_username", "mila_cluster_username", "mila_email_username"),
        *("first_seen", "last_changed", "finished_at", "vanished", "accounting"),
    ),
    "node": ("first_seen", "last_changed", "vanished"),
}


@dataclass(frozen=True)
class Fields:
    """What to fetch of a document and to show of it; *paths* is None for all."""

    parts: tuple[str, ...]
    paths: tuple[tuple[str, str | None], ...] | None = None
    left_out: tuple[str, ...] = ("filters", "history")
    """Keys of ``cw`` that are not shown with all the others; ``filters`` never is."""

    def projection(self, also: str | None = None) -> Document | None:
        """What Mongo is asked for: the fields, and the value at the path *also*; None for all.

        Of a whole document `shown` drops what does not leave the API: little, and a database
        written in Python takes longer to leave it out than to send it.
        """
        if self.paths is None:
            return None
        wanted = {part if key is None else f"{part}.{key}": 1 for part, key in self.paths}
        if also is None or also.partition(".")[0] in wanted:
            return wanted
        return wanted | {also: 1}

    def shown(self, document: Document) -> Document:
        """The fields of a document that Mongo gave for them; a part that is not there is empty."""
        if self.paths is None:
            shown = {part: document.get(part, {}) for part in self.parts}
            for left_out in self.left_out:
                shown["cw"].pop(left_out, None)
            return shown
        shown = {}
        for part, key in self.paths:
            found = document.get(part, {})
            if key is None:
                shown[part] = found
            else:
                kept = shown.setdefault(part, {})
                if key in found:
                    kept[key] = found[key]
        return shown


JOB_FIELDS = Fields(("slurm", "cw", "user"))
NODE_FIELDS = Fields(("slurm", "cw"))
FORMER_JOB_FIELDS = Fields(JOB_FIELDS.parts, left_out=("filters",))


def keys_of_cw(every: Fields) -> tuple[str, ...]:
    """The keys of ``cw`` that can be asked for one by one."""
    return (*_CW_KEYS["job"], "history") if "user" in every.parts else _CW_KEYS["node"]


def read_fields(names: Sequence[str] | None, every: Fields) -> Fields:
    """The fields of these names among *every* one. Raises Problem 400 for one that is none."""
    if names is None:
        return every
    if len(names) > MOST_FIELDS:
        raise bad_request(f"fields names {len(names)} fields; at most {MOST_FIELDS} are read")
    paths: dict[tuple[str, str | None], None] = {}
    for name in names:
        paths |= dict.fromkeys(_paths(name, every))
    whole = {part for part, key in paths if key is None}
    kept = tuple(path for path in paths if path[1] is None or path[0] not in whole)
    return Fields(every.parts, kept)


def _paths(name: str, every: Fields) -> Iterable[tuple[str, str | None]]:
    part, dot, key = name.partition(".")
    cw_keys = _CW_KEYS["job" if "user" in every.parts else "node"]
    if part in every.parts and not dot:
        # Of cw, what a list shows: Mongo takes what to fetch or what to leave out, and not both.
        return [(part, each) for each in cw_keys] if part == "cw" else [(part, None)]
    if part not in every.parts or not _is_key(part, key, cw_keys):
        raise bad_request(
            f"{name[:64]!r} is no field: expected {', '.join(every.parts)}, or one key of these"
            " such as slurm.cluster_name; the keys of cw are " + ", ".join(cw_keys)
        )
    return [(part, key)]


def _is_key(part: str, key: str, cw_keys: Sequence[str]) -> bool:
    if part == "cw":
        return key in cw_keys or (key == "history" and "finished_at" in cw_keys)
    if part == "slurm":
        return _SLURM_KEY.fullmatch(key) is not None
    written = 0 < len(key.encode()) <= LONGEST_KEY
    return written and not key.startswith("$") and "." not in key and "\0" not in key
