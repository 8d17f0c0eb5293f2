"""A child process: what it says when it does not come up, and how it is stopped."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from clockwork.processes.child import Child, ChildFailed, ProcessSpec

STUBBORN = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "open(sys.argv[1], 'w').close(); time.sleep(600)"
)


def spec(code: str, *arguments: str, **keys: Any) -> ProcessSpec:
    return ProcessSpec("thing", [sys.executable, "-c", code, *arguments], **keys)


def test_one_that_ends_before_it_is_ready_is_told_with_its_last_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("of an earlier run\n")
    child = Child(spec("raise SystemExit('no such port')", ready=lambda: False, log=log))
    with pytest.raises(ChildFailed) as failure:
        child.wait_until_ready()
    assert str(failure.value) == (
        f"thing did not start: exit status 1; {log} ends:\nno such port\n"
    )


def test_one_that_says_nothing_in_time_is_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = Child(
        spec("import time; time.sleep(600)", ready=lambda: False, ready_seconds=0.1, log=log)
    )
    with pytest.raises(ChildFailed, match=rf"not ready after 0\.1 s; nothing in {log}"):
        child.wait_until_ready()
    child.stop()
    assert child.ended() == "killed by SIGTERM"


def test_a_stubborn_one_is_killed(tmp_path: Path) -> None:
    up = tmp_path / "up"
    child = Child(spec(STUBBORN, str(up), ready=up.exists, stop_seconds=0.1))
    child.wait_until_ready()
    child.stop()
    assert child.ended() == "killed by SIGKILL"


def test_it_is_nudged_until_it_ends(tmp_path: Path) -> None:
    up = tmp_path / "up"

    def nudge() -> None:
        os.kill(child.pid, signal.SIGUSR1)

    child = Child(spec(STUBBORN, str(up), ready=up.exists, nudge=nudge))
    child.wait_until_ready()
    child.stop()
    assert child.ended() == "killed by SIGUSR1"


def test_one_whose_start_can_not_be_noted_does_not_go_on(tmp_path: Path) -> None:
    pids: list[int] = []

    def started(pid: int) -> None:
        pids.append(pid)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        Child(spec("import time; time.sleep(600)", started=started))
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_a_log_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="log"):
        Child(spec("print('said')", log=tmp_path / "log"))
    assert not (tmp_path / "elsewhere").exists()
