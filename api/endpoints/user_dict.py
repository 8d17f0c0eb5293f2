"""``jobs/user_dict_update`` and ``jobs/user_props``: a job's owner changes the job's ``user`` dict.

The conditions, who owns the job and how large its dict becomes, stand inside the one write that
merges or removes.  So nothing can come between a check and the write, and writes of different keys
never lose each other.  Where the write changed nothing, the job is read in the same transaction,
only to say why.
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

import bson
from pydantic import Field
from pymongo.client_session import ClientSession

from api.endpoints.jobs import found_job
from api.http.json_text import MOST_LEVELS, json_response, read_json
from api.http.problems import Problem, bad_request
from api.http.request import JSON, Response
from api.lists import queries
from api.lists.fields import LONGEST_KEY
from api.lists.single import is_plain
from api.schema.arguments import MOST_VALUES, TEXTS, JobArguments, Reads, Schema
from api.schema.documents import UserDict
from api.schema.endpoint import SEVERAL, Context, Gets, endpoint
from ingest.accounts.users import User
from ingest.database.change_tokens import replace_token, user_dict_token
from ingest.database.changes import Changed
from ingest.database.embedded_quirks import all_of
from ingest.database.transactions import in_transaction

MOST_BYTES = 64 << 10
"""Bytes of BSON in a job's whole user dict."""

Pairs = dict[str, Any]

_LARGEST = 2**63 - 1


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


SCHEMAS: Schema = {
    "UpdatePairs": {
        "type": "object",
        "propertyNames": _reference("UserKey"),
        "additionalProperties": _reference("UserValue"),
    },
    "UpdatePairsText": {
        "description": "The JSON of an object.",
        "type": "string",
        "contentMediaType": JSON,
        "contentSchema": _reference("UpdatePairs"),
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
            {"type": "array", "items": _reference("UserValue")},
            _reference("UpdatePairs"),
        ],
    },
}
"""The schemas of what may be written, by their names."""


def checked_pairs(value: Any) -> Pairs:
    """Return the pairs of *value*: a JSON object, or the text of one.

    Keys are checked at every depth.  Raises ValueError, naming the key and what is wrong.
    """
    if isinstance(value, str):
        value = read_json(value, "as text")
    if not isinstance(value, dict):
        raise ValueError(  # noqa: TRY004 - pydantic takes ValueError
            "must be a JSON object, or a string that encodes one"
        )
    _check_keys(value)
    if len(bson.encode(value)) > MOST_BYTES:
        raise ValueError(_too_large("has"))
    return value


def _too_large(what: str) -> str:
    return f"{what} more than {MOST_BYTES} bytes of BSON, the limit of a user dict"


def _check_keys(value: dict[str, Any] | list[Any]) -> None:
    if isinstance(value, dict):
        for key in value:
            _check_key(key)
    for member in value.values() if isinstance(value, dict) else value:
        if isinstance(member, dict | list):  # no deeper than `read_json` allows
            _check_keys(member)


def _check_key(key: str) -> None:
    if not key or key.startswith("$") or "." in key or "\0" in key or key == "__proto__":
        raise ValueError(
            f"has the key {key[:64]!r}, which is refused: a key is not empty, does not start with"
            " '$', holds no '.' and no NUL, and is not __proto__"
        )
    if len(key.encode()) > LONGEST_KEY:
        raise ValueError(f"has the key {key[:64]!r}..., which is longer than {LONGEST_KEY} bytes")


_PAIRS = Reads(
    _reference("UpdatePairs"),
    checked_pairs,
    in_json={"anyOf": [_reference("UpdatePairs"), _reference("UpdatePairsText")]},
    in_form=_reference("UpdatePairsText"),
)
_PAIRS_FIELD = Field(
    description="The keys to write, each value replacing what is there whole. A key is not"
    " empty, does not start with `$`, holds no `.` and no NUL, is not `__proto__`, and has"
    f" {LONGEST_KEY} bytes at most, at every depth; {MOST_LEVELS} levels of nesting at"
    f" most; the whole `user` dict has {MOST_BYTES} bytes of BSON at most.",
    examples=[{"train_loss": 0.2}],
)


@dataclass(frozen=True)
class _ReadsKeys(Reads):
    """Reads keys: a text with commas between the keys, or a JSON list of keys."""

    @property
    def is_json(self) -> bool:
        """Not in a query and a form."""
        return False

    def _checked(self, value: Any) -> list[str]:
        if isinstance(value, str):
            return list(super()._checked(value))
        if not isinstance(value, list) or not all(isinstance(key, str) for key in value):
            raise ValueError("must be a string, or a list of strings")
        if len(value) > MOST_VALUES:
            raise ValueError(f"has {len(value)} keys; at most {MOST_VALUES} are read")
        return list(dict.fromkeys(value))


_KEYS_TEXT: Schema = {
    "type": "string",
    "pattern": r"^([^\\,]|\\[\\,])+(,([^\\,]|\\[\\,])+){0,99}$",
}
_KEYS_LIST: Schema = {"type": "array", "items": {"type": "string"}, "maxItems": MOST_VALUES}


class UpdateArguments(JobArguments):
    """A job, and what to write into its user dict."""

    update_pairs: Annotated[Any, _PAIRS, _PAIRS_FIELD]


class SetArguments(JobArguments):
    """A job, and what to write into its user dict, under the name of existing clients."""

    updates: Annotated[Any, _PAIRS, _PAIRS_FIELD]


class DeleteArguments(JobArguments):
    """A job, and which keys to remove from its user dict."""

    keys: Annotated[
        Any,
        _ReadsKeys(
            TEXTS.schema,
            TEXTS.read,
            in_json={"anyOf": [_KEYS_LIST, _KEYS_TEXT]},
            in_form=_KEYS_TEXT,
        ),
        Field(
            description="The keys to remove, with commas between them. `\\,` is a comma within a"
            " key. In JSON a list of keys too. A key that is not there is no error.",
            examples=[["train_loss"]],
        ),
    ]


_REFUSALS = {
    HTTPStatus.FORBIDDEN: "The job is not yours, or your account may not write.",
    HTTPStatus.NOT_FOUND: "There is no such job.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too long.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is neither JSON nor a form.",
    **SEVERAL,
}
_OWNER_WRITES = Gets(owner="written", other="403", privileged="403", own=("written", "404"))


@endpoint(
    "PUT",
    "jobs/user_dict_update",
    arguments=UpdateArguments,
    content=UserDict,
    body=True,
    problems=_REFUSALS,
    gets=_OWNER_WRITES,
)
def update_user_dict(context: Context, arguments: UpdateArguments) -> Response:
    """Write into the `user` dict of one of your jobs.

    Merges `update_pairs` into the dict key by key, in one step: if two clients write different keys
    at the same time, both are kept. Returns the whole new dict. Send the arguments in the query, in
    a form or in a JSON body. An argument in both the query and the body must have the same value.
    """
    return _merged(context, arguments, arguments.update_pairs)


@endpoint(
    "GET",
    "jobs/user_props/get",
    arguments=JobArguments,
    content=UserDict,
    problems=SEVERAL,
    gets=Gets.job("the user dict"),
)
def get_user_props(context: Context, arguments: JobArguments) -> Response:
    """The `user` dict of a job.

    The response is an empty object if there is no such job.
    """
    job = found_job(context, arguments)
    return json_response({} if job is None else job["user"])


@endpoint(
    "PUT",
    "jobs/user_props/set",
    arguments=SetArguments,
    content=UserDict,
    body=True,
    problems=_REFUSALS,
    gets=_OWNER_WRITES,
)
def set_user_props(context: Context, arguments: SetArguments) -> Response:
    """Write into the `user` dict of one of your jobs, as existing clients do.

    This does the same as `jobs/user_dict_update`, which calls `updates` `update_pairs`.
    """
    return _merged(context, arguments, arguments.updates)


@endpoint(
    "PUT",
    "jobs/user_props/delete",
    arguments=DeleteArguments,
    content=UserDict,
    body=True,
    problems=_REFUSALS,
    gets=_OWNER_WRITES,
)
def delete_user_props(context: Context, arguments: DeleteArguments) -> Response:
    """Remove keys from the `user` dict of one of your jobs.

    Removes all keys in one step. Returns the whole new dict.
    """
    return _write(context, arguments, queries.remove_by_owner(context.user, arguments.keys), {})


def _merged(context: Context, arguments: JobArguments, pairs: Pairs) -> Response:
    update = queries.merge_by_owner(context.user, pairs, MOST_BYTES)
    return _write(context, arguments, update, pairs)


def _write(
    context: Context, arguments: JobArguments, update: list[queries.Filter], pairs: Pairs
) -> Response:
    """Change the user dict of a job by *update*, which merges *pairs*, and answer the new dict."""
    job_id, cluster_name = arguments.job_id, arguments.cluster_name
    if cluster_name is None or not is_plain(job_id):
        job_id, cluster_name = _key_of(context, arguments)
    name = f"job {job_id!r} of cluster {cluster_name!r}"
    job = all_of(queries.job(job_id, cluster_name), context.visible)
    filters = context.store.branches(job)

    def write(session: ClientSession) -> dict[str, Any] | None:
        for each in filters:
            written = context.store.jobs.update_one(each, update, session=session)
            if written.modified_count:
                token = user_dict_token(cluster_name, job_id)
                replace_token(context.store, session, token, Changed([job_id]))
            now = context.store.jobs.find_one(each, session=session)
            if now is not None:
                if not written.modified_count:
                    _check_left_alone(now, pairs, context.user, name)
                return now
        return None

    now = in_transaction(context.store, write)
    if now is None:
        raise _no_job(name)
    return json_response(now["user"])


def _key_of(context: Context, arguments: JobArguments) -> tuple[str, str]:
    job = found_job(context, arguments)
    if job is None:
        raise _no_job(f"job {arguments.job_id!r}")
    return str(job["slurm"]["job_id"]), str(job["slurm"]["cluster_name"])


def _check_left_alone(job: dict[str, Any], pairs: Pairs, user: User, name: str) -> None:
    """Raise the Problem for which the write left *job* as it was; none if there was nothing to
    change."""
    if not user.owns(job["slurm"]):
        raise Problem(
            HTTPStatus.FORBIDDEN,
            f"{name} is not yours: you are {user.mila_email_username!r}, and a job belongs to the"
            " user whose name Slurm gives for it",
        )
    if len(bson.encode(job["user"] | pairs)) > MOST_BYTES:
        raise bad_request(_too_large(f"the user dict of {name} would have"))


def _no_job(name: str) -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, f"there is no {name}")
