"""Make one call of a webhook: only to addresses that may be called, and within a time limit.

The address is checked after the name was resolved, and the connection is made to that very address:
a name that leads somewhere else the next time gains nothing.  Redirects are not followed, and
proxies of the environment are not used.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import cache
from urllib.parse import SplitResult

from config.webhooks import is_this_machine

CALL_SECONDS = 15.0
"""For a whole call: the connection, the request and the response."""
_SHOWN_BYTES = 200
"""Bytes of a response that an error shows; the rest, and the body of a success, is not read."""
_PORTS = {"http": 80, "https": 443}
_METADATA = frozenset(
    {"100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"}
)
"""Addresses at which clouds tell machines their secrets, apart from the link-local ones."""
_HOLDING_IPV4 = tuple(
    (ipaddress.IPv6Network(network), bits)
    for network, bits in (
        ("::ffff:0:0/96", 0),  # IPv4-mapped
        ("::/96", 0),  # IPv4-compatible
        ("64:ff9b::/96", 0),  # NAT64
        ("2002::/16", 80),  # 6to4
    )
)
"""IPv6 networks whose addresses hold an IPv4 address, and the bits behind that address."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class CallFailed(Exception):
    """The receiver did not take the call; the message says why, without the URL."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds that the receiver asks to wait."""


def call(
    url: SplitResult, allowed_hosts: Collection[str], body: bytes, headers: Mapping[str, str]
) -> int:
    """POST *body* to *url*, whose host is one of *allowed_hosts*. Return the status, 200 to 299.

    Raises CallFailed.
    """
    deadline = time.monotonic() + CALL_SECONDS
    try:
        with _connected(url, allowed_hosts, deadline) as connection:
            path = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
            connection.request("POST", path, body, {"Host": url.netloc, **headers})
            response = connection.getresponse()
            status = response.status
            if 200 <= status < 300:
                return status
            shown = response.read(_SHOWN_BYTES)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if time.monotonic() >= deadline:
            raise CallFailed(f"no response within {CALL_SECONDS:g} s") from error
        raise CallFailed(f"no response: {error or type(error).__name__}") from error
    if 300 <= status < 400:
        raise CallFailed(f"answered {status}: redirects are not followed; set url to the new place")
    text = shown.decode(errors="replace")
    raise CallFailed(f"answered {status}: {text}", _seconds(response.headers.get("Retry-After")))


def addresses(url: SplitResult, allowed_hosts: Collection[str]) -> list[tuple[int, str]]:
    """Return the addresses of the host of *url* that may be called, each with its family.

    Raises CallFailed if there is none.
    """
    host = (url.hostname or "").lower()
    if host not in allowed_hosts:
        raise CallFailed(f"the host {host} is not in webhooks.allowed_hosts")
    try:
        found = socket.getaddrinfo(host, _port(url), type=socket.SOCK_STREAM)
    except OSError as error:
        raise CallFailed(f"the host {host} has no address: {error}") from error
    each_once = dict.fromkeys((int(family), str(address[0])) for family, *_, address in found)
    allowed = [each for each in each_once if may_be_called(each[1], host, allowed_hosts)]
    if not allowed:
        refused = ", ".join(address for _, address in each_once)
        raise CallFailed(
            f"the host {host} has the address {refused}, which is this machine's or not an ordinary"
            " one: add the address to webhooks.allowed_hosts if it may be called"
        )
    return allowed


def may_be_called(address: str, host: str, allowed_hosts: Collection[str]) -> bool:
    """Return whether *address*, which *host* has, may be called.

    Link-local, multicast and unspecified addresses, and those at which clouds tell secrets, may not
    unless they are among *allowed_hosts* themselves.  Nor may this machine's, unless *host* names
    this machine.  For an IPv6 address that holds an IPv4 address, both are checked.
    """
    given = ipaddress.ip_address(address.partition("%")[0])
    both = {given, _unwrapped(given)}
    if any(str(each) in allowed_hosts for each in both):
        return True
    if any(each.is_loopback or _is_bound_here(each) for each in both):
        return is_this_machine(host)
    return not any(map(_is_special, both))


def _unwrapped(address: _Address) -> _Address:
    """Return the IPv4 address that an IPv6 address holds; *address* if it holds none."""
    if not (address.is_loopback or address.is_unspecified):
        for network, bits in _HOLDING_IPV4:
            if address in network:
                return ipaddress.IPv4Address(int(address) >> bits & 0xFFFFFFFF)
    return address


def _is_bound_here(address: _Address) -> bool:
    """Return whether *address* is this machine's: whether a socket can be bound to it."""
    if address.is_multicast or address.is_unspecified:
        return False  # every machine can bind a socket to these
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((str(address), 0))
        return True
    return False


def _is_special(address: _Address) -> bool:
    special = address.is_link_local or address.is_multicast or address.is_unspecified
    return special or str(address) in _METADATA


@contextmanager
def _connected(
    url: SplitResult, allowed_hosts: Collection[str], deadline: float
) -> Iterator[http.client.HTTPConnection]:
    """Connect to the host of *url* until the end of the ``with``, or until the deadline."""
    port = _port(url)
    plain = _first_that_answers(addresses(url, allowed_hosts), port, deadline)
    # A receiver that sends a byte now and then never makes a read time out: so this ends them all.
    ended = plain.dup()
    ending = threading.Timer(max(0.0, deadline - time.monotonic()), _shut, [ended])
    ending.daemon = True
    ending.start()
    with closing(ended), closing(plain):
        try:
            connected: socket.socket = plain
            if url.scheme == "https":
                connected = _trusting().wrap_socket(plain, server_hostname=url.hostname)
            with closing(connected):
                connection = http.client.HTTPConnection(url.hostname or "", port)
                connection.sock = connected
                yield connection
        finally:
            ending.cancel()
            ending.join()


def _first_that_answers(found: list[tuple[int, str]], port: int, deadline: float) -> socket.socket:
    """Return a connection to the first address that takes one. Raises OSError.

    Each address has an equal part of the time that is left, so a silent one keeps no other away.
    """
    failed: OSError = OSError("no address")
    for tried, (family, address) in enumerate(found):
        connecting = socket.socket(socket.AddressFamily(family), socket.SOCK_STREAM)
        connecting.settimeout(max(0.1, (deadline - time.monotonic()) / (len(found) - tried)))
        try:
            connecting.connect((address, port))
        except OSError as error:
            connecting.close()
            failed = error
        else:
            return connecting
    raise failed


def _shut(connected: socket.socket) -> None:
    with suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


@cache
def _trusting() -> ssl.SSLContext:
    return ssl.create_default_context()


def _port(url: SplitResult) -> int:
    return url.port or _PORTS[url.scheme]


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after and retry_after.isdecimal() else None
