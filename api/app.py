"""The WSGI application: call the endpoint of each path, and add what every response needs.

The endpoints are those of `_MODULES`; `api.schema.endpoint` says how one is declared.  Filters and
other arguments of lists are described at ``/api/docs`` and in docs/lists.md.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial, reduce
from http import HTTPStatus

import bottle

from api.auth import Auth
from api.endpoints import account, clusters, gpu, health, jobs, manual, metrics, nodes, user_dict
from api.feed import endpoints as feed
from api.http.cors import allow_origins
from api.http.etags import answer_unchanged
from api.http.gzip import compress_responses
from api.http.json_text import json_bytes
from api.http.problems import Problem, answer_problems, bad_request, internal_error
from api.http.request import Handler, Middleware, Request, Response, WsgiApplication
from api.http.security_headers import forbid_sniffing
from api.lists import queries
from api.page_files import page_files, signed_in_by_proxy, with_addresses
from api.query_slots import QuerySlots
from api.scheduling import partitions, why
from api.schema.docs_page import docs_page
from api.schema.endpoint import Context, Endpoint, Manual
from api.schema.openapi import description
from api.sign_in.browsers import keep_apart
from api.sign_in.proxy import header_names
from api.stats.census import ClusterStats
from api.stats.request_times import RequestTimes
from config import ApiSettings, ClusterSettings
from config.settings import JobsVisible
from ingest.database.change_tokens import SeenTokens
from ingest.database.store import Store
from ingest.logs.log_lines import LogLines

_MODULES = (
    jobs,
    user_dict,
    nodes,
    why,
    partitions,
    feed,
    clusters,
    gpu,
    account,
    metrics,
    health,
    manual,
)
"""The modules of the endpoints, in the order of the manual."""
ENDPOINTS = tuple(
    each for module in _MODULES for each in vars(module).values() if isinstance(each, Endpoint)
)

PAGE = "/page/"
_DEFAULTS = ApiSettings()
_LOGGED_SECONDS = 60.0
"""Between two lines of the log about one cause, such as refused requests to one endpoint."""
_NO_MANUAL = Manual(b"", b"")

logger = logging.getLogger(__name__)

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the time of the machine's clock, in UTC."""
    return datetime.now(timezone.utc)


def build_app(
    store: Store,
    clock: Clock = utc_now,
    clusters: Iterable[ClusterSettings] = (),
    settings: ApiSettings = _DEFAULTS,
) -> WsgiApplication:
    """Return the API of *store* as a WSGI application.

    *clock* tells the time in UTC; /metrics and clusters/list show the configured *clusters*.
    """
    endpoints = endpoints_of(settings)
    described = description(endpoints, user_dict.SCHEMAS)
    names = header_names(settings)
    docs = with_addresses(docs_page(described))
    manual = Manual(json_bytes(described), signed_in_by_proxy(docs) if names else docs)
    stats = ClusterStats(store, clusters, clock)
    slots = QuerySlots(settings.threads)
    service = _Service(store, clock, stats, manual, settings.jobs_visible, slots)
    auth = Auth(store, settings, clock)
    app = _App(
        [keep_apart(names), allow_origins(settings.cors_origins)],
        [path for each in endpoints for path in each.shown],
        stats.request_times,
    )
    for endpoint in endpoints:
        handler: Handler = partial(service.answer, endpoint)
        if endpoint.access != "everyone":
            seen_by = partial(_seen_tokens, store, endpoint)
            handler = auth.require_token(handler, seen_by, every_role=endpoint.every_role)
        is_open = endpoint.access == "everyone"
        app.add(endpoint.method, endpoint.routes, handler, is_open=is_open)
    for path, handler in page_files(by_proxy=bool(names)).items():
        app.add("GET", [path], handler, is_open=True)
    return app.wsgi


def build_metrics_app(
    store: Store, clusters: Iterable[ClusterSettings], clock: Clock = utc_now
) -> WsgiApplication:
    """Return /metrics alone, for everyone, as a WSGI application."""
    endpoint = replace(metrics.metrics, access="everyone")
    stats = ClusterStats(store, clusters, clock)
    service = _Service(store, clock, stats, _NO_MANUAL, "all", QuerySlots(1))
    app = _App([], endpoint.shown, stats.request_times)
    app.add(endpoint.method, endpoint.routes, partial(service.answer, endpoint))
    return app.wsgi


def endpoints_of(settings: ApiSettings) -> tuple[Endpoint, ...]:
    """Return the endpoints, with who may ask them under these settings."""
    if settings.metrics == "token":
        return ENDPOINTS
    return tuple(
        replace(each, access="everyone") if each is metrics.metrics else each for each in ENDPOINTS
    )


def _seen_tokens(store: Store, endpoint: Endpoint, request: Request) -> SeenTokens:
    """Return the change tokens that are read with the account of *request*."""
    if not endpoint.lists:
        return SeenTokens(store)
    try:
        given = endpoint.given(request)
    except Problem:  # the account comes first: then the endpoint raises this again
        return SeenTokens(store)
    return SeenTokens(store, endpoint.tag, given.get("cluster_name") or None)


@dataclass(frozen=True)
class _Service:
    """What endpoints answer from."""

    store: Store
    clock: Clock
    clusters: ClusterStats
    manual: Manual
    jobs_visible: JobsVisible
    slots: QuerySlots

    def answer(self, endpoint: Endpoint, request: Request) -> Response:
        """Answer a request that may be made. Raises Problem; pymongo's errors."""
        visible: queries.Filter = {}
        if request.user is not None:
            visible = queries.visible_to(request.user, self.jobs_visible)
        if visible and endpoint.access == "all_jobs":
            raise Problem(
                HTTPStatus.FORBIDDEN,
                "this covers all users' jobs, and you may see only some of them: use the token of a"
                " service account (`clockwork user add EMAIL --role service`)",
            )
        given = endpoint.given(request)
        context = Context(
            *(request, given, self.clock(), self.store, self.clusters, self.manual, visible),
            slots=self.slots.taken_by,
        )
        return endpoint.response(context)


class _App:
    """Bottle's router around handlers, every response of which goes through the middlewares."""

    def __init__(
        self, outer: Sequence[Middleware], addresses: Sequence[str], times: RequestTimes
    ) -> None:
        self._times = times
        self._bottle = bottle.Bottle()
        self._lines = LogLines(_LOGGED_SECONDS)
        self._middlewares: tuple[Middleware, ...] = (
            *(partial(answer_problems, due=self._due), answer_unchanged, compress_responses),
            *(*outer, forbid_sniffing),
        )
        self._addresses = ", ".join(addresses)
        self._bottle.default_error_handler = self._answer_error
        self._bottle.add_hook("before_request", self._check_path)

    @property
    def wsgi(self) -> WsgiApplication:
        """The application."""
        wsgi: WsgiApplication = self._bottle
        return wsgi

    def add(
        self, method: str, paths: Sequence[str], handler: Handler, *, is_open: bool = False
    ) -> None:
        """Let *handler* answer at these paths; *is_open* if requests need no token."""
        respond = _logged(paths[0], self._wrapped(handler), self._due, self._times, is_open=is_open)
        callback = partial(_bottle_response, respond)
        self._bottle.route(list(paths), method=method, callback=callback)

    def _due(self, cause: str) -> int:
        """Return how many log lines of *cause* the next line stands for; 0 if it is not due."""
        return self._lines.due(cause, time.monotonic())

    def _wrapped(self, handler: Handler) -> Handler:
        return reduce(lambda inner, middleware: middleware(inner), self._middlewares, handler)

    def _check_path(self) -> None:
        # Bottle drops the bytes of a path that are not UTF-8, and would find a route without them.
        try:
            bottle.request.environ["bottle.raw_path"].encode("latin-1").decode()
        except UnicodeDecodeError:
            raise self._bottle_problem(bad_request("the path is not UTF-8")) from None

    def _answer_error(self, error: bottle.HTTPError) -> bytes:
        """Return the body for an error that bottle found: an unknown path or method, a defect."""
        response = self._bottle_problem(self._problem(error))
        response.apply(bottle.response)
        body: bytes = response.body
        return body

    def _problem(self, error: bottle.HTTPError) -> Problem:
        if error.status_code == HTTPStatus.NOT_FOUND:
            known = f"there is nothing here; see {self._addresses}"
            return Problem(HTTPStatus.NOT_FOUND, known)
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = error.get_header("Allow").replace("GET", "GET, HEAD")
            return Problem(
                HTTPStatus.METHOD_NOT_ALLOWED, f"use {allowed} here", [("Allow", allowed)]
            )
        if error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
            return Problem(error.status_code, str(error.body))
        if times := self._due("the API failed"):
            logger.error("the API failed", exc_info=error.exception, extra={"times": times})
        return internal_error()

    def _bottle_problem(self, problem: Problem) -> bottle.HTTPResponse:
        def refuse(_request: Request) -> Response:
            raise problem

        return _bottle_response(self._wrapped(refuse))


def _logged(
    name: str,
    handler: Handler,
    due: Callable[[str], int],
    times_of: RequestTimes,
    *,
    is_open: bool,
) -> Handler:
    """Middleware: log the method, *name*, the status and the time of every request.

    The time is also counted in *times_of*, where all files of the page are one endpoint.
    *due* bounds the lines about requests that anyone can make: those to an endpoint that *is_open*,
    and those that are answered with an error.
    """

    def answer(request: Request) -> Response:
        started = time.monotonic()
        response = handler(request)
        seconds = time.monotonic() - started
        times_of.add(PAGE if name.startswith(PAGE) else name, response.status, seconds)
        milliseconds = seconds * 1000
        times = 1
        if is_open or response.status >= HTTPStatus.BAD_REQUEST:
            times = due(f"{response.status} {name}")
        if times:
            extra = {"times": times} if times > 1 else {}
            line = "%s %s: %d in %.0f ms"
            logger.info(line, request.method, name, response.status, milliseconds, extra=extra)
        return response

    return answer


def _bottle_response(handler: Handler) -> bottle.HTTPResponse:
    response = handler(Request(bottle.request.environ))
    written = bottle.HTTPResponse(response.body, response.status)
    written.content_type = response.content_type
    for name, value in response.headers:
        written.add_header(name, value)
    return written
