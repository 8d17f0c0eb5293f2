"""A receiver of webhooks: a real HTTP server that notes each call and answers as a test says."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import trustme

from tests.support.http import answered_by
from tests.support.ports import LOOPBACK

Answer = Callable[[BaseHTTPRequestHandler], None]


def status(number: int, body: bytes = b"ok", **fields: str) -> Answer:
    """Answer with this status, body and header fields."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(number)
        for name, value in fields.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


@dataclass
class Call:
    """One call that came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """What came, and how the next calls are answered: the last answer holds for all that follow."""

    port: int = 0
    scheme: str = "http"
    calls: list[Call] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=lambda: [status(200)])
    came: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    ended: threading.Event = field(default_factory=threading.Event)
    """Set when the test is over: an answer that hangs may end then."""

    @property
    def url(self) -> str:
        return f"{self.scheme}://{LOOPBACK}:{self.port}/hook?team=1"

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for call in self.calls for event in call.json["events"]]

    def next_answer(self) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def receiving(certificate: trustme.LeafCert | None = None) -> Iterator[Receiver]:
    """Receive calls over HTTP, or over HTTPS with *certificate*."""
    receiver = Receiver(scheme="http" if certificate is None else "https")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.calls.append(Call(self.path, dict(self.headers), body))
            receiver.came.release()
            self.close_connection = True
            receiver.next_answer()(self)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:  # the caller gave up
                self.close_connection = True

    with answered_by(Handler, certificate) as receiver.port:
        try:
            yield receiver
        finally:
            receiver.ended.set()
