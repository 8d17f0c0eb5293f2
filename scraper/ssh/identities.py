"""Find the private keys to log in with: in files, and in a running ssh-agent."""

import base64
import binascii
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from paramiko.agent import AgentSSH
from paramiko.pkey import UnknownKeyType

from scraper.ssh.config import Hop
from scraper.ssh.errors import KeyUnusable

DEFAULT_NAMES = ("id_ed25519", "id_ecdsa", "id_rsa")
"""Looked for in ``~/.ssh`` when neither our settings nor the ssh configuration name a key."""


@dataclass(frozen=True)
class Identity:
    """A private key and its origin, for messages."""

    origin: str
    key: paramiko.PKey


@dataclass(frozen=True)
class Identities:
    """The keys to try on one host, in order, and the problems of unusable keys."""

    usable: list[Identity]
    problems: list[str]


class _Unusable(Exception):
    """Why a key file cannot be used, and what to do."""


class _Agent(AgentSSH):
    """A connection to the ssh-agent with a time limit on every answer."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(seconds)
            self._socket.connect(path)
            self._connect(self._socket)  # type: ignore[attr-defined]
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        # paramiko asks the agent for signatures from a thread of its own: shutdown wakes it.
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@contextmanager
def identities(cluster: str, hop: Hop, agent_seconds: float) -> Iterator[Identities]:
    """Give the keys to try on *hop*, files first; those of the agent work inside the block.

    *agent_seconds* limits each answer of the agent. Raises KeyUnusable when there is no key, with
    what is wrong with every key file that was named.
    """
    usable: list[Identity] = []
    problems: list[str] = []
    for file in _key_files(hop):
        try:
            usable.append(Identity(f"key file {file}", _load_key(file)))
        except _Unusable as problem:
            problems.append(str(problem))
    agent = None
    path = os.environ.get("SSH_AUTH_SOCK")
    try:
        if path:
            agent = _Agent(path, agent_seconds)
            usable += _agent_identities(agent, hop, usable)
    except (OSError, paramiko.SSHException) as error:
        problems.append(f"the ssh-agent at {path} does not answer ({error})")
    try:
        if not usable:
            problems = problems or ["there is no private key to log in with"]
            raise KeyUnusable(
                cluster,
                f"{hop}: {'; '.join(problems)}. Set key_file in the cluster's ssh section or "
                "IdentityFile in the ssh configuration, or add a key to an ssh-agent with ssh-add",
            )
        yield Identities(usable, problems)
    finally:
        if agent:
            agent.close()


def _key_files(hop: Hop) -> tuple[Path, ...]:
    if hop.key_files is not None:
        return hop.key_files
    defaults = (Path.home() / ".ssh" / name for name in DEFAULT_NAMES)
    return tuple(file for file in defaults if file.exists())


def _agent_identities(agent: _Agent, hop: Hop, from_files: list[Identity]) -> list[Identity]:
    """Return the agent's keys that may be offered and are not among *from_files*."""
    allowed = {_public_blob(file) for file in _key_files(hop)} if hop.only_these_keys else None
    loaded = {identity.key.asbytes() for identity in from_files}
    return [
        Identity(f"ssh-agent key {key.comment or key.fingerprint}", key)
        for key in agent.get_keys()
        if key.asbytes() not in loaded and (allowed is None or key.asbytes() in allowed)
    ]


def _is_handed_over(file: Path) -> bool:
    """Whether systemd keeps the key for this service alone (LoadCredential=).

    It lets the service in by an access list, which looks like a mode that is open to the group.
    """
    return str(file.parent) == os.environ.get("CREDENTIALS_DIRECTORY")


def _public_blob(file: Path) -> bytes | None:
    """Return the public key of the key *file*: beside it in ``.pub``, or *file* itself."""
    for public in (Path(f"{file}.pub"), file):
        try:
            return base64.b64decode(public.read_text(encoding="ascii").split()[1], validate=True)
        except (OSError, UnicodeError, IndexError, binascii.Error):
            continue
    return None


def _load_key(file: Path) -> paramiko.PKey:
    """Return the private key in *file*, with the certificate that lies beside it, if any.

    Raises _Unusable for a file that is missing, open to others, unreadable, locked with a
    passphrase, or not a key of a supported type.
    """
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        if mode & 0o077 and not _is_handed_over(file):
            raise _Unusable(
                f"key file {file} is open to others (mode {mode:04o}), who may have copied the "
                f"key: chmod 600 {file}, and make a new key if they could have"
            )
        return paramiko.PKey.from_path(file)
    except FileNotFoundError:
        raise _Unusable(f"key file {file} does not exist") from None
    except OSError as error:
        raise _Unusable(
            f"key file {file} cannot be read ({error.strerror}): give it to the user that runs "
            "this program"
        ) from error
    # cryptography raises TypeError, and only then, for an encrypted key without its passphrase.
    except (TypeError, paramiko.PasswordRequiredException) as error:
        raise _Unusable(
            f"key file {file} has a passphrase, and the ssh-agent does not hold the key (it is "
            f"found by {file}.pub): add it with ssh-add {file}, or make a key without a passphrase "
            "for this program alone"
        ) from error
    except (ValueError, UnsupportedAlgorithm, UnknownKeyType, paramiko.SSHException) as error:
        raise _Unusable(
            f"key file {file} does not hold an ed25519, ecdsa or RSA private key that can be read "
            f"({error}): ssh-keygen -p -f {file} writes it in OpenSSH's form, "
            "ssh-keygen -t ed25519 makes a new one"
        ) from error
