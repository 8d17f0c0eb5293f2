"""Signals to real processes of ``clockwork``, over simulated login hosts and a real database."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import paramiko
import pytest

from clockwork.demo.run import DUMPS
from clockwork.demo.simulated_cluster import SimulatedCluster
from clockwork.demo.ssh_server import Answer, Session, SimulatedLoginHost
from config.load import MONGO_URI_VARIABLE
from ingest.database.store import Store
from tests.clockwork.manager import PATIENCE, Manager, manager
from tests.clockwork.sites import ZONE, Site, site
from tests.support.ports import free_port

# The command line with other limits for rounds in hand: its arguments follow the seconds.
REFUSED = "reload: the new configuration is wrong"
IMPATIENT = """
import sys
from scraper import schedule
schedule.FINISH_SECONDS = schedule.ABANDON_SECONDS = float(sys.argv.pop(1))
from clockwork.cli import main
sys.exit(main())
"""


class Watched:
    """A login host whose cluster stands still, whose answers can be held up, whose visitors are
    counted."""

    def __init__(self, name: str, host: SimulatedLoginHost) -> None:
        now = datetime.now(timezone.utc)
        self._cluster = SimulatedCluster(DUMPS / name, ZoneInfo(ZONE), clock=lambda: now)
        self._host = host
        self.holding = threading.Event()
        """Set by the test: the next answers with jobs stop after their first record."""
        self.held = threading.Event()
        """An answer has stopped there."""
        self.let_go = threading.Event()
        self.connections: list[paramiko.Transport] = []
        self.rounds = 0
        """Answers with jobs, so far."""
        host.answer = self._answer
        self._session = host.session
        host.session = self._counted  # type: ignore[method-assign]

    def _counted(self, transport: paramiko.Transport) -> Session:
        self.connections.append(transport)
        return self._session(transport)

    def _answer(self, command: str) -> Answer:
        answer = self._cluster.answer(command)
        if not command.endswith("show job"):
            return answer
        self.rounds += 1
        return Answer(self._held_up(answer.stdout))

    def _held_up(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            yield chunk
            if self.holding.is_set() and not self.let_go.is_set():
                self.held.set()
                while not (self.let_go.wait(0.05) or self._host.stopping.is_set()):
                    pass


@pytest.fixture
def sites(tmp_path: Path, store: Store) -> Iterator[Site]:
    """Two clusters, and the test's store."""
    with site(tmp_path, f'[mongo]\ndatabase = "{store.database.name}"\n') as clusters:
        yield clusters


@pytest.fixture
def watched(sites: Site) -> dict[str, Watched]:
    return {name: Watched(name, host) for name, host in sites.hosts.items()}


@pytest.fixture
def systemd() -> Iterator[Manager]:
    with manager() as listening:
        yield listening


class Running:
    """A process of ``clockwork`` and its log."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    def events(self, beginning: str) -> list[dict[str, Any]]:
        """The events so far whose message begins so."""
        # The last line may be half written.
        lines = [line for line in self.log.read_text().splitlines(True) if line.endswith("}\n")]
        events: list[dict[str, Any]] = [json.loads(line) for line in lines]
        return [event for event in events if event["message"].startswith(beginning)]

    def end(self) -> int:
        return self.process.wait(PATIENCE)


Start = Callable[..., Any]


@pytest.fixture
def start(sites: Site, mongo_uri: str, systemd: Manager) -> Start:
    """Starts ``clockwork`` with the site's configuration, under the manager."""

    @contextmanager
    def started(
        *arguments: str,
        program: Iterable[str] = ("-m", "clockwork"),
        environment: Mapping[str, str] | None = None,
    ) -> Iterator[Running]:
        log = sites.path.with_name("log")
        given = dict(environment or systemd.environment())
        with (
            log.open("wb") as output,
            subprocess.Popen(
                [sys.executable, *program, "--config", str(sites.path), *arguments],
                env={**given, MONGO_URI_VARIABLE: mongo_uri},
                stderr=output,
            ) as process,
        ):
            try:
                yield Running(process, log)
            finally:
                process.kill()

    return started


def until(true: Callable[[], bool], what: str) -> None:
    gives_up = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < gives_up, what
        time.sleep(0.05)


def has_all_jobs(store: Store) -> bool:
    """Whether a whole round of both clusters is in the store."""
    names = {"mila", "beluga"}
    done = store.clusters.find({"kind": "jobs", "last_success": {"$exists": True}})
    return {each["cluster_name"] for each in done} == names


@contextmanager
def in_a_round(start: Start, cluster: Watched, systemd: Manager) -> Iterator[Running]:
    """A scraper in the middle of a round, which goes on when *cluster* is let go."""
    cluster.holding.set()
    with start("scrape") as scraper:
        systemd.wait_for("READY=1")
        assert cluster.held.wait(PATIENCE)
        yield scraper


# --- the scraper stops ----------------------------------------------------------------------------


def test_sigterm_lets_the_round_in_hand_finish(
    start: Start, store: Store, watched: dict[str, Watched], systemd: Manager
) -> None:
    mila = watched["mila"]
    with in_a_round(start, mila, systemd) as scraper:
        scraper.process.send_signal(signal.SIGTERM)
        systemd.wait_for("STOPPING=1")
        mila.let_go.set()
        assert scraper.end() == 0
    assert store.jobs.count_documents({"slurm.cluster_name": "mila"}) > 1
    assert store.clusters.find_one({"_id": "mila/jobs"}, {"ok": 1}) == {
        "_id": "mila/jobs",
        "ok": True,
    }
    assert store.leases.count_documents({}) == 0


def test_a_round_that_takes_too_long_is_abandoned_and_nothing_is_gone(
    start: Start, store: Store, watched: dict[str, Watched], systemd: Manager
) -> None:
    mila = watched["mila"]
    with start("scrape", program=("-c", IMPATIENT, "2")) as scraper:
        until(lambda: has_all_jobs(store), "no whole round")
        before = store.jobs.count_documents({"slurm.cluster_name": "mila"})
        assert before > 1
        mila.holding.set()
        assert mila.held.wait(PATIENCE)
        scraper.process.send_signal(signal.SIGTERM)
        assert scraper.end() == 0
        assert scraper.events("the running round has not ended within 2 s and is abandoned")
        [failed] = scraper.events("round failed")
        assert "stopped before its end; nothing was marked as gone" in failed["message"]
    assert store.jobs.count_documents({"slurm.cluster_name": "mila"}) == before
    assert store.jobs.count_documents({"cw.vanished": {"$exists": True}}) == 0
    assert store.leases.count_documents({}) == 0
    until(lambda: not any(t.is_active() for t in mila.connections), "a connection is left")


def test_a_second_sigterm_ends_it_at_once(
    start: Start, store: Store, watched: dict[str, Watched], systemd: Manager
) -> None:
    with in_a_round(start, watched["mila"], systemd) as scraper:
        scraper.process.send_signal(signal.SIGTERM)
        systemd.wait_for("STOPPING=1")
        scraper.process.send_signal(signal.SIGTERM)
        assert scraper.end() == -signal.SIGTERM
    assert store.jobs.count_documents({"cw.vanished": {"$exists": True}}) == 0


def test_what_hangs_even_then_ends_with_the_process(
    start: Start, sites: Site, store: Store, watched: dict[str, Watched], systemd: Manager
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it never says that it is an SSH server
        port = sites.hosts["mila"].port
        text = sites.path.read_text().replace(f"port = {port}", f"port = {silent.getsockname()[1]}")
        sites.path.write_text(text)
        with start("scrape", program=("-c", IMPATIENT, "0.3")) as scraper:
            systemd.wait_for("READY=1")
            with silent.accept()[0]:
                scraper.process.send_signal(signal.SIGTERM)
                assert scraper.end() == 0
            assert scraper.events("a thread did not end in time; the process exits anyway")
    leases = [lease["_id"] for lease in store.leases.find()]
    assert "mila" in leases, "it waits for its time; the others are let go if they have time"


def test_a_database_that_is_not_there_is_never_ready(
    start: Start, sites: Site, systemd: Manager
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "clockwork", "--config", str(sites.path), "scrape"],
        env={
            **systemd.environment(),
            MONGO_URI_VARIABLE: f"mongodb://127.0.0.1:{free_port()}/?serverSelectionTimeoutMS=500",
        },
        stderr=subprocess.DEVNULL,
    ) as scraper:
        assert scraper.wait(PATIENCE) == 1
    assert systemd.rest() == []


def test_the_scraper_gives_signs_of_life(
    start: Start, watched: dict[str, Watched], systemd: Manager
) -> None:
    with start("scrape", environment=systemd.environment(watchdog_seconds=0.2)):
        for _ in range(3):
            systemd.wait_for("WATCHDOG=1")


# --- the scraper reloads --------------------------------------------------------------------------


def reload(running: Running, systemd: Manager) -> None:
    """SIGHUP, and wait for the end of what it does."""
    running.process.send_signal(signal.SIGHUP)
    lines = systemd.wait_for("RELOADING=1")
    assert lines[1].startswith("MONOTONIC_USEC=")
    systemd.wait_for("READY=1")


def without(text: str, cluster: str) -> str:
    """The configuration without the tables of *cluster*, which are the last or have others after
    them."""
    head, _, rest = text.partition(f"[clusters.{cluster}]")
    _, found, tail = rest.partition("\n[clusters.beluga]" if cluster == "mila" else "\n\n\n")
    return head + found + tail


def test_a_reload_takes_up_and_lets_go_of_clusters(
    start: Start, sites: Site, store: Store, watched: dict[str, Watched], systemd: Manager
) -> None:
    both = sites.path.read_text()
    mila_alone = without(both, "beluga")
    mila, beluga = watched["mila"], watched["beluga"]
    sites.path.write_text(mila_alone)
    with start("scrape") as scraper:
        assert systemd.wait_for("READY=1")[1] == "STATUS=scraping mila"
        until(lambda: mila.rounds > 1, "no round")
        assert beluga.connections == []

        sites.path.write_text(both)
        reload(scraper, systemd)
        assert systemd.said[-1] == "STATUS=scraping mila, beluga"
        until(lambda: has_all_jobs(store), "no round of the new cluster")

        sites.path.write_text(mila_alone)
        reload(scraper, systemd)
        until(lambda: not beluga.connections[0].is_active(), "beluga's connection stays")
        until(lambda: store.leases.count_documents({}) == 1, "beluga's lease stays")
        rounds = mila.rounds
        until(lambda: mila.rounds > rounds + 1, "no more rounds")
        assert len(mila.connections) == 1
        assert mila.connections[0].is_active()

        sites.path.write_text(both)  # a cluster that comes back
        reload(scraper, systemd)
        until(lambda: len(beluga.connections) == 2, "beluga does not come back")
        scraper.process.send_signal(signal.SIGTERM)
        assert scraper.end() == 0
    assert store.jobs.count_documents({"cw.vanished": {"$exists": True}}) == 0
    assert store.leases.count_documents({}) == 0


def test_a_cluster_that_changed_is_connected_to_anew_and_the_other_is_left_alone(
    start: Start, sites: Site, store: Store, watched: dict[str, Watched], systemd: Manager
) -> None:
    mila, beluga = watched["mila"], watched["beluga"]
    with start("scrape") as scraper:
        systemd.wait_for("READY=1")
        until(lambda: has_all_jobs(store), "no whole round")
        text = sites.path.read_text()
        tables = text.split("[clusters.beluga]")
        tables[1] = tables[1].replace("nodes_interval = 5", "nodes_interval = 7")
        sites.path.write_text("[clusters.beluga]".join(tables))
        reload(scraper, systemd)
        until(lambda: len(beluga.connections) == 2, "beluga is not connected to anew")
        rounds = beluga.rounds, mila.rounds
        until(lambda: beluga.rounds > rounds[0] and mila.rounds > rounds[1] + 1, "no more rounds")
        assert not beluga.connections[0].is_active()
        assert len(mila.connections) == 1
        [event] = scraper.events("reloaded")
        assert event["message"] == "reloaded: 2 clusters, 1 of them unchanged"


def test_a_changed_cluster_waits_for_its_round_in_hand(
    start: Start, sites: Site, store: Store, watched: dict[str, Watched], systemd: Manager
) -> None:
    mila = watched["mila"]
    with in_a_round(start, mila, systemd) as scraper:
        text = sites.path.read_text()
        for interval in (7, 8):  # the second change comes before the first one's turn
            changed = text.replace("nodes_interval = 5", f"nodes_interval = {interval}")
            sites.path.write_text(changed)
            reload(scraper, systemd)
        assert len(mila.connections) == 1
        mila.let_go.set()
        until(lambda: len(mila.connections) == 2, "mila is not connected to anew")
        until(lambda: has_all_jobs(store), "no whole round")
        assert not scraper.events("round failed")
        scraper.process.send_signal(signal.SIGTERM)
        assert scraper.end() == 0


def test_the_log_follows_a_reload(
    start: Start, sites: Site, watched: dict[str, Watched], systemd: Manager
) -> None:
    text = sites.path.read_text()
    sites.path.write_text('[log]\nlevel = "error"\n' + text)
    with start("scrape") as scraper:
        systemd.wait_for("READY=1")
        until(lambda: watched["mila"].rounds > 1, "no round")
        assert scraper.events("") == []
        sites.path.write_text(text)
        reload(scraper, systemd)
        until(lambda: bool(scraper.events("round")), "no round in the log")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.replace("jobs_interval = 1", "jobs_interval = -1"), "jobs_interval"),
        (lambda text: text.replace("jobs_interval", "job_interval"), "did you mean jobs_interval"),
        (lambda text: text + "[", "is not TOML"),
        (lambda _: "", "names no cluster"),
    ],
    ids=["a value", "a key", "no TOML", "no cluster"],
)
def test_a_configuration_that_is_wrong_changes_nothing(
    start: Start,
    sites: Site,
    watched: dict[str, Watched],
    systemd: Manager,
    change: Callable[[str], str],
    says: str,
) -> None:
    mila = watched["mila"]
    with start("scrape") as scraper:
        systemd.wait_for("READY=1")
        sites.path.write_text(change(sites.path.read_text()))
        reload(scraper, systemd)
        assert says in scraper.events(REFUSED)[0]["message"]
        rounds = mila.rounds
        until(lambda: mila.rounds > rounds + 1, "no more rounds")
        assert len(mila.connections) == 1


def test_a_configuration_file_that_is_gone_changes_nothing(
    start: Start, sites: Site, watched: dict[str, Watched], systemd: Manager
) -> None:
    with start("scrape") as scraper:
        systemd.wait_for("READY=1")
        sites.path.unlink()
        reload(scraper, systemd)
        assert "can't be read" in scraper.events(REFUSED)[0]["message"]


def test_metrics_follow_a_reload_and_refuse_a_port_that_is_taken(
    start: Start, sites: Site, watched: dict[str, Watched], systemd: Manager
) -> None:
    first, second = free_port(), free_port()
    text = sites.path.read_text()
    sites.path.write_text(f"[scraper]\nmetrics_port = {first}\n" + text)
    with start("scrape") as scraper:
        systemd.wait_for("READY=1")
        assert 'cluster="beluga"' in get(first)
        sites.path.write_text(f"[scraper]\nmetrics_port = {second}\n" + without(text, "beluga"))
        reload(scraper, systemd)
        assert 'cluster="beluga"' not in get(second)
        with pytest.raises(ConnectionRefusedError):
            get(first)
        taken = next(iter(sites.hosts.values())).port
        sites.path.write_text(f"[scraper]\nmetrics_port = {taken}\n" + text)
        reload(scraper, systemd)
        assert "scraper.metrics_port" in scraper.events(REFUSED)[0]["message"]
        assert 'cluster="beluga"' not in get(second)


def test_a_change_of_the_database_waits_for_the_next_start(
    start: Start, sites: Site, watched: dict[str, Watched], systemd: Manager
) -> None:
    with start("scrape") as scraper:
        systemd.wait_for("READY=1")
        text = sites.path.read_text()
        sites.path.write_text(text.replace('database = "', 'database = "x'))
        reload(scraper, systemd)
        [warning] = scraper.events("reload: mongo has changed")
        assert warning["level"] == "warning"


# --- the API --------------------------------------------------------------------------------------


def get(port: int) -> str:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_api_listens_when_it_says_so_and_stops_when_it_is_told(
    start: Start, sites: Site, systemd: Manager, number: signal.Signals
) -> None:
    port = free_port()
    sites.path.write_text(f'[api]\nport = {port}\nmetrics = "open"\n' + sites.path.read_text())
    with start("serve") as api:
        assert systemd.wait_for("READY=1")[1] == f"STATUS=listening on 127.0.0.1:{port}"
        assert "clockwork_up" in get(port)
        api.process.send_signal(number)
        systemd.wait_for("STOPPING=1")
        assert api.end() == 0


def test_the_api_gives_signs_of_life_until_its_loop_stands(
    start: Start, sites: Site, systemd: Manager
) -> None:
    sites.path.write_text(f"[api]\nport = {free_port()}\n" + sites.path.read_text())
    with start("serve", environment=systemd.environment(watchdog_seconds=0.2)) as api:
        systemd.wait_for("READY=1")
        for _ in range(2):
            systemd.wait_for("WATCHDOG=1")
        api.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, api.process.pid, os.WSTOPPED)
        systemd.rest()
        with pytest.raises(TimeoutError):
            systemd.message_within(2)


def test_the_api_reloads_what_it_can(start: Start, sites: Site, systemd: Manager) -> None:
    port = free_port()
    text = sites.path.read_text()
    sites.path.write_text(f'[api]\nport = {port}\nmetrics = "open"\n' + without(text, "beluga"))
    with start("serve") as api:
        systemd.wait_for("READY=1")
        assert 'cluster="beluga"' not in get(port)

        sites.path.write_text(f'[api]\nport = {free_port()}\nmetrics = "open"\n' + text)
        reload(api, systemd)
        assert systemd.said[-1] == f"STATUS=listening on 127.0.0.1:{port}"
        assert 'cluster="beluga"' in get(port)
        assert api.events("reload: api.port has changed, which takes effect at the next restart")

        sites.path.write_text(f"[api]\nport = {port}\n" + text)
        reload(api, systemd)
        assert "Bearer" in get(port)

        sites.path.write_text("[")
        reload(api, systemd)
        assert "is not TOML" in api.events(REFUSED)[0]["message"]
        assert "Bearer" in get(port)


# --- all of it ------------------------------------------------------------------------------------


def test_up_is_ready_with_all_its_processes_and_passes_a_reload_on(
    start: Start, sites: Site, watched: dict[str, Watched], systemd: Manager
) -> None:
    port = free_port()
    text = sites.path.read_text()
    head = f'[api]\nport = {port}\nmetrics = "open"\n'
    sites.path.write_text(head + without(text, "beluga"))
    with start("up", environment=systemd.environment(watchdog_seconds=2)) as service:
        assert systemd.wait_for("READY=1")[1] == "STATUS=running scraper, api"
        assert 'cluster="beluga"' not in get(port)
        until(lambda: watched["mila"].rounds > 0, "no round")
        sites.path.write_text(head + text)
        reload(service, systemd)
        assert len(service.events("reloaded")) == 2
        assert 'cluster="beluga"' in get(port)
        until(lambda: watched["beluga"].rounds > 0, "no round of the new cluster")
        systemd.wait_for("WATCHDOG=1")
        assert len(watched["mila"].connections) == 1
        service.process.send_signal(signal.SIGTERM)
        systemd.wait_for("STOPPING=1")
        assert service.end() == 0
