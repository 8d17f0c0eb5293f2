"""Find the route to a login host from our settings and OpenSSH's client configuration.

Read from the ssh configuration file (``~/.ssh/config`` unless set otherwise): HostName, Port, User,
IdentityFile, IdentitiesOnly, ProxyJump, UserKnownHostsFile and HostKeyAlias, in Host and Match
blocks and in included files. Our own settings take precedence. Time limits come from our settings
alone, and an unknown host key is refused whatever StrictHostKeyChecking says.
"""

import getpass
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import paramiko

from config.settings import SshSettings
from scraper.ssh.errors import Unreachable

_MAX_INCLUDES = 16
_ADDRESS = re.compile(
    r"(?:ssh://)?(?:(?P<user>.+)@)?(?P<alias>\[[^]]+\]|[^:@\[\]]+)(?::(?P<port>[0-9]{1,5}))?/?"
)
_UNUSABLE = (
    *(paramiko.SSHException, ValueError, OSError),
    *(KeyError, ImportError),  # paramiko's, for Match lines and a local user without a name
    RuntimeError,  # pathlib's, for ~USER of a user who does not exist
)


@dataclass(frozen=True)
class Hop:
    """One SSH host on the way to a cluster; the last one is the cluster's login host."""

    written: str
    """As the configuration names it: ``[user@]alias[:port]``."""
    host: str
    port: int
    user: str
    key_files: tuple[Path, ...] | None
    """None: the default names under ``~/.ssh``."""
    only_these_keys: bool
    """Whether the agent may offer only the keys of ``key_files``."""
    known_hosts: tuple[Path, ...]
    known_as: str
    """The name under which known_hosts holds the host's key."""

    def __str__(self) -> str:
        return f"{self.user}@{self.host} port {self.port}"


def host_with_port(host: str, port: int) -> str:
    """Return the name that known_hosts uses for *host*: ``[host]:port`` unless the port is 22."""
    return host if port == 22 else f"[{host}]:{port}"


def route(cluster: str, settings: SshSettings) -> tuple[Hop, ...]:
    """Return the hosts to log in to, one through the other, ending with the login host.

    Raises Unreachable when the ssh configuration file cannot be read or used.
    """
    path = settings.config_file.expanduser()
    if "config_file" in settings.model_fields_set and not path.exists():
        raise Unreachable(cluster, f"config_file {path} does not exist: correct or remove the key")
    try:
        config = paramiko.SSHConfig()
        config.parse(_lines(path) if path.exists() else iter(()))
        return tuple(_Router(config, settings).hops_to(settings.host))
    except _UNUSABLE as error:
        raise Unreachable(
            cluster,
            f"the way to host {settings.host} cannot be worked out from {path}: {error}. "
            "Correct the file, or set host, port and user of the cluster's ssh section",
        ) from error


def _lines(path: Path, depth: int = 0) -> Iterator[str]:
    """Yield the lines of a configuration file, those of included files in their place."""
    if depth > _MAX_INCLUDES:
        raise ValueError(f"more than {_MAX_INCLUDES} files include one another, up to {path}")
    block = "Host *"
    for line in path.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        keyword, *rest = re.split(r"[\s=]+", line.strip(), maxsplit=1)
        if keyword.lower() == "include" and rest:
            for pattern in shlex.split(rest[0]):
                full = Path.home() / ".ssh" / Path(pattern).expanduser()
                for included in sorted(glob(str(full))):  # noqa: PTH207 - Path.glob takes no root
                    yield from _lines(Path(included), depth + 1)
            yield block  # The blocks of the included files end with them.
        else:
            if keyword.lower() in ("host", "match"):
                block = line
            yield line


class _Router:
    """Looks hosts up in one parsed configuration file."""

    def __init__(self, config: paramiko.SSHConfig, settings: SshSettings) -> None:
        self._config = config
        self._settings = settings

    def hops_to(self, alias: str) -> list[Hop]:
        """Return the hops to the login host, which our settings name *alias*."""
        settings = self._settings
        hop = self._hop(alias, alias, settings.user, settings.port, login_host=True)
        return [*self._jumps(alias, ()), hop]

    def _jumps(self, alias: str, on_the_way: tuple[str, ...]) -> list[Hop]:
        """Return the hops that ProxyJump of *alias* asks for, first hop first."""
        if alias in on_the_way:
            raise ValueError(f"ProxyJump of {alias} leads back to itself")
        options = self._config.lookup(alias)
        jump = options.get("proxyjump", "none")
        if jump.lower() == "none":
            if options.get("proxycommand"):
                raise ValueError(f"ProxyCommand of {alias} is not supported, ProxyJump is")
            return []
        hops: list[Hop] = []
        for written in (part.strip() for part in jump.split(",")):
            address = _ADDRESS.fullmatch(written)
            if address is None:
                raise ValueError(f"ProxyJump of {alias} has {written!r}, not [user@]host[:port]")
            name = address["alias"].strip("[]")
            if not hops:  # Only the first is reached by its own ProxyJump, the rest through it.
                hops = self._jumps(name, (*on_the_way, alias))
            port = int(address["port"]) if address["port"] else None
            hops.append(self._hop(written.removeprefix("ssh://"), name, address["user"], port))
        return hops

    def _hop(
        self, written: str, alias: str, user: str | None, port: int | None, login_host: bool = False
    ) -> Hop:
        settings = self._settings
        options = self._config.lookup(alias)
        host = options["hostname"]
        if port is None:
            port = int(options.get("port", paramiko.config.SSH_PORT))
        if not 0 < port < 65536:
            raise ValueError(f"port {port} of {alias} is not between 1 and 65535")
        # paramiko's stub knows no lists, but IdentityFile is one.
        files: list[str] | None = options.get("identityfile")  # type: ignore[assignment]
        key_files = tuple(Path(f).expanduser() for f in files if f != "none") if files else None
        own_key = settings.key_file if login_host else None
        return Hop(
            written=written,
            host=host,
            port=port,
            user=user or options.get("user") or getpass.getuser(),
            key_files=(own_key.expanduser(),) if own_key else key_files,
            only_these_keys=bool(own_key) or options.get("identitiesonly", "").lower() == "yes",
            known_hosts=self._known_hosts(options.get("userknownhostsfile")),
            known_as=options.get("hostkeyalias") or host_with_port(host.lower(), port),
        )

    def _known_hosts(self, written: str | None) -> tuple[Path, ...]:
        if written is None or "known_hosts" in self._settings.model_fields_set:
            return (self._settings.known_hosts.expanduser(),)
        files = tuple(Path(f).expanduser() for f in shlex.split(written) if f != "none")
        return files or (Path(os.devnull),)
