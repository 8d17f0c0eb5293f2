# ruff: noqa: ARG002 - paramiko calls the methods with arguments of its own
"""Login hosts to which something happens, for tests: real sockets, real SSH."""

import socket
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

import paramiko
from paramiko.common import (
    OPEN_FAILED_CONNECT_FAILED,
    OPEN_SUCCEEDED,
    cMSG_CHANNEL_REQUEST,
)

from clockwork.demo.ssh_server import Answer, Session, SimulatedLoginHost

Script = Callable[["RawHost", socket.socket], None]
Response = Callable[["ScriptedHost", paramiko.Channel], None]


class RawHost:
    """A TCP server that runs *script* on every connection, and no SSH."""

    def __init__(self, script: Script) -> None:
        self.stopping = threading.Event()
        host = self

        class Accepted(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):  # the client leaves when it likes
                    script(host, self.request)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Accepted)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> "RawHost":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def never_greets(host: RawHost, sock: socket.socket) -> None:
    host.stopping.wait()


def greets_letter_by_letter(host: RawHost, sock: socket.socket) -> None:
    while not host.stopping.wait(0.02):
        sock.sendall(b"S")


def greets_without_end(host: RawHost, sock: socket.socket) -> None:
    while not host.stopping.is_set():
        sock.sendall(b"Welcome, \x1b[2Jwelcome\r\n" * 100)


def greets_then_is_silent(host: RawHost, sock: socket.socket) -> None:
    sock.sendall(b"SSH-2.0-silence\r\n")
    host.stopping.wait()


def closes_after_greeting(host: RawHost, sock: socket.socket) -> None:
    sock.sendall(b"SSH-2.0-goodbye\r\n")


def closes_at_once(host: RawHost, sock: socket.socket) -> None:
    pass


def speaks_another_protocol(host: RawHost, sock: socket.socket) -> None:
    sock.sendall(b"HTTP/1.1 400 \x1b]0;owned\x07Bad Request\r\n\r\n")


def flips_a_bit(port: int, at: int) -> Script:
    """Passes all on to the host at *port* and back, but for a bit in byte *at* of what it sends."""

    def script(host: RawHost, sock: socket.socket) -> None:
        passed = 0

        def send(data: bytes) -> None:
            nonlocal passed
            place = at - passed
            if 0 <= place < len(data):
                data = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
            passed += len(data)
            sock.sendall(data)

        with socket.create_connection(("127.0.0.1", port)) as behind:
            there = threading.Thread(target=_pump_all, args=(sock.recv, behind))
            there.start()
            _pump(behind.recv, send)
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            there.join()

    return script


class ScriptedHost(SimulatedLoginHost):
    """A login host that answers every command with *response*, a function of the bare channel."""

    def __init__(
        self, response: Response, host_key: paramiko.PKey, authorized_keys: list[paramiko.PKey]
    ) -> None:
        super().__init__(lambda _: Answer(), host_key, authorized_keys)
        self.response = response

    def respond(self, channel: paramiko.Channel, command: str) -> None:
        self.response(self, channel)


def cut(channel: paramiko.Channel) -> None:
    """End the TCP connection under the channel, after what was sent."""
    assert channel.transport is not None
    assert isinstance(channel.transport.sock, socket.socket)
    channel.transport.sock.shutdown(socket.SHUT_RDWR)


def cut_in_the_middle(host: ScriptedHost, channel: paramiko.Channel) -> None:
    channel.sendall(b"JobId=1 JobName=a\n   UserId=alice")
    cut(channel)


def cut_after_the_exit_status(host: ScriptedHost, channel: paramiko.Channel) -> None:
    """The status overtakes the output, as sshd may let it: the end of the output never comes."""
    channel.send_exit_status(0)
    channel.sendall(b"JobId=1 JobName=a\n   UserId=alice")
    cut(channel)


def closes_without_exit_status(host: ScriptedHost, channel: paramiko.Channel) -> None:
    channel.sendall(b"JobId=1 JobName=a\n")


def exit_status_without_output(host: ScriptedHost, channel: paramiko.Channel) -> None:
    channel.send_exit_status(0)


def exit_status_before_the_output(host: ScriptedHost, channel: paramiko.Channel) -> None:
    channel.send_exit_status(0)
    channel.sendall(b"whole")


def killed(host: ScriptedHost, channel: paramiko.Channel) -> None:
    channel.sendall(b"some")
    message = paramiko.Message()
    message.add_byte(cMSG_CHANNEL_REQUEST)
    message.add_int(channel.remote_chanid)
    message.add_string("exit-signal")
    message.add_boolean(False)
    message.add_string("KILL")
    message.add_boolean(False)
    message.add_string("out of memory")
    message.add_string("")
    assert channel.transport is not None
    channel.transport._send_user_message(message)  # type: ignore[attr-defined]


def endless_stderr(host: ScriptedHost, channel: paramiko.Channel) -> None:
    while not host.stopping.is_set():
        channel.sendall_stderr(b"slurm_load_jobs error\n" * 1000)


def endless_stdout(host: ScriptedHost, channel: paramiko.Channel) -> None:
    while not host.stopping.is_set():
        channel.sendall(b"y\n" * 10_000)


def trickle(host: ScriptedHost, channel: paramiko.Channel) -> None:
    while not host.stopping.wait(0.02):
        channel.sendall(b"x")


def hang(host: ScriptedHost, channel: paramiko.Channel) -> None:
    host.stopping.wait()


def hang_after_the_output(host: ScriptedHost, channel: paramiko.Channel) -> None:
    """The output ends, the exit status never comes, the channel stays open."""
    channel.sendall(b"whole")
    channel.shutdown_write()
    host.stopping.wait()


class StubbornSession(Session):
    """A session in which one kind of request is left without any answer until the host stops."""

    def __init__(self, host: SimulatedLoginHost, transport: paramiko.Transport, deaf: str) -> None:
        super().__init__(host, transport)
        self._stopping = host.stopping
        self._deaf = deaf

    def _wait_if(self, request: str) -> None:
        if request == self._deaf:
            self._stopping.wait()

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self._wait_if("authentication")
        return super().check_auth_publickey(username, key)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        self._wait_if("session")
        return super().check_channel_request(kind, chanid)

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self._wait_if("command")
        return super().check_channel_exec_request(channel, command)


class JumpSession(Session):
    """A session that may forward TCP connections."""

    def __init__(self, host: SimulatedLoginHost, transport: paramiko.Transport) -> None:
        super().__init__(host, transport)
        self._forwards: list[threading.Thread] = []
        self.destinations: list[tuple[str, int]] = []

    def check_channel_direct_tcpip_request(
        self, chanid: int, origin: tuple[str, int], destination: tuple[str, int]
    ) -> int:
        try:
            sock = socket.create_connection(destination, timeout=5)
        except OSError:
            return OPEN_FAILED_CONNECT_FAILED
        self._forwards.append(threading.Thread(target=self._forward, args=(sock,)))
        self._forwards[-1].start()
        return OPEN_SUCCEEDED

    def _forward(self, sock: socket.socket) -> None:
        with sock:
            sock.settimeout(None)
            channel = self._transport.accept(5)
            if channel is None:
                return
            back = threading.Thread(target=_pump, args=(sock.recv, channel.sendall))
            back.start()
            _pump_all(channel.recv, sock)
            back.join()
            channel.close()

    def wait(self) -> None:
        super().wait()
        for thread in self._forwards:
            thread.join()


def _pump(receive: Callable[[int], bytes], send: Callable[[bytes], None]) -> None:
    with suppress(OSError):  # either end leaves when it likes
        while data := receive(1 << 16):
            send(data)


def _pump_all(receive: Callable[[int], bytes], target: socket.socket) -> None:
    """Send *target* all that is received, and end its connection then."""
    _pump(receive, target.sendall)
    with suppress(OSError):  # it may have left
        target.shutdown(socket.SHUT_RDWR)


class JumpHost(SimulatedLoginHost):
    """A host that is only passed through."""

    def __init__(self, host_key: paramiko.PKey, authorized_keys: list[paramiko.PKey]) -> None:
        super().__init__(lambda _: Answer(exit_status=1), host_key, authorized_keys)
        self.connections = 0

    def session(self, transport: paramiko.Transport) -> Session:
        self.connections += 1
        return JumpSession(self, transport)
