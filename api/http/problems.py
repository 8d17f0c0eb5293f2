"""Errors as the API answers them: ``application/problem+json`` of RFC 9457.

::

    {"type": "about:blank",
     "title": str       the status in HTTP's words,
     "status": int,
     "detail": str      what is wrong with this request and what to do}
"""

from collections.abc import Sequence
from http import HTTPStatus

import orjson

CONTENT_TYPE = "application/problem+json"

SECONDS_TO_RETRY = 5
"""How long a client is asked to wait while the database is away."""


class Problem(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, detail: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail
        self.headers = tuple(headers)

    @property
    def status_line(self) -> str:
        """The status and HTTP's words for it."""
        return f"{self.status} {HTTPStatus(self.status).phrase}"

    @property
    def body(self) -> bytes:
        """The problem as JSON."""
        fields = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        return orjson.dumps(fields)


def bad_request(detail: str) -> Problem:
    """A request that can't be right as it stands."""
    return Problem(HTTPStatus.BAD_REQUEST, detail)


def database_unavailable() -> Problem:
    """The database did not answer; nothing of what it said goes out."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The database does not answer. Try again in a moment.",
        [("Retry-After", str(SECONDS_TO_RETRY))],
    )


def internal_error() -> Problem:
    """A defect of the service; the log has what happened."""
    return Problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "The service failed to answer this request; its log says why. Tell its operator.",
    )
