"""The home folder and the keys that the scraper's tests work with."""

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import paramiko
import pytest

from scraper.ssh.transport import WIRE_LOG
from tests.scraper.home import Home, KeyPair, assert_nothing_left, new_key, open_sockets


@pytest.fixture(scope="session")
def client_keys() -> dict[str, KeyPair]:
    return {kind: new_key(kind) for kind in ("ed25519", "ecdsa", "rsa")}


@pytest.fixture(scope="session")
def host_keys() -> dict[str, paramiko.PKey]:
    return {kind: new_key(kind).pkey for kind in ("ed25519", "ecdsa", "rsa")}


@pytest.fixture
def home(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    client_keys: dict[str, KeyPair],
    host_keys: dict[str, paramiko.PKey],
) -> Iterator[Home]:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    threads, sockets = set(threading.enumerate()), open_sockets()
    with ExitStack() as hosts:
        yield Home(tmp_path, client_keys, host_keys, hosts)
    assert_nothing_left(threads, sockets)


@pytest.fixture(autouse=True)
def without_paramikos_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Keep what paramiko logs out of *caplog*: its threads log when a socket ends, at any time."""

    def is_ours(record: logging.LogRecord) -> bool:
        return record.name != WIRE_LOG

    caplog.handler.addFilter(is_ours)
    yield
    caplog.handler.removeFilter(is_ours)
