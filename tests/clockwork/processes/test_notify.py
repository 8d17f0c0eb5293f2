"""What the service says to its manager, over real sockets."""

import contextlib
import os
import re
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clockwork.processes.notify import (
    Inbox,
    Watchdog,
    tell_ready,
    tell_reloading,
    tell_stopping,
    without_notification,
)
from tests.clockwork.manager import Manager, manager


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    """A manager that this process reports to, without a watchdog."""
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    with manager() as listening:
        monkeypatch.setenv("NOTIFY_SOCKET", str(listening.path))
        yield listening


@pytest.fixture
def watched(systemd: Manager, monkeypatch: pytest.MonkeyPatch) -> Manager:
    """The same with a watchdog that wants a sign every 20 ms."""
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    return systemd


def test_ready_with_a_few_words(systemd: Manager) -> None:
    tell_ready("scraping mila")
    assert systemd.message() == ["READY=1", "STATUS=scraping mila"]


def test_reloading_with_the_time_that_systemd_compares(systemd: Manager) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    tell_reloading()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    first, second = systemd.message()
    assert first == "RELOADING=1"
    said = re.fullmatch(r"MONOTONIC_USEC=([0-9]+)", second)
    assert said is not None
    assert before <= int(said[1]) <= after


def test_stopping(systemd: Manager) -> None:
    tell_stopping()
    assert systemd.message()[0] == "STOPPING=1"


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_an_abstract_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"clockwork-test-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + name)
        listening.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        tell_stopping()
        assert listening.recv(4096).startswith(b"STOPPING=1")


def test_without_a_manager_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    tell_ready("scraping")
    assert Watchdog().interval is None
    Watchdog().look()


def test_a_manager_that_is_gone_does_no_harm(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    tell_ready("scraping")


def test_a_manager_that_does_not_read_does_no_harm(systemd: Manager) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
        filler.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                filler.sendto(b"x", str(systemd.path))
    tell_stopping()
    assert "STOPPING=1" not in systemd.rest()


def test_a_sign_of_life_twice_as_often_as_is_asked_for(watched: Manager) -> None:
    watchdog = Watchdog()
    assert watchdog.interval == 0.01
    watchdog.look()
    assert watched.message() == ["WATCHDOG=1"]
    gives_up = time.monotonic() + 20
    while not (more := watched.rest()) and time.monotonic() < gives_up:
        watchdog.look()
    assert more == ["WATCHDOG=1"]


def test_no_more_signs_than_are_asked_for(
    systemd: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", str(3600 * 10**6))
    watchdog = Watchdog()
    for _ in range(100):
        watchdog.look()
    assert systemd.rest() == ["WATCHDOG=1"]


def test_no_sign_while_the_work_hangs(watched: Manager, caplog: pytest.LogCaptureFixture) -> None:
    reasons = iter(["the scheduler hangs", "the scheduler hangs", None])
    watchdog = Watchdog(lambda: next(reasons))
    watchdog.look()
    watchdog.look()
    assert watched.rest() == []
    assert len(caplog.records) == 1
    assert "the scheduler hangs" in caplog.text
    watchdog.look()
    assert watched.message() == ["WATCHDOG=1"]


def test_a_watchdog_of_another_process_is_not_ours(
    watched: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert Watchdog().interval is None
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert Watchdog().interval == 0.01


def test_a_supervisor_hears_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox = Inbox(tmp_path / "inbox", silence=30)
    for name, value in inbox.environment.items():
        monkeypatch.setenv(name, value)
    assert not inbox.ready
    steps: list[tuple[Callable[[], None], bool]] = [
        (lambda: tell_ready("so"), True),
        (tell_reloading, False),
    ]
    for tell, ready in steps:
        before = inbox.heard_at
        tell()
        inbox.read()
        assert inbox.ready is ready
        assert inbox.heard_at > before
    assert Watchdog().interval == 15
    tell_ready("again")
    inbox.open_for_new_process()
    inbox.read()
    assert not inbox.ready
    inbox.close()


def test_a_process_with_nothing_to_say_knows_no_manager() -> None:
    environment = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "HOME": "/"}
    assert without_notification(environment) == {"HOME": "/"}
