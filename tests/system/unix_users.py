"""Unix users for jobs and SSH logins, made where they are missing.

Their comment field marks a user as made here, so that one which an interrupted run left behind is
removed by the next, and a user of the machine's own never is. Test runs that go on at the same
time share the users: the last to leave removes them.
"""

import fcntl
import pwd
import subprocess
from pathlib import Path
from types import TracebackType

from tests.system.daemons import wait_until

MADE_HERE = "Clockwork system tests"
IN_USE = Path("/run/lock/clockwork-system-tests-users")
CHANGING = Path("/run/lock/clockwork-system-tests-users-changing")

_USER_IS_BUSY = 8
"""The exit status of userdel for a user with processes."""
_SECONDS_TO_END = 15.0


class UnixUsers:
    """A context in which the users exist. They own no home, no password and no running process."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def __enter__(self) -> "UnixUsers":
        self._in_use = IN_USE.open("w")
        fcntl.flock(self._in_use, fcntl.LOCK_SH)
        with CHANGING.open("w") as changing:
            fcntl.flock(changing, fcntl.LOCK_EX)
            for name in self.names:
                if not _exists(name):
                    _make(name)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._in_use:
            try:
                fcntl.flock(self._in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # Another run goes on and leaves later.
            for user in pwd.getpwall():
                if user.pw_gecos == MADE_HERE:
                    _remove(user.pw_name)


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _remove(name: str) -> None:
    """Remove a user, once the last of his processes is over: that of a session may be ending."""

    def is_removed() -> bool:
        done = subprocess.run(["userdel", name], capture_output=True, check=False)
        if done.returncode == _USER_IS_BUSY:
            return False
        done.check_returncode()
        return True

    wait_until(is_removed, f"the last process of {name} is over", _SECONDS_TO_END)


def _make(name: str) -> None:
    # The password "*" fits no password, yet sshd without PAM would refuse a locked account, which
    # is what useradd makes by default. The home "/" is there and holds no files of the user's.
    settings = ["--no-create-home", "--home-dir", "/", "--shell", "/bin/sh", "--password", "*"]
    subprocess.run(
        ["useradd", "--comment", MADE_HERE, *settings, name], check=True, capture_output=True
    )
