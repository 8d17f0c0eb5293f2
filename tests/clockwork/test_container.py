"""The image of `Containerfile`, built and run where podman or Docker can do so."""

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pytest

from ingest.database.store import Store
from tests.support.ports import free_port
from tests.system.daemons import wait_until

ROOT = Path(__file__).parents[2]
BASE = os.environ.get("CLOCKWORK_TEST_PYTHON_IMAGE", "docker.io/library/python:3.13-slim-bookworm")
NAME = "localhost/clockwork-test"
USER = 10001
# Hosts that are containers themselves can't raise these limits, which podman tries to.
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096")


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)


def builder() -> str:
    """The program that builds and runs images. Skips the test where there is none."""
    for name in ("podman", "docker"):
        if shutil.which(name) and run(name, "info").returncode == 0:
            break
    else:
        pytest.skip("neither podman nor a running Docker is here")
    if run(name, "image", "inspect", BASE).returncode and run(name, "pull", BASE).returncode:
        pytest.skip(
            f"{BASE} is not here and can't be fetched; CLOCKWORK_TEST_PYTHON_IMAGE names one"
        )
    return name


def build_words(name: str) -> Sequence[str]:
    # podman's own format of images has no health checks.
    return (name, "build", *(("--format", "docker") if name == "podman" else ()))


@pytest.mark.timeout(1500)
def test_the_image_serves_and_can_write_nothing(
    store: Store, mongo_uri: str, tmp_path: Path
) -> None:
    program = builder()
    built = run(
        *build_words(program),
        *("--build-arg", f"PYTHON={BASE}", "--tag", NAME, "--file", "Containerfile", "."),
    )
    assert built.returncode == 0, built.stderr
    found = json.loads(run(program, "image", "inspect", NAME).stdout)[0]
    assert "/healthz" in str(found.get("Healthcheck") or found["Config"].get("Healthcheck"))

    port = free_port()
    config = tmp_path / "clockwork.toml"
    config.write_text(
        f'[mongo]\nuri = "{mongo_uri}"\ndatabase = "{store.database.name}"\n'
        f'[api]\nhost = "127.0.0.1"\nport = {port}\n[clusters]\n'
    )
    for path in (tmp_path, config):
        os.chown(path, USER, USER)
    config.chmod(0o600)
    container = f"clockwork-test-{port}"
    with subprocess.Popen(
        [
            *(program, "run", "--rm", "--name", container, "--network", "host", *LIMITS),
            *("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"),
            *("--volume", f"{tmp_path}:/etc/clockwork:ro", NAME),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as served:
        try:
            wait_until(lambda: answers(port), "the API in the container answers", 600)
            who = run(program, "exec", container, "id", "-u")
            assert who.stdout.strip() == str(USER)
            written = run(program, "exec", container, "touch", "/opt/clockwork/here")
            assert "Read-only file system" in written.stderr + written.stdout
            packages = "import importlib.metadata as m; print([d.name for d in m.distributions()])"
            there = run(program, "exec", container, "/opt/clockwork/bin/python3", "-c", packages)
            assert "clockwork-slurm" in there.stdout
            assert not {"numpy", "secantusdb", "hatchling"} & set(there.stdout.lower().split("'"))
        finally:
            run(program, "stop", "--time", "30", container)
            said = served.communicate()[0]
    assert served.returncode == 0, said


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False
