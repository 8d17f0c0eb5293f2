"""Serve the page for people: the files in and below ``api/page``, as they are, and no other file.

The page is a client of the API like any other: its files hold nothing worth a token and go to
everyone.  The browser asks each time whether a file has changed (ETag), so that a new release of
the service never meets an old script.
"""

from pathlib import Path

from api.http.etags import body_digest, weak_tag
from api.http.request import Handler, Request, Response
from api.http.security_headers import page_headers

FOLDER = Path(__file__).parent / "page"
CONTENT_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
"""Content types by the endings of file names; files with other endings are not served."""

_HEADERS = (
    # The page runs its own files alone, speaks to its own origin alone, and is in nobody's frame;
    # text can't become markup there (trusted types), whatever the name of a job says.
    *page_headers(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-cache"),
)


def page_files(*, by_proxy: bool = False) -> dict[str, Handler]:
    """Return a handler for ``/``, and for ``/page/<path>`` of each file of the page.

    With *by_proxy*, the page asks first whether a proxy has signed its user in.
    """
    handlers = {}
    for path in FOLDER.rglob("*.*"):
        content_type = CONTENT_TYPES.get(path.suffix.removeprefix("."))
        if content_type is not None:
            content = path.read_bytes()
            if by_proxy and path.suffix == ".html":
                content = signed_in_by_proxy(content)
            handlers[address(path)] = _handler(content, content_type)
    return handlers


def signed_in_by_proxy(page: bytes) -> bytes:
    """Return an HTML page with the mark that tells its scripts that a proxy signs people in."""
    return page.replace(b"<html ", b"<html data-by-proxy ", 1)


def address(path: Path) -> str:
    """Return the path of the URL at which a file of the page is served."""
    name = path.relative_to(FOLDER).as_posix()
    return "/" if name == "index.html" else f"/page/{name}"


def _handler(content: bytes, content_type: str) -> Handler:
    headers = (*_HEADERS, weak_tag(body_digest(content)))
    response = Response(content, headers, content_type=content_type)

    def answer(_request: Request) -> Response:
        return response

    return answer
