# ruff: noqa: ARG002 - paramiko calls the methods with arguments of its own
"""Connecting to a login host: what can go wrong before a command can be run."""

import socket

import paramiko
import pytest
from paramiko.common import AUTH_FAILED, AUTH_PARTIALLY_SUCCESSFUL

from clockwork.demo.ssh_server import Answer, Session, SimulatedLoginHost
from config.settings import SshSettings
from scraper.ssh.connection import connect
from scraper.ssh.errors import AuthenticationRefused, ConnectionLost, ScrapeError, Unreachable
from tests.scraper import misfortunes
from tests.scraper.home import Home, assert_client_left_nothing, new_key
from tests.scraper.misfortunes import RawHost, Script, StubbornSession
from tests.support.ports import full_port


def refusal(settings: SshSettings) -> ScrapeError:
    """Return the error with which connecting fails, after a look at what it left behind."""
    with pytest.raises(ScrapeError) as caught:
        connect("mila", settings)
    assert settings.port is not None
    assert_client_left_nothing(settings.port)
    assert caught.value.cluster == "mila"
    assert caught.value.message.isprintable()
    return caught.value


def test_a_connection_runs_commands_until_it_is_closed(home: Home) -> None:
    host = home.login_host(hostname=b"login1\n", date=b"today\n")
    connection = connect("mila", home.settings(host.port))
    assert connection.is_alive()
    assert b"".join(connection.run("hostname")) == b"login1\n"
    assert b"".join(connection.run("date")) == b"today\n"
    connection.close()
    assert not connection.is_alive()
    assert_client_left_nothing(host.port)
    with pytest.raises(ConnectionLost, match="reconnect"):
        connection.run("date")
    connection.close()


def test_a_connection_that_the_host_ended_is_not_alive(home: Home) -> None:
    host = home.login_host()
    with connect("mila", home.settings(host.port)) as connection:
        host.stop()
        connection._transports[-1].join(20)
        assert not connection.is_alive()


def test_a_refused_port(home: Home) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    error = refusal(home.settings(port))
    assert isinstance(error, Unreachable)
    assert f"127.0.0.1 port {port}" in error.message
    assert "refused" in error.message
    assert "Check host and port" in error.message


def test_a_port_that_does_not_answer(home: Home) -> None:
    with (
        full_port() as port,
        pytest.raises(Unreachable, match=r"no TCP connection within 0\.3 s .*timed out"),
    ):
        connect("mila", home.settings(port, connect_timeout=0.3))


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a" * 64 + ".invalid", "a..b"])
def test_an_unknown_name(home: Home, name: str) -> None:
    error = refusal(home.settings(22, host=name))
    assert isinstance(error, Unreachable)
    assert "the name is not known" in error.message


@pytest.mark.parametrize(
    "script",
    [
        misfortunes.never_greets,
        misfortunes.greets_letter_by_letter,
        misfortunes.greets_without_end,
        misfortunes.greets_then_is_silent,
    ],
)
def test_a_host_that_keeps_us_waiting_for_its_handshake(home: Home, script: Script) -> None:
    with RawHost(script) as host:
        error = refusal(home.settings(host.port, banner_timeout=0.3))
    assert isinstance(error, Unreachable)
    assert "no SSH handshake within 0.3 s" in error.message


@pytest.mark.parametrize(
    "script",
    [
        misfortunes.closes_at_once,
        misfortunes.closes_after_greeting,
        misfortunes.speaks_another_protocol,
    ],
)
def test_a_host_that_is_no_ssh_server(home: Home, script: Script) -> None:
    with RawHost(script) as host:
        error = refusal(home.settings(host.port))
    assert isinstance(error, Unreachable)
    assert "no SSH handshake" in error.message


def test_a_host_without_a_common_algorithm(home: Home) -> None:
    class OldHost(SimulatedLoginHost):
        def session(self, transport: paramiko.Transport) -> Session:
            transport._preferred_kex = ()  # type: ignore[attr-defined]
            return Session(self, transport)

    host = home.start(OldHost(lambda _: Answer(), home.host_keys["rsa"], []))
    error = refusal(home.settings(host.port))
    assert isinstance(error, Unreachable)
    assert "no acceptable kex algorithm" in error.message


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_key_that_the_host_does_not_hold(home: Home, kind: str) -> None:
    host = home.login_host()
    host.authorized_keys = [new_key("ecdsa").pkey]
    key_file = home.write_key("other", home.client_keys[kind])
    error = refusal(home.settings(host.port, key_file=key_file))
    assert isinstance(error, AuthenticationRefused)
    assert f"key file {key_file}" in error.message
    assert "authorized_keys of clockwork" in error.message


def test_a_host_that_wants_a_password(home: Home) -> None:
    class PasswordSession(Session):
        def get_allowed_auths(self, username: str) -> str:
            return "password"

        def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
            return AUTH_FAILED

    class PasswordHost(SimulatedLoginHost):
        def session(self, transport: paramiko.Transport) -> Session:
            return PasswordSession(self, transport)

    host = home.start(PasswordHost(lambda _: Answer(), home.host_keys["ecdsa"], []))
    error = refusal(home.settings(host.port))
    assert isinstance(error, AuthenticationRefused)
    assert "password" in error.message


def test_a_host_that_wants_a_second_factor(home: Home) -> None:
    class TwoFactorSession(Session):
        def get_allowed_auths(self, username: str) -> str:
            return "keyboard-interactive"

        def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
            return AUTH_PARTIALLY_SUCCESSFUL

    class TwoFactorHost(SimulatedLoginHost):
        def session(self, transport: paramiko.Transport) -> Session:
            return TwoFactorSession(self, transport)

    host = home.start(TwoFactorHost(lambda _: Answer(), home.host_keys["ecdsa"], []))
    error = refusal(home.settings(host.port))
    assert isinstance(error, AuthenticationRefused)
    assert "keyboard-interactive" in error.message


class DeafHost(SimulatedLoginHost):
    """A host that leaves one kind of request unanswered."""

    deaf_to = ""

    def session(self, transport: paramiko.Transport) -> Session:
        return StubbornSession(self, transport, self.deaf_to)


def test_a_host_that_does_not_answer_to_authentication(home: Home) -> None:
    host = DeafHost(lambda _: Answer(), home.host_keys["ecdsa"], [])
    host.deaf_to = "authentication"
    home.start(host)
    error = refusal(home.settings(host.port, auth_timeout=0.3))
    assert isinstance(error, Unreachable)
    assert "no answer to authentication within 0.3 s" in error.message


def test_a_login_banner_is_no_output(home: Home) -> None:
    class PoliteSession(Session):
        def get_banner(self) -> tuple[str, str]:
            return ("Authorized use only \x1b[31m\r\n", "en")

    class PoliteHost(SimulatedLoginHost):
        def session(self, transport: paramiko.Transport) -> Session:
            return PoliteSession(self, transport)

    answer = Answer([b"x"])
    host = home.start(PoliteHost(lambda _: answer, home.host_keys["ecdsa"], home.authorized))
    with connect("mila", home.settings(host.port)) as connection:
        assert b"".join(connection.run("date")) == b"x"


def test_the_second_address_of_a_name_is_tried(home: Home) -> None:
    """localhost is often ::1 first, where nothing listens."""
    host = home.login_host(date=b"today")
    home.know(f"[localhost]:{host.port}", host.host_keys[0])
    with connect("mila", home.settings(host.port, host="localhost")) as connection:
        assert b"".join(connection.run("date")) == b"today"


def test_nothing_is_written_to_the_ssh_folder(home: Home) -> None:
    host = home.login_host()
    before = {file: file.read_bytes() for file in home.ssh.iterdir()}
    connect("mila", home.settings(host.port)).close()
    assert {file: file.read_bytes() for file in home.ssh.iterdir()} == before
