"""A proxy in front of Mongo that holds chosen commands back, as a slow database does."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from tests.support.ports import LOOPBACK

_SECONDS = 120
_LENGTH = 4


class SlowMongo:
    """Relays each connection to the Mongo at *uri*, and holds messages while `holds` says so."""

    def __init__(self, uri: str) -> None:
        address = urlsplit(uri)
        self._mongo = (address.hostname or LOOPBACK, address.port or 27017)
        self._listening = socket.create_server((LOOPBACK, 0))
        self.uri = f"mongodb://{LOOPBACK}:{self._listening.getsockname()[1]}/?directConnection=true"
        self._open: list[socket.socket] = [self._listening]
        self._changed = threading.Condition()
        self._holds: Callable[[bytes], bool] = lambda _message: False
        self._held = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self, holds: Callable[[bytes], bool]) -> None:
        """From now on, hold the messages for which *holds* returns True; let the others go."""
        with self._changed:
            self._holds = holds
            self._changed.notify_all()

    def let_go(self) -> None:
        """Hold nothing any more."""
        self.hold(lambda _message: False)

    def wait_for_held(self, number: int) -> None:
        """Wait until exactly so many messages are held."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._held == number, _SECONDS), self._held

    def close(self) -> None:
        """End all connections."""
        self.let_go()
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                mongo = socket.create_connection(self._mongo)
                self._open += [client, mongo]
                for target, ends in ((self._ask, (client, mongo)), (_copy, (mongo, client))):
                    threading.Thread(target=target, args=ends, daemon=True).start()

    def _ask(self, client: socket.socket, mongo: socket.socket) -> None:
        with suppress(OSError):
            for message in _messages(client):
                with self._changed:
                    self._held += 1
                    while self._holds(message):
                        self._changed.notify_all()
                        self._changed.wait()
                    self._held -= 1
                mongo.sendall(message)
            mongo.shutdown(socket.SHUT_RDWR)


def _messages(client: socket.socket) -> Iterator[bytes]:
    """The messages of a connection: each begins with its length, four bytes."""
    with client.makefile("rb") as stream:
        while head := stream.read(_LENGTH):
            yield head + stream.read(int.from_bytes(head, "little") - _LENGTH)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_RDWR)


@contextmanager
def slow_mongo(uri: str) -> Iterator[SlowMongo]:
    """Run the proxy in front of the Mongo at *uri*."""
    proxy = SlowMongo(uri)
    try:
        yield proxy
    finally:
        proxy.close()
