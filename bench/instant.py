"""A database that answers at once and keeps nothing: what is left of a write's time is our own.

It is a process of its own that speaks MongoDB's protocol (OP_MSG).  Every write has succeeded,
every query finds nothing.

    with InstantDatabase() as database:
        client = MongoClient(database.uri)
"""

import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from ingest.database.store import Document, Store

_HEADER = struct.Struct("<iiii")
_OP_QUERY, _OP_REPLY, _OP_MSG = 2004, 1, 2013
_HELLO = {
    "ismaster": True,
    "isWritablePrimary": True,
    "setName": "instant",
    "secondary": False,
    "minWireVersion": 0,
    "maxWireVersion": 9,
    "maxBsonObjectSize": 16 << 20,
    "maxMessageSizeBytes": 48_000_000,
    "maxWriteBatchSize": 100_000,
    "logicalSessionTimeoutMinutes": 30,
    "ok": 1,
}


class InstantDatabase:
    """Runs the process, as a context manager."""

    def __enter__(self) -> "InstantDatabase":
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.instant"], stdout=subprocess.PIPE, text=True
        )
        if self._process.stdout is None:
            raise RuntimeError("the database that answers at once has no output")
        self.uri = f"mongodb://127.0.0.1:{int(self._process.stdout.readline())}/?replicaSet=instant"
        self._client: MongoClient[Document] = MongoClient(self.uri, w="majority")
        return self

    def __exit__(self, *_error: object) -> None:
        self._client.close()
        self._process.terminate()
        self._process.wait()

    def new_store(self) -> Store:
        """Return a store. All stores share one connection pool."""
        return Store(self._client["bench"])


class _Answers(StreamRequestHandler):
    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def handle(self) -> None:
        while len(header := self.rfile.read(_HEADER.size)) == _HEADER.size:
            length, number, _, code = _HEADER.unpack(header)
            body = self.rfile.read(length - _HEADER.size)
            if code == _OP_QUERY:
                payload = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(self._hello())
                reply = _OP_REPLY
            else:
                payload = b"\0\0\0\0\0" + bson.encode(self._answer(body))
                reply = _OP_MSG
            size = _HEADER.size + len(payload)
            self.wfile.write(_HEADER.pack(size, number, number, reply) + payload)

    def _hello(self) -> Document:
        host, port = self.connection.getsockname()
        name = f"{host}:{port}"
        return {**_HELLO, "me": name, "primary": name, "hosts": [name]}

    def _answer(self, body: bytes) -> Document:
        """Return the answer to an OP_MSG without its header."""
        sections = dict(_sections(body))
        command = RawBSONDocument(sections.pop(""))
        name = next(iter(command))
        answer = _ANSWERS.get(name.lower())
        if answer is None:
            return self._hello() if name.lower() in ("ismaster", "hello") else {"ok": 1}
        return {**answer(command, sum(_count(each) for each in sections.values())), "ok": 1}


def _sections(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the command, as the section of no name, and the documents beside it, by their names."""
    at = 4
    while at < len(body):
        kind, at = body[at], at + 1
        (size,) = struct.unpack_from("<i", body, at)
        if kind == 0:
            yield "", body[at : at + size]
        else:
            name, _, documents = body[at + 4 : at + size].partition(b"\0")
            yield name.decode(), documents
        at += size


def _count(documents: bytes) -> int:
    at = count = 0
    while at < len(documents):
        at += int.from_bytes(documents[at : at + 4], "little")
        count += 1
    return count


def _found(command: Mapping[str, Any], _count: int) -> Document:
    collection = command.get("find", command.get("aggregate"))
    return {"cursor": {"id": 0, "ns": f"bench.{collection}", "firstBatch": []}}


def _listed(command: Mapping[str, Any], count: int) -> Document:
    """Answer for a write whose documents stand in the command or in a section of their own."""
    listed = next(
        (command[key] for key in ("documents", "updates", "deletes") if key in command), ()
    )
    number = count or len(listed)
    return {"n": number, "nModified": number}


_ANSWERS: Mapping[str, Callable[[Mapping[str, Any], int], Document]] = {
    "find": _found,
    "aggregate": _found,
    "insert": _listed,
    "update": _listed,
    "delete": _listed,
    "findandmodify": lambda _command, _count: {"value": None},
}


class _Server(ThreadingTCPServer):
    daemon_threads = True


def _serve() -> None:
    with _Server(("127.0.0.1", 0), _Answers) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    _serve()
