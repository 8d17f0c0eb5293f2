"""A home folder with keys and known_hosts, and login hosts that it can reach."""

import gc
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

import paramiko
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from clockwork.demo.ssh_server import Answer, SimulatedLoginHost
from config.settings import ClusterSettings, SshSettings
from scraper.ssh.transport import Transport

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
Host = TypeVar("Host", bound=SimulatedLoginHost)


@dataclass(frozen=True)
class KeyPair:
    """A private key as cryptography has it, which can write it, and as paramiko has it."""

    private: PrivateKey
    pkey: paramiko.PKey

    def text(self, password: str | None = None) -> str:
        """Return the key as OpenSSH writes it into a file."""
        lock = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        return self.private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, lock).decode()


def new_key(kind: str) -> KeyPair:
    """Return a new key: ``ed25519``, ``ecdsa`` or ``rsa``."""
    private: PrivateKey
    key_class: type[paramiko.PKey]
    if kind == "ed25519":
        private, key_class = ed25519.Ed25519PrivateKey.generate(), paramiko.Ed25519Key
    elif kind == "ecdsa":
        private, key_class = ec.generate_private_key(ec.SECP256R1()), paramiko.ECDSAKey
    else:
        private, key_class = rsa.generate_private_key(65537, 2048), paramiko.RSAKey
    text = KeyPair(private, paramiko.PKey()).text()
    return KeyPair(private, key_class.from_private_key(StringIO(text)))


def known_hosts_line(name: str, key: paramiko.PKey) -> str:
    return f"{name} {key.get_name()} {key.get_base64()}\n"


class Home:
    """A home folder whose ssh files a test writes, and login hosts started for the test."""

    def __init__(
        self,
        folder: Path,
        client_keys: dict[str, KeyPair],
        host_keys: dict[str, paramiko.PKey],
        hosts: ExitStack,
    ) -> None:
        self.ssh = folder / ".ssh"
        self.ssh.mkdir(mode=0o700)
        self.client_keys = client_keys
        self.authorized = [key.pkey for key in client_keys.values()]
        self.host_keys = host_keys
        self.known_hosts = self.ssh / "known_hosts"
        self.config = self.ssh / "config"
        self.key_file = self.write_key("key", client_keys["ed25519"])
        self._hosts = hosts

    def write_key(self, name: str, key: KeyPair, password: str | None = None) -> Path:
        """Write *key* and its public half into the ssh folder, as ssh-keygen does."""
        file = self.ssh / name
        file.write_text(key.text(password))
        file.chmod(0o600)
        Path(f"{file}.pub").write_text(f"{key.pkey.get_name()} {key.pkey.get_base64()} test\n")
        return file

    def know(self, name: str, key: paramiko.PKey) -> None:
        with self.known_hosts.open("a") as file:
            file.write(known_hosts_line(name, key))

    def start(self, host: Host, known: bool = True) -> Host:
        """Start *host* until the test ends, and put its key into known_hosts."""
        self._hosts.enter_context(host)
        if known:
            self.know(f"[127.0.0.1]:{host.port}", host.host_keys[0])
        return host

    def login_host(self, **outputs: bytes) -> SimulatedLoginHost:
        """Start a host that knows the commands *outputs*, with every client key authorized."""
        return self.answering(lambda command: Answer([outputs.get(command, b"")]))

    def answering(self, answer: Callable[[str], Answer]) -> SimulatedLoginHost:
        """Start a host that answers a command so, with every client key authorized."""
        return self.start(SimulatedLoginHost(answer, self.host_keys["ed25519"], self.authorized))

    def cluster(self, port: int, **changes: Any) -> ClusterSettings:
        """Return the settings of mila, whose login host listens on *port*."""
        chosen: dict[str, Any] = {
            "name": "mila",
            "timezone": "America/Montreal",
            "username_field": "mila_cluster_username",
            "ssh": self.settings(port),
        }
        return ClusterSettings(**chosen | changes)

    def settings(self, port: int, **changes: Any) -> SshSettings:
        """Return settings that reach *port* with the home's key; None removes a key."""
        chosen: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": port,
            "user": "clockwork",
            "key_file": self.key_file,
            "known_hosts": self.known_hosts,
            "connect_timeout": 20.0,
            "banner_timeout": 20.0,
            "auth_timeout": 20.0,
            "command_timeout": 60.0,
        } | changes
        return SshSettings(**{key: value for key, value in chosen.items() if value is not None})


def open_sockets() -> set[str]:
    """Return this process's open sockets, where the system lists them."""
    folder = Path("/proc/self/fd")
    found = set()
    for link in folder.iterdir() if folder.exists() else ():
        with suppress(OSError):  # closed meanwhile
            found.add(str(link.readlink()))
    return {target for target in found if target.startswith("socket:")}


def assert_nothing_left(threads: set[threading.Thread], sockets: set[str]) -> None:
    """Wait, within reason, until no more threads and sockets are there than before."""
    gives_up = time.monotonic() + 10
    while time.monotonic() < gives_up:
        more = set(threading.enumerate()) - threads
        if not more and not open_sockets() - sockets:
            return
        threading.Event().wait(0.01)
    pytest.fail(f"left behind: {set(threading.enumerate()) - threads} {open_sockets() - sockets}")


def assert_client_left_nothing(port: int) -> None:
    """Fail if a thread or a socket of a client of *port* is still there, its server being up."""
    assert [thread for thread in threading.enumerate() if type(thread) is Transport] == []
    assert [sock for sock in gc.get_objects() if _is_connected_to(sock, port)] == []


def _is_connected_to(thing: object, port: int) -> bool:
    # Not isinstance: it would look through weak references, whose objects may be gone.
    if not issubclass(type(thing), socket.socket):
        return False
    assert isinstance(thing, socket.socket)
    if thing.fileno() == -1:
        return False
    try:
        return thing.family == socket.AF_INET and thing.getpeername()[1] == port
    except OSError:
        return False
