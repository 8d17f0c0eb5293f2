"""A login host that exists only on loopback: a real SSH server whose answers Python makes."""

import logging
import re
import socket
import socketserver
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType

import paramiko
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, MSG_CHANNEL_REQUEST, OPEN_SUCCEEDED

from scraper.ssh.transport import Transport, end

_READS_TIME_FORMAT = re.compile(
    r"sh -c 'read -r SLURM_TIME_FORMAT && export SLURM_TIME_FORMAT && exec (?P<command>[^']+)'"
)
_SEND_BYTES = 32 << 10
_POLL_SECONDS = 0.05

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What a command prints, and how it ends."""

    stdout: Iterable[bytes] = ()
    """Chunks, which may be made while they are sent."""
    stderr: bytes = b""
    exit_status: int = 0


class SimulatedLoginHost:
    """An SSH server on 127.0.0.1 whose commands are answered by a function.

    *answer* is given each command line, in a thread of the command's own. For a command that reads
    the time format from standard input, *answer* is given the line with that format in it: ``env
    SLURM_TIME_FORMAT=%FT%T%zSEAL scontrol -a show job``. Any user is let in who holds the private
    half of one of *authorized_keys*. ``port`` 0 takes a free one; ``start`` listens, ``stop`` ends
    every connection and leaves no thread and no socket behind.
    """

    def __init__(
        self,
        answer: Callable[[str], Answer],
        host_key: paramiko.PKey,
        authorized_keys: list[paramiko.PKey],
        port: int = 0,
    ) -> None:
        self.answer = answer
        self.host_keys = [host_key]
        self.authorized_keys = authorized_keys
        self.stopping = threading.Event()
        """Set by ``stop``: an answer that waits for something else should wait for this too."""
        self._lock = threading.Lock()
        self._transports: set[Transport] = set()
        self._server = _Listener(("127.0.0.1", port), self)
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            args=(_POLL_SECONDS,),
            name=f"simulated-login-host-{self.port}",
            daemon=True,
        )

    @property
    def port(self) -> int:
        """The port that the host listens on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Answer connections from now on."""
        self._thread.start()

    def stop(self) -> None:
        """End every connection and command, and wait for their threads."""
        self.stopping.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        with self._lock:
            for transport in self._transports:
                transport.close()
        self._server.server_close()  # waits for the connections' threads

    def __enter__(self) -> "SimulatedLoginHost":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def session(self, transport: paramiko.Transport) -> "Session":
        """Return what decides about the requests of one connection."""
        return Session(self, transport)

    def shell(self, channel: paramiko.Channel, command: str) -> str:
        """Return *command* for `respond`, with the time format that it reads from *channel*."""
        reads = _READS_TIME_FORMAT.fullmatch(command)
        if reads is None:
            return command
        line = b""
        while not line.endswith(b"\n") and (byte := channel.recv(1)):
            line += byte
        time_format = line.decode("utf-8", "backslashreplace").removesuffix("\n")
        return f"env SLURM_TIME_FORMAT={time_format} {reads['command']}"

    def respond(self, channel: paramiko.Channel, command: str) -> None:
        """Send the answer to *command*; the channel is closed afterwards."""
        answer = self.answer(command)
        for chunk in answer.stdout:
            for start in range(0, len(chunk), _SEND_BYTES):
                channel.sendall(chunk[start : start + _SEND_BYTES])
        channel.sendall_stderr(answer.stderr)
        channel.send_exit_status(answer.exit_status)

    def serve(self, transport: Transport) -> None:
        """Serve one connection until it ends."""
        session = self.session(transport)
        for key in self.host_keys:
            transport.add_server_key(key)
        with self._lock:
            if self.stopping.is_set():
                return
            self._transports.add(transport)
            transport.start_server(event=threading.Event(), server=session)
        transport.join()
        end(transport)
        session.wait()
        with self._lock:
            self._transports.discard(transport)


class Session(paramiko.ServerInterface):
    """What one connection to a simulated login host may do: log in with a key, run commands."""

    def __init__(self, host: SimulatedLoginHost, transport: paramiko.Transport) -> None:
        self._host = host
        self._transport = transport
        self._requested: list[threading.Thread] = []
        self._running: list[threading.Thread] = []

    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002 - paramiko's signature
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:  # noqa: ARG002
        return AUTH_SUCCESSFUL if key in self._host.authorized_keys else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:  # noqa: ARG002
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self._transport.accept(0)  # paramiko queues every channel; this one is taken care of
        text = command.decode("utf-8", "backslashreplace")
        self._requested.append(
            threading.Thread(target=self._run, args=(channel, text), name=text, daemon=True)
        )
        return True

    def start_commands(self) -> None:
        """Start what was requested; called once paramiko has told the client that it will be."""
        self._running = [thread for thread in self._running if thread.is_alive()]
        while self._requested:
            self._running.append(self._requested.pop(0))
            self._running[-1].start()

    def wait(self) -> None:
        """Wait for the commands to end."""
        for thread in self._running:
            thread.join()

    def _run(self, channel: paramiko.Channel, command: str) -> None:
        try:
            with channel:
                self._host.respond(channel, self._host.shell(channel, command))
        except (OSError, EOFError, paramiko.SSHException) as error:
            log.debug("the client left while `%s` was answered: %s", command, error)


def _handle_channel_request(channel: paramiko.Channel, message: paramiko.Message) -> None:
    """Let paramiko answer a request, then start the command that it may have been for.

    A command started any earlier can be over before the client hears that it was accepted.
    """
    channel._handle_request(message)  # type: ignore[attr-defined]
    if channel.transport and isinstance(channel.transport.server_object, Session):
        channel.transport.server_object.start_commands()


class _Transport(Transport):
    _channel_handler_table = {  # noqa: RUF012 - paramiko's, looked up on the class
        **Transport._channel_handler_table,
        MSG_CHANNEL_REQUEST: _handle_channel_request,
    }


class _Listener(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    request_queue_size = 32

    def __init__(self, address: tuple[str, int], host: SimulatedLoginHost) -> None:
        self.host = host
        super().__init__(address, _Accepted)


class _Accepted(socketserver.BaseRequestHandler):
    server: _Listener

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server.host.serve(_Transport(self.request))
