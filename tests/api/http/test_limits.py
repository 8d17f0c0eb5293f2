"""Limits on what costs more time than bytes; every user dict that may be stored is below them."""

import json
from io import BytesIO
from typing import Any
from urllib.parse import quote

import bson
import pytest
from waitress.adjustments import Adjustments

from api.connections import LONGEST_LINE, MOST_LINES, StrictRequest
from api.endpoints.user_dict import MOST_BYTES, DeleteArguments, UpdateArguments
from api.http.arguments import FORM, MAX_BODY_BYTES, MOST_ESCAPES, all_arguments
from api.http.json_text import MOST_MARKS, read_json
from api.http.problems import Problem
from api.http.request import JSON, Request
from api.schema.arguments import (
    LONGEST_LIST,
    MOST_VALUES,
    Arguments,
    names_of,
    read_arguments,
)

CHUNKED = b"PUT /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def read(text: str, content_type: str, model: type[Arguments] = UpdateArguments) -> Any:
    body = text.encode()
    assert len(body) <= MAX_BODY_BYTES
    environ = {
        "REQUEST_METHOD": "PUT",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": BytesIO(body),
    }
    return read_arguments(model, all_arguments(Request(environ), names_of(model)))


def refusal(text: str, content_type: str, model: type[Arguments] = UpdateArguments) -> str:
    with pytest.raises(Problem) as caught:
        read(text, content_type, model)
    assert caught.value.status == 400
    return caught.value.detail


def largest(make: Any) -> dict[str, Any]:
    """The largest dict of those that *make* gives for a number, that may be stored."""
    low, high = 1, MOST_BYTES
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(make(middle)) else (low, middle - 1)
    return dict(make(low))


def fits(value: dict[str, Any]) -> bool:
    return len(bson.encode(value)) <= MOST_BYTES


SHAPES: dict[str, Any] = {
    "commas": lambda n: {"a": "," * n},
    "brackets": lambda n: {"a": "[{" * (n // 2)},
    "nulls": lambda n: {"a": [None] * n},
    "empty lists": lambda n: {"a": [[]] * n},
    "objects": lambda n: {"a": [{"b": {}}] * n},
    "keys": lambda n: {f"{i:x}": None for i in range(n)},
    "keys of commas": lambda n: {f"{i:x}" + "," * 1000: 1 for i in range(n)},
    "control characters": lambda n: {"a": "\x01" * n},
    "not ASCII": lambda n: {"a": "é" * n},
    "percent signs": lambda n: {"a": "%" * n},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_dict_that_may_be_stored_can_be_sent(shape: str) -> None:
    pairs = largest(SHAPES[shape])
    assert not fits({**pairs, "more": "x" * 1100})
    text = json.dumps(pairs)
    given = {"job_id": "1", "update_pairs": pairs}
    assert read(json.dumps(given), JSON).update_pairs == pairs
    assert read(json.dumps({**given, "update_pairs": text}), JSON).update_pairs == pairs
    plain = json.dumps(pairs, ensure_ascii=False)
    assert read(f"job_id=1&update_pairs={quote(plain)}", FORM).update_pairs == pairs


@pytest.mark.parametrize(
    ("member", "marks"),
    [("1,", 1), ("[],", 2), ("{},", 2), ('"a",', 1), ('",,[{",', 1), (r'"\\\",",', 1)],
)
def test_json_of_many_values_is_refused_unread(member: str, marks: int) -> None:
    """The texts are no JSON at their ends, which a reader would say if it came so far."""
    text = f'{{"a": [{member * (MOST_MARKS // marks)}, .'
    said = f"has more than {MOST_MARKS} commas and opening brackets outside of strings"
    assert said in refusal(f'{{"job_id": "1", "update_pairs": {text}}}', JSON)
    assert said in refusal(f"job_id=1&update_pairs={text}", FORM)


def test_marks_in_strings_are_not_counted() -> None:
    value = {"a": ",[{" * 20_000, 'b"\\': ["\\", '"', ',\\"'] * 1000}
    assert read_json(json.dumps(value), "it") == value


def test_a_form_of_many_escapes_is_refused_unread() -> None:
    text = "job_id=1&update_pairs=" + "%41" * (MOST_ESCAPES + 1)
    assert "percent signs: send it as application/json" in refusal(text, FORM)


def test_a_long_list_of_values_is_refused_unread() -> None:
    text = "job_id=1&keys=" + "a," * LONGEST_LIST
    assert f"at most {LONGEST_LIST} are read" in refusal(text, FORM, DeleteArguments)
    many = "job_id=1&keys=" + "a," * MOST_VALUES + ",,"
    assert f"at most {MOST_VALUES} are read" in refusal(many, FORM, DeleteArguments)
    escaped = "\\,".join(["a" * 1000] * 60)
    assert read(f"job_id=1&keys={escaped}", FORM, DeleteArguments).keys == [
        escaped.replace("\\", "")
    ]


def received(body: bytes, piece: int = 8192) -> StrictRequest:
    request = StrictRequest(Adjustments())
    data = CHUNKED + body
    while data and not request.completed:
        data = data[request.received(data[:piece]) :]
    return request


@pytest.mark.parametrize(
    "body",
    [
        b"1\r\nx\r\n" * MOST_LINES,
        b"1;" + b"a" * 2 * LONGEST_LINE,
        b"0" * (LONGEST_LINE + 8192),
        b"0\r\nX: " + b"y" * 2 * LONGEST_LINE,
        b"0\r\n" + b"X: y\r\n" * LONGEST_LINE,
    ],
    ids=["chunks", "extension", "size", "trailer", "lines of the trailer"],
)
def test_chunks_that_cost_more_than_their_bytes_are_refused(body: bytes) -> None:
    request = received(body)
    assert request.completed
    assert request.error is not None
    assert request.error.code == 400


def test_bodies_in_chunks_are_read() -> None:
    text = b"a line\r\n" * (MOST_LINES // 2)
    whole = b"%x\r\n%s\r\n0\r\nX-Sum: 1\r\n\r\n" % (len(text), text)
    small = b"".join(b"10;a=b\r\n%s\r\n" % (b"x" * 16) for _ in range(1000)) + b"0\r\n\r\n"
    for body, expected in ((whole, text), (small, b"x" * 16_000)):
        for piece in (1000, 8192):
            request = received(body, piece)
            assert request.completed
            assert request.error is None
            assert request.get_body_stream().read() == expected
