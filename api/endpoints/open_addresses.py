"""What everyone on the port may ask, without a token: the probes, and the API's description."""

from collections.abc import Callable
from functools import partial

from api.endpoints.health import HEALTHZ, READYZ, Health
from api.http.arguments import Environ, query_arguments
from api.http.request import Answer
from api.lists.json_stream import json_bytes
from api.schema import docs_page
from api.schema.documents import Schema
from api.schema.openapi import DOCS, OPENAPI


def open_addresses(health: Health, description: Schema) -> dict[str, Callable[[Environ], Answer]]:
    """What answers at each of the addresses. Each raises Problem 400 for an argument."""
    page = Answer(
        docs_page.docs_page(description),
        docs_page.SECURITY_HEADERS,
        content_type=docs_page.CONTENT_TYPE,
    )
    return {
        HEALTHZ: health.alive,
        READYZ: health.ready,
        OPENAPI: partial(_the_same, Answer(json_bytes(description))),
        DOCS: partial(_the_same, page),
    }


def _the_same(answer: Answer, environ: Environ) -> Answer:
    query_arguments(environ, ())
    return answer
