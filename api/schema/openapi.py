"""The API's description in OpenAPI 3.1, made of the endpoints themselves and a word on each.

The endpoints say where they are and which arguments they take; what an argument means stands in
`api.schema.argument_schemas`, what comes back in `api.schema.documents`, what each does in `api.schema.operations`.  The
description is the same for everyone, tells nothing of this installation, and needs no token.

What OpenAPI can't say of arguments stands in words and, for programs, in two keys of an operation:
``x-at-most-one-of`` and ``x-at-least-one-of``, each a list of lists of arguments.
"""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Protocol

from api.http import problems
from api.http.arguments import FORM_TYPE, MULTIPART_TYPE
from api.http.request import JSON
from api.lists import listing
from api.schema import argument_schemas, documents
from api.schema.argument_schemas import parameter
from api.schema.documents import Schema, reference
from api.schema.operations import OPERATIONS, Operation

OPENAPI = "/api/v1/openapi.json"
DOCS = "/api/docs"


class Described(Protocol):
    """What is known of an endpoint: its address, its method, the names of its arguments."""

    @property
    def path(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def arguments(self) -> Sequence[str]: ...


_INTRODUCTION = """\
Jobs and nodes of Slurm clusters, as Clockwork's scrapes left them.

Every request but those of the service's own addresses wants a user's token: as
`Authorization: Bearer TOKEN`, or as the password of HTTP Basic with the user's e-mail. Errors are
`application/problem+json` (RFC 9457), with a `detail` that says what to do. An argument that an
address does not know is a 400, and so is one that is given twice. HEAD is answered wherever GET is.
Text is UTF-8, percent-encoded in a query. Objects may hold more keys than are described here: new
versions of Slurm print new ones. What is below `/api/v1/cluster/` is also at the older
`/api/v1/clusters/`.
"""

_RETRY_AFTER = {
    "description": "Seconds to wait before the next attempt.",
    "schema": {"type": "integer", "minimum": 0},
}
_ETAG = {
    "description": "Stands for this answer: to be sent back as If-None-Match.",
    "schema": {"type": "string"},
}
_LINK = {
    "description": 'With `limit`, where there are more: the address of the next page, rel="next".',
    "schema": {"type": "string"},
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The ETag of an answer that you have: 304 if it would be the same again.",
    "schema": {"type": "string"},
}
_UNCHANGED = {"description": "It is what you have.", "headers": {"ETag": _ETAG}}
_CHALLENGE = {
    "description": "The two ways to show a token.",
    "schema": {"type": "string"},
}


def description(base: str, endpoints: Iterable[Described], *, open_metrics: bool) -> Schema:
    """The description of the *endpoints*, which are below *base*, and of the service's addresses.

    Raises KeyError for an endpoint or an argument that has no word here.
    """
    paths: Schema = {}
    for endpoint in endpoints:
        method = endpoint.method.lower()
        paths.setdefault(base + endpoint.path, {})[method] = _operation(endpoint)
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
        "tags": [{"name": name} for name in ("jobs", "nodes", "clusters", "service")],
        "paths": paths | _service_paths(open_metrics=open_metrics),
        "components": {
            "schemas": {**documents.SCHEMAS, **argument_schemas.SCHEMAS},
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


def _operation(endpoint: Described) -> Schema:
    known = OPERATIONS[endpoint.path]
    found: Schema = {
        "operationId": endpoint.path.replace("/", "_"),
        "tags": [known.tag],
        "summary": known.summary,
        "description": known.description,
        "parameters": [
            *(
                parameter(endpoint.path, name, required=name in known.required)
                for name in endpoint.arguments
            ),
            *([_IF_NONE_MATCH] if known.tagged else []),
        ],
        "responses": {
            "200": _found(known),
            **({"304": _UNCHANGED} if known.tagged else {}),
            **_problems(
                {
                    HTTPStatus.BAD_REQUEST: "An argument is missing, malformed or unknown.",
                    **_WITH_TOKEN,
                    **_ANYWHERE,
                    **known.problems,
                }
            ),
        },
    }
    if known.at_most_one_of:
        found["x-at-most-one-of"] = [list(names) for names in known.at_most_one_of]
    if known.at_least_one_of:
        found["x-at-least-one-of"] = [list(names) for names in known.at_least_one_of]
    if known.body:
        found["requestBody"] = _body(endpoint)
    return found


def _found(known: Operation) -> Schema:
    """The answer of an operation that has one."""
    answer = _answer(JSON, known.answer)
    if known.tagged:
        answer["headers"] = {"ETag": _ETAG}
    if known.pages:
        answer["headers"]["Link"] = _LINK
        answer["content"][listing.NDJSON] = {
            "schema": {
                "type": "string",
                "description": f"With `format=ndjson`: in each line the JSON of a {known.pages}.",
            }
        }
    return answer


def _body(endpoint: Described) -> Schema:
    form = {"schema": argument_schemas.form(endpoint.path, endpoint.arguments)}
    example = {
        name: argument_schemas.argument(endpoint.path, name).example for name in endpoint.arguments
    }
    as_json = argument_schemas.json_body(endpoint.path, endpoint.arguments)
    return {
        "description": "What is not in the query.",
        "content": {
            JSON: {"schema": as_json, "example": example},
            FORM_TYPE: form,
            MULTIPART_TYPE: form,
        },
    }


_WITH_TOKEN = {
    HTTPStatus.UNAUTHORIZED: "No token that is known here.",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many requests, where there is a limit to them.",
}
_ANYWHERE = {
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "The address and the header fields are too long.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The service failed; its log says why.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The database does not answer.",
}
_HEADERS = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": _CHALLENGE},
    HTTPStatus.TOO_MANY_REQUESTS: {"Retry-After": _RETRY_AFTER},
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": _RETRY_AFTER},
}


def _answer(content_type: str, schema: Schema) -> Schema:
    return {"description": "What was asked for.", "content": {content_type: {"schema": schema}}}


def _problems(which: Mapping[HTTPStatus, str]) -> Schema:
    return {
        str(status.value): {
            "description": words,
            "content": {problems.CONTENT_TYPE: {"schema": reference("Problem")}},
            **({"headers": _HEADERS[status]} if status in _HEADERS else {}),
        }
        for status, words in sorted(which.items())
    }


def _service_paths(*, open_metrics: bool) -> Schema:
    metrics = _service_path(
        "metrics",
        "The figures for Prometheus",
        _answer("text/plain", {"type": "string"}),
        {}
        if open_metrics
        else {**_WITH_TOKEN, HTTPStatus.FORBIDDEN: "You see your own jobs alone."},
    )
    if not open_metrics:
        del metrics["get"]["security"]
    return {
        "/metrics": metrics,
        "/healthz": _service_path(
            "healthz",
            "Whether the process lives",
            _answer(JSON, reference("Alive")),
            {},
        ),
        "/readyz": _service_path(
            "readyz",
            "Whether the process can answer: 503 while the database does not",
            _answer(JSON, reference("Ready")),
            {},
        ),
        OPENAPI: _service_path(
            "openapi",
            "This description",
            _answer(JSON, {"type": "object"}),
            {},
        ),
        DOCS: _service_path(
            "docs",
            "This description, as a page to read",
            _answer("text/html", {"type": "string"}),
            {},
        ),
    }


def _service_path(
    name: str, summary: str, answer: Schema, more: Mapping[HTTPStatus, str]
) -> Schema:
    """An address of the service that takes no arguments."""
    operation = {
        "operationId": name,
        "tags": ["service"],
        "summary": summary,
        "security": [],
        "responses": {
            "200": answer,
            **_problems({HTTPStatus.BAD_REQUEST: "There are no arguments.", **_ANYWHERE, **more}),
        },
    }
    return {"get": operation}
