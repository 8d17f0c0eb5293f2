"""A process is known by its id and its start; nothing else is ever ended."""

import os
import signal
import subprocess
import sys

from clockwork.processes.identity import end_process, identity

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('up', flush=True); time.sleep(600)",
]


def started(argv: list[str]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(argv, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    process.stdout.close()
    return process


def test_an_identity_stays_and_differs_between_processes() -> None:
    process = started(SLEEPER)
    try:
        assert identity(process.pid) == identity(process.pid) is not None
        assert identity(process.pid) != identity(os.getpid())
    finally:
        process.kill()
        process.wait()
    assert identity(process.pid) is None


def test_a_dead_child_that_nobody_has_waited_for_has_no_identity() -> None:
    process = started(SLEEPER)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
    assert identity(process.pid) is None
    process.wait()


def test_a_process_is_ended() -> None:
    process = started(SLEEPER)
    assert end_process(process.pid, identity(process.pid) or "", 10)
    assert process.wait() == -signal.SIGTERM


def test_a_stubborn_process_is_killed() -> None:
    process = started(STUBBORN)
    assert end_process(process.pid, identity(process.pid) or "", 0.1)
    assert process.wait() == -signal.SIGKILL


def test_a_process_that_only_has_the_same_id_is_left_alone() -> None:
    process = started(SLEEPER)
    try:
        assert end_process(process.pid, "an earlier start", 0.1)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
