"""Declare an endpoint once: where it is, its arguments, its response, and who gets what.

::

    @endpoint("GET", "jobs/one", arguments=JobArguments, content=Job | Nothing, gets=...)
    def one_job(context: Context, arguments: JobArguments) -> Response:
        \"\"\"One job.

        The empty object where there is none.
        \"\"\"

The docstring is the manual's: a summary in its first line, and below it a description.  Routes,
the reading of arguments, authentication, the description in OpenAPI and the table of rights in
docs/accounts.md follow from the declaration.
"""

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any, Literal

from api.http.arguments import Given, all_arguments, query_arguments
from api.http.request import JSON, Request, Response
from api.schema.arguments import Arguments, NoArguments, names_of, read_arguments
from api.stats.census import ClusterStats
from config.settings import JobsVisible
from ingest.accounts.tokens import Token
from ingest.accounts.users import User
from ingest.database.change_tokens import SeenTokens
from ingest.database.store import Store

BASE = "/api/v1/cluster/"
OLDER_BASE = "/api/v1/clusters/"
"""Where existing clients ask; every endpoint below `BASE` is there too."""

MOST_WITHOUT_SLOT = 100
"""Documents that an endpoint may read without a slot for costly queries."""

Access = Literal["everyone", "token", "all_jobs"]
"""Who may ask: everyone on the port, those with a token, or those of them who see all jobs."""


@dataclass(frozen=True)
class Manual:
    """The description of the API, as the body of a response each."""

    openapi: bytes
    page: bytes


@dataclass(frozen=True)
class Context:
    """A request with what it is answered from."""

    request: Request
    given: Given
    """The arguments as they came."""
    now: datetime
    """The time in UTC."""
    store: Store
    clusters: ClusterStats
    manual: Manual
    visible: dict[str, Any]
    """The Mongo filter for the jobs that the user may see, {} for all; part of every query for
    jobs."""
    slots: Callable[[str], AbstractContextManager[None]]
    """Takes a slot for a costly query of the account with this e-mail address."""

    @property
    def user(self) -> User:
        """The account that makes the request. Raises LookupError where everyone may ask."""
        if self.request.user is None:
            raise LookupError("an endpoint for everyone asks for the user")
        return self.request.user

    @property
    def token(self) -> Token | None:
        """The token of the request; None for an account that a proxy has signed in."""
        return self.request.token

    @property
    def seen(self) -> SeenTokens:
        """The change tokens that were read with the account. Raises LookupError where everyone may
        ask."""
        if self.request.seen is None:
            raise LookupError("an endpoint for everyone asks for change tokens")
        return self.request.seen

    def slot(self) -> AbstractContextManager[None]:
        """Return the context in which a costly query of the user runs, such as a list.

        Entering it raises Problem 503 while too many of them run.
        """
        return self.slots(self.user.mila_email_username)


@dataclass(frozen=True)
class Gets:
    """Who gets what with a token that is known, in the words of docs/accounts.md."""

    owner: str
    """The owner of the job that is asked for."""
    other: str
    """Another user, who owns another job."""
    privileged: str
    """An admin or a service."""
    own: tuple[str, str]
    """Owner and other, where users see their own jobs alone."""
    coordinator: str | None = None
    """There, who coordinates the account of the owner's job; None: what an admin gets."""

    @classmethod
    def same(cls, what: str) -> "Gets":
        """The same for everyone."""
        return cls(what, what, what, (what, what))

    @classmethod
    def jobs(cls, all_jobs: str, own_jobs: str, coordinated: str) -> "Gets":
        """What depends on which jobs somebody may see, but on no single job."""
        return cls(all_jobs, all_jobs, all_jobs, (own_jobs, own_jobs), coordinated)

    @classmethod
    def job(cls, what: str) -> "Gets":
        """One job, which is not there for those who may not see it."""
        return cls(what, what, what, (what, "{}"))


@dataclass(frozen=True)
class Endpoint:
    """One endpoint, and everything that is known of it."""

    method: str
    paths: tuple[str, ...]
    """Below `BASE`, or whole paths that begin with a slash."""
    arguments: type[Arguments]
    respond: Callable[[Context, Any], Response]
    gets: Gets
    content: Any = None
    """The type of the JSON of a response 200, as pydantic takes types; None for no JSON."""
    content_type: str = JSON
    access: Access = "token"
    tagged: bool = False
    """Whether responses have an ETag, and may be 304."""
    body: bool = False
    """Whether the arguments may stand in a body too."""
    every_role: bool = False
    """Whether all roles may write here: it changes the account of the request alone."""
    lists: str = ""
    """The name of the documents that it lists, in pages and lines too."""
    problems: Mapping[HTTPStatus, str] = field(default_factory=dict)
    """When it answers with errors beyond those of all endpoints."""

    @property
    def tag(self) -> str:
        """The heading in the manual under which the endpoint stands."""
        return "service" if self.paths[0].startswith("/") else self.paths[0].partition("/")[0]

    @property
    def summary(self) -> str:
        """What the endpoint is for, in one line."""
        return inspect.getdoc(self.respond).split("\n\n")[0].rstrip(".")  # type: ignore[union-attr]

    @property
    def description(self) -> str:
        """More on what the endpoint does; may be empty."""
        paragraphs = str(inspect.getdoc(self.respond)).split("\n\n")[1:]
        return "\n\n".join(" ".join(each.split()) for each in paragraphs)

    @property
    def shown(self) -> tuple[str, ...]:
        """The whole paths that the description shows."""
        return tuple(path if path.startswith("/") else BASE + path for path in self.paths)

    @property
    def routes(self) -> tuple[str, ...]:
        """The whole paths, those where existing clients ask included."""
        return (*self.shown, *(OLDER_BASE + each for each in self.paths if each[0] != "/"))

    def given(self, request: Request) -> Given:
        """Return the arguments of *request* as they came. Raises Problem 400, 413 or 415."""
        read = all_arguments if self.body else query_arguments
        return read(request, names_of(self.arguments))

    def response(self, context: Context) -> Response:
        """Answer a request. Raises Problem; pymongo's errors."""
        return self.respond(context, read_arguments(self.arguments, context.given))

    def rights(self, jobs_visible: JobsVisible) -> dict[str, str]:
        """Return who gets what: the columns of the table in docs/accounts.md."""
        gets = self.gets
        owner, other = gets.own if jobs_visible == "own" else (gets.owner, gets.other)
        coordinator = (jobs_visible == "own" and gets.coordinator) or gets.privileged
        if self.access == "all_jobs" and jobs_visible == "own":
            owner = other = coordinator = str(HTTPStatus.FORBIDDEN.value)
        without = gets.owner if self.access == "everyone" else str(HTTPStatus.UNAUTHORIZED.value)
        return {
            **dict.fromkeys(("no token", "wrong", "revoked"), without),
            "owner": owner,
            "other": other,
            "coordinator": coordinator,
            "admin": gets.privileged,
            "service": gets.privileged,
        }


def endpoint(
    method: str,
    *paths: str,
    gets: Gets,
    arguments: type[Arguments] = NoArguments,
    **more: Any,
) -> Callable[[Callable[[Context, Any], Response]], Endpoint]:
    """Declare the decorated function to be an endpoint; *more* are fields of `Endpoint`."""

    def declared(respond: Callable[[Context, Any], Response]) -> Endpoint:
        return Endpoint(method, paths, arguments, respond, gets, **more)

    return declared


SEVERAL = {
    HTTPStatus.INTERNAL_SERVER_ERROR: "Several clusters have this id or name: `clusters` names"
    " them, and `cluster_name` chooses one. Or the service failed."
}
"""When an endpoint for one job or one node fails."""
