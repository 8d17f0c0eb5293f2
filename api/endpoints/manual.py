"""The description of the API: ``/api/v1/openapi.json`` for programs, ``/api/docs`` for people."""

from typing import Any

from api.http.request import Response
from api.schema import docs_page
from api.schema.arguments import NoArguments
from api.schema.endpoint import Context, Gets, endpoint

OPENAPI = "/api/v1/openapi.json"
DOCS = "/api/docs"

_EVERYONE = Gets.same("the same")


@endpoint("GET", OPENAPI, content=dict[str, Any], access="everyone", gets=_EVERYONE)
def openapi_json(context: Context, _arguments: NoArguments) -> Response:
    """This description."""
    return Response(context.manual.openapi)


@endpoint("GET", DOCS, content_type=docs_page.CONTENT_TYPE, access="everyone", gets=_EVERYONE)
def docs(context: Context, _arguments: NoArguments) -> Response:
    """This description, as a page to read."""
    headers = docs_page.SECURITY_HEADERS
    return Response(context.manual.page, headers, content_type=docs_page.CONTENT_TYPE)
