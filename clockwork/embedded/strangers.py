"""End the connections that other users of this machine hold to the embedded database.

The database's port is open to every user of the machine, and the database takes 1000 connections
at most.  Linux says in ``/proc/net/tcp`` which user has each end of a connection.  So a daemon can
tell the connections of its own user, and of root, from the connections of strangers.  Where Linux
does not say this, no connection is ended.
"""

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from pymongo.database import Database

MOST_CONNECTIONS = 100
"""Connections of strangers that are left alone, because they keep nobody out."""

_TABLES = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
_ESTABLISHED = "01"
_ROOT = 0


def end_strangers(admin: Database[dict[str, Any]], port: int) -> int:
    """End the connections of strangers to *port* if there are more than `MOST_CONNECTIONS`.

    Connections that gave the password stay.  *admin* is the database ``admin`` of SecantusDB, which
    listens on *port*.  Return how many connections were ended.  Raises pymongo's errors.
    """
    strangers = _strangers(port)
    if len(strangers) <= MOST_CONNECTIONS:
        return 0
    ended = 0
    for connection in admin.command("currentOp")["inprog"]:
        if connection.get("client") in strangers and not connection["effectiveUsers"]:
            admin.command("killOp", op=connection["opid"])  # SecantusDB closes the connection
            ended += 1
    return ended


def _strangers(port: int) -> set[str]:
    """Return the addresses from which strangers are connected to *port*, as ``127.0.0.1:40000``."""
    known, end = {_ROOT, os.geteuid()}, f":{port:04X}"
    found = set()
    for table in _TABLES:
        with suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                _, local, remote, state, _, _, _, user, *_ = line.split()
                if remote.endswith(end) and state == _ESTABLISHED and int(user) not in known:
                    found.add(_address(local))
    return found


def _address(text: str) -> str:
    """Return the address of *text*, in which each four bytes are one hexadecimal number.

    The last four bytes of an IPv6 address are the IPv4 address that the database sees.
    """
    host, _, port = text.partition(":")
    packed = int(host[-8:], 16).to_bytes(4, "little")
    return f"{socket.inet_ntoa(packed)}:{int(port, 16)}"
