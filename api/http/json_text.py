"""Read the JSON of clients strictly, and write values of documents as JSON.

Strictly: the meaning of a text must not depend on the program that reads it.  Refused are a key
that is twice in one object, NaN and infinities, integers that don't fit 64 bits, halves of
surrogate pairs, which UTF-8 can't hold, and deep nesting.  A text with more values than any request
needs is refused unread: every value costs more time than bytes.
"""

import json
import math
from base64 import b64encode
from collections import Counter
from typing import Any, NoReturn

import orjson

from api.http.request import Response

_WRITING = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z

MOST_LEVELS = 32
"""Levels of objects and lists: ``{"a": [1]}`` has two."""

MOST_MARKS = 22_000
"""Commas and opening brackets in a text, outside of strings.  The JSON of a user dict has fewer:
each of them takes three bytes of BSON or more, and 64 KiB are the limit."""

_INTEGERS = range(-(2**63), 2**63)
_DIGITS = len(str(2**63))


def read_json(text: str, what: str, most_levels: int = MOST_LEVELS) -> Any:
    """Return the value of the JSON *text*. Raises ValueError with *what* and what is wrong."""
    # Most texts have few marks even if those in strings are counted.
    if _marks(text) > MOST_MARKS and _marks(_outside_strings(text)) > MOST_MARKS:
        raise ValueError(
            f"{what} has more than {MOST_MARKS} commas and opening brackets outside of strings"
        )
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_no_number,
        )
        if isinstance(value, dict | list):
            _check_depth(value, most_levels)
        orjson.dumps(value)  # refuses halves of surrogate pairs, in keys and in values
    except RecursionError as error:
        raise ValueError(f"{what} is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{what} is not JSON: {error}") from error
    except orjson.JSONEncodeError as error:
        raise ValueError(f"{what} holds half of a surrogate pair, which is no character") from error
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error
    return value


def _marks(text: str) -> int:
    return sum(map(text.count, ",[{"))


def _outside_strings(text: str) -> str:
    """Return *text* without its strings: of a text that is no JSON, up to where a reader stops."""
    without_escapes = text.replace("\\\\", "").replace('\\"', "")
    return "".join(without_escapes.split('"')[::2])


def json_bytes(value: object) -> bytes:
    """Return *value* as JSON in UTF-8: dates as ISO 8601 with a Z, NaN as null.

    *value* may hold everything that a document can hold.
    """
    return orjson.dumps(value, default=_plain, option=_WRITING)


def json_line(value: object) -> bytes:
    """Return *value* as `json_bytes` does, with a newline at the end."""
    return orjson.dumps(value, default=_plain, option=_WRITING | orjson.OPT_APPEND_NEWLINE)


def json_response(value: object) -> Response:
    """Return the response with *value* as its body."""
    return Response(json_bytes(value))


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return b64encode(value).decode("ascii")
    return str(value)  # an ObjectId, a Decimal128 and the like


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key {twice[:64]!r} is twice in one object")
    return value


def _check_depth(value: dict[str, Any] | list[Any], levels: int) -> None:
    if not levels:
        raise ValueError(f"it is nested deeper than {MOST_LEVELS} levels")
    for member in value.values() if isinstance(value, dict) else value:
        if isinstance(member, dict | list):
            _check_depth(member, levels - 1)


def _integer(digits: str) -> int:
    # The length first: to read an integer of very many digits takes long.
    if len(digits.lstrip("-")) > _DIGITS or int(digits) not in _INTEGERS:
        raise ValueError(f"the integer {digits[:24]} does not fit 64 bits")
    return int(digits)


def _number(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text[:24]} is too large")
    return value


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")
