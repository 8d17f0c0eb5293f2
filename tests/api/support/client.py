"""A client of the API that calls it as WSGI, without a server, and checks WSGI's rules."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl, urlencode
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

from api.schema.endpoint import BASE


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of the first header field of this name."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Client:
    """Calls *app* with the header fields, and what else of a WSGI environment, given."""

    app: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)

    def get(self, path: str, **arguments: str) -> Answer:
        """GET with the arguments in the query."""
        return self.call("GET", path, urlencode(arguments))

    def put(self, path: str, **arguments: Any) -> Answer:
        """PUT with the arguments in a JSON body."""
        return self.call("PUT", path, "", json.dumps(arguments).encode(), "application/json")

    def call(
        self,
        method: str,
        path: str,
        query: str = "",
        body: bytes = b"",
        content_type: str | None = None,
    ) -> Answer:
        """Any request; *path* is what follows the API's base, or a whole path with its slash."""
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path if path.startswith("/") else BASE + path,
            "QUERY_STRING": query,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": BytesIO(body),
            **self.environ,
        }
        setup_testing_defaults(environ)
        if content_type is not None:
            environ["CONTENT_TYPE"] = content_type
        for name, value in self.headers.items():
            environ["HTTP_" + name.upper().replace("-", "_")] = value
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], _exc_info: Any = None
        ) -> Callable[[bytes], None]:
            started.append((status, headers))
            return _write

        chunks = validator(self.app)(environ, start_response)
        try:
            content = b"".join(chunks)
        finally:
            chunks.close()  # type: ignore[attr-defined]
        [(status, sent)] = started
        return Answer(int(status.split()[0]), sent, content)


def _write(_content: bytes) -> None:
    raise AssertionError("the API does not write this way")


def following(client: Client, path: str, answer: Answer) -> Answer | None:
    """Return the next page that *answer*, a page of the list at *path*, leads to."""
    link = answer.header("Link")
    if link is None:
        return None
    match = re.fullmatch(rf'<{BASE}{path}\?([!-;=?-~]+)>; rel="next"', link)
    assert match is not None, link
    return client.get(path, **dict(parse_qsl(match[1], strict_parsing=True)))
