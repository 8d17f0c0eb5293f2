"""Ports of this machine for the servers of tests."""

import socket

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """Return a port of `LOOPBACK` on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
