"""Serve the page for people: the files in and below ``api/page``, as they are, and no other file.

The page is a client of the API like any other: its files hold nothing worth a token and go to
everyone.  Their addresses have a digest of all of them: a browser keeps them for good, and a new
release never meets an old script.  The HTML names the addresses; the browser asks each time whether
the HTML has changed (ETag).
"""

import re
from functools import cache
from pathlib import Path

from api.http.etags import body_digest, weak_tag
from api.http.request import Handler, Header, Request, Response
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
)
_ASK_EACH_TIME = ("Cache-Control", "no-cache")
_KEEP = ("Cache-Control", "public, max-age=31536000, immutable")


def page_files(*, by_proxy: bool = False) -> dict[str, Handler]:
    """Return a handler for ``/``, and for ``/page/<digest>/<path>`` of each file of the page.

    With *by_proxy*, the page asks first whether a proxy has signed its user in.
    """
    handlers = {}
    for path in FOLDER.rglob("*.*"):
        content_type = CONTENT_TYPES.get(path.suffix.removeprefix("."))
        if content_type is not None:
            content, cached = path.read_bytes(), _KEEP
            if path.suffix == ".html":
                content, cached = with_addresses(content), _ASK_EACH_TIME
                if by_proxy:
                    content = signed_in_by_proxy(content)
            handlers[address(path)] = _handler(content, content_type, cached)
    return handlers


def with_addresses(html: bytes) -> bytes:
    """Return HTML that names files of the page as ``page/<path>``, with their addresses."""
    return re.sub(rb'(?<=")((?:\.\./)?page/)', rb"\g<1>" + _digest().encode() + b"/", html)


@cache
def _digest() -> str:
    files = sorted(path for path in FOLDER.rglob("*.*") if path.is_file())
    return body_digest(b"".join(path.read_bytes() for path in files))


def signed_in_by_proxy(page: bytes) -> bytes:
    """Return an HTML page with the mark that tells its scripts that a proxy signs people in."""
    return page.replace(b"<html ", b"<html data-by-proxy ", 1)


def address(path: Path) -> str:
    """Return the path of the URL at which a file of the page is served."""
    name = path.relative_to(FOLDER).as_posix()
    return "/" if name == "index.html" else f"/page/{_digest()}/{name}"


def _handler(content: bytes, content_type: str, cached: Header) -> Handler:
    headers = (*_HEADERS, cached, weak_tag(body_digest(content)))
    response = Response(content, headers, content_type=content_type)

    def answer(_request: Request) -> Response:
        return response

    return answer
