"""``clockwork demo`` and ``clockwork up`` as an operator runs them: processes, signals, HTTP."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.clockwork.sites import site
from tests.support.documented import BELUGA_JOB, BELUGA_NODE, MILA_JOB, MILA_NODE

CLOCKWORK = str(Path(sys.executable).with_name("clockwork"))
SECONDS_TO_STOP = 30.0 + 30.0 + 10.0
"""What the API, the scraper and the database have to end."""
PATIENCE = 60.0

MILA_USER, BELUGA_USER = "milauser12", "ccuser01"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d-0[45]:00")
needs_proc = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition: Callable[[], object], what: str) -> None:
    gives_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < gives_up, f"it never came: {what}"
        threading.Event().wait(0.05)


def processes_of(folder: Path) -> list[bytes]:
    """The command lines of all processes that name *folder*."""
    found = []
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = cmdline.read_bytes()
        except OSError:  # it has just ended
            continue
        if bytes(folder) in words:
            found.append(words)
    return found


@contextmanager
def started(*words: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """``clockwork`` with *words*, whose temporary files go to *folder*."""
    with subprocess.Popen(
        [CLOCKWORK, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(folder)},
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.communicate()


@dataclass(frozen=True)
class Service:
    """Where an API answers, and to which token."""

    url: str
    token: str

    def ask(self, path: str, method: str = "GET", body: Any = None) -> tuple[int, Any]:
        """The status and the JSON of one answer."""
        connection = HTTPConnection(self.url.removeprefix("http://"), timeout=PATIENCE)
        connection.request(
            method,
            f"/api/v1/cluster/{path}",
            None if body is None else json.dumps(body),
            {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"},
        )
        answer = connection.getresponse()
        content = json.loads(answer.read())
        connection.close()
        return answer.status, content

    def get(self, path: str) -> Any:
        """The JSON of a good answer."""
        status, answer = self.ask(path)
        assert status == 200, answer
        return answer

    def update(self, job: Any, **pairs: Any) -> tuple[int, Any]:
        """Write into the user dict of *job*."""
        slurm = job["slurm"]
        body = {key: slurm[key] for key in ("job_id", "cluster_name")} | {"update_pairs": pairs}
        return self.ask("jobs/user_dict_update", "PUT", body)


def said_ready(process: subprocess.Popen[str]) -> tuple[Service, list[str]]:
    """What the demo says once it is ready: where and with which token, and two lines to paste."""
    assert process.stdout is not None
    line = process.stdout.readline()
    match = re.fullmatch(r"ready: (http://127\.0\.0\.1:\d+) token: (\S+)\n", line)
    assert match, line or (process.stderr and process.stderr.read())
    return Service(match[1], match[2]), [process.stdout.readline() for _ in range(2)]


@dataclass(frozen=True)
class Demo:
    port: int
    service: Service
    to_paste: list[str]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    port = free_port()
    folder = tmp_path_factory.mktemp("demo")
    with started("demo", "--port", str(port), folder=folder) as process:
        yield Demo(port, *said_ready(process))


# --- what it says ---------------------------------------------------------------------------------


def pasted(line: str) -> Any:
    """What a line prints in a shell; without curl, what curl would print."""
    if shutil.which("curl"):
        done = subprocess.run(
            ["sh", "-c", line.replace("curl ", "curl --silent --show-error --fail ", 1)],
            capture_output=True,
            check=False,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
    program, flag, header, url = shlex.split(line)
    assert (program, flag) == ("curl", "-H")
    base, path = url.split("/api/v1/cluster/")
    return Service(base, header.removeprefix("Authorization: Bearer ")).get(path)


def test_it_says_where_it_is(demo: Demo) -> None:
    assert demo.service.url == f"http://127.0.0.1:{demo.port}"
    assert all(line.startswith("curl -H 'Authorization: Bearer ") for line in demo.to_paste)
    assert all(demo.service.token in line for line in demo.to_paste)


def test_the_first_line_to_paste_shows_the_users_jobs_on_both_clusters(demo: Demo) -> None:
    jobs = pasted(demo.to_paste[0])
    owners = {(job["slurm"]["cluster_name"], job["cw"]["mila_cluster_username"]) for job in jobs}
    assert owners == {("mila", MILA_USER), ("beluga", MILA_USER)}


def test_the_second_line_to_paste_shows_a_job(demo: Demo) -> None:
    assert pasted(demo.to_paste[1])["slurm"]["job_id"] == "233874"


# --- the manual's requests ------------------------------------------------------------------------


def assert_like(slurm: dict[str, Any], example: dict[str, Any]) -> None:
    """*slurm* has the example's keys and values, but for its times."""
    for key, value in example.items():
        if isinstance(value, str) and TIME.fullmatch(value):
            assert TIME.fullmatch(slurm[key]), key
        else:
            assert slurm[key] == value, key


@pytest.mark.parametrize(
    ("path", "example"),
    [
        ("jobs/one?job_id=233874&cluster_name=mila", MILA_JOB),
        ("jobs/one?job_id=820432", BELUGA_JOB),
        ("nodes/one?node_name=cn-a002&cluster_name=mila", MILA_NODE),
        ("node/one?node_name=cn-a002&cluster_name=mila", MILA_NODE),
    ],
)
def test_one(demo: Demo, path: str, example: dict[str, Any]) -> None:
    found = demo.service.get(path)
    assert_like(found["slurm"], example)
    assert set(found) == ({"slurm", "cw", "user"} if "job_id" in example else {"slurm", "cw"})
    if "job_id" in example:
        assert (
            found["cw"].items()
            >= {
                "mila_cluster_username": MILA_USER,
                "cc_account_username": BELUGA_USER,
            }.items()
        )
        assert "mila_email_username" in found["cw"]


def test_the_nodes_of_a_cluster(demo: Demo) -> None:
    nodes = demo.service.get("nodes/list?cluster_name=beluga")
    assert {node["slurm"]["cluster_name"] for node in nodes} == {"beluga"}
    [example] = [node for node in nodes if node["slurm"]["name"] == BELUGA_NODE["name"]]
    assert_like(example["slurm"], BELUGA_NODE)


def test_nothing_without_the_token(demo: Demo) -> None:
    status, problem = Service(demo.service.url, "cw_wrong").ask("jobs/list")
    assert status == 401
    assert problem["detail"]


# --- what moves -----------------------------------------------------------------------------------


def test_the_user_writes_to_own_jobs_alone_and_no_scrape_touches_it(demo: Demo) -> None:
    jobs = demo.service.get("jobs/list")
    for cluster, field, name in (
        ("mila", "mila_cluster_username", MILA_USER),
        ("beluga", "cc_account_username", BELUGA_USER),
    ):
        here = [job for job in jobs if job["slurm"]["cluster_name"] == cluster]
        own = next(job for job in here if job["slurm"][field] == name)
        others = next(job for job in here if job["slurm"][field] != name)
        assert demo.service.update(own, train_loss=0.2) == (200, {"train_loss": 0.2})
        assert demo.service.update(others, train_loss=0.2)[0] == 403

    def states() -> dict[str, str]:
        return {
            f"{job['slurm']['cluster_name']}/{job['slurm']['job_id']}": job["slurm"]["job_state"]
            for job in demo.service.get("jobs/list")
        }

    before = states()
    for cluster in ("mila", "beluga"):
        wait_until(
            lambda c=cluster: any(  # type: ignore[misc]
                key in before and before[key] != state
                for key, state in states().items()
                if key.startswith(c)
            ),
            f"a job of {cluster} in another state",
        )
    kept = demo.service.get("jobs/one?job_id=233874&cluster_name=mila")
    assert kept["user"] == {"train_loss": 0.2}


# --- how it ends ----------------------------------------------------------------------------------


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_and_nothing_is_left(tmp_path: Path, number: signal.Signals) -> None:
    port = free_port()
    with started("demo", "--port", str(port), folder=tmp_path) as process:
        said_ready(process)
        [folder] = tmp_path.glob("clockwork-demo-*")
        settings = (folder / "clockwork.toml").read_text()
        ports = [int(found) for found in re.findall(r"^port = (\d+)$", settings, re.MULTILINE)]
        assert len(ports) == 3
        assert all(is_taken(each) for each in ports)
        assert len(processes_of(folder)) == 3  # database, scraper, API

        process.send_signal(number)
        out, err = process.communicate(timeout=SECONDS_TO_STOP)  # all have let go of the pipes

        assert (process.returncode, out, err) == (0, "", "")
    assert processes_of(folder) == []
    assert not any(is_taken(each) for each in ports)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_starts_leaves_nothing_either(
    tmp_path: Path, number: signal.Signals
) -> None:
    with started("demo", "--port", str(free_port()), folder=tmp_path) as process:
        wait_until(lambda: list(tmp_path.glob("*/clockwork.toml")), "the demo's folder")
        process.send_signal(number)
        out, err = process.communicate(timeout=SECONDS_TO_STOP)
        assert process.returncode in {130, 0}  # 0 once the supervisor had begun
        assert (out, err) == ("", "")
    assert list(tmp_path.iterdir()) == []


def taken_port(tmp_path: Path, words: Callable[[int], list[str]], *, listening: bool) -> str:
    """What the command says of a port that another program has; it fails, and leaves nothing."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        if listening:
            other.listen()
        port = other.getsockname()[1]
        with started(*words(port), folder=tmp_path) as process:
            out, err = process.communicate(timeout=PATIENCE)
            assert process.returncode == 1
            assert out == ""
            assert f"127.0.0.1:{port}" in err
            assert "Traceback" not in err
            return err


@pytest.mark.parametrize("listening", [True, False])
def test_a_port_that_is_taken(tmp_path: Path, listening: bool) -> None:
    said = taken_port(tmp_path, lambda port: ["demo", "--port", str(port)], listening=listening)
    if listening:
        assert said.startswith("clockwork: another program listens on ")
        assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


# --- up -------------------------------------------------------------------------------------------


def user_added(config: Path) -> str:
    """The token of an account that is made while the service runs."""
    done = subprocess.run(
        [CLOCKWORK, "--config", str(config), "user", "add", "someone@example.org"],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    return done.stdout.strip()


@needs_proc
def test_up_runs_everything_and_a_signal_stops_it(tmp_path: Path) -> None:
    port = free_port()
    settings = f'[api]\nport = {port}\n[embedded]\npath = "data"\n[log]\nlevel = "warning"\n'
    with (
        site(tmp_path, settings) as place,
        started("--config", str(place.path), "up", folder=tmp_path) as process,
    ):
        wait_until(lambda: is_taken(port), "the API")
        service = Service(f"http://127.0.0.1:{port}", user_added(place.path))
        for cluster in place.hosts:
            for plural in ("jobs", "nodes"):
                path = f"{plural}/list?cluster_name={cluster}"
                wait_until(lambda p=path: service.get(p), path)  # type: ignore[misc]

        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS_TO_STOP)

        assert (process.returncode, out, err) == (0, "", "")
        assert processes_of(tmp_path) == []
        assert not is_taken(port)
        assert (tmp_path / "data").is_dir()

        with started("--config", str(place.path), "up", folder=tmp_path) as again:
            wait_until(lambda: is_taken(port), "the API again")
            assert service.get("jobs/one?job_id=820432")["cw"]  # what was there is there
            again.send_signal(signal.SIGTERM)
            again.communicate(timeout=SECONDS_TO_STOP)
            assert again.returncode == 0


def test_up_with_a_port_that_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "clockwork.toml"

    def words(port: int) -> list[str]:
        with site(tmp_path, f'[api]\nport = {port}\n[embedded]\npath = "data"\n'):
            return ["--config", str(path), "up"]

    assert "another program listens on" in taken_port(tmp_path, words, listening=True)
    assert not (tmp_path / "data").exists()


def test_up_with_a_host_that_is_down_serves_what_the_others_say(tmp_path: Path) -> None:
    port = free_port()
    settings = f'[api]\nport = {port}\n[embedded]\npath = "data"\n'
    with site(tmp_path, settings) as place:
        place.hosts["mila"].stop()
        with started("--config", str(place.path), "up", folder=tmp_path) as process:
            wait_until(lambda: is_taken(port), "the API")
            service = Service(f"http://127.0.0.1:{port}", user_added(place.path))
            wait_until(lambda: service.get("jobs/list?cluster_name=beluga"), "the jobs of beluga")
            assert service.get("jobs/list?cluster_name=mila") == []
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=SECONDS_TO_STOP)
            assert process.returncode == 0
            assert "Connection refused" in err
