"""Private keys: every type, the agent, and what is said of a key that cannot be used."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from clockwork.demo.ssh_server import SimulatedLoginHost
from scraper.ssh.config import route
from scraper.ssh.connection import connect
from scraper.ssh.errors import AuthenticationRefused, KeyUnusable
from scraper.ssh.identities import identities
from tests.scraper.home import Home, assert_client_left_nothing, new_key

KINDS = ("ed25519", "ecdsa", "rsa")


def logs_in(home: Home, host: SimulatedLoginHost, **changes: object) -> bool:
    with connect("mila", home.settings(host.port, **changes)) as connection:
        return b"".join(connection.run("date")) == b"today"


def unusable(home: Home, host: SimulatedLoginHost, **changes: object) -> str:
    with pytest.raises(KeyUnusable) as caught:
        connect("mila", home.settings(host.port, **changes))
    assert_client_left_nothing(host.port)
    return caught.value.message


@pytest.fixture
def host(home: Home) -> SimulatedLoginHost:
    return home.login_host(date=b"today")


@pytest.fixture
def agent(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run an ssh-agent without keys."""
    if not shutil.which("ssh-agent") or not shutil.which("ssh-add"):
        pytest.skip("ssh-agent is not installed")
    path = home.ssh / "agent"
    process = subprocess.Popen(
        ["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    process.stdout.readline()  # it listens when it has said where
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
    yield
    process.terminate()
    process.wait()
    process.stdout.close()


def add_to_agent(file: Path) -> None:
    subprocess.run(["ssh-add", "-q", str(file)], check=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_file_of_every_type(home: Home, host: SimulatedLoginHost, kind: str) -> None:
    host.authorized_keys = [home.client_keys[kind].pkey]
    assert logs_in(home, host, key_file=home.write_key("mine", home.client_keys[kind]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_file_under_its_default_name(home: Home, host: SimulatedLoginHost, kind: str) -> None:
    host.authorized_keys = [home.client_keys[kind].pkey]
    home.write_key(f"id_{kind}", home.client_keys[kind])
    assert logs_in(home, host, key_file=None)


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_a_key_file_in_the_older_form(home: Home, host: SimulatedLoginHost, kind: str) -> None:
    host.authorized_keys = [home.client_keys[kind].pkey]
    file = home.ssh / "old"
    home.client_keys[kind].pkey.write_private_key_file(str(file))
    assert logs_in(home, host, key_file=file)


def test_key_files_are_tried_one_after_the_other(home: Home, host: SimulatedLoginHost) -> None:
    host.authorized_keys = [home.client_keys["rsa"].pkey]
    for kind in KINDS:
        home.write_key(f"id_{kind}", home.client_keys[kind])
    assert logs_in(home, host, key_file=None)


def test_a_key_file_in_the_home_folder(home: Home, host: SimulatedLoginHost) -> None:
    assert logs_in(home, host, key_file=Path("~/.ssh/key"))


def test_no_key_at_all(home: Home, host: SimulatedLoginHost) -> None:
    message = unusable(home, host, key_file=None)
    assert "there is no private key to log in with" in message
    assert "Set key_file" in message


def test_a_missing_key_file(home: Home, host: SimulatedLoginHost) -> None:
    message = unusable(home, host, key_file=home.ssh / "missing")
    assert f"key file {home.ssh}/missing does not exist" in message


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o601])
def test_a_key_file_that_is_open_to_others(home: Home, host: SimulatedLoginHost, mode: int) -> None:
    home.key_file.chmod(mode)
    message = unusable(home, host)
    assert f"is open to others (mode {mode:04o})" in message
    assert f"chmod 600 {home.key_file}" in message


def test_a_key_file_that_only_its_owner_reads(home: Home, host: SimulatedLoginHost) -> None:
    home.key_file.chmod(0o400)
    assert logs_in(home, host)


def test_a_key_file_of_somebody_else(home: Home) -> None:
    [hop] = route("mila", home.settings(22))
    home.key_file.chmod(0)
    user = os.geteuid()
    try:
        if user == 0:  # root can read every file
            os.seteuid(65534)
        with pytest.raises(KeyUnusable) as caught, identities("mila", hop, 1.0):
            pass
    finally:
        os.seteuid(user)
    assert "cannot be read (Permission denied)" in caught.value.message


def test_a_folder_in_place_of_a_key_file(home: Home, host: SimulatedLoginHost) -> None:
    (home.ssh / "folder").mkdir(mode=0o700)
    message = unusable(home, host, key_file=home.ssh / "folder")
    assert "cannot be read (Is a directory)" in message


def dsa_key() -> bytes:
    private = dsa.generate_private_key(1024)  # noqa: S505 - to be refused
    return private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def pkcs8_key() -> bytes:
    private = ed25519.Ed25519PrivateKey.generate()
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no key\n",
        b"\xff\xfe\x00",
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
        b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n",
        b"ssh-ed25519 AAAA public\n",
        dsa_key,
        pkcs8_key,
    ],
    ids=["empty", "text", "bytes", "openssh", "rsa", "public", "dsa", "pkcs8"],
)
def test_a_file_without_a_usable_key(home: Home, host: SimulatedLoginHost, content: bytes) -> None:
    home.key_file.write_bytes(content() if callable(content) else content)
    message = unusable(home, host)
    assert f"key file {home.key_file} does not hold an ed25519, ecdsa or RSA" in message
    assert f"ssh-keygen -p -f {home.key_file}" in message


@pytest.mark.parametrize("kind", KINDS)
def test_a_passphrase_and_no_agent(home: Home, host: SimulatedLoginHost, kind: str) -> None:
    file = home.write_key("locked", home.client_keys[kind], password="secret")
    message = unusable(home, host, key_file=file)
    assert f"key file {file} has a passphrase" in message
    assert f"ssh-add {file}" in message


def test_a_passphrase_in_the_older_form(home: Home, host: SimulatedLoginHost) -> None:
    file = home.ssh / "old"
    home.client_keys["ecdsa"].pkey.write_private_key_file(str(file), password="secret")
    assert f"key file {file} has a passphrase" in unusable(home, host, key_file=file)


@pytest.mark.usefixtures("agent")
def test_a_passphrase_and_an_agent_that_holds_the_key(home: Home, host: SimulatedLoginHost) -> None:
    host.authorized_keys = [home.client_keys["rsa"].pkey]
    file = home.write_key("locked", home.client_keys["rsa"])
    add_to_agent(file)
    home.write_key("locked", home.client_keys["rsa"], password="secret")
    assert logs_in(home, host, key_file=file)


@pytest.mark.usefixtures("agent")
def test_a_passphrase_and_an_agent_that_holds_other_keys(
    home: Home, host: SimulatedLoginHost
) -> None:
    """A key that is named is the only one that is offered."""
    add_to_agent(home.key_file)
    file = home.write_key("locked", home.client_keys["rsa"], password="secret")
    assert "has a passphrase, and the ssh-agent does not hold" in unusable(
        home, host, key_file=file
    )


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize("kind", KINDS)
def test_an_agents_key_of_every_type(home: Home, host: SimulatedLoginHost, kind: str) -> None:
    host.authorized_keys = [home.client_keys[kind].pkey]
    for other in KINDS:
        add_to_agent(home.write_key(f"{other}-key", home.client_keys[other]))
    assert logs_in(home, host, key_file=None)


@pytest.mark.usefixtures("agent")
def test_refused_keys_are_named_and_so_are_those_that_were_not_tried(
    home: Home, host: SimulatedLoginHost
) -> None:
    host.authorized_keys = [new_key("ecdsa").pkey]
    add_to_agent(home.key_file)
    home.write_key("id_rsa", home.client_keys["rsa"], password="secret")
    with pytest.raises(AuthenticationRefused) as caught:
        connect("mila", home.settings(host.port, key_file=None))
    assert "ssh-agent key " in caught.value.message
    assert f"key file {home.ssh}/id_rsa has a passphrase" in caught.value.message


def test_an_agent_that_is_gone(
    home: Home, host: SimulatedLoginHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(home.ssh / "gone"))
    assert logs_in(home, host)
    message = unusable(home, host, key_file=None)
    assert f"the ssh-agent at {home.ssh}/gone does not answer" in message


def test_an_agent_that_hangs(
    home: Home, host: SimulatedLoginHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home.ssh / "hung"))
        listener.listen()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(home.ssh / "hung"))
        message = unusable(home, host, key_file=None, auth_timeout=0.3)
    assert "does not answer (timed out)" in message
