"""A copy that follows jobs/changes equals the database, whatever is killed meanwhile."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlencode

import pytest

from api.schema.endpoint import BASE
from ingest.accounts.users import add_user
from ingest.database.store import Store
from tests.support.ports import LOOPBACK, free_port

KILLS = 1
ANSWERS = 3
"""With changes, between two kills."""


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-m", "tests.api.feed.part", *arguments]) as process:
        try:
            yield process
        finally:
            process.kill()


class Copy:
    """The jobs as a client knows them who lists once and then reads changes."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._headers = {"Authorization": f"Bearer {token}"}
        self._cursor = self.get("jobs/changes")["cursor"]
        self.jobs = {self._key(job["slurm"]): job for job in self.get("jobs/list")}

    def get(self, path: str, **arguments: str) -> Any:
        """Ask until there is an answer."""
        while True:
            try:
                connection = HTTPConnection(LOOPBACK, self._port, timeout=300)
                address = f"{BASE}{path}?{urlencode(arguments)}"
                connection.request("GET", address, headers=self._headers)
                response = connection.getresponse()
                body = response.read()
            except (OSError, HTTPException):
                time.sleep(0.1)  # the API was killed, or has not started yet
                continue
            finally:
                connection.close()
            if response.status == 200:
                return json.loads(body)
            assert response.status == 503, body

    def follow(self, wait: int) -> bool:
        """Take in what changed; whether anything did."""
        answer = self.get("jobs/changes", cursor=self._cursor, wait=str(wait))
        self._cursor = answer["cursor"]
        for job in answer["changed"]:
            self.jobs[self._key(job["slurm"])] = job
        for gone in answer["gone"]:
            self.jobs.pop(self._key(gone), None)
        return bool(answer["changed"] or answer["gone"])

    @staticmethod
    def _key(slurm: dict[str, Any]) -> tuple[str, str]:
        return slurm["cluster_name"], slurm["job_id"]


@pytest.mark.timeout(1200)  # it starts six processes, one after the other
def test_a_copy_equals_the_database(store: Store, mongo_uri: str) -> None:
    _, token = add_user(store, "alice@mila.example", "alice")
    database, port = (mongo_uri, store.database.name), free_port()
    with ExitStack() as parts:
        writer = parts.enter_context(running("write", *database))
        api = parts.enter_context(running("serve", *database, str(port)))
        copy = Copy(port, token)
        for number in range(2 * KILLS):
            changes = 0
            while changes < ANSWERS:
                changes += copy.follow(wait=10)
            if number % 2:
                api.kill()
                api = parts.enter_context(running("serve", *database, str(port)))
            else:
                writer.kill()
                writer = parts.enter_context(running("write", *database))
        writer.kill()
        writer.wait()
        while copy.follow(wait=0):
            pass
        listed = copy.get("jobs/list")
        cursors = store.changes.count_documents({})

    assert copy.jobs == {Copy._key(job["slurm"]): job for job in listed}
    assert cursors > KILLS
