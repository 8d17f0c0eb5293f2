"""Connect to the login host of one cluster: check its key, log in, run commands.

Every step has a time limit from the cluster's settings, and every failure is a ScrapeError that
says what to do.  For jump hosts and the login host alike, the scraper checks the host's key before
it sends a user name.
"""

import math
import socket
import threading
import time
from contextlib import suppress
from types import TracebackType

import paramiko

from config.settings import SshSettings
from scraper.ssh.command import CommandRun
from scraper.ssh.config import Hop, route
from scraper.ssh.deadline import Deadline
from scraper.ssh.errors import AuthenticationRefused, ConnectionLost, HostKeyRefused, Unreachable
from scraper.ssh.host_keys import check_host_key, preferred_algorithms, read_known_hosts
from scraper.ssh.identities import identities
from scraper.ssh.transport import Transport, end

KEEPALIVE_SECONDS = 30
"""Seconds between keepalive messages, so that firewalls keep an idle connection open."""

_SHOWN_REASON = 300


def connect(cluster: str, settings: SshSettings) -> "Connection":
    """Return a connection to the login host of *cluster*, through every host on the way to it.

    Raises Unreachable, HostKeyRefused, KeyUnusable or AuthenticationRefused; no socket and no
    thread is left then.
    """
    connection = Connection(cluster, settings)
    try:
        hops = route(cluster, settings)
        for number, hop in enumerate(hops):
            connection._enter(hop, hops[:number])
    except BaseException:
        connection.close()
        raise
    return connection


class Connection:
    """An SSH connection to a cluster's login host, made by ``connect``. One command at a time."""

    def __init__(self, cluster: str, settings: SshSettings) -> None:
        self._cluster = cluster
        self._settings = settings
        self._transports: list[Transport] = []
        """One for each host on the way; the last is the login host's."""
        self._host = settings.host
        self._run: CommandRun | None = None

    def __enter__(self) -> "Connection":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def run(self, command: str, stdin: bytes = b"") -> CommandRun:
        """Return *command* as a run that starts when it is iterated over, under command_timeout.

        The command's standard input is *stdin*, bytes of any kind, and then its end. A run before
        it that was not read to its end is ended. A run that times out or loses the connection
        leaves ``is_alive`` false: connect again. Raises ConnectionLost when it is false already.
        """
        if not self.is_alive():
            raise ConnectionLost(
                self._cluster, f"{self._host}: the connection has ended: reconnect"
            )
        self._end_run()
        self._run = CommandRun(
            self._cluster,
            self._host,
            self._transports[-1],
            command,
            stdin,
            self._settings.command_timeout,
            self._settings.connect_timeout,
            self.abort,
        )
        return self._run

    @property
    def user(self) -> str:
        """The user on the login host; empty without a connection."""
        return str(self._transports[-1].get_username() or "") if self._transports else ""

    def is_alive(self) -> bool:
        """Return whether the connection is up, as far as is known without asking the host."""
        return bool(self._transports) and all(t.is_active() for t in self._transports)

    def close(self) -> None:
        """End the connection and its threads. A command that still runs raises ConnectionLost."""
        self._end_run()
        for transport in self._transports:
            end(transport)
        self._transports = []

    def _end_run(self) -> None:
        if self._run:
            with suppress(ValueError):  # It runs in another thread, and ends with the connection.
                self._run.close()
            self._run = None

    def abort(self) -> None:
        """Close every socket at once, from any thread, so that blocked calls return."""
        for transport in list(self._transports):
            transport.close()

    def _enter(self, hop: Hop, via: tuple[Hop, ...]) -> None:
        """Connect and log in to *hop*, from here or through the last of *via*."""
        self._host = str(hop)
        sock = self._open_channel(hop, via[-1]) if via else self._open_socket(hop)
        transport = Transport(sock)
        self._transports.append(transport)
        self._shake_hands(hop, via, transport)
        self._authenticate(hop, transport)
        transport.set_keepalive(KEEPALIVE_SECONDS)

    def _open_socket(self, hop: Hop) -> socket.socket:
        """Return a TCP connection, trying the host's addresses in turn within connect_timeout.

        Looking the name up comes before that and has the resolver's own limits.
        """
        seconds = self._settings.connect_timeout
        try:
            addresses = socket.getaddrinfo(hop.host, hop.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise self._unreachable(
                hop,
                f"the name is not known here ({error}). Correct host, or add a Host block to "
                f"{self._settings.config_file}",
            ) from error
        ends_at = time.monotonic() + seconds
        failures = []
        for tried, (family, kind, protocol, _, address) in enumerate(addresses):
            sock = socket.socket(family, kind, protocol)
            share = (ends_at - time.monotonic()) / (len(addresses) - tried)
            try:
                sock.settimeout(max(share, 0.001))
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or 40 ms a request
            except OSError as error:
                sock.close()
                failures.append(f"{address[0]}: {error}")
            else:
                return sock
        raise self._unreachable(
            hop,
            f"no TCP connection within {seconds:g} s ({'; '.join(failures)}). Check host and port, "
            "and that the firewalls let this machine in",
        )

    def _open_channel(self, hop: Hop, jump: Hop) -> paramiko.Channel:
        seconds = self._settings.connect_timeout
        try:
            with Deadline(seconds, self.abort):
                return self._transports[-1].open_channel(
                    "direct-tcpip", (hop.host, hop.port), ("127.0.0.1", 0), timeout=math.inf
                )
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._unreachable(
                hop,
                f"the jump host {jump} did not connect to it within {seconds:g} s "
                f"({_short(error)}). Check that it can reach the host and allows TCP forwarding",
            ) from error

    def _shake_hands(self, hop: Hop, via: tuple[Hop, ...], transport: Transport) -> None:
        """Agree on keys within banner_timeout and check the host's; nothing is sent of ours yet."""
        try:
            known = read_known_hosts(hop.known_hosts)
        except OSError as error:
            raise HostKeyRefused(
                self._cluster, f"{hop}: no host key can be checked: {error}. Correct known_hosts"
            ) from error
        options = transport.get_security_options()
        options.key_types = preferred_algorithms(hop, known, options.key_types)
        seconds = self._settings.banner_timeout
        transport.banner_timeout = transport.handshake_timeout = seconds
        done = threading.Event()
        transport.start_client(event=done)
        in_time = done.wait(seconds)
        if not in_time or not transport.is_active() or transport.host_key is None:
            reason = _short(transport.get_exception())
            raise self._unreachable(
                hop,
                f"the port is open, but no SSH handshake within {seconds:g} s"
                f"{reason and f' ({reason})'}. Check that an SSH server with present-day "
                "algorithms listens there and is not overloaded",
            )
        check_host_key(self._cluster, hop, via, known, transport.host_key)

    def _authenticate(self, hop: Hop, transport: Transport) -> None:
        """Offer the keys one after the other, all within auth_timeout."""
        seconds = self._settings.auth_timeout
        transport.auth_timeout = math.inf  # The deadline is the limit, for all keys together.
        with (
            identities(self._cluster, hop, seconds) as candidates,
            Deadline(seconds, self.abort) as deadline,
        ):
            refusals = []
            for identity in candidates.usable:
                try:
                    further = transport.auth_publickey(hop.user, identity.key)
                except (paramiko.SSHException, EOFError, OSError) as error:
                    refusals.append(f"{identity.origin}: {_short(error)}")
                else:
                    if not further:
                        return
                    refusals.append(f"{identity.origin}: accepted, but {further} is asked for too")
                if not transport.is_active():
                    break
        if deadline.passed:
            raise self._unreachable(
                hop, f"no answer to authentication within {seconds:g} s. Is the host overloaded?"
            )
        tried = "; ".join([*refusals, *candidates.problems])
        raise AuthenticationRefused(
            self._cluster,
            f"{hop}: no key was accepted ({tried}). Put the public key into "
            f"authorized_keys of {hop.user} there, or correct user and key_file",
        )

    def _unreachable(self, hop: Hop, reason: str) -> Unreachable:
        return Unreachable(self._cluster, f"{hop}: {reason}")


def _short(error: Exception | None) -> str:
    """Return the text of *error*, cut: the text can quote the host at any length."""
    if error is None:
        return ""
    return (str(error) or type(error).__name__)[:_SHOWN_REASON]
