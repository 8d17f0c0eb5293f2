"""Check what other users of the host can reach: files, addresses and the database."""

import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from tests.chaos.killing import Scene
from tests.chaos.report import Section

_COMMANDS = (
    *({"find": "jobs"}, {"insert": "jobs", "documents": [{"_id": 1}]}, {"listCollections": 1}),
    *(
        {"delete": "jobs", "deletes": [{"q": {}, "limit": 0}]},
        {"dropDatabase": 1},
        {"drop": "jobs"},
    ),
    *({"aggregate": "jobs", "pipeline": [], "cursor": {}}, {"count": "users"}, {"usersInfo": 1}),
    *({"createUser": "x", "pwd": "x", "roles": ["root"]}, {"dropUser": "clockwork"}),
    *({"createIndexes": "jobs", "indexes": [{"key": {"a": 1}, "name": "a"}]}, {"shutdown": 1}),
    *({"listDatabases": 1}, {"getParameter": "*"}, {"serverStatus": 1}, {"currentOp": 1}),
    *({"update": "jobs", "updates": [{"q": {}, "u": {"$set": {"a": 1}}}]}, {"getLog": "global"}),
)


_REFUSALS = {13, 18, 59}
"""Unauthorized, AuthenticationFailed, CommandNotFound."""


def run(here: Scene) -> Section:
    """Check a running service from outside."""
    section = Section(
        "What other users of the host can reach",
        "`clockwork up` runs with its embedded database. The modes of all its files and the "
        f"addresses of its processes are checked. {len(_COMMANDS)} commands are sent to the "
        "database without a password and with a wrong one.",
    )
    here.new_versions()
    folder = here.settings.embedded.path
    files = list(_open_to_others(folder))
    section.problems += files
    section.figure("files and folders looked at", sum(1 for _ in folder.rglob("*")))
    section.figure("open to others", len(files))
    listening = sorted(_listening(here))
    section.figure("processes listen on", ", ".join({address for _, address in listening}))
    section.problems += [
        f"the {name} listens on {address}" for name, address in listening if address != "127.0.0.1"
    ]
    answered = list(_answered(here))
    section.problems += answered
    section.figure("commands that were answered without the password", len(answered))
    return section


def _open_to_others(folder: Path) -> Iterator[str]:
    for path in (folder, *folder.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        # Behind a folder of 0700 the database's own files are out of reach whatever their mode.
        widest = 0o700 if path.is_dir() else 0o600
        if mode & ~widest:
            yield f"{path.relative_to(folder.parent)} has the mode {mode:04o}"


def _listening(here: Scene) -> Iterator[tuple[str, str]]:
    for name, process in here.up.processes().items():
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                yield name, connection.laddr.ip


def _answered(here: Scene) -> Iterator[str]:
    """The commands that the database answers to a stranger."""
    ports = {
        connection.laddr.port
        for connection in here.up.processes()["database"].net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    for port in ports:
        uri = f"127.0.0.1:{port}/?directConnection=true&authSource=admin"
        for credentials, commands in (("", _COMMANDS), ("clockwork:wrong@", _COMMANDS[:1])):
            client: MongoClient[dict[str, object]] = MongoClient(
                f"mongodb://{credentials}{uri}", serverSelectionTimeoutMS=5000
            )
            for command in commands:
                try:
                    client[here.settings.mongo.database].command(dict(command))
                except OperationFailure as refusal:
                    if refusal.code not in _REFUSALS:
                        yield f"{command}: {refusal}"
                else:
                    yield f"{command} was answered"
            client.close()
