"""Run the API under waitress: its sockets, the limits on requests, and its end."""

import errno
import logging
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from waitress import create_server, wasyncore
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher, WSGITask

from api.connections import Connection, end_largest, end_slow
from api.endpoints.health import healthz
from api.http.arguments import MAX_BODY_BYTES, too_large_body
from api.http.problems import CONTENT_TYPE, Problem, bad_request, internal_error, unavailable
from api.http.request import HOLD, PEER, Hold, WsgiApplication
from api.http.security_headers import NOSNIFF
from api.waiting import MOST_WAITING, Parked, States, Waiting
from config import OperatorError
from config.settings import ApiSettings
from ingest.logs.log_lines import LogLines

logger = logging.getLogger(__name__)

MAX_HEADER_BYTES = 64 << 10
"""Bytes of the request line with its query, and of all header fields."""

_CONNECTIONS = 500
_ROOM = 50
"""Connections that are kept free for new clients."""
_OTHER_FILES = 200
"""Files that may be open beside the connections: the database's, and responses on disk."""
_IDLE_SECONDS = 60
"""Seconds after which an idle connection is closed."""
_TURN_SECONDS = 1.0
_SECONDS_TO_FINISH = 20.0
"""Seconds in which responses may still be sent when the server stops."""
_WAITING_BYTES = 256 << 20
"""Bytes that may wait on disk for one slow client; beyond them, a thread waits for the client."""
_SCARCE_BYTES = 512 << 20
"""Bytes that may wait for all slow clients together; beyond them, large responses are refused."""
_MOST_BYTES = 1 << 30
"""Bytes of the responses under way that may wait; beyond them, the largest of these are ended."""
_LARGE_BYTES = 64 << 10
"""A response is large above this length, or where its length is unknown."""
_LOG_SECONDS = 60.0

_WITHOUT_BODY = ("204", "304")
_CORS = ("access-control-", "vary")
"""Header fields that let a page of another origin read a refusal."""
_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


class ServerError(OperatorError):
    """The API can't listen at the configured address; the message is for the operator."""


class Server:
    """The API, which listens at the configured address from the start; `run` serves until `stop`.

    Raises ServerError if it can't listen; *key* names the setting that would fix that.  With
    *states*, responses can be held back until something changes.
    """

    def __init__(
        self,
        app: WsgiApplication,
        settings: ApiSettings,
        key: str = "api.host or api.port",
        states: States | None = None,
    ) -> None:
        self._waiting = None if states is None else Waiting(states)
        self._stopping = threading.Event()
        self._being_stopped = threading.RLock()  # a signal may interrupt the thread that holds it
        self._turned: Callable[[], None] = lambda: None
        self._looked_at = time.monotonic()
        self._channels: dict[int, Any] = {}
        self._waiting_bytes = 0
        """For all clients together, at the last turn of the loop."""
        proxy = {}
        if settings.trusted_proxy is not None:
            # waitress then takes REMOTE_ADDR from what that proxy, and no other, put there.
            proxy = {
                "trusted_proxy": settings.trusted_proxy,
                "trusted_proxy_headers": "x-forwarded-for",
            }
        self._waitress = create_server(
            _refusing_large(app, lambda: self._waiting_bytes),
            **proxy,
            map=self._channels,
            _dispatcher=_Dispatcher(settings.threads),
            sockets=_listening_sockets(settings.host, settings.port, key),
            ident="clockwork",
            connection_limit=_CONNECTIONS + MOST_WAITING,
            channel_timeout=_IDLE_SECONDS,
            cleanup_interval=_IDLE_SECONDS // 4,
            max_request_header_size=MAX_HEADER_BYTES,
            max_request_body_size=MAX_BODY_BYTES + 1,  # the first size that waitress refuses
            outbuf_high_watermark=_WAITING_BYTES,
            log_socket_errors=False,
        )
        self._listeners = [
            channel for channel in self._channels.values() if isinstance(channel, TcpWSGIServer)
        ]
        shared = {"waiting": self._waiting, "stopping": self._stopping}
        connection_class = type("_", (_Connection,), shared)
        for listener in self._listeners:
            listener.channel_class = connection_class
        allow_open_files(_CONNECTIONS + MOST_WAITING + _OTHER_FILES)

    def run(self, turned: Callable[[], None] = lambda: None) -> None:
        """Answer requests until `stop`; then take no new requests, send all responses, return.

        *turned* is called at every turn of the loop, about once a second or more often.
        """
        self._turned = turned
        while not self._stopping.is_set():
            self._turn()
        with self._being_stopped:  # the sockets must stay until `stop` has woken the loop
            pass
        for listener in self._listeners:
            wasyncore.dispatcher.close(listener)
        if self._waiting is not None:
            self._waiting.stop()
        for connection in self._connections():
            if connection.waits and connection.request is None:
                connection.handle_close()
        deadline = time.monotonic() + _SECONDS_TO_FINISH
        while self._responses_under_way() and time.monotonic() < deadline:
            self._turn()
        self._waitress.task_dispatcher.shutdown()
        if self._waiting is not None:
            self._waiting.shut_down()
        wasyncore.close_all(self._channels)

    def stop(self) -> None:
        """Make `run` return. May be called from any thread and from a signal handler."""
        with self._being_stopped:
            if not self._stopping.is_set():
                self._stopping.set()
                self._listeners[0].pull_trigger()

    def _turn(self) -> None:
        now = time.monotonic()
        is_due = now - self._looked_at >= _TURN_SECONDS
        if is_due:
            self._looked_at = now
        # A turn costs as much as the channels that it looks at. Whether a client has left whose
        # response is held back, or is being made, is looked at once a second.
        channels = self._channels if is_due else self._channels_at_work()
        wasyncore.loop(timeout=_TURN_SECONDS, use_poll=True, map=channels, count=1)
        connections = self._connections()
        self._waiting_bytes = end_largest(connections, _MOST_BYTES)
        most = _CONNECTIONS - _ROOM + (0 if self._waiting is None else len(self._waiting))
        crowded = len(self._channels) > most
        if crowded or is_due:
            is_scarce = self._waiting_bytes > _SCARCE_BYTES
            end_slow(connections, most, time.monotonic(), is_scarce=is_scarce)
        self._turned()

    def _channels_at_work(self) -> dict[int, Any]:
        return {
            number: channel
            for number, channel in self._channels.items()
            if not (isinstance(channel, Connection) and channel.is_served)
        }

    def _connections(self) -> list[Connection]:
        return [each for each in self._channels.values() if isinstance(each, Connection)]

    def _responses_under_way(self) -> bool:
        return any(channel.requests or channel.total_outbufs_len for channel in self._connections())


def _refusing_large(app: WsgiApplication, waiting: Callable[[], int]) -> WsgiApplication:
    """Return *app* with 503 in place of large responses while too many bytes wait for clients.

    *waiting* tells how many bytes wait.
    """
    lines = LogLines(_LOG_SECONDS)

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if waiting() <= _SCARCE_BYTES:
            return app(environ, start)
        begun: list[Any] = []
        body = app(environ, lambda *arguments: begun.append(arguments))
        status, headers, *_ = begun[-1]
        if environ["REQUEST_METHOD"] == "HEAD" or not _is_large(status, headers):
            start(*begun[-1])
            return body
        close = getattr(body, "close", None)
        if close is not None:
            close()
        if times := lines.due("refused", time.monotonic()):
            logger.warning(
                "slow clients: %d MiB wait for them: large responses are refused",
                waiting() >> 20,
                extra={"times": times},
            )
        problem = unavailable(
            "The responses that wait for slow clients take too much room. Try again in a moment,"
            " or ask for less, for example a page with limit."
        )
        kept = [each for each in headers if each[0].lower().startswith(_CORS)]
        length = ("Content-Length", str(len(problem.body)))
        start(
            problem.status_line,
            [("Content-Type", CONTENT_TYPE), length, NOSNIFF, *problem.headers, *kept],
        )
        return [problem.body]

    return answer


def _is_large(status: str, headers: Iterable[tuple[str, str]]) -> bool:
    """Return whether the body of a response is large, or of unknown length."""
    if status.startswith(_WITHOUT_BODY):
        return False
    lengths = [int(value) for name, value in headers if name.lower() == "content-length"]
    return not lengths or lengths[0] > _LARGE_BYTES


def allow_open_files(number: int) -> None:
    """Allow this process to open so many files, or as many as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number if hard == resource.RLIM_INFINITY else min(number, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _listening_sockets(host: str, port: int, key: str) -> list[socket.socket]:
    """Return a socket for each address of the host: ``localhost`` may have two."""
    listening: list[socket.socket] = []
    refused: list[OSError] = []
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for family, _, _, _, address in addresses:
            try:
                listening.append(_listening_socket(family, address))
            except OSError as error:
                refused.append(error)
    except OSError as error:
        refused.append(error)
    # A machine without IPv6 may still have an IPv6 address for a name.
    serious = [error for error in refused if error.errno not in _NO_SUCH_ADDRESS or not listening]
    if serious:
        for taken in listening:
            taken.close()
        raise ServerError(
            f"can't listen on {host}:{port}: {serious[0].strerror}. Stop the program that has this"
            f" port, or set another {key} in the configuration."
        )
    return listening


def _listening_socket(family: int, address: Any) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.listen()
    except OSError:
        listening.close()
        raise
    return listening


class _Response(WSGITask):  # type: ignore[misc]  # waitress has no types
    """A response of waitress, which may be held back, and after which the connection stays open.

    After HEAD, which has no body, the end of a chunked body is left out too.
    """

    def execute(self) -> None:
        """Answer the request, or raise Parked.

        What a stream of events had before this answer stays as it was sent.
        """
        waiting = self.channel.waiting
        environ = self.get_environment()
        environ[PEER] = self.channel.addr[0]
        if waiting is not None:
            hold = self.request.hold
            if hold is None:
                hold = self.request.hold = Hold(waiting.has_room)
            environ[HOLD] = hold
            if hold.is_stream:
                environ["HTTP_LAST_EVENT_ID"] = hold.last_event_id
            hold.topic = None
        try:
            super().execute()
        except Exception:
            if self.wrote_header and self.content_length is None and not self.chunked_response:
                self.channel.reset()  # its end would look like that of a whole response
            raise

    def write(self, data: bytes) -> None:
        """Write a part of the body, after the header. Raises Parked if the response waits."""
        hold = self.request.hold
        if hold is not None and not self.status.startswith(("2", "3")):
            # The response was refused on its way: nothing is held back, and a stream ends.
            hold.topic = None
            if not hold.is_resumed:
                hold.last_event_id = None
        if hold is None or not (hold.topic or hold.is_stream):
            super().write(data)
        elif not hold.is_stream:
            raise Parked
        else:
            self._write_events(hold, data)
            if hold.topic is not None:
                raise Parked

    def _write_events(self, hold: Hold, data: bytes) -> None:
        self.content_length = None
        self.remove_content_length_header()
        if hold.is_resumed:
            self.wrote_header, self.chunked_response = True, hold.is_chunked
        super().set_close_on_finish()
        if self.status.startswith("200"):
            super().write(data)
        hold.is_chunked = self.chunked_response

    def set_close_on_finish(self) -> None:
        """Close the connection behind the response, where the client can't tell its end otherwise.

        waitress would close it behind each response without a length: those in chunks, and those
        without a body, such as 304.
        """
        asked = self.request.headers.get("CONNECTION") == "close"
        if asked or self.version != "1.1" or self.content_length is not None:
            super().set_close_on_finish()

    def build_response_header(self) -> Any:
        if self.channel.stopping.is_set():
            super().set_close_on_finish()
        header = super().build_response_header()
        if self.request.command == "HEAD":
            self.chunked_response = False
        return header


class _Refusal(ErrorTask):  # type: ignore[misc]
    """The response to a request that the application never sees: a problem like its own."""

    def execute(self) -> None:
        problem = _refusal(self.request.error.code)
        self.status = problem.status_line
        self.response_headers += [("Content-Type", CONTENT_TYPE), NOSNIFF]
        self.set_close_on_finish()
        self.content_length = len(problem.body)
        self.write(problem.body)


class _Dispatcher(ThreadedTaskDispatcher):  # type: ignore[misc]
    """Threads that answer requests, and one thread more that answers ``/healthz`` alone.

    So this probe never waits for the requests of others.
    """

    def __init__(self, threads: int) -> None:
        super().__init__()
        self._probes = ThreadedTaskDispatcher()
        self._probes.set_thread_count(1)
        self.set_thread_count(threads)

    def add_task(self, task: Any) -> None:
        """Queue the first request of the connection *task*."""
        # A request that could not be parsed may have no path.
        if getattr(task.requests[0], "path", None) in healthz.paths:
            self._probes.add_task(task)
        else:
            super().add_task(task)

    def shutdown(self, cancel_pending: bool = True, timeout: float = 5) -> Any:
        """End all threads."""
        self._probes.shutdown(cancel_pending, timeout)
        return super().shutdown(cancel_pending, timeout)


class _Connection(Connection):
    stopping: threading.Event
    """Set when the server stops: every connection is closed behind its response."""
    task_class = _Response
    error_task_class = _Refusal


def _refusal(status: int) -> Problem:
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return too_large_body()
    if status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
        return Problem(
            status,
            f"the address and the header fields may have {MAX_HEADER_BYTES} bytes at most; long"
            " update_pairs go into the body",
        )
    if status == HTTPStatus.NOT_IMPLEMENTED:
        return Problem(status, "of the transfer codings, only chunked is understood")
    if status == HTTPStatus.BAD_REQUEST:
        return bad_request("this is not a valid HTTP request")
    return internal_error()
