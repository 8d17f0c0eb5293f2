"""The work to read a request grows with its length, whatever is in it."""

import time
from collections.abc import Callable
from io import BytesIO

import pytest
from waitress.adjustments import Adjustments

from api.connections import StrictRequest
from api.endpoints.jobs import JOBS
from api.http.arguments import all_arguments, query_arguments
from api.http.etags import unchanged
from api.http.gzip import compressed
from api.http.json_text import read_json
from api.http.problems import Problem
from api.http.request import Request, Response
from api.schema.arguments import names_of, read_arguments
from api.server import MAX_HEADER_BYTES

KNOWN = ("a", "update_pairs")
LARGE_BODY = 1 << 20
LIMIT = 2.5
"""Times what linear growth would be: four times the length. With the square, it would be 4."""
LITTLE = 0.02
"""Seconds of processor time below which nothing is compared."""

Read = Callable[[int], object]
"""Makes a request of so many bytes, and reads it."""


def body(content_type: str, begin: str, each: str, end: str = "") -> Read:
    """A body that begins and ends so, with *each* again and again between."""

    def read(size: int) -> object:
        text = (begin + each * ((size - len(begin) - len(end)) // len(each)) + end).encode()
        environ = {
            "REQUEST_METHOD": "PUT",
            "CONTENT_TYPE": content_type,
            "CONTENT_LENGTH": str(len(text)),
            "wsgi.input": BytesIO(text),
        }
        return all_arguments(Request(environ), KNOWN)

    return read


def header(read: Callable[[str], object], begin: str, each: str, end: str = "") -> Read:
    """A value of a header field, or of the query; none is as long as a body may be."""

    def small(size: int) -> object:
        size = size * MAX_HEADER_BYTES // LARGE_BODY
        return read(begin + each * ((size - len(begin) - len(end)) // len(each)) + end)

    return small


def in_query(text: str) -> object:
    given = query_arguments(Request({"QUERY_STRING": text}), names_of(JOBS.arguments()))
    return read_arguments(JOBS.arguments(), given)


def in_tags(text: str) -> object:
    return unchanged(Request({"HTTP_IF_NONE_MATCH": text}), "known", 1)


def in_codings(text: str) -> object:
    return compressed(Response(b""), text)


def whole_header(text: str) -> None:
    StrictRequest(Adjustments()).parse_header(text.encode())


JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"
PART = '--b\r\nContent-Disposition: form-data; name="a"'
GET = "GET / HTTP/1.1\r\nHost: x\r\n"
READINGS: dict[str, Read] = {
    "json, deep": body(JSON, '{"a": ', "["),
    "json, deep and whole": lambda n: read_json("[" * (n // 2) + "]" * (n // 2), "it"),
    "json, one key again": body(JSON, "{", '"a": 1,', '"a": 1}'),
    "json, many members": body(JSON, '{"a": [', "1,", "1]}"),
    "json, one number": body(JSON, '{"a": ', "9", "}"),
    "json, a fraction": body(JSON, '{"a": 0.', "9", "}"),
    "json, escapes": body(JSON, '{"a": "', "\\u00e9", '"}'),
    "json, halves of pairs": body(JSON, '{"a": "', "\\ud800", '"}'),
    "json, spaces": body(JSON, "", " ", "{}"),
    "form, fields": body(FORM, "", "a=&"),
    "form, ampersands": body(FORM, "a=1", "&"),
    "form, escapes": body(FORM, "a=", "%41"),
    "form, broken escapes": body(FORM, "a=", "%"),
    "form, pluses": body(FORM, "a=", "+"),
    "multipart, parts": body(MULTIPART, "", PART + "\r\n\r\n1\r\n", "--b--\r\n"),
    "multipart, one value": body(MULTIPART, PART + "\r\n\r\n", "x", "\r\n--b--\r\n"),
    "multipart, near boundaries": body(MULTIPART, PART + "\r\n\r\n", "\r\n--", "\r\n--b--\r\n"),
    "multipart, parameters": body(MULTIPART, PART, ";a=b", "\r\n\r\n1\r\n--b--\r\n"),
    "multipart, semicolons": body(MULTIPART, PART, ";", "\r\n\r\n1\r\n--b--\r\n"),
    "multipart, backslashes": body(MULTIPART, PART[:-2], "\\", '"\r\n\r\n1\r\n--b--\r\n'),
    "multipart, lines of a header": body(MULTIPART, PART, "\r\nX: y", "\r\n\r\n1\r\n--b--\r\n"),
    "multipart, no boundary": body(MULTIPART, "", "\r\n"),
    "query, fields": header(in_query, "", "user=&"),
    "query, values": header(in_query, "job_state=", "A,", "A"),
    "query, backslashes": header(in_query, "name=", "\\\\"),
    "query, fields of documents": header(in_query, "fields=", "user.a,", "cw"),
    "query, cursor": header(in_query, "limit=1&cursor=", "A"),
    "query, time": header(in_query, "time=", "9"),
    "If-None-Match, tags": header(in_tags, "", 'W/"known.1.2",'),
    "If-None-Match, quotes": header(in_tags, "", '"'),
    "If-None-Match, halves": header(in_tags, "", "W/"),
    "Accept-Encoding": header(in_codings, "", "gzip;q=0,"),
    "Accept-Encoding, weights": header(in_codings, "gzip;q=", "1"),
    "fields of a header": header(whole_header, GET, "X: y\r\n"),
    "one field": header(whole_header, GET + "Cookie: ", "a=b; "),
    "one field, Range": header(whole_header, GET + "Range: bytes=", "0-1,"),
    "spaces of a field": header(whole_header, GET + "Transfer-Encoding: ", " ", "x\r\n"),
}


def seconds(read: Read, size: int) -> float:
    """Return the least processor time of three readings."""
    times = []
    for _ in range(3):
        begin = time.process_time()
        try:
            read(size)
        except (Problem, ValueError):  # refused, as most of them are
            pass
        except Exception as error:
            if type(error).__module__ != "waitress.parser":
                raise
        times.append(time.process_time() - begin)
    return min(times)


@pytest.mark.parametrize("name", READINGS)
def test_the_work_grows_with_the_length(name: str) -> None:
    large = seconds(READINGS[name], LARGE_BODY)
    assert large < max(LITTLE, LIMIT * 4 * seconds(READINGS[name], LARGE_BODY // 4))
