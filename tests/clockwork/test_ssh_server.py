"""The simulated login host, as OpenSSH's client and ours see it."""

import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clockwork.demo.ssh_server import Answer, SimulatedLoginHost
from config.settings import SshSettings
from scraper.ssh.connection import Connection, connect
from scraper.ssh.errors import AuthenticationRefused, ConnectionLost
from tests.scraper.home import assert_nothing_left, known_hosts_line, new_key, open_sockets

KEY = new_key("ed25519")
HOST_KEY = new_key("ecdsa").pkey

needs_ssh = pytest.mark.skipif(not shutil.which("ssh"), reason="OpenSSH's client is not installed")


def answer(command: str) -> Answer:
    if command == "scontrol":
        return Answer([b"JobId=1\n", b"x" * 100_000], b"slurm_load_jobs error\n", 3)
    return Answer([command.encode()])


@pytest.fixture
def host() -> Iterator[SimulatedLoginHost]:
    threads, sockets = set(threading.enumerate()), open_sockets()
    with SimulatedLoginHost(answer, HOST_KEY, [KEY.pkey]) as host:
        yield host
    assert_nothing_left(threads, sockets)


@pytest.fixture
def settings(host: SimulatedLoginHost, tmp_path: Path) -> SshSettings:
    (tmp_path / "key").touch(0o600)
    (tmp_path / "key").write_text(KEY.text())
    (tmp_path / "known_hosts").write_text(known_hosts_line(f"[127.0.0.1]:{host.port}", HOST_KEY))
    return SshSettings(
        host="127.0.0.1",
        port=host.port,
        user="anybody",
        key_file=tmp_path / "key",
        known_hosts=tmp_path / "known_hosts",
        config_file=Path("/dev/null"),
    )


def openssh(settings: SshSettings, command: str) -> "subprocess.CompletedProcess[bytes]":
    options = ["IdentitiesOnly=yes", "BatchMode=yes", f"UserKnownHostsFile={settings.known_hosts}"]
    return subprocess.run(
        ["ssh", "-F", "/dev/null", "-i", str(settings.key_file), "-p", str(settings.port)]
        + [word for option in options for word in ("-o", option)]
        + ["anybody@127.0.0.1", command],
        capture_output=True,
        check=False,
        timeout=300,
    )


@needs_ssh
def test_openssh_sees_output_error_output_and_exit_status(settings: SshSettings) -> None:
    done = openssh(settings, "scontrol")
    assert done.stdout == b"JobId=1\n" + b"x" * 100_000
    assert done.stderr == b"slurm_load_jobs error\n"
    assert done.returncode == 3


@needs_ssh
def test_openssh_is_refused_without_an_authorized_key(
    settings: SshSettings, host: SimulatedLoginHost
) -> None:
    host.authorized_keys.clear()
    done = openssh(settings, "scontrol")
    assert done.returncode == 255
    assert b"Permission denied (publickey)" in done.stderr
    with pytest.raises(AuthenticationRefused):
        connect("mila", settings)


def test_short_answers_follow_one_another(settings: SshSettings) -> None:
    """A command that is over at once must not close its channel before it was accepted."""
    with connect("mila", settings) as connection:
        for number in range(300):
            assert b"".join(connection.run(str(number))) == str(number).encode()


def test_several_clients_at_a_time(settings: SshSettings) -> None:
    connections = [connect("mila", settings) for _ in range(4)]
    runs = [connection.run(f"client {number}") for number, connection in enumerate(connections)]
    assert [b"".join(run) for run in reversed(runs)] == [
        b"client 3",
        b"client 2",
        b"client 1",
        b"client 0",
    ]
    for connection in connections:
        connection.close()


def test_stopping_ends_what_runs(settings: SshSettings, host: SimulatedLoginHost) -> None:
    started = threading.Event()

    def endless() -> Iterator[bytes]:
        while not host.stopping.wait(0.01):
            yield b"more"
            started.set()

    host.answer = lambda _: Answer(endless())
    ended: list[str] = []
    connection = connect("mila", settings)
    reader = threading.Thread(target=read_to_the_end, args=(connection, ended.append))
    reader.start()
    assert started.wait(20)
    host.stop()
    reader.join(20)
    assert ended
    connection.close()
    host.stop()


def read_to_the_end(connection: Connection, report: Callable[[str], None]) -> None:
    try:
        for _ in connection.run("scontrol"):
            pass
        report("ended")
    except ConnectionLost as error:
        report(error.message)


def test_a_port_can_be_chosen_and_is_free_again_after_stopping() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    for _ in range(2):
        with SimulatedLoginHost(answer, HOST_KEY, [], port) as host:
            assert host.port == port
            with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
                assert client.recv(4) == b"SSH-"


def test_a_host_that_was_never_started_can_be_stopped() -> None:
    threads, sockets = set(threading.enumerate()), open_sockets()
    SimulatedLoginHost(answer, HOST_KEY, []).stop()
    assert_nothing_left(threads, sockets)
