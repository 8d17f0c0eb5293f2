"""The page for people: its files under ``api/page``, served as they are, none but those.

The page is a client of the API like any other, so that its files hold nothing worth a token and
go to everyone.  The browser asks whether they have changed each time (ETag), so that a new version
of the service never meets an old script.
"""

import hashlib
from collections.abc import Callable
from http import HTTPStatus
from importlib.resources import files

import bottle

CONTENT_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
"""The kinds of files that are served; of the others in the folder, none."""

SECURITY_HEADERS = {
    # The page runs its own files alone, speaks to its own origin alone, and is in nobody's frame;
    # text can't become markup there (trusted types), whatever the name of a job says.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def add_page(app: bottle.Bottle) -> None:
    """Let *app* answer ``/``, and ``/page/<name>`` for each file of the page."""
    for entry in files("api").joinpath("page").iterdir():
        content_type = CONTENT_TYPES.get(entry.name.rpartition(".")[2])
        if content_type is not None:
            answer = _answer(entry.read_bytes(), content_type)
            app.route("/" if entry.name == "index.html" else f"/page/{entry.name}", callback=answer)


def _answer(content: bytes, content_type: str) -> Callable[[], bottle.HTTPResponse]:
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {**SECURITY_HEADERS, "Cache-Control": "no-cache", "ETag": etag}

    def answer() -> bottle.HTTPResponse:
        if _holds(bottle.request.get_header("If-None-Match", ""), etag):
            return bottle.HTTPResponse(b"", HTTPStatus.NOT_MODIFIED, headers)
        return bottle.HTTPResponse(
            content, HTTPStatus.OK, {**headers, "Content-Type": content_type}
        )

    return answer


def _holds(if_none_match: str, etag: str) -> bool:
    """Whether the browser has this version; a proxy may have weakened its tag."""
    known = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in known or known == ["*"]
