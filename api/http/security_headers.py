"""Header fields that tell a browser what it may do with a response."""

from api.http.request import Handler, Header, Request, Response

NOSNIFF: Header = ("X-Content-Type-Options", "nosniff")


def forbid_sniffing(handler: Handler) -> Handler:
    """Middleware: tell browsers to believe the Content-Type of every response."""

    def answer(request: Request) -> Response:
        return handler(request).with_headers(NOSNIFF)

    return answer


def page_headers(policy: str) -> tuple[Header, ...]:
    """Return the header fields of an HTML page with this Content-Security-Policy."""
    return (("Content-Security-Policy", policy), ("Referrer-Policy", "no-referrer"))
