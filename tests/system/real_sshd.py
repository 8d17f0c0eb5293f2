"""A real sshd on 127.0.0.1 that allows one key's holder the project's forced command alone."""

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from config import SshSettings
from tests.system.daemons import Daemon, check_reachable, free_ports, kill_marked
from tests.system.machine import program
from tests.system.unix_users import UnixUsers

LOGIN_USER = "cwtest-scrape"
FORCED_COMMAND = Path(__file__).parents[2] / "scraper" / "clockwork-forced-command"
CLIENT_KEY_TYPES = ("ed25519", "ecdsa", "rsa")

# StrictModes would refuse any authorized_keys below /tmp, which everyone may write to. sshd reads
# that file as the login user, so its folder is open to all.
SSHD_CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
{host_keys}
PidFile none
UsePAM no
StrictModes no
AuthorizedKeysFile {authorized_keys}
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowUsers {user}
PrintMotd no
UseDNS no
LogLevel VERBOSE
SetEnv {environment}
"""


class RealSshd:
    """A context in which sshd listens.

    ``folder``
        Where it keeps its files, in a new folder of its own. Every user must be able to enter it,
        which pytest's ``tmp_path`` forbids: take the fixture ``open_folder``.
    ``environment``
        What the login user's commands find in their environment, such as ``SLURM_CONF`` and
        ``TZ``.
    ``host_key_types``
        Types of its host keys, as ssh-keygen names them.
    """

    host = "127.0.0.1"
    user = LOGIN_USER

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        host_key_types: Sequence[str] = ("ed25519",),
    ) -> None:
        check_reachable(folder)
        self.folder = Path(tempfile.mkdtemp(prefix="sshd-", dir=folder))
        self.folder.chmod(0o755)
        (self.port,) = free_ports(1)
        self.log = self.folder / "sshd.log"
        """sshd's own log, at level VERBOSE."""
        self.known_hosts = self.folder / "known_hosts"
        """A line for each host key, as a client's known_hosts file has it."""
        self.private_keys = {
            kind: make_key(self.folder / f"client_{kind}", kind) for kind in CLIENT_KEY_TYPES
        }
        """The private keys that may log in, by type."""
        self._config = self.folder / "sshd_config"
        self._mark = {"CLOCKWORK_TEST_SSHD": str(self.folder)}
        self._at_close = ExitStack()
        self._write_files({**(environment or {}), **self._mark}, host_key_types)

    def __enter__(self) -> "RealSshd":
        # sshd drops its privileges there and refuses to start without it.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        with ExitStack() as undo:
            undo.callback(self.close)
            self._at_close.enter_context(UnixUsers(LOGIN_USER))
            self._at_close.callback(self.cut)
            self.start()
            undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def settings(self) -> SshSettings:
        """How a scraper logs in here."""
        return SshSettings(
            host=self.host,
            port=self.port,
            user=self.user,
            config_file=Path("/dev/null"),
            key_file=self.private_keys["ed25519"],
            known_hosts=self.known_hosts,
        )

    def start(self) -> None:
        """Listen, again after `stop`."""
        args = ["-D", "-f", str(self._config), "-E", str(self.log)]
        self._daemon = Daemon("sshd", args, self.folder / "sshd.err", self._mark)
        self._at_close.callback(self._daemon.stop)
        self._daemon.wait_ready(self._answers, f"sshd answers on port {self.port}")

    def stop(self) -> None:
        """Listen no more, and cut every connection, wherever its command stands."""
        self._daemon.stop()
        self.cut()

    def cut(self) -> None:
        """End the sessions, which outlive the sshd that accepted them; it listens on, if it did."""
        ((name, value),) = self._mark.items()
        kill_marked(f"{name}={value}")

    def close(self) -> None:
        """End sshd and every session of it. Twice does no harm."""
        self._at_close.close()

    def commands_run(self) -> int:
        """How many commands clients have asked for so far, the refused ones included."""
        return self.log.read_text(errors="replace").count("Starting session: forced-command")

    def connections(self) -> int:
        """How many connections were accepted so far with a key."""
        return self.log.read_text(errors="replace").count("Accepted publickey for")

    def _answers(self) -> bool:
        try:
            with socket.create_connection((self.host, self.port), timeout=5) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def _write_files(self, environment: Mapping[str, str], host_key_types: Sequence[str]) -> None:
        # As a site would: the script in a folder that the login user can reach and not change.
        forced_command = self.folder / FORCED_COMMAND.name
        shutil.copyfile(FORCED_COMMAND, forced_command)
        forced_command.chmod(0o755)
        authorized_keys = self.folder / "authorized_keys"
        authorized_keys.write_text(
            "".join(
                f'restrict,command="{forced_command}" {_public_half(key)}\n'
                for key in self.private_keys.values()
            )
        )
        host_keys = [make_key(self.folder / f"host_{kind}", kind) for kind in host_key_types]
        self.known_hosts.write_text(
            "".join(f"[{self.host}]:{self.port} {_public_half(key)}\n" for key in host_keys)
        )
        self._config.write_text(
            SSHD_CONFIG.format(
                port=self.port,
                host_keys="\n".join(f"HostKey {key}" for key in host_keys),
                authorized_keys=authorized_keys,
                user=LOGIN_USER,
                environment=" ".join(f'"{key}={value}"' for key, value in environment.items()),
            )
        )


def make_key(path: Path, kind: str) -> Path:
    """A new private key without a passphrase at ``path``, its public half in ``path``.pub."""
    subprocess.run(
        [program("ssh-keygen"), "-q", "-t", kind, "-N", "", "-C", "clockwork-test", "-f", path],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    return path


def _public_half(key: Path) -> str:
    """Type and public key of a private key's file, without the comment."""
    kind, public = key.with_name(f"{key.name}.pub").read_text().split()[:2]
    return f"{kind} {public}"
