"""The WSGI application: which address answers what, and what becomes of an error.

========  ============================  ============================================
method    /api/v1/cluster/...           arguments
========  ============================  ============================================
GET       jobs/list                     user (or username), time (or relative_time),
                                        cluster_name; array_job_id, name, node, job_state, account,
                                        partition; those of every list
GET       jobs/one                      job_id, cluster_name
PUT       jobs/user_dict_update         job_id, cluster_name, update_pairs
GET       nodes/list                    cluster_name; name, state, feature,
                                        partition; those of every list
GET       nodes/one, node/one           node_name (or name), cluster_name
GET       jobs/history                  job_id, cluster_name
GET       clusters/list                 none
========  ============================  ============================================

Filters hold together.  Those behind the first semicolon take several values with commas between
them, any of which will do (``\\,`` is a comma within a value); what is compared is the whole value.

============  ======================================================================================
argument      what it asks for
============  ======================================================================================
array_job_id  the tasks of a job array, by the array's id, a number
name          jobs of this name; nodes of this name
node          jobs that run, or ran, on this node, whatever hostlist it is part of
job_state     a state as Slurm prints it, or one word of it, in capitals or not: COMPLETING also
              finds COMPLETED+COMPLETING, which COMPLETED finds too
account       jobs of this account
partition     jobs of this partition: one that waits for ``a,b`` is of both; nodes of this partition
state         as job_state, of nodes, without signs such as ``*``: DRAIN finds IDLE+DRAIN, IDLE too,
              and ``IDLE+DRAIN`` (a plus sign is ``%2B`` in an address) that alone
feature       nodes that have this feature available
============  ======================================================================================

Of every list:

============  ======================================================================================
fields        what to answer of each document: ``slurm.job_id,slurm.job_state``, or whole parts,
              ``slurm``; ``cw.history`` comes only when it is asked for.  A part of which a field
              was asked for is there, empty if need be; a key that a document lacks is not
sort          jobs by submit_time, finished_at or name, nodes by name; ``-submit_time``: the latest
              first.  Jobs without a known submit time come before all others, unfinished jobs after
              the finished ones.  Without sort, the order is by cluster and id, as text
limit         at most so many documents, 1 to 1000.  Where there are more, ``Link: <...>;
              rel="next"`` is the address of the next page
cursor        where a page begins; it is part of that address, and nothing to make up
format        ``json``, or ``ndjson``: a document in each line (application/x-ndjson)
count         ``true``: only how many there are, ``{"count": 12}``; not together with the five above
============  ======================================================================================

Lists and single documents come with an ``ETag``, and are 304 for whoever sends it back in
``If-None-Match`` while nothing has changed (`api.http.etags`); gzip is there for the asking.

Every one of them wants a token (`api.gate`); every error is a problem (`api.http.problems`).  Existing
clients call them under /api/v1/clusters too.  ``/metrics`` has the figures for Prometheus
(`api.endpoints.metrics`); it wants a token unless it is open.  ``/healthz`` and ``/readyz`` (`api.endpoints.health`)
and the description of it all (`api.schema.openapi`, `api.schema.docs_page`) are for everyone, and so is ``/``,
the page for people (`api.endpoints.page_files`).
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from http import HTTPStatus

import bottle
from pymongo.errors import PyMongoError

from api.endpoints import clusters, history, jobs, metrics, nodes, user_dict
from api.endpoints.health import Health
from api.endpoints.metrics import Metrics
from api.endpoints.open_addresses import open_addresses
from api.endpoints.page_files import add_page
from api.gate import Gate
from api.http.arguments import Arguments, Environ, all_arguments, query_arguments
from api.http.cors import with_cors
from api.http.gzip import compressed
from api.http.problems import (
    CONTENT_TYPE,
    Problem,
    bad_request,
    database_unavailable,
    internal_error,
)
from api.http.request import Answer, Call
from api.lists import queries
from api.schema import openapi
from api.server import WsgiApplication
from api.stats.census import Clusters
from config import ApiSettings, ClusterSettings
from ingest.database.store import Store

BASE = "/api/v1/cluster/"
OLDER_BASE = "/api/v1/clusters/"
METRICS = "/metrics"
VARY = "Authorization, Accept-Encoding"
"""The header fields of a request by which one address has several answers."""

_DEFAULTS = ApiSettings()

logger = logging.getLogger(__name__)

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class _Service:
    """What endpoints answer from."""

    store: Store
    clock: Clock
    settings: ApiSettings
    gate: Gate
    clusters: Clusters


@dataclass(frozen=True)
class Endpoint:
    """One address: its method, where its arguments come from, their names, and its answer."""

    path: str
    method: str
    read_arguments: Callable[[Environ, Sequence[str]], Arguments]
    arguments: Sequence[str]
    answer: Callable[[Call], Answer]


ENDPOINTS = (
    Endpoint("jobs/list", "GET", query_arguments, jobs.LIST_ARGUMENTS, jobs.list_jobs),
    Endpoint("jobs/one", "GET", query_arguments, jobs.ONE_ARGUMENTS, jobs.one_job),
    Endpoint(
        "jobs/user_dict_update",
        "PUT",
        all_arguments,
        user_dict.UPDATE_ARGUMENTS,
        user_dict.update_user_dict,
    ),
    Endpoint("nodes/list", "GET", query_arguments, nodes.LIST_ARGUMENTS, nodes.list_nodes),
    Endpoint("nodes/one", "GET", query_arguments, nodes.ONE_ARGUMENTS, nodes.one_node),
    Endpoint("node/one", "GET", query_arguments, nodes.ONE_ARGUMENTS, nodes.one_node),
    Endpoint("jobs/history", "GET", query_arguments, history.ARGUMENTS, history.job_history),
    Endpoint(
        "clusters/list", "GET", query_arguments, clusters.LIST_ARGUMENTS, clusters.list_clusters
    ),
)


def utc_now() -> datetime:
    """The time of the machine's clock, in UTC."""
    return datetime.now(timezone.utc)


def build_app(
    store: Store,
    clock: Clock = utc_now,
    clusters: Iterable[ClusterSettings] = (),
    settings: ApiSettings = _DEFAULTS,
) -> WsgiApplication:
    """The API of the store, as a WSGI application; *clock* tells the time in UTC.

    /metrics has the figures of *clusters*.
    """
    service = _Service(
        store, clock, settings, Gate(store, settings, clock), Clusters(store, clusters, clock)
    )
    health = Health(store, service.clusters)
    described = openapi.description(BASE, ENDPOINTS, open_metrics=settings.metrics == "open")
    app = _new_app(list(described["paths"]))
    for endpoint in ENDPOINTS:
        answer = partial(_answer, service, endpoint)
        paths = [base + endpoint.path for base in (BASE, OLDER_BASE)]
        app.route(paths, method=endpoint.method, callback=_callback(endpoint.path, answer))
    for path, answer_all in open_addresses(health, described).items():
        app.route(path, callback=_callback(path, partial(_answer_everyone, answer_all)))
    _add_metrics(app, Metrics(service.clusters), partial(_check_reader, service))
    add_page(app)
    answers: WsgiApplication = app
    return with_cors(answers, settings.cors_origins)


def build_metrics_app(
    store: Store, clusters: Iterable[ClusterSettings], clock: Clock = utc_now
) -> WsgiApplication:
    """/metrics alone, for everyone, as a WSGI application."""
    app = _new_app([METRICS])
    _add_metrics(app, Metrics(Clusters(store, clusters, clock)), lambda _: None)
    answers: WsgiApplication = app
    return answers


def _new_app(addresses: Sequence[str]) -> bottle.Bottle:
    app = bottle.Bottle()
    app.default_error_handler = partial(_answer_to_bottle_error, addresses)
    app.add_hook("before_request", _check_path)
    return app


def _add_metrics(
    app: bottle.Bottle, figures: Metrics, check_reader: Callable[[Environ], None]
) -> None:
    """Let *app* answer /metrics, unless *check_reader* raises a Problem."""
    answer = partial(_answer_metrics, figures, check_reader)
    app.route(METRICS, callback=_callback("metrics", answer))


def _callback(
    name: str, answer: Callable[[Environ], bottle.HTTPResponse]
) -> Callable[[], bottle.HTTPResponse]:
    def timed() -> bottle.HTTPResponse:
        started = time.monotonic()
        response = _response(name, answer)
        milliseconds = (time.monotonic() - started) * 1000
        logger.info(
            "%s %s: %d in %.0f ms",
            *(bottle.request.method, name, response.status_code, milliseconds),
        )
        return response

    return timed


def _response(name: str, answer: Callable[[Environ], bottle.HTTPResponse]) -> bottle.HTTPResponse:
    try:
        return answer(bottle.request.environ)
    except Problem as problem:
        return _problem_response(problem)
    except PyMongoError as error:
        logger.error("%s: the database failed: %s", name, error)  # noqa: TRY400 - no defect of ours
        return _problem_response(database_unavailable())
    except Exception:
        logger.exception("%s failed", name)
        return _problem_response(internal_error())


def _answer(service: _Service, endpoint: Endpoint, environ: Environ) -> bottle.HTTPResponse:
    user = service.gate.admit(environ)
    arguments = endpoint.read_arguments(environ, endpoint.arguments)
    visible = queries.visible_to(user, service.settings.jobs_visible)
    call = Call(service.store, user, visible, arguments, service.clock(), environ, service.clusters)
    return _sent(endpoint.answer(call), environ)


def _answer_everyone(answer: Callable[[Environ], Answer], environ: Environ) -> bottle.HTTPResponse:
    return _sent(answer(environ), environ)


def _sent(answer: Answer, environ: Environ) -> bottle.HTTPResponse:
    answer = compressed(answer, environ)
    headers = {"Content-Type": answer.content_type, "Vary": VARY, **(answer.headers or {})}
    return bottle.HTTPResponse(answer.body, answer.status, headers)


def _check_reader(service: _Service, environ: Environ) -> None:
    """Raise a Problem unless the figures, which count all jobs, are for who asks."""
    if service.settings.metrics == "open":
        return
    user = service.gate.admit(environ)
    if queries.visible_to(user, service.settings.jobs_visible):
        raise Problem(
            HTTPStatus.FORBIDDEN,
            "the figures count everyone's jobs, and you see your own: use the token of a service"
            " (`clockwork user add EMAIL --role service`)",
        )


def _answer_metrics(
    figures: Metrics, check_reader: Callable[[Environ], None], environ: Environ
) -> bottle.HTTPResponse:
    check_reader(environ)
    query_arguments(environ, ())
    headers = {"Content-Type": metrics.CONTENT_TYPE}
    return bottle.HTTPResponse(figures.text(), HTTPStatus.OK, headers)


def _check_path() -> None:
    # Bottle drops the bytes of a path that are not UTF-8, and would find a route without them.
    try:
        bottle.request.environ["bottle.raw_path"].encode("latin-1").decode()
    except UnicodeDecodeError:
        raise _problem_response(bad_request("the path is not UTF-8")) from None


def _answer_to_bottle_error(addresses: Sequence[str], error: bottle.HTTPError) -> bytes:
    """The body for an error that bottle found: an unknown path or method, a defect."""
    if error.status_code == HTTPStatus.NOT_FOUND:
        known = ", ".join(addresses)
        problem = Problem(HTTPStatus.NOT_FOUND, f"there is nothing here; see {known}")
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = error.get_header("Allow").replace("GET", "GET, HEAD")
        problem = Problem(
            HTTPStatus.METHOD_NOT_ALLOWED, f"use {allowed} here", [("Allow", allowed)]
        )
    elif error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        problem = Problem(error.status_code, str(error.body))
    else:
        logger.error("the API failed", exc_info=error.exception)
        problem = internal_error()
    _problem_response(problem).apply(bottle.response)
    return problem.body


def _problem_response(problem: Problem) -> bottle.HTTPResponse:
    response = bottle.HTTPResponse(problem.body, problem.status)
    response.content_type = CONTENT_TYPE
    for name, value in problem.headers:
        response.add_header(name, value)
    return response
