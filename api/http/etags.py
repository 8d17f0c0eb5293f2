"""Conditional requests: an ``ETag`` for what is answered, and 304 to whoever has it already.

The tags are weak: they stand for what the documents say, however it is written and compressed.
The tag of one document is a digest of it.  The tag of a list is made before the list is read, of

- the marks of the documents that it is made from (`ingest.database.change_tokens`),
- the question: the arguments, and the release that answers,
- where ``time`` was given, the cutoffs between which no job drops out: ``W/"digest.from.to"``, in
  milliseconds of Unix time.

So a tag may look old where the list is the same, and is never the same where the list is another.
Marks and cutoffs tell of everyone's jobs: to a user who sees their own alone, a page or a number is
tagged as one document is, and a list in a stream is not.
"""

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from hashlib import blake2b
from http import HTTPStatus
from importlib.metadata import version

from api.http.arguments import Environ
from api.http.request import Answer
from api.lists.json_stream import json_bytes

RELEASE = version("clockwork-slurm")

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
CACHE_CONTROL = {"Cache-Control": "private, no-cache"}
"""What browsers and proxies may do with answers: keep them for their user, and ask each time."""


@dataclass(frozen=True)
class Cutoffs:
    """The cutoffs of ``time`` that choose the same jobs, from the one that was asked for to the
    end of the job that drops out next; in milliseconds of Unix time, as exact as Mongo's dates."""

    first: int
    last: int

    def __contains__(self, cutoff: int) -> bool:
        return self.first <= cutoff <= self.last


def milliseconds(moment: datetime) -> int:
    """*moment* in whole milliseconds of Unix time, rounded down as Mongo's dates are."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


def digest(*parts: object) -> str:
    """A text that is another one for other *parts*, of anything that has a JSON form."""
    return blake2b(json_bytes([RELEASE, *parts]), digest_size=16).hexdigest()


def tag_headers(value: str, cutoffs: Cutoffs | None = None) -> dict[str, str]:
    """The header fields for an answer with this digest."""
    if cutoffs is not None:
        value += f".{cutoffs.first}.{cutoffs.last}"
    return {"ETag": f'W/"{value}"', **CACHE_CONTROL}


def unchanged(environ: Environ, value: str, cutoff: int | None = None) -> Answer | None:
    """The answer 304 where the request has what this digest stands for at this cutoff, in
    milliseconds; else None."""
    given = environ.get("HTTP_IF_NONE_MATCH", "")
    if given.strip() == "*":  # anything will do, says RFC 9110
        return Answer(b"", tag_headers(value), HTTPStatus.NOT_MODIFIED)
    for tag in _TAG.findall(given):
        known, _, rest = tag.partition(".")
        if known != value:
            continue
        cutoffs = _cutoffs(rest)
        if (cutoff is None and not rest) or (cutoffs and cutoff is not None and cutoff in cutoffs):
            return Answer(b"", tag_headers(value, cutoffs), HTTPStatus.NOT_MODIFIED)
    return None


def tagged(environ: Environ, answer: Answer) -> Answer:
    """*answer* with its tag, where its body is whole, or 304 where the request has it already."""
    if not isinstance(answer.body, bytes):
        return answer
    value = blake2b(answer.body, digest_size=16).hexdigest()
    headers = {**(answer.headers or {}), **tag_headers(value)}
    return unchanged(environ, value) or replace(answer, headers=headers)


def _cutoffs(text: str) -> Cutoffs | None:
    match = re.fullmatch(r"(-?[0-9]{1,15})\.(-?[0-9]{1,15})", text, re.ASCII)
    return None if match is None else Cutoffs(int(match[1]), int(match[2]))
