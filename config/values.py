"""The types of values that several settings have, each with its limits."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
"""IPv4 addresses as IPv6 sockets show them (RFC 4291, 2.5.5.2)."""
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,99}")
_TAKEN_HEADERS = {
    *("accept", "age", "alt-used", "baggage", "cache-control", "connection", "cookie", "date"),
    *("dnt", "early-data", "expect", "forwarded", "from", "host", "keep-alive", "last-event-id"),
    *("max-forwards", "origin", "pragma", "priority", "proxy-authenticate"),
    *("proxy-authorization", "proxy-connection", "range", "referer", "save-data", "set-cookie"),
    "te",  # codespell:ignore te
    *("traceparent", "tracestate", "trailer", "transfer-encoding", "true-client-ip"),
    *("upgrade", "upgrade-insecure-requests", "user-agent", "via", "warning", "x-client-ip"),
    *("x-forwarded", "x-forwarded-by", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port"),
    *("x-forwarded-prefix", "x-forwarded-proto", "x-forwarded-protocol", "x-forwarded-scheme"),
    *("x-forwarded-server", "x-forwarded-ssl", "x-forwarded-uri", "x-forwarded-method"),
    *("x-real-ip", "x-request-id", "x-requested-with"),
}
"""Header fields that have a meaning of their own: of HTTP, of browsers, or of proxies."""
_TAKEN_BEGINNINGS = ("accept-", "access-control-", "content-", "if-", "sec-")


def _checked_path(value: object) -> object:
    # Path("") is the current folder, which nobody means who leaves a value out.
    if value == "":
        raise ValueError("the path of a file or a folder; remove the key if there is none")
    return value


def _in_home(path: Path) -> Path:
    try:
        found = path.expanduser()
    except RuntimeError:
        found = None
    if found is None or "\0" in str(path):
        raise ValueError(
            "a path without NUL, whose ~ or ~USER stands for a home folder that exists"
        )
    return found


def _checked_text(value: str) -> str:
    if not value or value != value.strip():
        raise ValueError("a text that is not empty, without spaces before or after it")
    return value


def _checked_header(value: str) -> str:
    name = value.lower()
    is_taken = name in _TAKEN_HEADERS or name.startswith(_TAKEN_BEGINNINGS)
    if is_taken or not _HEADER.fullmatch(value):
        raise ValueError(
            "the name of a header field of letters, digits and -, which has no other meaning, such"
            " as X-Forwarded-Email"
        )
    return value


Seconds = Annotated[float, Field(ge=0.1, le=7 * 86400)]
"""An interval, or a limit of time."""
Port = Annotated[int, Field(ge=1, le=65535)]
FilePath = Annotated[
    Path, BeforeValidator(_checked_path), AfterValidator(_in_home), Field(strict=False)
]
"""A file or a folder. A ~ at its beginning is the user's home."""
Text = Annotated[str, AfterValidator(_checked_text)]
"""A text that must be exactly what another program writes."""
HeaderName = Annotated[str, AfterValidator(_checked_header)]
"""The name of a header field of HTTP that says whose request it is."""


def url_of(text: str) -> SplitResult | None:
    """Return the parts of a URL; None if its host or its port can't be used."""
    try:
        url = urlsplit(text)
        is_good = bool(url.hostname) and url.port != 0
    except ValueError:
        return None
    return url if is_good and text.isascii() and text.isprintable() and " " not in text else None


def plain_network(text: str) -> Network:
    """Return a network, or that of one address. Raises ValueError.

    Connections from ``::ffff:192.0.2.10`` count as those from 192.0.2.10, so both are this one.
    """
    network = ipaddress.ip_network(text)
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        address = network.network_address.packed[-4:]
        return ipaddress.IPv4Network((address, network.prefixlen - _MAPPED.prefixlen))
    return network


def covers_all(networks: list[Network]) -> bool:
    """Return whether these networks have all addresses of IPv4 or of IPv6 together."""
    v4 = [each for each in networks if isinstance(each, ipaddress.IPv4Network)]
    v6 = [each for each in networks if isinstance(each, ipaddress.IPv6Network)]
    merged: list[Network] = [*ipaddress.collapse_addresses(v4), *ipaddress.collapse_addresses(v6)]
    return any(network.prefixlen == 0 for network in merged)
