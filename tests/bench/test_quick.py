"""A quick run from beginning to end: every group measures something, and nothing is kept."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.run import GROUPS

ROOT = Path(__file__).parents[2]
KEPT = [*(ROOT / "bench").glob("*.json"), *(ROOT / "docs").glob("*.*")]


@pytest.mark.timeout(1500)  # on a machine that is loaded twentyfold
def test_a_quick_run() -> None:
    before = {path: path.read_bytes() for path in KEPT}
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # "  12 s  group: what was measured"
    told = {line.partition("s  ")[2].partition(":")[0] for line in done.stderr.splitlines()}
    left_out = {name for name in GROUPS if f"{name}: left out: " in done.stderr}
    assert told - {""} | left_out == set(GROUPS)
    assert left_out <= {"ssh", "scontrol", "two"}, "all the others need no sshd"
    assert told & left_out <= {"two"}, "which is of the API too, and needs none for that"
    assert "text to documents, 200 jobs, sealed" in done.stdout
    assert {path: path.read_bytes() for path in KEPT} == before


def test_an_unknown_group_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "red"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "'red' is no group of rows; there are read, rounds" in done.stderr
