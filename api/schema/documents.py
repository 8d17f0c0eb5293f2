"""The documents that the API answers, as JSON Schema (2020-12, as OpenAPI 3.1 has it).

What scontrol prints is typed as `ingest.reading.documents` reads it, so that this can't say
otherwise. Objects may hold more keys than are named here: new versions of Slurm print new ones.
"""

from typing import Any

from api.stats.sums import TRES_SUMS
from ingest.reading.documents import typed_keys
from ingest.slurm.grammar import JOB, NODE, Grammar

Schema = dict[str, Any]

_TYPE_NAMES = {str: "string", int: "integer", float: "number", type(None): "null"}


def reference(name: str) -> Schema:
    """A reference to one of `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def listed(name: str) -> Schema:
    """A list of one of `SCHEMAS`."""
    return {"type": "array", "items": reference(name)}


def described(schema: Schema, description: str) -> Schema:
    """The schema with a word on what it is for."""
    return {**schema, "description": description}


def nullable(schema: Schema) -> Schema:
    """The schema, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


TEXT: Schema = {"type": "string"}
TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
MOMENT: Schema = {"type": "string", "format": "date-time"}
COUNT: Schema = {"type": "integer", "minimum": 0}
SECONDS: Schema = {"type": "number", "minimum": 0}
COUNTS: Schema = {"type": "object", "additionalProperties": COUNT}
UP: Schema = {"type": ["boolean", "null"]}

_SLURM_MOMENT: Schema = {"anyOf": [MOMENT, {"const": "Unknown"}]}


def _object(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _whole(part: str, required: dict[str, tuple[str, ...]]) -> Schema:
    """What *part* describes, with all that is there when nobody asked for less."""
    keys = {name: {"required": list(names)} for name, names in required.items()}
    return {"allOf": [reference(part), {"properties": keys, "required": list(required)}]}


def _slurm(grammar: Grammar, words: Schema) -> Schema:
    """The ``slurm`` dict: every key that scontrol is known to print, *words* in place of some."""
    properties: Schema = {}
    for name, (key, types) in typed_keys(grammar).items():
        names = sorted(_TYPE_NAMES[each] for each in types)
        properties[name] = {
            "type": names[0] if len(names) == 1 else names,
            "description": f"{key} of scontrol show {grammar.kind}.",
        }
    return {
        "type": "object",
        "description": "What Slurm said. A key that scontrol did not print is not there.",
        "properties": {**properties, **words},
        "additionalProperties": True,
    }


_CLUSTER_NAME = described(TEXT, "The cluster's name in the configuration.")
_JOB_SLURM = _slurm(
    JOB,
    {
        "job_id": described(TEXT, "JobId."),
        "mila_cluster_username": described(TEXT, "UserId's name; on some clusters."),
        "cc_account_username": described(TEXT, "UserId's name; on the other clusters."),
        "uid": described(TEXT, "UserId's number."),
        "time_limit": described(
            {"type": ["integer", "null"]},
            "TimeLimit in seconds; null for UNLIMITED and other words.",
        ),
        "submit_time": described(_SLURM_MOMENT, "SubmitTime, with the cluster's offset."),
        "start_time": described(_SLURM_MOMENT, "StartTime; a forecast for a pending job."),
        "end_time": described(_SLURM_MOMENT, "EndTime; start and limit for a running job."),
        "resv_name": described(TEXT, "Reservation; only where the job has one."),
        "cluster_name": _CLUSTER_NAME,
        "alloc_groups": described(
            {"type": "array", "items": {"type": "object"}},
            "Groups of nodes that hold the same of the job, where scontrol prints them.",
        ),
    },
)
_NODE_SLURM = _slurm(
    NODE,
    {
        "name": described(TEXT, "NodeName."),
        "memory": described(TEXT_OR_NULL, "RealMemory, MiB."),
        "cluster_name": _CLUSTER_NAME,
    },
)

_STEP = _object({"state": TEXT_OR_NULL, "seen": MOMENT})
_ACCOUNTING = described(
    _object(dict.fromkeys(("job_state", "exit_code", "start_time", "end_time"), TEXT_OR_NULL)),
    "What sacct says of the end of a job that vanished unseen, where that was asked.",
)
_SEEN: Schema = {
    "first_seen": described(MOMENT, "When a scrape first showed it."),
    "last_changed": described(MOMENT, "When a scrape last showed a change."),
    "vanished": described(MOMENT, "When a whole scrape first lacked it; only then there."),
}
_OWNER = ("cc_account_username", "mila_cluster_username", "mila_email_username")
_JOB_CW: Schema = {
    "type": "object",
    "description": "What the service knows.",
    "properties": {
        **{name: described(TEXT_OR_NULL, "Of the job's owner.") for name in _OWNER},
        **_SEEN,
        "finished_at": described(
            nullable(MOMENT), "When it ended, or was found gone; null before that."
        ),
        "accounting": _ACCOUNTING,
        "history": {"type": "array", "items": _STEP},
    },
}
_NODE_CW: Schema = {
    "type": "object",
    "description": "What the service knows.",
    "properties": _SEEN,
}

_ROUNDS = described(
    _object(
        {
            "up": described(UP, "As clockwork_up of /metrics; null: not configured here."),
            "last_attempt": nullable(MOMENT),
            "last_success": nullable(MOMENT),
            "age": described(nullable(SECONDS), "Seconds since the last success."),
            "last_error": described(
                nullable(_object({"at": MOMENT, "error": TEXT})),
                "The last round that failed, which later ones that went well may have followed.",
            ),
        }
    ),
    "How the rounds of one kind go.",
)

SCHEMAS: Schema = {
    "JobPart": {
        "type": "object",
        "description": "A job, or of it what `fields` asked for.",
        "properties": {"slurm": _JOB_SLURM, "cw": _JOB_CW, "user": reference("UserDict")},
    },
    "NodePart": {
        "type": "object",
        "description": "A node, or of it what `fields` asked for.",
        "properties": {"slurm": _NODE_SLURM, "cw": _NODE_CW},
    },
    "Job": _whole("JobPart", {"slurm": ("job_id", "cluster_name"), "cw": _OWNER, "user": ()}),
    "Node": _whole("NodePart", {"slurm": ("name", "cluster_name"), "cw": ()}),
    "Count": _object({"count": COUNT}),
    "Nothing": {
        "type": "object",
        "maxProperties": 0,
        "description": "The empty object: there is none.",
    },
    "UserDict": {
        "type": "object",
        "description": "What the job's owner wrote.",
        "additionalProperties": True,
    },
    "Cluster": _object(
        {
            "name": _CLUSTER_NAME,
            "configured": described(
                {"type": "boolean"}, "Whether this service's configuration names it."
            ),
            "up": described(UP, "Both kinds of rounds go well; null: not configured here."),
            "rounds": _object({"jobs": reference("Rounds"), "nodes": reference("Rounds")}),
            "unfinished_jobs": described(
                COUNTS, "By job_state, of the jobs that the user may see."
            ),
            "partitions": described(
                {"type": "object", "additionalProperties": COUNTS},
                "The same jobs by partition and job_state; one that waits for several is in each.",
            ),
            "nodes": described(COUNTS, "By state, without those that are gone."),
            "tres": described(
                _object(dict.fromkeys(TRES_SUMS, COUNT)),
                "What these nodes have, and what of it is allocated; without those whose TRES"
                " can't be read.",
            ),
        }
    ),
    "Rounds": _ROUNDS,
    "History": _object(
        {
            "job_id": TEXT,
            "cluster_name": _CLUSTER_NAME,
            "first_seen": nullable(MOMENT),
            "finished_at": nullable(MOMENT),
            "vanished": nullable(MOMENT),
            "history": described(
                {"type": "array", "items": _STEP},
                "The newest 20 states, oldest first, each with when a scrape first showed it.",
            ),
            "accounting": nullable(_ACCOUNTING),
            "former_jobs": described(
                listed("Job"), "The newest 20 jobs that had this id before, newest first."
            ),
        }
    ),
    "Alive": _object({"status": {"const": "alive"}}),
    "Ready": _object(
        {
            "status": {"const": "ready"},
            "clusters": described(
                {
                    "type": "object",
                    "additionalProperties": _object(
                        {"jobs": nullable(SECONDS), "nodes": nullable(SECONDS)}
                    ),
                },
                "Seconds since the last success, by configured cluster and kind; null: never.",
            ),
        }
    ),
    "Problem": described(
        _object(
            {
                "type": {"type": "string", "format": "uri-reference"},
                "title": described(TEXT, "The status in HTTP's words."),
                "status": {"type": "integer", "minimum": 400, "maximum": 599},
                "detail": described(TEXT, "What is wrong with this request and what to do."),
            }
        ),
        "An error (RFC 9457).",
    ),
}
"""The schemas by the names under which others refer to them."""
