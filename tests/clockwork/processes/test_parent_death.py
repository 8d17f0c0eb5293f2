"""A killed parent takes its program with it; the kernel does it, so the tests ask the kernel."""

import os
import signal
import subprocess
import sys

import pytest

from clockwork.processes.parent_death import with_parent

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux does this")

# Starts a child that shares standard output, says its id, and waits for ever.
PARENT = """
import subprocess, sys, time
from clockwork.processes.parent_death import with_parent
child = subprocess.Popen(with_parent([sys.executable, "-c", sys.argv[1]]), start_new_session=True)
child.wait()
"""
CHILD = "import time; print('up', flush=True); time.sleep(600)"


@linux_only
def test_the_program_is_killed_with_its_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, CHILD], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        parent.kill()
        # The end of the pipe: no process holds its other end any more, the child neither.
        assert parent.stdout.read() == b""


@linux_only
def test_a_program_whose_parent_is_gone_already_does_not_run() -> None:
    argv = with_parent([sys.executable, "-c", "print('ran')"])
    argv[argv.index(str(os.getpid()))] = "1"
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "has ended" in done.stderr


def test_arguments_exit_status_and_process_id_are_the_programs_own() -> None:
    code = "import os, sys; print(os.getpid(), *sys.argv[1:]); sys.exit(7)"
    with subprocess.Popen(
        with_parent([sys.executable, "-c", code, "a b", "--c", ""]), stdout=subprocess.PIPE
    ) as process:
        output, _ = process.communicate()
    assert output.decode() == f"{process.pid} a b --c \n"
    assert process.returncode == 7


def test_signals_that_python_ignores_are_not_ignored_in_the_program() -> None:
    done = subprocess.run(with_parent(["/bin/sh", "-c", "kill -PIPE $$; echo on"]), check=False)
    assert done.returncode == -signal.SIGPIPE


@linux_only
def test_a_missing_program_is_named() -> None:
    argv = with_parent(["/no/such/program"])
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "/no/such/program can't be run: No such file" in done.stderr
