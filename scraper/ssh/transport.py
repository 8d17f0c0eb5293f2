"""Extend paramiko's Transport: exit signals, safe renewal of keys, a complete shutdown."""

import logging
import socket
import threading
from contextlib import suppress

import paramiko
from paramiko.common import MSG_CHANNEL_REQUEST

WIRE_LOG = "scraper.ssh.connection.wire"
"""The logger of paramiko, which is silenced. Failures reach the operator once, as a ScrapeError
with printable text; paramiko would log them again, with a traceback and the host's raw text."""
logging.getLogger(WIRE_LOG).addHandler(logging.NullHandler())
logging.getLogger(WIRE_LOG).propagate = False

_JOIN_SECONDS = 5.0


def _handle_channel_request(channel: paramiko.Channel, message: paramiko.Message) -> None:
    """Keep the name of an exit signal, which paramiko drops; let paramiko handle other requests."""
    if message.get_text() == "exit-signal" and isinstance(channel.transport, Transport):
        message.get_boolean()
        channel.transport.exit_signal = message.get_text()
        return
    message.rewind()
    message.get_int()  # the channel's number, which was read before this was called
    channel._handle_request(message)  # type: ignore[attr-defined]


class Transport(paramiko.Transport):
    """One SSH connection."""

    exit_signal: str | None = None
    """The signal that ended the latest command, without ``SIG``: ``KILL``."""

    _channel_handler_table = {  # noqa: RUF012 - paramiko's, looked up on the class
        **paramiko.Transport._channel_handler_table,  # type: ignore[attr-defined]
        MSG_CHANNEL_REQUEST: _handle_channel_request,
    }

    def __init__(self, sock: socket.socket | paramiko.Channel) -> None:
        # paramiko's window of 2 MiB and packets of 32 KiB are kept: 50 MB from OpenSSH's sshd over
        # loopback came at 230 MB/s, with 64 KiB windows at 170, with 8 MiB and more at 100 to 170.
        # OpenSSH's own client took them at 100 MB/s.
        super().__init__(sock)
        # AES-GCM before paramiko's first choice, AES-CTR with a MAC: as strong, and 70 MB from sshd
        # cost a quarter to a third less of the processor. Hosts without it get what they had.
        options = self.get_security_options()
        options.ciphers = sorted(options.ciphers, key=lambda name: "-gcm@" not in name)
        self.set_log_channel(WIRE_LOG)
        self._held: list[paramiko.Message] = []

    def close(self) -> None:
        """End the connection, without waiting for its thread; from any thread."""
        # Behind a jump host the socket is a channel, which raises when its connection is lost.
        with suppress(paramiko.SSHException, EOFError, OSError):
            super().close()

    # While keys are renewed, paramiko makes whoever sends wait for the new ones. When its own
    # thread is the sender, answering a close that was under way, nobody is left to receive them:
    # such messages are held until the keys are there.

    def _send_user_message(self, data: paramiko.Message) -> None:
        sender = threading.current_thread()
        if sender is self and not self.clear_to_send.is_set():
            self._held.append(data)
            return
        try:
            super()._send_user_message(data)  # type: ignore[misc]
        except EOFError:
            # The thread of a connection behind this jump host, which closes its channel here at its
            # end, could not tell whoever waits for it if the error ended it first.
            if sender is self or not isinstance(sender, Transport):
                raise

    def _parse_newkeys(self, m: paramiko.Message) -> None:
        super()._parse_newkeys(m)  # type: ignore[misc]
        while self._held and self.clear_to_send.is_set():
            super()._send_user_message(self._held.pop(0))  # type: ignore[misc]


def end(transport: Transport) -> None:
    """Close *transport*, its socket and its threads, in whatever state it is."""
    transport.close()
    with suppress(paramiko.SSHException, EOFError, OSError):
        transport.sock.close()  # which close leaves open when the handshake had not begun
    if transport.is_alive():
        transport.join(_JOIN_SECONDS)
    # The handshake's timer thread would otherwise outlive a failed handshake by many seconds.
    transport.packetizer.complete_handshake()
