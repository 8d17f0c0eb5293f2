"""The WSGI application: which address answers what, and what becomes of an error.

========  ============================  ============================================
method    /api/v1/cluster/...           arguments
========  ============================  ============================================
GET       jobs/list                     user, time (or relative_time), cluster_name
GET       jobs/one                      job_id, cluster_name
PUT       jobs/user_dict_update         job_id, cluster_name, update_pairs
GET       nodes/list                    cluster_name
GET       nodes/one, node/one           node_name (or name), cluster_name
========  ============================  ============================================

Every one of them wants a user's token; every error is a problem (`api.problems`).
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from http import HTTPStatus
from typing import Any

import bottle
from pymongo.errors import PyMongoError

from api import jobs, nodes, user_dict
from api.arguments import Arguments, Environ, all_arguments, query_arguments
from api.authentication import authenticated_user
from api.call import Call
from api.problems import CONTENT_TYPE, Problem, bad_request, database_unavailable, internal_error
from ingest.store import Store

BASE = "/api/v1/cluster/"

logger = logging.getLogger(__name__)

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Endpoint:
    """One address: its method, where its arguments come from, their names, and its answer."""

    path: str
    method: str
    read_arguments: Callable[[Environ, Sequence[str]], Arguments]
    arguments: Sequence[str]
    answer: Callable[[Call], bytes | Iterator[bytes]]


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
)


def utc_now() -> datetime:
    """The time of the machine's clock, in UTC."""
    return datetime.now(timezone.utc)


def build_app(store: Store, clock: Clock = utc_now) -> bottle.Bottle:
    """The API of the store, as a WSGI application; *clock* tells the time in UTC."""
    app = bottle.Bottle()
    app.default_error_handler = _answer_to_bottle_error
    app.add_hook("before_request", _check_path)
    for endpoint in ENDPOINTS:
        app.route(
            BASE + endpoint.path,
            method=endpoint.method,
            callback=_callback(endpoint, store, clock),
        )
    return app


def _callback(endpoint: Endpoint, store: Store, clock: Clock) -> Callable[[], bottle.HTTPResponse]:
    def answer() -> bottle.HTTPResponse:
        started = time.monotonic()
        response = _response(endpoint, store, clock, bottle.request.environ)
        milliseconds = (time.monotonic() - started) * 1000
        logger.info(
            "%s %s: %d in %.0f ms",
            *(bottle.request.method, endpoint.path, response.status_code, milliseconds),
        )
        return response

    return answer


def _response(
    endpoint: Endpoint, store: Store, clock: Clock, environ: Mapping[str, Any]
) -> bottle.HTTPResponse:
    try:
        user = authenticated_user(store, environ.get("HTTP_AUTHORIZATION"))
        arguments = endpoint.read_arguments(environ, endpoint.arguments)
        body = endpoint.answer(Call(store, user, arguments, clock()))
    except Problem as problem:
        return _problem_response(problem)
    except PyMongoError as error:
        logger.error("%s: the database failed: %s", endpoint.path, error)  # noqa: TRY400 - no defect of ours
        return _problem_response(database_unavailable())
    except Exception:
        logger.exception("%s failed", endpoint.path)
        return _problem_response(internal_error())
    return bottle.HTTPResponse(body, HTTPStatus.OK, {"Content-Type": "application/json"})


def _check_path() -> None:
    # Bottle drops the bytes of a path that are not UTF-8, and would find a route without them.
    try:
        bottle.request.environ["bottle.raw_path"].encode("latin-1").decode()
    except UnicodeDecodeError:
        raise _problem_response(bad_request("the path is not UTF-8")) from None


def _answer_to_bottle_error(error: bottle.HTTPError) -> bytes:
    """The body for an error that bottle found: an unknown path or method, a defect."""
    if error.status_code == HTTPStatus.NOT_FOUND:
        addresses = ", ".join(BASE + endpoint.path for endpoint in ENDPOINTS)
        problem = Problem(HTTPStatus.NOT_FOUND, f"there is nothing here; see {addresses}")
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
