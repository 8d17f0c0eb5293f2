"""The image of `Containerfile`, built and run by podman or Docker, with simulated clusters."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from ingest.database.store import Store
from tests.clockwork.sites import site
from tests.support.debian_image import import_debian
from tests.support.ports import free_port
from tests.system.daemons import wait_until
from tests.system.machine import docker_runs

ROOT = Path(__file__).parents[2]
BASE = os.environ.get("CLOCKWORK_TEST_PYTHON_IMAGE", "docker.io/library/python:3.13-slim-bookworm")
OWN_BASE = "localhost/clockwork-test-debian"
NAME = "localhost/clockwork-test"
USER = 10001
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096")
"""Hosts that are containers themselves can't raise these limits, which podman tries to."""

Completed = subprocess.CompletedProcess[str]


def run(*words: str) -> Completed:
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)


def engine() -> Sequence[str]:
    """The words that call the program which builds and runs images."""
    if docker_runs():
        return ("docker",)
    # crun, podman's first choice, refuses hosts whose cgroups are of both versions.
    return ("podman", "--runtime", "runc") if shutil.which("runc") else ("podman",)


def base_image(program: Sequence[str]) -> str:
    """The name of an image with Python.  Skips the test where containers can't run."""
    name = BASE
    if (
        run(*program, "image", "inspect", name).returncode
        and run(*program, "pull", name).returncode
    ):
        name = OWN_BASE
        import_debian(program[0], name)
    tried = run(*program, "run", "--rm", "--network", "host", *LIMITS, name, "true")
    if tried.returncode:
        pytest.skip(f"no container runs on this machine: {tried.stderr.strip()}")
    return name


def build_words(program: Sequence[str]) -> Sequence[str]:
    # podman's own format of images has no health checks.
    return (*program, "build", *(("--format", "docker") if program[0] == "podman" else ()))


@contextmanager
def container(program: Sequence[str], name: str, etc: Path, *words: str) -> Iterator[None]:
    """Run the image as `docs/containers.md` says, but in the network of the host.

    The container must end with status 0 when it is stopped.
    """
    with subprocess.Popen(
        [
            *(*program, "run", "--rm", "--name", name, "--network", "host", *LIMITS),
            *("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"),
            *("--volume", f"{etc}:/etc/clockwork:ro", *words),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield
        finally:
            run(*program, "stop", "--time", "30", name)
            said = process.communicate()[0]
    assert process.returncode == 0, said


@pytest.mark.container
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_image_scrapes_and_serves_and_can_write_nothing(
    store: Store, mongo_uri: str, tmp_path: Path
) -> None:
    program = engine()
    base = base_image(program)
    built = run(
        *build_words(program),
        *("--network", "host", "--build-arg", f"PYTHON={base}", "--tag", NAME),
        *("--file", "Containerfile", "."),
    )
    assert built.returncode == 0, built.stderr
    found = json.loads(run(*program, "image", "inspect", NAME).stdout)[0]
    health = (found.get("Healthcheck") or found["Config"]["Healthcheck"])["Test"]

    port = free_port()
    settings = (
        f'[mongo]\nuri = "{mongo_uri}"\ndatabase = "{store.database.name}"\n'
        f'[api]\nhost = "127.0.0.1"\nport = {port}\n'
    )
    with site(tmp_path, settings) as made:
        for path in (tmp_path, *tmp_path.iterdir()):
            os.chown(path, USER, USER)
        api, scraper = f"clockwork-test-api-{port}", f"clockwork-test-scraper-{port}"
        with (
            container(program, api, tmp_path, NAME),
            container(program, scraper, tmp_path, "--no-healthcheck", NAME, "scrape"),
        ):

            def inside(*words: str) -> Completed:
                return run(*program, "exec", api, *words)

            check = [word.replace("8080", str(port)) for word in health[1:]]
            wait_until(lambda: inside(*check).returncode == 0, "the container is healthy", 600)
            added = inside("clockwork", "user", "add", "someone@example.org", "--role", "admin")
            token = added.stdout.split()[-1]
            for cluster in made.hosts:
                wait_until(lambda: bool(a_job_of(cluster, port, token)), f"jobs of {cluster}", 300)  # noqa: B023

            assert inside("id", "-u").stdout.strip() == str(USER)
            written = inside("touch", "/opt/clockwork/here")
            assert "Read-only file system" in written.stderr + written.stdout
            packages = "import importlib.metadata as m; print([d.name for d in m.distributions()])"
            there = inside("/opt/clockwork/bin/python3", "-c", packages).stdout
            assert "clockwork-slurm" in there
            assert not {"numpy", "secantusdb", "hatchling"} & set(there.lower().split("'"))


def a_job_of(cluster: str, port: int, token: str) -> Any:
    """What the API says when it is asked for one job of *cluster*."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    query = f"/api/v1/cluster/jobs/list?cluster_name={cluster}&limit=1"
    connection.request("GET", query, headers={"Authorization": f"Bearer {token}"})
    return json.load(connection.getresponse())
