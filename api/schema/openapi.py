"""Describe the API in OpenAPI 3.1, from the declarations of its endpoints.

The description is the same for everyone, tells nothing of this installation, and needs no token.
What OpenAPI can't say of arguments stands in words and, for programs, in two keys of an operation:
``x-at-most-one-of`` and ``x-at-least-one-of``, each a list of lists of arguments.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from api.http import problems
from api.http.arguments import FORM, MULTIPART
from api.http.request import JSON
from api.schema import documents
from api.schema.arguments import AlsoNamed, Arguments, Name, Schema, names_of
from api.schema.endpoint import BASE, Endpoint

_REFERENCE = "#/components/schemas/{model}"

_INTRODUCTION = """\
Jobs and nodes of Slurm clusters, as Clockwork's scrapes left them.

A request needs a user's token: as `Authorization: Bearer TOKEN`, or as the password of HTTP Basic
with the user's e-mail. Operations that need no token say so. Errors are `application/problem+json`
(RFC 9457), with a `detail` that says what to do. An unknown argument is a 400, and so is an
argument that is given twice. HEAD works wherever GET does. Text is UTF-8, percent-encoded in a
query. Objects may hold more keys than are described here: new versions of Slurm print new keys.
Every path below `/api/v1/cluster/` also exists below the older `/api/v1/clusters/`.
"""

_RETRY_AFTER = {
    "description": "Seconds to wait before the next attempt.",
    "schema": {"type": "integer", "minimum": 0},
}
_ETAG = {
    "description": "Identifies this response; send it back as If-None-Match.",
    "schema": {"type": "string"},
}
_LINK = {
    "description": 'With `limit`, where there are more: the address of the next page, rel="next".',
    "schema": {"type": "string"},
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The ETag of a response that you have: 304 if nothing has changed since.",
    "schema": {"type": "string"},
}
_UNCHANGED = {"description": "Nothing has changed.", "headers": {"ETag": _ETAG}}
_CHALLENGE = {
    "description": "The two ways to show a token.",
    "schema": {"type": "string"},
}

_WITH_TOKEN = {
    HTTPStatus.UNAUTHORIZED: "The request has no known token.",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many requests, where there is a limit to them.",
}
_ANYWHERE = {
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "The address and the header fields are too long.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The service failed; its log says why.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The database does not answer, or too much waits for slow"
    " clients.",
}
_HEADERS = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": _CHALLENGE},
    HTTPStatus.TOO_MANY_REQUESTS: {"Retry-After": _RETRY_AFTER},
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": _RETRY_AFTER},
}


def description(endpoints: Iterable[Endpoint], extra_schemas: Schema) -> Schema:
    """Return the description of *endpoints*.

    *extra_schemas* are those that the arguments refer to, by their names.
    """
    endpoints = list(endpoints)
    made, schemas = _schemas(*(each.content for each in endpoints if each.content is not None))
    paths: Schema = {}
    for endpoint in endpoints:
        for path in endpoint.shown:
            found = _operation(endpoint, path, made)
            paths.setdefault(path, {})[endpoint.method.lower()] = found
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Clockwork",
            "version": version("clockwork-slurm"),
            "description": _INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {"basic": []}],
        "tags": [{"name": name} for name in dict.fromkeys(each.tag for each in endpoints)],
        "paths": paths,
        "components": {
            "schemas": {**schemas, **extra_schemas},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "A user's token."},
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "The user's e-mail, and the token as the password.",
                },
            },
        },
    }


# --- operations -----------------------------------------------------------------------------------


def _operation(endpoint: Endpoint, path: str, made: Mapping[Any, Schema]) -> Schema:
    names = names_of(endpoint.arguments)
    rules = {
        "x-at-most-one-of": [
            *([known.argument, name] for name, known in names.items() if known.also),
            *map(list, endpoint.arguments.excluding),
        ],
        "x-at-least-one-of": list(_at_least_one_of(names, body=endpoint.body)),
    }
    parameters = [_parameter(*each, body=endpoint.body) for each in names.items()]
    errors = {
        HTTPStatus.BAD_REQUEST: "There are no arguments."
        if not names
        else "An argument is missing, malformed or unknown.",
        **({} if endpoint.access == "everyone" else _WITH_TOKEN),
        **_ANYWHERE,
        **endpoint.problems,
    }
    if endpoint.access == "all_jobs":
        errors[HTTPStatus.FORBIDDEN] = "This covers all jobs, and you see only your own."
    found: Schema = {
        "operationId": _operation_id(path),
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "description": endpoint.description,
        "parameters": [*parameters, *([_IF_NONE_MATCH] if endpoint.tagged else [])],
        "responses": {
            "200": _found(endpoint, made),
            **({"304": _UNCHANGED} if endpoint.tagged else {}),
            **_problems(errors),
        },
    }
    if endpoint.access == "everyone":
        found["security"] = []
    found |= {name: rule for name, rule in rules.items() if rule}
    if endpoint.body:
        found["requestBody"] = _body(endpoint.arguments)
    return found


def _operation_id(path: str) -> str:
    name = path.removeprefix(BASE).removesuffix(".json")
    return name.rpartition("/")[2] if name.startswith("/") else name.replace("/", "_")


def _at_least_one_of(names: Mapping[str, Name], *, body: bool) -> Iterator[list[str]]:
    for argument, known in names.items():
        every = [name for name, each in names.items() if each.argument == argument]
        if known.field.is_required() and known.also is None and (body or every[1:]):
            yield every


def _found(endpoint: Endpoint, made: Mapping[Any, Schema]) -> Schema:
    """The response of an endpoint that finds what is asked for."""
    text: Schema = {"type": "string"}
    schema = text if endpoint.content is None else made[_key(endpoint.content)]
    if "fields" in endpoint.arguments.model_fields and "anyOf" in schema:
        schema = {"anyOf": [_with_part(each) for each in schema["anyOf"]]}
    content_type = endpoint.content_type.partition(";")[0]
    found: Schema = {
        "description": "The response.",
        "content": {content_type: {"schema": schema}},
    }
    if endpoint.tagged:
        found["headers"] = {"ETag": _ETAG}
    if endpoint.lists:
        part = f"{endpoint.lists}Part"
        listed = {"type": "array", "items": _reference(part)}
        found["headers"]["Link"] = _LINK
        found["content"][JSON]["schema"] = {"anyOf": [listed, schema]}
        found["content"]["text/csv"] = {
            "schema": {"type": "string", "description": "With `format=csv`: RFC 4180."}
        }
        found["content"]["application/x-ndjson"] = {
            "schema": {
                "type": "string",
                "description": f"With `format=ndjson`: in each line the JSON of a {part}.",
            }
        }
    return found


def _problems(which: Mapping[HTTPStatus, str]) -> Schema:
    return {
        str(status.value): {
            "description": words,
            "content": {problems.CONTENT_TYPE: {"schema": _reference("Problem")}},
            **({"headers": _HEADERS[status]} if status in _HEADERS else {}),
        }
        for status, words in sorted(which.items())
    }


# --- arguments ------------------------------------------------------------------------------------


def _parameter(name: str, known: Name, *, body: bool) -> Schema:
    """The argument as a parameter in a query; *body*: it may stand in a body instead."""
    field, schema = known.field, known.reads.schema
    found: Schema = {"name": name, "in": "query", "description": _words(known)}
    if field.is_required() and not body and _has_one_name(field):
        found["required"] = True
    if known.also is not None and known.also.older:
        found["deprecated"] = True
    if schema.get("type") == "array":
        found |= {"style": "form", "explode": False}
    value: Schema = {"schema": schema}
    if field.examples and known.also is None:
        value["example"] = field.examples[0]
    return found | ({"content": {JSON: value}} if known.reads.is_json else value)


def _has_one_name(field: FieldInfo) -> bool:
    return not any(isinstance(each, AlsoNamed) for each in field.metadata)


def _words(known: Name) -> str:
    words = str(known.field.description) if known.also is None else known.also.description
    return " ".join(words.split())


def _body(model: type[Arguments]) -> Schema:
    names = names_of(model)
    words = {name: {"description": _words(known)} for name, known in names.items()}
    reads = {name: known.reads for name, known in names.items()}
    in_json = {name: (each.in_json or each.schema) | words[name] for name, each in reads.items()}
    in_form = {name: (each.in_form or each.schema) | words[name] for name, each in reads.items()}
    examples = {name: known.field.examples for name, known in names.items()}
    form = {"schema": _object(in_form)}
    return {
        "description": "The arguments that are not in the query.",
        "content": {
            JSON: {
                "schema": _object(in_json),
                "example": {name: each[0] for name, each in examples.items() if each},
            },
            FORM: form,
            MULTIPART: form,
        },
    }


def _object(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


# --- content --------------------------------------------------------------------------------------


class _Generator(GenerateJsonSchema):
    """pydantic's schemas without the titles that repeat a key's name."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        """Never."""
        return False


@cache
def _schemas(*kinds: Any) -> tuple[Mapping[str, Schema], Mapping[str, Schema]]:
    """Return the schema of each type by its key, and the schemas that these refer to."""
    by_key = {
        _key(kind): kind for kind in (*kinds, documents.Problem, documents.Job, documents.Node)
    }
    made, rest = TypeAdapter.json_schemas(
        [(key, "serialization", TypeAdapter(kind)) for key, kind in by_key.items()],
        ref_template=_REFERENCE,
        schema_generator=_Generator,
    )
    schemas = rest["$defs"]
    for schema in schemas.values():
        schema.pop("title", None)
    for name in ("Job", "Node"):
        schemas |= _whole_and_part(name, schemas)
    return {key: schema for (key, _), schema in made.items()}, schemas


def _key(kind: Any) -> str:
    return repr(kind)


def _whole_and_part(name: str, schemas: Schema) -> Schema:
    """Return the schemas of a whole document, and of the part that ``fields`` asked for.

    All keys of a part are optional; the schema of the whole adds which keys are always there.
    """
    part = schemas[name]
    required = {}
    for key, each in part["properties"].items():
        its_keys = schemas[each["$ref"].rpartition("/")[2]].pop("required", [])
        required[key] = {"required": its_keys}
    keys = {"properties": required, "required": part.pop("required")}
    words = f"{part.pop('description').rstrip('.')}, or of it what `fields` asked for."
    return {
        name: {"allOf": [_reference(f"{name}Part"), keys]},
        f"{name}Part": {**part, "description": words},
    }


def _with_part(schema: Schema) -> Schema:
    """Return *schema*; in place of a whole document, what ``fields`` can ask for of it."""
    for name in ("Job", "Node"):
        if schema == _reference(name):
            return _reference(f"{name}Part")
    return schema


def _reference(name: str) -> Schema:
    return {"$ref": _REFERENCE.format(model=name)}
