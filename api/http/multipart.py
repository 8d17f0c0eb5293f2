"""Read a form as ``multipart/form-data`` (RFC 7578), in time linear in its size.

The form is one flat list of parts.  Every part has a small header that names an argument, and a
value in UTF-8.  Nested multiparts and encoded values are refused: RFC 7578 has done away with both.
"""

import re

from api.http.problems import Problem, bad_request

MOST_HEADER_BYTES = 8 << 10
"""Bytes in the header of one part."""
MOST_HEADER_FIELDS = 16
"""Header fields of one part."""

_BOUNDARY = re.compile(
    r';[ \t]*boundary=(?:"([^"]{1,70})"|([^\s";]{1,70}))[ \t]*(?:;|$)', re.IGNORECASE
)
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = rf';[ \t]*({_WORD})=("(?:[^"\\]|\\.)*"|{_WORD})[ \t]*'
_PARAMETERS = re.compile(_PARAMETER)
_DISPOSITION = re.compile(rf"form-data[ \t]*(?:{_PARAMETER})*", re.IGNORECASE)
_PLAIN_ENCODINGS = ("", "7bit", "8bit", "binary")


def read_multipart(body: bytes, content_type: str, most_parts: int) -> list[tuple[str, str]]:
    """Return the name and the value of every part of *body*.

    *content_type* is that of the request, with the boundary.  Raises Problem 400 for a form that
    is malformed, and for more than *most_parts* parts.
    """
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        raise _malformed("its Content-Type has no boundary of 1 to 70 characters")
    delimiter = b"\r\n--" + (boundary[1] or boundary[2]).encode("latin-1")
    # What stands before the first delimiter is a preamble, which readers ignore.
    _, *parts = (b"\r\n" + body).split(delimiter, most_parts + 2)
    fields: list[tuple[str, str]] = []
    for part in parts:
        if part.startswith(b"--"):
            return fields
        if len(fields) == most_parts:
            raise bad_request(f"the form has more than {most_parts} fields")
        fields.append(_part(part))
    raise _malformed("it does not end with its boundary and two hyphens")


def _part(part: bytes) -> tuple[str, str]:
    padding, _, rest = part.partition(b"\r\n")
    if padding.strip(b" \t"):
        raise _malformed("a line begins with the boundary but does not end there")
    if rest.startswith(b"\r\n"):
        raise _malformed("a part has no name")
    # The header and the empty line behind it, and no byte more, are looked through.
    head, found, _ = rest[: MOST_HEADER_BYTES + 4].partition(b"\r\n\r\n")
    if not found and len(rest) > MOST_HEADER_BYTES:
        raise bad_request(f"the header of a part of the form is above {MOST_HEADER_BYTES} bytes")
    if not found:
        raise _malformed("a part has no empty line between its header and its value")
    name = _name(head)
    try:
        return name.decode(), rest[len(head) + 4 :].decode()
    except UnicodeDecodeError as error:
        raise bad_request("the form is not UTF-8") from error


def _name(head: bytes) -> bytes:
    """Return the name that the header of a part gives it."""
    lines = head.split(b"\r\n")
    if len(lines) > MOST_HEADER_FIELDS:
        raise bad_request(f"a part of the form has more than {MOST_HEADER_FIELDS} header fields")
    fields: dict[str, str] = {}
    for line in lines:
        key, colon, value = line.decode("latin-1").partition(":")
        if not colon or key.strip() != key:
            raise _malformed("a header field of a part is malformed")
        fields[key.lower()] = value.strip(" \t")
    if fields.get("content-type", "").lower().startswith("multipart/"):
        raise bad_request("a part of the form is a multipart too: send one flat list of parts")
    if fields.get("content-transfer-encoding", "").lower() not in _PLAIN_ENCODINGS:
        raise bad_request(
            "a part of the form has a Content-Transfer-Encoding: send its value as it is, in UTF-8"
        )
    disposition = fields.get("content-disposition", "")
    if _DISPOSITION.fullmatch(disposition):
        for key, value in _PARAMETERS.findall(disposition):
            if key.lower() == "name":
                plain = value[1:-1] if value.startswith('"') else value
                return re.sub(r"\\(.)", r"\1", plain).encode("latin-1")
    raise _malformed("a part has no name")


def _malformed(what: str) -> Problem:
    return bad_request(
        f"the form is malformed: {what}. RFC 7578 describes what multipart/form-data looks like."
    )
