"""Conditional requests: an ``ETag`` for a response, and 304 for clients that have the response.

The tags are weak: a tag stands for what documents say, however they are written and compressed.
The tag of one document is a digest of it.  The tag of a list is made before the list is read, from

- the change tokens of the documents in the list (`ingest.database.change_tokens`),
- the request: its arguments, and the release that answers,
- where ``time`` was given, the cutoffs between which no job drops out: ``W/"digest.from.to"``, in
  milliseconds of Unix time.

So a tag may change although the list did not, but never stays when the list changed.
Marks and cutoffs depend on everyone's jobs.  To a user who sees their own jobs alone, a page or a
count therefore has a digest as its tag, and a streamed list has no tag.
"""

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from hashlib import blake2b
from http import HTTPStatus
from importlib.metadata import version

from api.http.json_text import json_bytes
from api.http.request import Handler, Header, Request, Response

RELEASE = version("clockwork-slurm")

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
CACHE_CONTROL: Header = ("Cache-Control", "private, no-cache")
"""Browsers and proxies may keep responses for their user, and must ask again each time."""

_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')


@dataclass(frozen=True)
class Cutoffs:
    """A range of cutoffs of ``time`` that choose the same jobs.

    From the cutoff that was asked for to the end of the job that drops out next; in milliseconds
    of Unix time, as exact as Mongo's dates.
    """

    first: int
    last: int

    def __contains__(self, cutoff: int) -> bool:
        return self.first <= cutoff <= self.last


def milliseconds(moment: datetime) -> int:
    """Return *moment* in whole milliseconds of Unix time, rounded down as Mongo's dates are."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


def digest(*parts: object) -> str:
    """Return a text that differs for different *parts*, of anything that has a JSON form."""
    return blake2b(json_bytes([RELEASE, *parts]), digest_size=16).hexdigest()


def tag_headers(value: str, cutoffs: Cutoffs | None = None) -> tuple[Header, ...]:
    """Return the header fields of a response with this digest."""
    if cutoffs is not None:
        value += f".{cutoffs.first}.{cutoffs.last}"
    return (weak_tag(value), CACHE_CONTROL)


def weak_tag(value: str) -> Header:
    """Return the header field ``ETag`` with this digest."""
    return ("ETag", f'W/"{value}"')


def tagged(response: Response) -> Response:
    """Return *response*, whose body is whole, with a digest of the body as its tag."""
    if not isinstance(response.body, bytes):
        raise TypeError("a response in chunks has no digest")
    return response.with_headers(*tag_headers(body_digest(response.body)))


def body_digest(body: bytes) -> str:
    """Return the digest of a whole body."""
    return blake2b(body, digest_size=16).hexdigest()


def unchanged(request: Request, value: str, cutoff: int | None = None) -> Response | None:
    """Return the response 304 where the client has what this digest stands for, else None.

    *cutoff* is that of a list with ``time``, in milliseconds of Unix time.
    """
    given = request.header("If-None-Match") or ""
    if given.strip() == "*":  # anything will do, says RFC 9110
        return Response(b"", tag_headers(value), HTTPStatus.NOT_MODIFIED)
    for tag in _TAG.findall(given):
        known, _, rest = tag.partition(".")
        if known != value:
            continue
        cutoffs = _cutoffs(rest)
        if (cutoff is None and not rest) or (cutoffs and cutoff is not None and cutoff in cutoffs):
            return Response(b"", tag_headers(value, cutoffs), HTTPStatus.NOT_MODIFIED)
    return None


def answer_unchanged(handler: Handler) -> Handler:
    """Middleware: answer 304 where the client has the whole body that *handler* answers."""

    def answer(request: Request) -> Response:
        response = handler(request)
        tag = _TAG.fullmatch(response.header("ETag") or "")
        if tag is None or not isinstance(response.body, bytes):
            return response
        if unchanged(request, tag[1]) is None:
            return response
        return replace(response, body=b"", status=HTTPStatus.NOT_MODIFIED)

    return answer


def _cutoffs(text: str) -> Cutoffs | None:
    match = re.fullmatch(r"(-?[0-9]{1,15})\.(-?[0-9]{1,15})", text, re.ASCII)
    return None if match is None else Cutoffs(int(match[1]), int(match[2]))
