"""Host keys: who is believed to be the login host, and what is said when nobody is."""

import shutil
import subprocess
from pathlib import Path

import paramiko
import pytest

from clockwork.demo.ssh_server import Answer, Session, SimulatedLoginHost
from scraper.ssh.config import Hop
from scraper.ssh.connection import connect
from scraper.ssh.errors import HostKeyRefused
from scraper.ssh.host_keys import check_host_key, read_known_hosts
from tests.scraper.home import Home, assert_client_left_nothing, known_hosts_line, new_key

needs_keyscan = pytest.mark.skipif(
    not shutil.which("ssh-keyscan"), reason="OpenSSH's client is not installed"
)


class WatchedHost(SimulatedLoginHost):
    """A host that counts how often somebody tried to log in."""

    logins = 0

    def session(self, transport: paramiko.Transport) -> Session:
        host = self

        class Watched(Session):
            def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
                host.logins += 1
                return super().check_auth_publickey(username, key)

        return Watched(self, transport)


def watched(home: Home, *kinds: str) -> WatchedHost:
    """Start a host with keys of *kinds* that known_hosts does not hold."""
    keys = [home.host_keys[kind] for kind in kinds]
    host = WatchedHost(lambda _: Answer([b"x"]), keys[0], home.authorized)
    host.host_keys = keys
    return home.start(host, known=False)


def refused(home: Home, host: WatchedHost) -> str:
    """Connect, which must fail before authentication, and return the message."""
    with pytest.raises(HostKeyRefused) as caught:
        connect("mila", home.settings(host.port))
    assert host.logins == 0
    assert_client_left_nothing(host.port)
    return caught.value.message


def accepted(home: Home, host: SimulatedLoginHost) -> bool:
    with connect("mila", home.settings(host.port)) as connection:
        return b"".join(connection.run("date")) == b"x"


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_known_key_of_every_type(home: Home, kind: str) -> None:
    host = watched(home, kind)
    home.know(f"[127.0.0.1]:{host.port}", home.host_keys[kind])
    assert accepted(home, host)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_host_with_keys_of_all_types_is_asked_for_the_known_one(home: Home, kind: str) -> None:
    host = watched(home, "rsa", "ecdsa", "ed25519")
    home.know(f"[127.0.0.1]:{host.port}", home.host_keys[kind])
    assert accepted(home, host)


@pytest.mark.parametrize(
    "names",
    [
        "{name},[login.example.org]:22",
        "[127.0.0.*]:{port}",
        "[127.0.?.1]:*",
        "*",
        "{hashed}",
    ],
)
def test_the_forms_of_a_name(home: Home, names: str) -> None:
    host = watched(home, "ed25519")
    name = f"[127.0.0.1]:{host.port}"
    hashed = paramiko.HostKeys.hash_host(name)
    names = names.format(name=name, port=host.port, hashed=hashed)
    home.know(names, home.host_keys["ed25519"])
    assert accepted(home, host)


@pytest.mark.parametrize(
    "names",
    [
        "127.0.0.1",
        "[127.0.0.1]:1",
        "*,![127.0.0.1]:*",
        "|1|{salt}|{salt}",
        "|1|nonsense",
        "[0-9]*",
    ],
)
def test_names_that_are_not_the_hosts(home: Home, names: str) -> None:
    host = watched(home, "ed25519")
    home.know(names.format(salt="A" * 27 + "="), home.host_keys["ed25519"])
    assert "unknown host key" in refused(home, host)


def test_an_unknown_key(home: Home) -> None:
    host = watched(home, "ed25519")
    message = refused(home, host)
    assert f"unknown host key ED25519 {home.host_keys['ed25519'].fingerprint}" in message
    assert message.endswith(f"ssh-keyscan -p {host.port} 127.0.0.1 >> {home.known_hosts}")
    assert not home.known_hosts.exists()


def test_a_changed_key(home: Home) -> None:
    host = watched(home, "ed25519")
    old = new_key("ed25519").pkey
    name = f"[127.0.0.1]:{host.port}"
    home.know("other.example.org", home.host_keys["rsa"])
    home.know(name, old)
    message = refused(home, host)
    assert f"CHANGED to ED25519 {home.host_keys['ed25519'].fingerprint}" in message
    assert f"{old.fingerprint} ({home.known_hosts} line 2)" in message
    assert f"ssh-keygen -R '{name}' -f {home.known_hosts} && ssh-keyscan" in message


def test_a_key_of_another_type_than_the_known_one_is_a_change(home: Home) -> None:
    host = watched(home, "rsa")
    home.know(f"[127.0.0.1]:{host.port}", home.host_keys["ed25519"])
    assert "CHANGED to RSA" in refused(home, host)


def test_one_of_several_known_keys_is_enough(home: Home) -> None:
    host = watched(home, "ed25519")
    name = f"[127.0.0.1]:{host.port}"
    home.know(name, new_key("ed25519").pkey)
    home.know(name, home.host_keys["ed25519"])
    assert accepted(home, host)


@pytest.mark.parametrize("names", ["*", "[127.0.0.1]:*"])
def test_a_revoked_key_is_refused_though_it_is_known(home: Home, names: str) -> None:
    host = watched(home, "ed25519")
    key = home.host_keys["ed25519"]
    home.know(f"[127.0.0.1]:{host.port}", key)
    home.know(f"@revoked {names}", key)
    message = refused(home, host)
    assert "marked as revoked" in message
    assert f"{home.known_hosts} line 2" in message


def test_a_revoked_key_of_another_host_says_nothing(home: Home) -> None:
    host = watched(home, "ed25519")
    home.know("@revoked other.example.org", home.host_keys["ed25519"])
    home.know(f"[127.0.0.1]:{host.port}", home.host_keys["ed25519"])
    assert accepted(home, host)


def test_a_certificate_authority_makes_no_key_known(home: Home) -> None:
    host = watched(home, "ed25519")
    home.know("@cert-authority *", home.host_keys["ed25519"])
    assert "unknown host key" in refused(home, host)


def test_lines_that_cannot_be_read_are_passed_over(home: Home) -> None:
    host = watched(home, "ed25519")
    home.known_hosts.write_bytes(
        b"# a comment\n\n@revoked\n[127.0.0.1]:1 1024 37 1596\nx ssh-rsa not/base64!\n"
        b"host.example.org sk-ssh-ed25519@openssh.com AAAA a key type of the future\n\xff\xfe\n"
    )
    home.know(f"\t[127.0.0.1]:{host.port} ", home.host_keys["ed25519"])
    assert accepted(home, host)


def test_known_hosts_that_cannot_be_read(home: Home) -> None:
    host = watched(home, "ed25519")
    home.known_hosts.mkdir()
    assert "no host key can be checked" in refused(home, host)


@needs_keyscan
def test_the_command_for_an_unknown_key_adds_it(home: Home) -> None:
    host = watched(home, "ed25519", "rsa")
    command = refused(home, host).partition("add it with: ")[2]
    subprocess.run(command, shell=True, check=True, capture_output=True)  # noqa: S602
    assert accepted(home, host)


@needs_keyscan
def test_the_command_for_a_changed_key_replaces_it(home: Home) -> None:
    host = watched(home, "ed25519")
    hashed = paramiko.HostKeys.hash_host(f"[127.0.0.1]:{host.port}")
    home.know(hashed, new_key("ed25519").pkey)
    command = refused(home, host).partition("replace it with: ")[2]
    subprocess.run(command, shell=True, check=True, capture_output=True)  # noqa: S602
    assert accepted(home, host)


def message_for(hop: Hop, *via: Hop) -> str:
    with pytest.raises(HostKeyRefused) as caught:
        check_host_key("mila", hop, via, [], new_key("ed25519").pkey)
    return caught.value.message


def hop(written: str, host: str, port: int = 22, known_as: str = "") -> Hop:
    files = (Path("/home/c/known hosts"),)
    return Hop(written, host, port, "c", None, False, files, known_as or host)


def test_the_command_for_a_host_behind_jump_hosts_runs_on_the_last_of_them() -> None:
    first, second = hop("gate", "gate.example.org"), hop("c@inner:2222", "10.0.0.1", 2222)
    login = hop("login", "login.local")
    assert message_for(login, first).endswith(
        "with: ssh gate ssh-keyscan -p 22 login.local >> '/home/c/known hosts'"
    )
    assert message_for(login, first, second).endswith(
        "with: ssh -J gate ssh://c@inner:2222 ssh-keyscan -p 22 login.local "
        ">> '/home/c/known hosts'"
    )


@needs_keyscan
def test_the_command_for_a_host_with_an_alias_adds_the_alias(home: Home) -> None:
    host = watched(home, "ed25519")
    alias = Hop(
        "login", "127.0.0.1", host.port, "c", None, False, (home.known_hosts,), "mila-login"
    )
    command = message_for(alias).partition("add it with: ")[2]
    subprocess.run(command, shell=True, check=True, capture_output=True)  # noqa: S602
    [known] = read_known_hosts([home.known_hosts])
    assert known.names == "mila-login"
    check_host_key("mila", alias, (), [known], home.host_keys["ed25519"])


def test_a_name_with_capitals_is_the_same_host(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    key = new_key("ecdsa").pkey
    file.write_text(known_hosts_line("Login.Example.ORG", key))
    [known] = read_known_hosts([file, tmp_path / "missing"])
    assert known.is_for("login.example.org")
