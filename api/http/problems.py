"""Errors as the API answers them: ``application/problem+json`` of RFC 9457.

::

    {"type": "about:blank",
     "title": str       the status in HTTP's words,
     "status": int,
     "detail": str      what is wrong with this request and what to do,
     "clusters": [str]  only where several clusters have what was asked for: their names}
"""

import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus

import orjson
from pymongo.errors import PyMongoError

from api.http.request import Handler, Header, Request, Response

CONTENT_TYPE = "application/problem+json"

SECONDS_TO_RETRY = 5
"""Seconds for which a client is asked to wait after a 503."""

logger = logging.getLogger(__name__)


class Problem(Exception):
    """A request that is answered with an error."""

    def __init__(
        self,
        status: int,
        detail: str,
        headers: Sequence[Header] = (),
        clusters: Sequence[str] = (),
    ) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail
        self.headers = tuple(headers)
        self.clusters = tuple(clusters)

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
            **({"clusters": self.clusters} if self.clusters else {}),
        }
        return orjson.dumps(fields)

    def response(self) -> Response:
        """The problem as a response."""
        return Response(self.body, self.headers, self.status, CONTENT_TYPE)


def bad_request(detail: str) -> Problem:
    """Return the problem 400 for a request that is wrong as it stands."""
    return Problem(HTTPStatus.BAD_REQUEST, detail)


def unavailable(detail: str, seconds: int = SECONDS_TO_RETRY) -> Problem:
    """Return the problem 503 for a request that may succeed in so many *seconds*."""
    retry = ("Retry-After", str(seconds))
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, [retry])


def database_unavailable() -> Problem:
    """Return the problem 503 for a database that does not answer; it shows no error of Mongo."""
    return unavailable("The database does not answer. Try again in a moment.")


def internal_error() -> Problem:
    """Return the problem 500 for a defect of the service; the log says what happened."""
    return Problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "The service failed to respond to this request; its log says why. Tell its administrator.",
    )


def answer_problems(handler: Handler, due: Callable[[str], int]) -> Handler:
    """Middleware: answer the exceptions of *handler* with problems, and log defects.

    *due* counts a cause, and returns how many times the next line of the log stands for; 0 for no
    line.
    """

    def answer(request: Request) -> Response:
        try:
            return handler(request)
        except Problem as problem:
            return problem.response()
        except PyMongoError as error:
            if times := due(f"{request.path}: {type(error).__name__}"):
                line, extra = "%s: the database failed: %s", {"times": times}
                logger.error(line, request.path, error, extra=extra)  # noqa: TRY400
            return database_unavailable().response()
        except Exception as error:
            if times := due(f"{request.path}: {type(error).__name__}"):
                logger.exception("%s: the request failed", request.path, extra={"times": times})
            return internal_error().response()

    return answer
