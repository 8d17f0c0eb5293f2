"""What each argument of the API means and which values it takes, as JSON Schema and parameters.

An argument means the same wherever it is known, unless `OF_ENDPOINT` has another word on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from api.endpoints import jobs, nodes
from api.endpoints.update_pairs import LONGEST_KEY, MOST_BYTES
from api.http.arguments import MOST_VALUES
from api.http.json_text import MOST_LEVELS
from api.http.request import JSON
from api.lists.fields import JOB_FIELDS, MOST_FIELDS, NODE_FIELDS, Fields, keys_of_cw
from api.lists.listing import Kind
from api.lists.paging import MOST_ON_A_PAGE
from api.schema.documents import Schema, described, reference

_LARGEST = 2**63 - 1
_MOST_SECONDS = 10**18 - 1

WORD: Schema = {"type": "string", "minLength": 1}
_VALUE: Schema = {"type": "string", "pattern": r"^([^\\,]|\\[\\,])+$"}
_SECONDS: Schema = {"type": "integer", "minimum": 0, "maximum": _MOST_SECONDS}


@dataclass(frozen=True)
class Argument:
    """What an argument means, the values it takes in a query, and one that serves as an example."""

    description: str
    schema: Schema
    example: Any = None
    older: bool = False
    """An older name of another argument."""
    as_json: bool = False
    """In a query and in a form its value is JSON."""
    in_json: Schema | None = None
    """The values it takes in a JSON body, where there are others."""


_CLUSTER_NAME = Argument(
    "A cluster's name in the configuration, such as `mila`.",
    WORD,
    "mila",
    in_json={**WORD, "type": ["string", "null"]},
)
_JOB_ID = Argument(
    "The job's id as Slurm has it. `cluster_name` may be left out where only one cluster has it.",
    WORD,
    "233874",
    in_json={**WORD, "type": ["string", "integer"]},
)

ARGUMENTS = {
    "cluster_name": _CLUSTER_NAME,
    "job_id": _JOB_ID,
    "user": Argument("The jobs of the user who bears this name: any of the three.", WORD),
    "username": Argument("An older name of `user`.", WORD, older=True),
    "time": Argument(
        "Jobs that are not finished, and those finished within so many seconds; a job that is gone"
        " counts as finished when it was found gone.",
        _SECONDS,
        3600,
    ),
    "relative_time": Argument("An older name of `time`.", _SECONDS, older=True),
    "node_name": Argument("The node's name as Slurm has it.", WORD, "cn-a002"),
    "name": Argument("The same as `node_name`.", WORD),
    "update_pairs": Argument(
        "The keys to write, each value replacing what is there whole. A key is not empty, does not"
        f" start with `$`, holds no `.` and no NUL, is not `__proto__`, and has {LONGEST_KEY} bytes"
        f" at most, at every depth; {MOST_LEVELS} levels of nesting at most; the whole `user` dict"
        f" has {MOST_BYTES} bytes of BSON at most.",
        reference("UpdatePairs"),
        {"train_loss": 0.2},
        as_json=True,
        in_json={"anyOf": [reference("UpdatePairs"), reference("UpdatePairsText")]},
    ),
}


def _values(description: str, item: Schema, most: int, example: Any = None) -> Argument:
    """An argument that takes several values with commas between them."""
    schema = {"type": "array", "items": item, "minItems": 1, "maxItems": most}
    return Argument(description, schema, example)


def _filter(description: str, example: Any = None) -> Argument:
    words = (
        "; several with commas between them, any of which will do. `\\,` is a comma within a value."
    )
    return _values(description + words, _VALUE, MOST_VALUES, example)


def _fields(fields: Fields, example: list[str]) -> Argument:
    names = [*fields.parts, r"slurm\.[a-z0-9_]{1,64}", rf"cw\.({'|'.join(keys_of_cw(fields))})"]
    if "user" in fields.parts:
        names.append(r"user\.[^$.,\\\u0000][^.,\\\u0000]{0,254}")
    return _values(
        "What to answer of each document: whole parts, or keys of them with a dot before the key."
        " A key that a document lacks is not there. `cw.history` comes only when it is asked for.",
        {"type": "string", "pattern": f"^({'|'.join(names)})$"},
        MOST_FIELDS,
        example,
    )


def _sort(kind: Kind, words: str) -> Argument:
    keys = [sign + key for key in kind.sort_keys for sign in ("", "-")]
    return Argument(
        f"The order; with a minus, the greatest first. {words}", {"enum": keys}, keys[-1]
    )


_STATE = "as Slurm prints it, or one word of it, in capitals or not"
ARGUMENTS |= {
    "array_job_id": _values(
        "The tasks of a job array, by the array's id; several with commas between them.",
        {"type": "integer", "minimum": 0, "maximum": _MOST_SECONDS},
        MOST_VALUES,
    ),
    "node": _filter("Jobs that run, or ran, on this node"),
    "job_state": _filter(f"Jobs in this state, {_STATE}", ["RUNNING", "PENDING"]),
    "account": _filter("Jobs of this account"),
    "state": _filter(
        f"Nodes in this state, {_STATE}, without signs such as `*`", ["DOWN", "DRAIN"]
    ),
    "feature": _filter("Nodes that have this feature available"),
    "limit": Argument(
        'At most so many. Where there are more, `Link: <...>; rel="next"` is the address of the'
        " next page.",
        {"type": "integer", "minimum": 1, "maximum": MOST_ON_A_PAGE},
        100,
    ),
    "cursor": Argument(
        "Where a page begins: a part of the address in a `Link`, and nothing to make up. It goes"
        " with `limit` and with the `sort` of the page that it comes from.",
        {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"},
    ),
    "format": Argument("`ndjson`: a document in each line.", {"enum": ["json", "ndjson"]}, "json"),
    "count": Argument(
        "Only how many there are. Not together with what says how a list is written.",
        {"type": "boolean"},
        False,
    ),
}
OF_ENDPOINT = {
    ("jobs/list", "name"): _filter("Jobs of this name"),
    ("jobs/list", "partition"): _filter("Jobs of this partition, or that wait for it"),
    ("jobs/list", "fields"): _fields(JOB_FIELDS, ["slurm.job_id", "slurm.job_state"]),
    ("jobs/list", "sort"): _sort(
        jobs.JOBS,
        "Jobs without a known submit time come before all others, unfinished jobs after the"
        " finished ones.",
    ),
    ("nodes/list", "name"): _filter("Nodes of this name"),
    ("nodes/list", "partition"): _filter("Nodes of this partition"),
    ("nodes/list", "fields"): _fields(NODE_FIELDS, ["slurm.name", "slurm.state"]),
    ("nodes/list", "sort"): _sort(nodes.NODES, "By name."),
}
"""Arguments that mean something else at one endpoint, by its path and their name."""

SCHEMAS: Schema = {
    "UpdatePairs": {
        "type": "object",
        "propertyNames": reference("UserKey"),
        "additionalProperties": reference("UserValue"),
    },
    "UpdatePairsText": {
        "description": "The JSON of an object.",
        "type": "string",
        "contentMediaType": JSON,
        "contentSchema": reference("UpdatePairs"),
    },
    "UserKey": {
        "type": "string",
        "minLength": 1,
        "maxLength": LONGEST_KEY,
        "pattern": r"^[^$.\u0000][^.\u0000]*$",
        "not": {"const": "__proto__"},
    },
    "UserValue": {
        "description": "Any JSON; integers fit 64 bits.",
        "anyOf": [
            {"type": ["string", "boolean", "null"]},
            {"type": "integer", "minimum": -_LARGEST - 1, "maximum": _LARGEST},
            {"type": "number", "not": {"type": "integer"}},
            {"type": "array", "items": reference("UserValue")},
            reference("UpdatePairs"),
        ],
    },
}
"""Schemas that the arguments refer to, by their names."""


def argument(path: str, name: str) -> Argument:
    """The argument *name* of the endpoint at *path*. Raises KeyError for one that is not here."""
    return OF_ENDPOINT.get((path, name)) or ARGUMENTS[name]


def parameter(path: str, name: str, *, required: bool) -> Schema:
    """The argument as a parameter in a query."""
    known = argument(path, name)
    found: Schema = {"name": name, "in": "query", "description": known.description}
    if required:
        found["required"] = True
    if known.older:
        found["deprecated"] = True
    if known.schema.get("type") == "array":
        found |= {"style": "form", "explode": False}
    value: Schema = {"schema": known.schema}
    if known.example is not None:
        value["example"] = known.example
    return found | ({"content": {JSON: value}} if known.as_json else value)


def json_body(path: str, names: Sequence[str]) -> Schema:
    """A JSON object with the arguments as its keys."""
    return _object(
        {
            name: described(_of_json(argument(path, name)), argument(path, name).description)
            for name in names
        }
    )


def form(path: str, names: Sequence[str]) -> Schema:
    """A form with the arguments as its fields, which are all text."""
    return _object(
        {
            name: described(_of_text(argument(path, name)), argument(path, name).description)
            for name in names
        }
    )


def _object(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _of_json(known: Argument) -> Schema:
    return known.in_json or known.schema


def _of_text(known: Argument) -> Schema:
    return reference("UpdatePairsText") if known.as_json else known.schema
