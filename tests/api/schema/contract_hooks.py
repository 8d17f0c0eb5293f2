"""Hooks of schemathesis: what is in the database, and what of the API's description stands in words
because OpenAPI can't say it."""

import json
import zlib
from typing import Any

import schemathesis
from schemathesis import GenerationMode

from api.lists.paging import Order, Place, cursor_text
from tests.support.documented import BELUGA_JOB, MILA_JOB, MILA_NODE

KNOWN: dict[str, tuple[Any, ...]] = {
    "job_id": (MILA_JOB["job_id"], MILA_JOB["job_id"], BELUGA_JOB["job_id"]),
    "cluster_name": ("mila", "mila", "beluga"),
    "user": (MILA_JOB["mila_cluster_username"],),
    "username": (MILA_JOB["mila_cluster_username"],),
    "node_name": (MILA_NODE["name"],),
    "name": (MILA_NODE["name"],),
    "partition": (MILA_JOB["partition"],),
    "job_state": ("RUNNING,PENDING",),
    "fields": ("slurm",),
    "ended_since": ("2021-11-14T12:00:00Z",),
    "ended_before": ("2021-11-14T12:00:00-05:00",),
    "update_pairs": ('{"a": 1}',),
    "updates": ('{"a": 1}',),
    "keys": ("a",),
    "gpu_name": ("a100",),
}
"""Values of arguments for which there is something."""
CURSOR = cursor_text(Order(), Place(None, "beluga/"))
MOMENTS = {"ended_since", "ended_before"}
"""Arguments of which not every text of the format is read."""
PAIRS = {"update_pairs", "updates"}
MOSTLY_KNOWN = KNOWN.keys() - PAIRS


@schemathesis.hook
def before_call(_context: Any, case: Any, **_kwargs: Any) -> None:
    """Let valid arguments go together as the rules have it, and mostly name what there is."""
    if case.meta is None or case.meta.generation.mode is GenerationMode.POSITIVE:
        rules = case.operation.definition.raw
        query = dict(case.query or {})
        body = case.body if isinstance(case.body, dict) else {}
        for names in rules.get("x-at-most-one-of", ()):
            _keep_one(query, names)
        if "cursor" in query:  # is nothing to make up, and goes with a limit
            query.pop("sort", None)
            query |= {"cursor": CURSOR, "limit": 1}
        for name in body.keys() & query.keys():
            del query[name]
        for [name, *others] in rules.get("x-at-least-one-of", ()):
            if all(part.get(each) is None for part in (query, body) for each in (name, *others)):
                body.pop(name, None)
                query[name] = KNOWN[name][0]
        for part in (query, body):
            for name in part.keys() & MOSTLY_KNOWN:
                part[name] = part[name] and _chosen([*KNOWN[name], part[name]], part[name])
        query |= {name: KNOWN[name][0] for name in query.keys() & MOMENTS}
        if "user.KEY" in query:
            query["name"] = "a"
        for part in (query, body):
            for name in part.keys() & PAIRS:
                part[name] = _pairs(part[name], in_query=part is query)
        case.query = query


def _keep_one(query: dict[str, Any], names: list[str]) -> None:
    given = {name: query.pop(name) for name in names if name in query}
    if given:
        kept = _chosen(list(given), given)
        query[kept] = given[kept]


def _pairs(value: Any, *, in_query: bool) -> Any:
    """The pairs, or text in their place, as the query and the body have them; JSON stays."""
    if isinstance(value, str):
        return value if _is_object(value) else json.dumps({"text": value})
    return json.dumps(value) if in_query else value


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _chosen(values: list[Any], seed: Any) -> Any:
    """One of the values, the same each time."""
    return values[zlib.crc32(repr(seed).encode("utf-8", "replace")) % len(values)]
