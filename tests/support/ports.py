"""Ports of this machine for the servers of tests."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """Return a port of `LOOPBACK` on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def full_port(port: int = 0, address: str = LOOPBACK) -> Iterator[int]:
    """Give a port on which connections are neither accepted nor refused; any port for 0."""
    with socket.socket() as listener:
        listener.bind((address, port))
        listener.listen(0)
        waiting = []
        for _ in range(8):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
            waiting.append(sock)
        try:
            yield listener.getsockname()[1]
        finally:
            for sock in waiting:
                sock.close()
