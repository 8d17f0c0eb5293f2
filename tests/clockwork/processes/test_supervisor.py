"""The supervisor, run as a program of its own, with small real programs to look after.

What the programs and the supervisor say comes through one pipe, in order; its end tells that all
of them have ended.
"""

import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from clockwork.processes.supervisor import FIRST_DELAY, HEALTHY_SECONDS, LONGEST_DELAY, next_delay
from tests.clockwork.manager import manager

# Says its name and id, waits for a signal, says which one came, ends on SIGTERM.
PROGRAM = """
import os, signal, sys
name, stubborn = sys.argv[1], "stubborn" in sys.argv[2:]
def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
signals = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
say(name, "up", os.getpid(), os.environ.get("GIVEN", "-"))
while True:
    number = signal.sigwait(signals)
    say(name, signal.Signals(number).name)
    if number == signal.SIGTERM and not stubborn:
        break
"""

# Says over sd_notify that it is ready, then gives signs of life; says which signals come.
NOTIFIER = """
import os, queue, signal
from clockwork.processes.notify import Watchdog, tell_ready, tell_reloading
def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
asked = queue.SimpleQueue()
for number in (signal.SIGHUP, signal.SIGTERM):
    signal.signal(number, lambda number, _: asked.put(number))
say("notifier up", os.getpid(), os.environ.get("WATCHDOG_PID", "-"))
tell_ready("ready")
watchdog = Watchdog()
number = None
while number != signal.SIGTERM:
    watchdog.look()
    try:
        number = asked.get(timeout=watchdog.interval)
    except queue.Empty:
        continue
    say("notifier", signal.Signals(number).name)
    tell_reloading()
    tell_ready("ready again")
"""

# Runs the supervisor over the processes that its argument, a Python expression, makes.
SUPERVISOR = """
import logging, os, sys
from pathlib import Path
from clockwork.processes.child import ProcessSpec
from clockwork.processes import supervisor as supervise
from clockwork.processes.supervisor import Supervisor
supervise.LOOK_SECONDS = LOOKS
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(message)s")
PROGRAM, folder, NOTIFIER = sys.argv[1], Path(sys.argv[2]), sys.argv[4]
def program(name, *words, **keys):
    return ProcessSpec(name, [sys.executable, "-c", PROGRAM, name, *words], **keys)
def command(name, code, **keys):
    return ProcessSpec(name, [sys.executable, "-c", code], **keys)
def notifier(silence=600):
    return command("notifier", NOTIFIER, notifies_every=silence)
sys.exit(Supervisor(eval(sys.argv[3])).run())
"""


class Supervised:
    """A running supervisor: signals go to it, lines come from it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.said: list[str] = []
        """All lines so far, in order."""
        self._output: IO[str] = process.stdout
        self._not_asked_for: list[str] = []

    def line(self, beginning: str) -> str:
        """The first line that begins so and that no earlier call has returned."""
        for line in self._not_asked_for:
            if line.startswith(beginning):
                self._not_asked_for.remove(line)
                return line
        for text in self._output:
            line = text.rstrip("\n")
            self.said.append(line)
            if line.startswith(beginning):
                return line
            self._not_asked_for.append(line)
        raise AssertionError(f"no line begins with {beginning!r}: {self.said}")

    def up(self, name: str) -> int:
        """The process id of program *name*, once it says that it is up."""
        return int(self.line(f"{name} up ").split()[2])

    def rest(self) -> str:
        """All that is still said, up to the end of the supervisor and of its processes."""
        text = self._output.read()
        self.said += text.splitlines()
        return text


@contextmanager
def supervised(
    processes: str,
    folder: Path,
    before: Sequence[str] = (),
    stdin: int = subprocess.DEVNULL,
    environment: Mapping[str, str] = os.environ,
    looks: float = 10.0,
) -> Iterator[Supervised]:
    supervisor = SUPERVISOR.replace("LOOKS", str(looks))
    with subprocess.Popen(
        [*before, sys.executable, "-c", supervisor, PROGRAM, str(folder), processes, NOTIFIER],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**environment, "GIVEN": "from outside"},
    ) as process:
        try:
            yield Supervised(process)
        finally:
            process.kill()


def test_the_delay_doubles_up_to_a_minute_and_health_resets_it() -> None:
    delays: list[float] = []
    for _ in range(8):
        delays.append(next_delay(delays[-1] if delays else None, 0.5))
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60]
    assert next_delay(LONGEST_DELAY, HEALTHY_SECONDS) == FIRST_DELAY


def test_stops_in_reverse_order_with_exit_status_0(tmp_path: Path) -> None:
    with supervised("[program('one'), program('two'), program('three')]", tmp_path) as service:
        for name in ("one", "two", "three"):
            service.up(name)
        service.process.send_signal(signal.SIGTERM)
        said = service.rest().splitlines()
        assert [line for line in said if line.endswith("SIGTERM")] == [
            "three SIGTERM",
            "two SIGTERM",
            "one SIGTERM",
        ]
        assert service.process.wait() == 0


def test_a_process_waits_for_the_ones_before_it(tmp_path: Path) -> None:
    processes = """[
        program("one", ready=(folder / "go").exists),
        program("two"),
    ]"""
    with supervised(processes, tmp_path) as service:
        service.up("one")
        (tmp_path / "go").touch()
        service.up("two")
        ready = next(n for n, line in enumerate(service.said) if line.startswith("INFO one is"))
        assert not any(line.startswith("two") for line in service.said[:ready])


def test_a_dead_process_is_started_again_and_the_others_are_left_alone(tmp_path: Path) -> None:
    with supervised("[program('one'), program('two')]", tmp_path) as service:
        one, two = service.up("one"), service.up("two")
        os.kill(one, signal.SIGKILL)
        died = service.line("ERROR one ended")
        assert f"pid {one}, killed by SIGKILL" in died
        assert died.endswith("one starts again in 1 s")
        again = service.up("one")
        assert again != one
        os.kill(again, signal.SIGKILL)
        assert service.line("ERROR one ended").endswith("one starts again in 2 s")
        os.kill(two, 0)  # raises when it is gone
        service.process.send_signal(signal.SIGTERM)  # while "one" is not running
        assert "two SIGTERM" in service.rest()
        assert service.process.wait() == 0


def test_an_exit_status_of_0_is_a_death_too(tmp_path: Path) -> None:
    ends = tmp_path / "ends"
    program = (
        f"import pathlib, time\nwhile not pathlib.Path({str(ends)!r}).exists(): time.sleep(0.05)"
    )
    with supervised(f"[command('brief', {program!r})]", tmp_path) as service:
        assert service.line("INFO brief is ready")
        ends.touch()
        assert "exit status 0" in service.line("ERROR brief ended")
        assert service.line("ERROR brief ended").endswith("brief starts again in 2 s")


def test_a_process_that_is_never_ready_ends_the_service(tmp_path: Path) -> None:
    processes = """[
        program("one"),
        command("two", "print('the port is taken'); raise SystemExit(3)",
                ready=lambda: False, log=folder / "two.log"),
        program("three"),
    ]"""
    with supervised(processes, tmp_path) as service:
        said = service.rest()
        assert service.process.wait() == 1
    assert "ERROR two ended" in said
    assert "exit status 3" in said
    assert "the port is taken" in said
    assert "giving up" in said
    assert "stopping one" in said
    assert "three up" not in said


KILLED_ONCE = """
import os, pathlib, sys
first = pathlib.Path(sys.argv[1])
if not first.exists():
    first.touch()
    os.kill(os.getpid(), 9)
"""


def test_one_that_is_killed_before_it_is_ready_is_started_again(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", KILLED_ONCE + NOTIFIER, str(tmp_path / "first")]
    processes = f"[ProcessSpec('one', {argv!r}, notifies_every=600)]"
    with supervised(processes, tmp_path) as service:
        assert service.line("ERROR one ended").endswith("one starts again in 1 s")
        assert service.line("INFO one is ready")


def test_one_that_is_found_broken_twice_is_killed_and_started_again(tmp_path: Path) -> None:
    # Once it has said that it is up: broken at the first look alone, then at all looks until it
    # is killed.
    processes = """[
        program("one", broken=lambda looks=iter([True, False, True, True] + 9999 * [False]): (
            (folder / "is_up").exists() and next(looks)
        ))
    ]"""
    with supervised(processes, tmp_path, looks=0.1) as service:
        first = service.up("one")
        (tmp_path / "is_up").touch()
        broken = f"ERROR one (pid {first}) is running but not ready; the supervisor kills it"
        assert service.line(broken)
        assert service.up("one") != first


def test_a_process_that_takes_too_long_to_be_ready_ends_the_service(tmp_path: Path) -> None:
    processes = "[program('one', ready=lambda: False, ready_seconds=0.2)]"
    with supervised(processes, tmp_path) as service:
        said = service.rest()
        assert service.process.wait() == 1
    assert "one runs but is not ready after 0.2 s" in said
    assert "stopping one" in said


def test_a_program_that_is_missing_ends_the_service(tmp_path: Path) -> None:
    processes = "[ProcessSpec('one', ['/no/such'], log=folder / 'log', ready=lambda: False)]"
    with supervised(processes, tmp_path) as service:
        said = service.rest()
        assert service.process.wait() == 1
    assert "/no/such" in said


def test_a_stubborn_process_is_killed(tmp_path: Path) -> None:
    with supervised("[program('one', 'stubborn', stop_seconds=0.2)]", tmp_path) as service:
        service.up("one")
        service.process.send_signal(signal.SIGTERM)
        said = service.rest()
        assert "one SIGTERM" in said
        assert "one has not ended after 0.2 s; it is killed" in said
        assert service.process.wait() == 0


def test_a_second_ctrl_c_kills_at_once(tmp_path: Path) -> None:
    processes = "[program(name, 'stubborn', stop_seconds=250) for name in ('one', 'two')]"
    with supervised(processes, tmp_path) as service:
        service.up("one")
        service.up("two")
        service.process.send_signal(signal.SIGINT)
        service.line("two SIGTERM")
        service.process.send_signal(signal.SIGINT)
        assert "told to stop twice" in service.rest()
        assert service.process.wait() == 0


def test_a_terminals_ctrl_c_reaches_the_supervisor_alone(tmp_path: Path) -> None:
    with supervised("[program('one')]", tmp_path) as service:
        service.up("one")
        os.killpg(service.process.pid, signal.SIGINT)  # as a terminal does
        said = service.rest()
        assert "one SIGTERM" in said
        assert "SIGINT" not in said
        assert service.process.wait() == 0


# Makes standard input the terminal that controls its session, and becomes the program.
ON_TERMINAL = [
    sys.executable,
    "-c",
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.argv[1], sys.argv[1:])",
]


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """A terminal's own end, and the one for programs; the first is for the test to close."""
    own, for_programs = pty.openpty()
    try:
        yield own, for_programs
    finally:
        os.close(for_programs)


def test_sighup_goes_on_to_those_that_can_reload(tmp_path: Path) -> None:
    with supervised("[program('one'), notifier()]", tmp_path) as service:
        service.up("one")
        service.up("notifier")
        service.line("INFO notifier is ready")
        for _ in range(2):
            service.process.send_signal(signal.SIGHUP)
            service.line("notifier SIGHUP")
        service.process.send_signal(signal.SIGTERM)
        said = service.rest()
        assert "one SIGTERM" in said
        assert "one SIGHUP" not in said
        assert service.process.wait() == 0


def test_a_terminal_that_closes_stops_all(tmp_path: Path) -> None:
    with (
        terminal() as (own, for_programs),
        supervised("[notifier()]", tmp_path, ON_TERMINAL, for_programs) as service,
    ):
        service.up("notifier")
        service.line("INFO notifier is ready")
        os.close(own)
        assert "notifier SIGTERM" in service.rest()
        assert service.process.wait() == 0


def test_sighup_with_the_terminal_open_reloads(tmp_path: Path) -> None:
    with (
        terminal() as (own, for_programs),
        supervised("[notifier()]", tmp_path, ON_TERMINAL, for_programs) as service,
    ):
        service.up("notifier")
        service.line("INFO notifier is ready")
        service.process.send_signal(signal.SIGHUP)
        service.line("notifier SIGHUP")
        service.process.send_signal(signal.SIGTERM)
        service.rest()
        assert service.process.wait() == 0
        os.close(own)


@pytest.mark.skipif(not shutil.which("nohup"), reason="there is no nohup")
def test_under_nohup_sighup_does_nothing(tmp_path: Path) -> None:
    with supervised("[notifier()]", tmp_path, ["nohup"]) as service:
        service.up("notifier")
        service.line("INFO notifier is ready")
        service.process.send_signal(signal.SIGHUP)
        service.process.send_signal(signal.SIGTERM)
        assert "SIGHUP" not in service.rest()
        assert service.process.wait() == 0


def test_a_process_is_ready_when_it_says_so_and_not_before(tmp_path: Path) -> None:
    processes = "[command('mute', 'import time; time.sleep(600)', notifies_every=600," + (
        " ready_seconds=0.2)]"
    )
    with supervised(processes, tmp_path) as service:
        assert "mute runs but is not ready after 0.2 s" in service.rest()
        assert service.process.wait() == 1


def test_a_process_that_falls_silent_is_killed_and_started_again(tmp_path: Path) -> None:
    with supervised("[notifier(silence=2)]", tmp_path) as service:
        pid = service.up("notifier")
        service.line("INFO notifier is ready")
        os.kill(pid, signal.SIGSTOP)
        said = service.line("ERROR notifier (pid")
        assert said == f"ERROR notifier (pid {pid}) gives no sign of life for 2 s; it is killed"
        assert "notifier starts again" in service.line("ERROR notifier ended")
        assert service.up("notifier") != pid


def test_the_manager_above_hears_when_all_are_ready_reload_and_stop(tmp_path: Path) -> None:
    processes = "[program('one', ready=(folder / 'go').exists), notifier()]"
    with manager() as systemd:
        environment = {**systemd.environment(watchdog_seconds=1), "WATCHDOG_PID": "1"}
        with supervised(processes, tmp_path, environment=environment) as service:
            service.up("one")
            assert systemd.rest() == []
            (tmp_path / "go").touch()
            # Its own manager's watchdog is none of a process's business.
            assert service.line("notifier up").endswith(" -")
            assert systemd.message() == ["READY=1", "STATUS=running one, notifier"]
            service.process.send_signal(signal.SIGHUP)
            assert systemd.message()[0] == "RELOADING=1"
            assert systemd.message()[0] == "READY=1"
            service.line("notifier SIGHUP")
            service.process.send_signal(signal.SIGTERM)
            assert systemd.message()[0] == "STOPPING=1"
            service.rest()


def test_the_manager_above_is_given_signs_of_life(tmp_path: Path) -> None:
    with (
        manager() as systemd,
        supervised(
            "[program('one')]", tmp_path, environment=systemd.environment(watchdog_seconds=0.2)
        ),
    ):
        for _ in range(3):
            systemd.wait_for("WATCHDOG=1")


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux does this")
def test_the_processes_are_killed_with_the_supervisor(tmp_path: Path) -> None:
    with supervised("[program('one', 'stubborn'), program('two')]", tmp_path) as service:
        service.up("one")
        service.up("two")
        service.process.kill()
        service.rest()  # returns when nobody holds the pipe any more
        assert service.process.wait() == -signal.SIGKILL


def test_environment_log_and_start_hook(tmp_path: Path) -> None:
    processes = """[
        program("one"),
        program("two", env={"GIVEN": "to two"}),
        program("three", log=folder / "three.log",
                started=lambda pid: (folder / "pid").write_text(str(pid)),
                ready=lambda: "three up" in (folder / "three.log").read_text()),
        program("four"),
    ]"""
    with supervised(processes, tmp_path) as service:
        assert service.line("one up").endswith("from outside")
        assert service.line("two up").endswith("to two")
        service.up("four")
        log = tmp_path / "three.log"
        assert log.read_text().startswith(f"three up {(tmp_path / 'pid').read_text()} ")
        assert log.stat().st_mode & 0o777 == 0o600


def test_a_log_that_has_grown_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"x" * ((1 << 20) + 1))
    with supervised("[program('one', log=folder / 'log'), program('two')]", tmp_path) as service:
        service.up("two")
    assert (tmp_path / "log.old").stat().st_size > 1 << 20
    assert (tmp_path / "log").stat().st_size < 1 << 20
