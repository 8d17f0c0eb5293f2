"""Read the name of a user from a header field that a trusted proxy sets.

The connection itself says who sends: its address can't be forged, other than ``X-Forwarded-For``.
The server drops header fields with ``_`` in their names, so none passes for one with ``-``.  It
joins fields of one name with a comma and a space, so a field that came twice holds a space.
"""

import ipaddress
from http import HTTPStatus

from api.http.problems import Problem
from api.http.request import Request
from config.settings import TrustedHeaderSettings

_LONGEST = 254
"""Characters of a name."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def name_in_header(request: Request, settings: TrustedHeaderSettings) -> str | None:
    """Return the name that the proxy gives; None if it gives none, or if this is not the proxy.

    Raises Problem 401 for a field that came twice or holds no name.
    """
    name = request.header(settings.name)
    if not name or not _is_trusted(request.peer, settings):
        return None
    if " " in name or "," in name or not name.isascii() or not name.isprintable():
        raise Problem(
            HTTPStatus.UNAUTHORIZED,
            f"The header {settings.name} came twice or holds no name. The proxy must replace what"
            " clients send under this name.",
        )
    return name[: _LONGEST + 1]


def _is_trusted(peer: str | None, settings: TrustedHeaderSettings) -> bool:
    address = None if peer is None else plain_address(peer)
    return address is not None and any(
        address in ipaddress.ip_network(each) for each in settings.proxies
    )


def plain_address(text: str) -> Address | None:
    """Return an IP address, None for another text.

    ``::ffff:192.0.2.1``, as IPv6 sockets show IPv4 clients, is the IPv4 address.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
