"""Check the key that a host shows against known_hosts.

Lines of known_hosts are read as sshd(8) describes them: ``[marker] names key-type key [comment]``,
names hashed or plain, with ``*``, ``?`` and ``!``. ``@revoked`` keys are refused.
``@cert-authority`` lines are not used: a host has to be known by its own key.
"""

import base64
import binascii
import hashlib
import hmac
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import paramiko

from scraper.ssh.config import Hop, host_with_port
from scraper.ssh.errors import HostKeyRefused

_ALGORITHMS = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
"""The signature algorithms of a key type whose names differ from the type's name."""


@dataclass(frozen=True)
class KnownKey:
    """One line of a known_hosts file."""

    file: Path
    line: int
    marker: str
    """``@revoked``, or empty."""
    names: str
    key_type: str
    blob: bytes

    def __str__(self) -> str:
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")
        return f"{self.key_type} SHA256:{digest} ({self.file} line {self.line})"

    def is_for(self, name: str) -> bool:
        """Return whether the line is for the host *name*, written as known_hosts writes it."""
        if self.names.startswith("|1|"):
            return _hash_matches(self.names, name)
        matched = False
        for pattern in self.names.lower().split(","):
            if _glob_matches(pattern.removeprefix("!"), name.lower()):
                if pattern.startswith("!"):
                    return False
                matched = True
        return matched


def _hash_matches(hashed: str, name: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part) for part in hashed[3:].split("|"))
    except ValueError:
        return False
    return hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), digest)


def _glob_matches(pattern: str, name: str) -> bool:
    # Not fnmatch, for which the brackets of [host]:port are a choice of characters.
    escaped = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(escaped, name) is not None


def read_known_hosts(files: Iterable[Path]) -> list[KnownKey]:
    """Return the keys that known_hosts *files* hold. A file that is not there holds none.

    Lines that cannot be read are ignored, as OpenSSH ignores them. Raises
    OSError for a file that cannot be read.
    """
    keys = []
    for file in files:
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if key := _known_key(file, number, line):
                keys.append(key)
    return keys


def _known_key(file: Path, number: int, line: str) -> KnownKey | None:
    fields = line.split()
    marker = fields.pop(0) if line.lstrip().startswith("@") else ""
    if len(fields) < 3 or fields[0].startswith("#") or marker not in ("", "@revoked"):
        return None
    names, key_type, encoded = fields[:3]
    try:
        blob = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return None
    return KnownKey(file, number, marker, names, key_type, blob)


def preferred_algorithms(
    hop: Hop, known: Iterable[KnownKey], algorithms: Sequence[str]
) -> tuple[str, ...]:
    """Return host key *algorithms* with those first for which *known* holds a key of *hop*.

    A host has keys of several types and shows one of them: ask for one that can be checked. The
    others stay on the list, so that a host whose key changed type can be told from a dead one.
    """
    types = {key.key_type for key in known if not key.marker and key.is_for(hop.known_as)}
    wanted = {algorithm for kind in types for algorithm in _ALGORITHMS.get(kind, (kind,))}
    return tuple(sorted(algorithms, key=lambda algorithm: algorithm not in wanted))


def check_host_key(
    cluster: str, hop: Hop, via: Sequence[Hop], known: Iterable[KnownKey], shown: paramiko.PKey
) -> None:
    """Return if *known* holds the key that *hop*, reached through *via*, has *shown*.

    Raises HostKeyRefused otherwise, with the key's fingerprint and the command that adds it.
    """
    lines = [line for line in known if line.is_for(hop.known_as)]
    held = [line for line in lines if not line.marker]
    same = [line for line in lines if line.blob == shown.asbytes()]
    revoked = [line for line in same if line.marker]
    if same and not revoked:
        return
    key = f"{shown.algorithm_name} {shown.fingerprint}"
    add = f"{_scan_command(hop, via)} >> {shlex.quote(str(hop.known_hosts[0]))}"
    compare = "Compare the fingerprint with what the host's administrators publish; if it is theirs"
    if revoked:
        reason = (
            f"the host key {key} is marked as revoked: {revoked[0]}. Do not connect; ask the "
            "host's administrators"
        )
    elif not held:
        files = " or ".join(str(file) for file in hop.known_hosts)
        reason = (
            f"unknown host key {key}: {files} has none for {hop.known_as}. {compare}, "
            f"add it with: {add}"
        )
    else:
        remove = f"ssh-keygen -R {shlex.quote(hop.known_as)} -f {shlex.quote(str(held[0].file))}"
        reason = (
            f"THE HOST KEY HAS CHANGED to {key}, or another host answers in its place. Known for "
            f"{hop.known_as}: {'; '.join(map(str, held))}. {compare}, replace it with: "
            f"{remove} && {add}"
        )
    raise HostKeyRefused(cluster, f"{hop}: {reason}")


def _scan_command(hop: Hop, via: Sequence[Hop]) -> str:
    """Return the command that prints known_hosts lines of *hop*, from where it can be reached."""
    command = f"ssh-keyscan -p {hop.port} {shlex.quote(hop.host)}"
    if via:
        *jumps, last = (f"ssh://{h.written}" if ":" in h.written else h.written for h in via)
        through = f"-J {','.join(jumps)} " if jumps else ""
        command = f"ssh {through}{last} {command}"
    if hop.known_as != host_with_port(hop.host.lower(), hop.port):
        rename = f"s/^[^ ]*/{hop.known_as}/"  # HostKeyAlias stands for the name
        command += f" | sed {shlex.quote(rename)}"
    return command
