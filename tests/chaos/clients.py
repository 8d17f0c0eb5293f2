"""Run clients of the API that continue whatever happens: writers of user dicts, and dashboards."""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from typing import Any

from tests.chaos.clusters import ChangingCluster
from tests.chaos.truth import torn

BASE = "/api/v1/cluster/"
_SECONDS = 70.0
"""How long a client waits for an answer: a database that is silent costs the API sixty."""
_SECONDS_TO_RETRY = 1.0
"""After which a client that was told to ask again does so: what ``Retry-After`` says, or more."""


class Api:
    """A connection to the API that is opened again after it broke. For one thread."""

    def __init__(self, port: int, token: str = "") -> None:
        self._port = port
        self.token = token
        self._connection: HTTPConnection | None = None

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Return status and JSON. Raises OSError, HTTPException or ValueError when that fails."""
        if self._connection is None:
            self._connection = HTTPConnection("127.0.0.1", self._port, timeout=_SECONDS)
        try:
            content = None if body is None else json.dumps(body)
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
            self._connection.request(method, BASE + path, content, headers)
            response = self._connection.getresponse()
            return response.status, json.loads(response.read())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the connection; the next request makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Clients:
    """Writers and dashboards in threads of their own; what they did is counted here."""

    def __init__(
        self,
        api: Callable[[], Api],
        clusters: Mapping[str, ChangingCluster],
        *,
        seed: int,
        pause: float,
        padding: int = 0,
    ) -> None:
        self._api = api
        self._clusters = clusters
        self._seed = seed
        self._pause = pause
        self._padding = "x" * padding
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self.acknowledged: dict[tuple[str, str], dict[str, int]] = {}
        """What was acknowledged, by job (cluster and id): the keys and their values."""
        self.answers: Counter[str] = Counter()
        """How often what came back: a status, or the name of an error."""
        self.problems: list[str] = []
        """What a reader must never see."""
        self.seconds: list[float] = []
        """How long each answered request took."""
        self.details: Counter[str] = Counter()
        """What the API said in its problems."""
        self.told_to_ask_again = 0
        """How often a dashboard was refused for a moment because too many lists were running."""

    @contextmanager
    def working(self, writers: int, dashboards: int) -> Iterator[None]:
        """Let so many of them work until the end of the ``with``."""
        threads = [
            threading.Thread(target=self._run, args=(number, work), daemon=True)
            for work, count in ((self._write, writers), (self._look, dashboards))
            for number in range(count)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join(2 * _SECONDS)

    def _run(self, number: int, work: Callable[[Api, int, random.Random, int], None]) -> None:
        api = self._api()
        chance = random.Random(f"{self._seed} {work.__name__} {number}")
        done = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                work(api, number, chance, done)
            except (OSError, HTTPException, ValueError) as error:
                with self._lock:
                    self.answers[type(error).__name__] += 1
            else:
                with self._lock:
                    self.seconds.append(time.monotonic() - began)
            done += 1
            self._stopping.wait(self._pause * chance.uniform(0.5, 1.5))
        api.close()

    def _note(self, status: int, answer: Any) -> None:
        with self._lock:
            self.answers[str(status)] += 1
            if status >= 400:
                self.details[f"{status}: {answer.get('detail', '')[:120]}"] += 1

    def _write(self, api: Api, number: int, chance: random.Random, done: int) -> None:
        name = chance.choice(list(self._clusters))
        cluster = self._clusters[name]
        job_id = str(chance.choice(cluster.window(cluster.version)))
        key = f"writer {number} write {done} {self._padding}"
        arguments = {"job_id": job_id, "cluster_name": name, "update_pairs": {key: done}}
        status, answer = api.ask("PUT", "jobs/user_dict_update", arguments)
        self._note(status, answer)
        if status == 200:
            if answer.get(key) != done:
                self.problems.append(f"an update was answered without what it wrote: {key}")
            with self._lock:
                self.acknowledged.setdefault((name, job_id), {})[key] = done

    def _look(self, api: Api, number: int, chance: random.Random, done: int) -> None:
        name = chance.choice(list(self._clusters))
        window = self._clusters[name].window(self._clusters[name].version)
        paths = [
            f"jobs/list?cluster_name={name}&time=60",
            f"jobs/one?cluster_name={name}&job_id={chance.choice(window)}",
            f"nodes/list?cluster_name={name}",
        ]
        path = paths[(number + done) % len(paths)]
        status, answer = api.ask("GET", path)
        while _is_busy(status, answer) and not self._stopping.wait(_SECONDS_TO_RETRY):
            self.told_to_ask_again += 1
            status, answer = api.ask("GET", path)
        if _is_busy(status, answer):
            return  # the work ended while it waited
        self._note(status, answer)
        if status == 200 and not path.startswith("nodes"):
            self._check(answer if isinstance(answer, list) else [answer] if answer else [])

    def _check(self, jobs: Sequence[Mapping[str, Any]]) -> None:
        ids = [job["slurm"]["job_id"] for job in jobs]
        if len(ids) != len(set(ids)):
            self.problems.append(f"a list has a job twice: {sorted(ids)}")
        self.problems += [f"read half a version: {job}" for job in jobs if torn(job["slurm"])]

    def snapshot(self) -> dict[tuple[str, str], dict[str, int]]:
        """Return what was acknowledged so far. Call this before looking at the database."""
        with self._lock:
            return {job: dict(pairs) for job, pairs in self.acknowledged.items()}

    @property
    def acknowledged_count(self) -> int:
        """The number of acknowledged updates."""
        return sum(len(pairs) for pairs in self.snapshot().values())


def _is_busy(status: int, answer: Any) -> bool:
    """Return whether the API refused a list because as many run as may (``api/query_slots.py``)."""
    return status == 503 and "in progress, which is the limit" in answer.get("detail", "")


def lost(
    acknowledged: Mapping[tuple[str, str], Mapping[str, int]],
    user_dicts: Mapping[tuple[str, str], Mapping[str, Any]],
) -> list[str]:
    """Return the acknowledged updates that are not in *user_dicts*, a line for each."""
    return [
        f"{key} of {job} was acknowledged and is not there"
        for job, pairs in acknowledged.items()
        for key, value in pairs.items()
        if user_dicts.get(job, {}).get(key) != value
    ]


def answers(api: Api) -> bool:
    """Return whether the API answers its users."""
    with suppress(OSError, HTTPException, ValueError):
        return api.ask("GET", "nodes/list")[0] == 200
    return False
