"""The arguments of a request: from the query, a form or a JSON body, each checked by its name.

An argument that the endpoint does not know is refused: a mistyped filter would return everything.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from email import message_from_bytes
from email.message import Message
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from api.http.json_text import MOST_LEVELS, read_json
from api.http.problems import Problem, bad_request

Environ = Mapping[str, Any]
Arguments = dict[str, Any]
"""Values by name: text from a query or a form, any JSON from a JSON body."""

MAX_BODY_BYTES = 1 << 20
MOST_FIELDS = 100
"""More fields in a query or a form are refused unread."""

MOST_VALUES = 100
"""More values of one argument are refused."""

JSON_TYPE = "application/json"
FORM_TYPE = "application/x-www-form-urlencoded"
MULTIPART_TYPE = "multipart/form-data"

_MALFORMED_FORM = "the form is malformed: RFC 7578 describes what multipart/form-data looks like"
_SECONDS = re.compile(r"[0-9]{1,18}")
_VALUE = re.compile(r"(?:[^\\,]|\\[\\,])+", re.DOTALL)
_LIST = re.compile(rf"{_VALUE.pattern}(?:,{_VALUE.pattern})*", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def query_arguments(environ: Environ, known: Sequence[str]) -> Arguments:
    """The arguments in the query. Raises Problem 400 where one is unknown or repeated, and where
    the query is not UTF-8."""
    query: str = environ.get("QUERY_STRING", "")
    # WSGI hands bytes over as latin-1; clients send UTF-8, percent-encoded or plain.
    return _checked(_fields(query.encode("latin-1"), "the query"), known)


def all_arguments(environ: Environ, known: Sequence[str]) -> Arguments:
    """The arguments in the query and in the body, a form or a JSON object.

    Raises Problem 400 as `query_arguments` does, for a body that is malformed, and for an argument
    with two values; 413 for a body of more than `MAX_BODY_BYTES`; 415 for a body of another kind.
    """
    in_query = query_arguments(environ, known)
    in_body = _checked(_body_fields(environ), known)
    for name in in_query.keys() & in_body.keys():
        if not _same(in_query[name], in_body[name]):
            raise bad_request(
                f"{name} has one value in the query and another in the body: give it once"
            )
    return in_query | in_body


def text_argument(arguments: Arguments, name: str) -> str | None:
    """The value of an argument that is text, None where it is not given (or null in JSON).

    Raises Problem 400 where it is empty or of another type.
    """
    value = arguments.get(name)
    if value is None:
        return None
    if type(value) is int:  # a JSON client may well send a job's id as the number that it is
        return str(value)
    if not isinstance(value, str):
        raise bad_request(f"{name} must be a string")
    if not value:
        raise bad_request(f"{name} is empty: give it a value or leave it out")
    return value


def required_argument(arguments: Arguments, name: str) -> str:
    """The value of an argument that is text. Raises Problem 400 where it is missing too."""
    value = text_argument(arguments, name)
    if value is None:
        raise bad_request(f"{name} is missing")
    return value


def one_of_two(arguments: Arguments, name: str, other_name: str) -> str | None:
    """The value of an argument that has two names. Raises Problem 400 where both differ."""
    value, other = text_argument(arguments, name), text_argument(arguments, other_name)
    if value is not None and other is not None and value != other:
        raise bad_request(f"{name} and {other_name} are one argument: give one of them")
    return value if value is not None else other


def seconds_argument(arguments: Arguments, name: str, older_name: str) -> int | None:
    """A number of seconds under either name, None where it is not given.

    Raises Problem 400 where both names are, and for all but up to 18 plain digits.
    """
    if name in arguments and older_name in arguments:
        raise bad_request(f"{older_name} is an older name of {name}: give {name} alone")
    value = one_of_two(arguments, name, older_name)
    if value is None:
        return None
    if not _SECONDS.fullmatch(value):
        raise bad_request(f"{name} must be a number of seconds: an integer of 0 or more")
    return int(value)


def listed_argument(arguments: Arguments, name: str) -> list[str] | None:
    """The values of an argument that are separated by commas, None where it is not given.

    A comma within a value is written ``\\,`` and a backslash ``\\\\``.  Raises Problem 400 for an
    empty value, more than `MOST_VALUES`, and a backslash before anything else.
    """
    text = text_argument(arguments, name)
    if text is None:
        return None
    if not _LIST.fullmatch(text):
        raise bad_request(
            f"{name} must be a value, or several with a comma between each two; write a comma"
            " within a value as \\, and a backslash as \\\\"
        )
    values = [_ESCAPED.sub(r"\1", value) for value in _VALUE.findall(text)]
    if len(values) > MOST_VALUES:
        raise bad_request(f"{name} has {len(values)} values; at most {MOST_VALUES} are read")
    return list(dict.fromkeys(values))


def number_argument(
    arguments: Arguments, name: str, least: int, most: int, default: int | None = None
) -> int | None:
    """An integer from *least* to *most*. Raises Problem 400 for all else."""
    value = text_argument(arguments, name)
    if value is None:
        return default
    if not _SECONDS.fullmatch(value) or not least <= int(value) <= most:
        raise bad_request(f"{name} must be an integer from {least} to {most}")
    return int(value)


def choice_argument(arguments: Arguments, name: str, choices: Sequence[str]) -> str:
    """One of *choices*, the first where it is not given. Raises Problem 400 for all else."""
    value = text_argument(arguments, name) or choices[0]
    if value not in choices:
        raise bad_request(f"{name} must be {' or '.join(choices)}")
    return value


def _checked(fields: Iterable[tuple[str, Any]], known: Sequence[str]) -> Arguments:
    arguments: Arguments = {}
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


def _body_fields(environ: Environ) -> Iterable[tuple[str, Any]]:
    body = _body(environ)
    if not body:
        return []
    given: str = environ.get("CONTENT_TYPE", "")
    kind = given.partition(";")[0].strip().lower()
    if kind == JSON_TYPE:
        return _json_fields(body)
    if kind == FORM_TYPE:
        if body.lstrip().startswith(b"{"):
            raise bad_request(f"the body looks like JSON: send it with Content-Type: {JSON_TYPE}")
        return _fields(body, "the form")
    if kind == MULTIPART_TYPE:
        return _multipart_fields(body, given)
    raise Problem(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        f"the Content-Type of the body must be {JSON_TYPE}, {FORM_TYPE} or {MULTIPART_TYPE}",
    )


def _body(environ: Environ) -> bytes:
    length = environ.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdigit()):
        raise bad_request("Content-Length is not a number of bytes")
    if len(length) > 18 or int(length) > MAX_BODY_BYTES:
        raise too_large_body()
    body: bytes = environ["wsgi.input"].read(int(length))
    if len(body) < int(length):
        raise bad_request("the body is shorter than its Content-Length")
    return body


def too_large_body() -> Problem:
    """The answer to a body that is longer than any request needs."""
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body may have {MAX_BODY_BYTES} bytes at most"
    )


def _fields(text: bytes, what: str) -> list[tuple[str, str]]:
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


def _multipart_fields(body: bytes, content_type: str) -> list[tuple[str, str]]:
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1")
    form = message_from_bytes(head + body)
    if body.strip() == f"--{form.get_boundary()}--".encode("latin-1"):
        return []  # as browsers send a form without fields
    parts = form.get_payload() if form.is_multipart() and not form.defects else ()
    fields = [_part(part) for part in parts if isinstance(part, Message)]
    if not fields:
        raise bad_request(_MALFORMED_FORM)
    return fields


def _part(part: Message) -> tuple[str, str]:
    name = part.get_param("name", header="content-disposition")
    value = part.get_payload(decode=True)
    if not isinstance(name, str) or not isinstance(value, bytes) or part.defects:
        raise bad_request(_MALFORMED_FORM)
    try:
        return name, value.decode()
    except UnicodeDecodeError as error:
        raise bad_request("the form is not UTF-8") from error
