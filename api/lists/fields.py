"""Choose which parts of a document a response holds: everything, or the ``fields`` asked for.

A field is a part, ``slurm``, or one key of a part, ``slurm.job_id``.  Slurm decides which keys
``slurm`` has, and the owner which keys ``user`` has: a key that a document lacks is left out.

Some keys of ``cw`` are in no document, and are made of other keys when they are asked for:
``cw.owner`` is the name that Slurm gave, under one key whatever the ``username_field`` of the job's
cluster.  ``cw.why`` and ``cw.why_fr`` say in words why the job waits.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from api.schema.arguments import Reads, several
from ingest.accounts.users import USERNAME_FIELDS
from ingest.database.search_fields import printed_owner
from ingest.database.store import Document
from ingest.documents.fingerprints import VOLATILE
from ingest.reasons import why

MOST_FIELDS = 50
LONGEST_KEY = 1024
"""Bytes of UTF-8 in a key of a user dict."""

_SLURM_KEY = re.compile(r"[a-z0-9_]{1,64}")
_FIELDS_WORDS = (
    "What to return of each document: whole parts, or keys of them with a dot before the key."
    " A key that a document lacks is not there. Some keys of `cw` come only when they are asked"
    " for: `cw.history`; `cw.owner`, the name that Slurm gives for the user, on every cluster;"
    " and `cw.why` and `cw.why_fr`, why the job waits, in English and in French."
)


def _owner(slurm: Document) -> str | None:
    _, name = printed_owner(slurm) or ("", None)
    return name


def _why(slurm: Document, language: str = "en") -> str | None:
    explanation = why(slurm, language)
    return explanation and explanation.sentence


_WHY_KEYS = ("job_state", "reason")
_MADE: dict[str, tuple[Sequence[str], Callable[[Document], str | None]]] = {
    "owner": (USERNAME_FIELDS, _owner),
    "why": (_WHY_KEYS, _why),
    "why_fr": (_WHY_KEYS, lambda slurm: _why(slurm, "fr")),
}
"""Keys of ``cw`` that are in no document: the keys of ``slurm`` of which each is made, and how."""


@dataclass(frozen=True)
class Fields:
    """What to fetch of a document and to show; *paths* is None for everything."""

    parts: tuple[str, ...]
    cw_keys: tuple[str, ...]
    """The keys of ``cw`` that are shown."""
    cw_keys_on_request: tuple[str, ...] = ()
    """The keys of ``cw`` that are shown only where they are asked for by name."""
    paths: tuple[tuple[str, str | None], ...] | None = None

    @property
    def shows_volatile_values(self) -> bool:
        """Whether values of `ingest.documents.volatile_values` are among the fields."""
        return self.paths is None or any(
            part == "slurm" and (key is None or key in VOLATILE) for part, key in self.paths
        )

    def projection(self, also: str | None = None) -> Document | None:
        """Return what Mongo is asked for: the fields, and the value at the path *also*.

        None asks for everything (`ingest.database.embedded_quirks` says why); `shown` drops what
        does not leave the API.
        """
        if self.paths is None:
            return None
        made = {key for part, key in self.paths if part == "cw" and key in _MADE}
        paths = {*self.paths} - {("cw", key) for key in made}
        if ("slurm", None) not in paths:
            paths |= {("slurm", field) for key in made for field in _MADE[key][0]}
        wanted = {part if key is None else f"{part}.{key}": 1 for part, key in paths}
        if self.shows_volatile_values:
            wanted |= dict.fromkeys(("cw.last_changed", "cw.finished_at", "cw.vanished"), 1)
        if also is None or also.partition(".")[0] in wanted:
            return wanted
        return wanted | {also: 1}

    def shown(self, document: Document) -> Document:
        """Return the fields of a document that Mongo gave; a part that is missing is empty."""
        if self.paths is None:
            shown = {part: document.get(part, {}) for part in self.parts}
            for hidden in ("filters", *self.cw_keys_on_request):
                shown["cw"].pop(hidden, None)
            return shown
        shown = {}
        for part, key in self.paths:
            found = document.get(part, {})
            if key is None:
                shown[part] = found
            else:
                keys = shown.setdefault(part, {})
                if part == "cw" and key in _MADE:
                    keys[key] = _MADE[key][1](document.get("slurm", {}))
                elif key in found:
                    keys[key] = found[key]
        return shown


JOB_FIELDS = Fields(
    ("slurm", "cw", "user"),
    cw_keys=(
        *("cc_account_username", "mila_cluster_username", "mila_email_username"),
        *("username", "first_seen", "last_changed", "finished_at", "vanished"),
        *("accounting", "source", "usage"),
    ),
    cw_keys_on_request=("history", *_MADE),
)
NODE_FIELDS = Fields(("slurm", "cw"), cw_keys=("first_seen", "last_changed", "vanished"))
FORMER_JOB_FIELDS = Fields(JOB_FIELDS.parts, JOB_FIELDS.cw_keys)


def fields_argument(every: Fields, example: Sequence[str]) -> Any:
    """Return the type of the argument ``fields`` of a list of documents with *every* field."""
    cw_keys = "|".join((*every.cw_keys, *every.cw_keys_on_request))
    names = [*every.parts, r"slurm\.[a-z0-9_]{1,64}", rf"cw\.({cw_keys})"]
    if "user" in every.parts:
        names.append(r"user\.[^$.,\\\u0000][^.,\\\u0000]{0,254}")
    name = Reads({"type": "string", "pattern": f"^({'|'.join(names)})$"})
    listed = several(name, MOST_FIELDS)
    reads = Reads(listed.schema, lambda text: read_fields(listed.read(text), every))
    return Annotated[Any, reads, Field(description=_FIELDS_WORDS, examples=[list(example)])]


def read_fields(names: Sequence[str], every: Fields) -> Fields:
    """Return the fields of these names. Raises ValueError for a name that is no field."""
    paths: dict[tuple[str, str | None], None] = {}
    for name in names:
        paths |= dict.fromkeys(_paths(name, every))
    whole = {part for part, key in paths if key is None}
    needed = tuple(path for path in paths if path[1] is None or path[0] not in whole)
    return Fields(every.parts, every.cw_keys, paths=needed)


def _paths(name: str, every: Fields) -> Iterable[tuple[str, str | None]]:
    part, dot, key = name.partition(".")
    if part in every.parts and not dot:
        # Of cw, what a list shows: Mongo takes what to fetch or what to leave out, and not both.
        return [(part, each) for each in every.cw_keys] if part == "cw" else [(part, None)]
    if part not in every.parts or not _is_key(part, key, every):
        raise ValueError(
            f"names {name[:64]!r}, which is no field: expected {', '.join(every.parts)}, or one key"
            f" of these such as slurm.cluster_name; the keys of cw are {', '.join(every.cw_keys)}"
        )
    return [(part, key)]


def check_user_key(key: str) -> str:
    """Return *key* if it can be a key of a user dict. Raises ValueError otherwise."""
    if not is_user_key(key):
        raise ValueError("names no key: a key is not empty, begins with no $ and holds no dot")
    return key


def is_user_key(key: str) -> bool:
    """Return whether *key* can be a key of a user dict."""
    written = 0 < len(key.encode()) <= LONGEST_KEY
    return written and not key.startswith("$") and "." not in key and "\0" not in key


def _is_key(part: str, key: str, every: Fields) -> bool:
    if part == "cw":
        return key in (*every.cw_keys, *every.cw_keys_on_request)
    if part == "slurm":
        return _SLURM_KEY.fullmatch(key) is not None
    return is_user_key(key)
