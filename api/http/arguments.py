"""Read the arguments of a request from the query, a form or a JSON body.

An argument that the endpoint does not know is refused: a mistyped filter would return everything.
What the values mean is read by `api.schema.arguments`.
"""

import json
from collections.abc import Collection, Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from api.http.json_text import MOST_LEVELS, read_json
from api.http.multipart import read_multipart
from api.http.problems import Problem, bad_request
from api.http.request import JSON, Request

Given = dict[str, Any]
"""Values by the names of arguments: text from a query or a form, any JSON from a JSON body."""

MAX_BODY_BYTES = 1 << 20
MOST_FIELDS = 100
"""Fields of a query or a form; more are refused unread."""

MOST_ESCAPES = 150_000
"""Percent signs in a query or a form.  The form of a user dict of 64 KiB has fewer."""

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"


def query_arguments(request: Request, known: Collection[str]) -> Given:
    """Return the arguments in the query.

    Raises Problem 400 for an argument that is not among the *known* or is given twice, and for a
    query that is not UTF-8.
    """
    query: str = request.environ.get("QUERY_STRING", "")
    # WSGI hands bytes over as latin-1; clients send UTF-8, percent-encoded or plain.
    return _checked(_fields(query.encode("latin-1"), "the query"), known)


def all_arguments(request: Request, known: Collection[str]) -> Given:
    """Return the arguments in the query and in the body, which is a form or a JSON object.

    Raises Problem 400 as `query_arguments` does, for a malformed body, and for an argument with two
    values; 413 for a body of more than `MAX_BODY_BYTES`; 415 for a body of another type.
    """
    in_query = query_arguments(request, known)
    in_body = _checked(_body_fields(request), known)
    for name in in_query.keys() & in_body.keys():
        if not _same(in_query[name], in_body[name]):
            raise bad_request(
                f"{name} has one value in the query and another in the body: give it once"
            )
    return in_query | in_body


def _checked(fields: Iterable[tuple[str, Any]], known: Collection[str]) -> Given:
    arguments: Given = {}
    for name, value in fields:
        if name not in known:
            expected = ", ".join(sorted(known)) or "none"
            raise bad_request(
                f"there is no argument {name[:64]!r} here; the arguments are: {expected}"
            )
        if name in arguments:
            raise bad_request(f"{name} is given twice: give it once")
        arguments[name] = value
    return arguments


def _same(value: Any, other: Any) -> bool:
    # Compared as JSON, where 1, 1.0 and true are three values.
    texts = [
        item if isinstance(item, str) else json.dumps(item, sort_keys=True)
        for item in (value, other)
    ]
    return texts[0] == texts[1]


def _body_fields(request: Request) -> Iterable[tuple[str, Any]]:
    body = _body(request)
    if not body:
        return []
    given: str = request.environ.get("CONTENT_TYPE", "")
    kind = given.partition(";")[0].strip().lower()
    if kind == JSON:
        return _json_fields(body)
    if kind == FORM:
        if body.lstrip().startswith(b"{"):
            raise bad_request(f"the body looks like JSON: send it with Content-Type: {JSON}")
        return _fields(body, "the form")
    if kind == MULTIPART:
        return read_multipart(body, given, MOST_FIELDS)
    raise Problem(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        f"the Content-Type of the body must be {JSON}, {FORM} or {MULTIPART}",
    )


def _body(request: Request) -> bytes:
    length = request.environ.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdigit()):
        raise bad_request("Content-Length is not a number of bytes")
    if len(length) > 18 or int(length) > MAX_BODY_BYTES:
        raise too_large_body()
    body: bytes = request.environ["wsgi.input"].read(int(length))
    if len(body) < int(length):
        raise bad_request("the body is shorter than its Content-Length")
    return body


def too_large_body() -> Problem:
    """Return the problem 413 for a body that is longer than any request needs."""
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body may have {MAX_BODY_BYTES} bytes at most"
    )


def _fields(text: bytes, what: str) -> list[tuple[str, str]]:
    if text.count(b"%") > MOST_ESCAPES:
        raise bad_request(f"{what} has more than {MOST_ESCAPES} percent signs: send it as {JSON}")
    try:
        return parse_qsl(
            text.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS
        )
    except UnicodeDecodeError as error:
        raise bad_request(f"{what} is not UTF-8") from error
    except ValueError as error:
        raise bad_request(f"{what} has more than {MOST_FIELDS} fields") from error


def _json_fields(body: bytes) -> Iterable[tuple[str, Any]]:
    try:
        fields = read_json(body.decode(), "the body", MOST_LEVELS + 1)
    except UnicodeDecodeError as error:
        raise bad_request("the body is not UTF-8") from error
    except ValueError as error:
        raise bad_request(str(error)) from error
    if not isinstance(fields, dict):
        raise bad_request("the body must be a JSON object with the arguments as its keys")
    return fields.items()
