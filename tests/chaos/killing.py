"""Kill the database, the scraper and the API, one or several, while clients work."""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from clockwork.embedded.database import EmbeddedDatabase
from config import Settings, load_settings
from ingest.accounts.users import add_user
from ingest.database.store import Store, connect
from tests.chaos import truth
from tests.chaos.clients import Api, Clients, answers, lost
from tests.chaos.clusters import ALICE, ChangingCluster
from tests.chaos.report import Section, spread
from tests.chaos.up import PROCESSES, SUPERVISOR, Up, running, wait_until
from tests.clockwork.sites import site_of
from tests.support.ports import free_port

HEAD = """\
[api]
port = {port}
[scraper]
lease = 5
[log]
format = "json"
level = "warning"
"""
LONGEST_RECOVERY = 120.0


@dataclass
class Scene:
    """A running service with its clusters, and the API with the token of the jobs' owner."""

    up: Up
    settings: Settings
    clusters: dict[str, ChangingCluster]
    api: Api

    def clients(self, seed: int, pause: float, padding: int = 0) -> Clients:
        """Return clients of the API; *padding* bytes make the writers' keys longer."""
        port, token = self.settings.api.port, self.api.token
        return Clients(
            lambda: Api(port, token), self.clusters, seed=seed, pause=pause, padding=padding
        )

    def new_versions(self, patience: float = LONGEST_RECOVERY) -> None:
        """Wait until rounds that begin from now on are in the database and in the answers."""
        before = {name: cluster.version for name, cluster in self.clusters.items()}

        def newer() -> bool:
            if self.up.ended:
                raise RuntimeError(f"the supervisor ended by itself; see {self.up.log}")
            return answers(self.api) and all(
                self._version(name) > version for name, version in before.items()
            )

        wait_until(newer, "every cluster is scraped anew", patience)

    def _version(self, name: str) -> int:
        """The newest version of a cluster's jobs that the API shows; -1 for none."""
        try:
            status, jobs = self.api.ask("GET", f"jobs/list?cluster_name={name}&time=0")
        except (OSError, HTTPException, ValueError):
            return -1
        if status != 200:
            return -1
        return max((int(job["slurm"]["comment"][1:]) for job in jobs), default=-1)

    def look(self, clients: Clients) -> list[str]:
        """Return what is wrong in the database and in what the clients saw, a line for each."""
        acknowledged = clients.snapshot()
        with self.store() as store:
            jobs = list(store.jobs.find({}))
            user_dicts = {
                (job["slurm"]["cluster_name"], job["slurm"]["job_id"]): job["user"] for job in jobs
            }
            problems = truth.missing_indexes(store) + truth.broken_jobs(jobs, self.clusters)
        return problems + lost(acknowledged, user_dicts) + clients.problems

    @contextmanager
    def store(self) -> Iterator[Store]:
        """Yield the service's database."""
        if self.settings.mongo.uri is not None:
            store = connect(
                self.settings.mongo.uri.get_secret_value(), self.settings.mongo.database
            )
            with closing(store.database.client):
                yield store
            return
        with EmbeddedDatabase.attach_or_start(self.settings.embedded) as database:
            store = connect(database.uri, self.settings.mongo.database)
            with closing(store.database.client):
                yield store


@contextmanager
def scene(
    folder: Path,
    clusters: Mapping[str, ChangingCluster] | None = None,
    *,
    database: str = "data",
    uri: str = "",
    interval: float = 1.0,
) -> Iterator[Scene]:
    """The service in *folder*, ready, against *clusters* (two small ones where none are given).

    Its database is that of *uri*, or an embedded one in the folder *database*.
    """
    clusters = clusters or {"mila": ChangingCluster(), "beluga": ChangingCluster()}
    head = HEAD.format(port=free_port())
    head += f'[mongo]\nuri = "{uri}"\n' if uri else f'[embedded]\npath = "{database}"\n'
    answering = {name: cluster.answer for name, cluster in clusters.items()}
    intervals = {"jobs_interval": interval, "nodes_interval": interval}
    with site_of(folder, answering, head, **intervals) as place, running(place.path) as up:
        settings = load_settings(place.path, {})
        wait_until(lambda: len(up.processes()) == (3 if uri else 4), "all processes run")
        with closing(Api(settings.api.port)) as api:
            here = Scene(up, settings, dict(clusters), api)
            with here.store() as store:
                _, api.token = add_user(store, "alice@mila.example", ALICE, ALICE)
            yield here


def kill(here: Scene, kills: int, seed: int, *, writers: int, dashboards: int) -> Section:
    """Kill *kills* times at random moments; check that everything recovers and nothing is lost."""
    section = Section(
        "Killed at random moments",
        "`clockwork up` runs with its embedded database and two clusters. Every scrape (each "
        f"second) shows all jobs in a new version. {writers} writers of user dicts and "
        f"{dashboards} dashboards use the API. Then one process, or several processes within a "
        "millisecond, are killed with kill -9. If the supervisor is killed, all processes die, "
        "and the supervisor is started again as systemd would do. Every third kill comes before "
        "the recovery from the kill before it.",
    )
    chance = random.Random(seed)
    targets: Counter[str] = Counter()
    recoveries: list[float] = []
    looks = 0
    here.new_versions()
    clients = here.clients(seed, pause=0.05)
    with clients.working(writers, dashboards):
        done = 0
        while done < kills and not section.problems:
            threading.Event().wait(chance.uniform(0.0, 2.0))
            killed = here.up.kill(_victims(chance))
            here.up.start()
            if not killed:
                continue
            done += 1
            targets[", ".join(sorted(killed)) if SUPERVISOR not in killed else "supervisor"] += 1
            if done < kills and chance.random() < 1 / 3:
                continue
            began = time.monotonic()
            here.new_versions()
            recoveries.append(time.monotonic() - began)
            section.problems += here.look(clients)
            looks += 1
    here.new_versions()
    section.problems += here.look(clients)
    with here.store() as store:
        rounds = store.round_log.count_documents({"ok": True})
        section.problems += truth.wrongly_gone(store.jobs.find({}), here.clusters)
        jobs = store.jobs.count_documents({})
    status = here.up.stop()
    if status != 0:
        section.problems.append(f"stopped at the end, it ended with status {status}")
    section.figure("kills", done)
    section.figure("recoveries without help, all checked", looks)
    section.figure("time until every cluster was scraped and served again", spread(recoveries))
    section.figure("updates of user dicts acknowledged", clients.acknowledged_count)
    section.figure("acknowledged updates lost", len([p for p in section.problems if "ackn" in p]))
    section.figure("jobs, each exactly once", jobs)
    section.figure("good rounds", rounds)
    section.figure("what clients got", _counted(clients.answers))
    section.tables.append([("killed together", "times"), *_rows(targets)])
    return section


def _victims(chance: random.Random) -> list[str]:
    if chance.random() < 0.25:
        return [SUPERVISOR]
    names = list(PROCESSES)
    return chance.sample(names, chance.choice((1, 1, 2, 3)))


def _rows(counts: Counter[str]) -> list[tuple[str, str]]:
    return [(name, str(count)) for name, count in sorted(counts.items())]


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in sorted(counts.items())) or "none"
