"""The Ansible role for login hosts, run on this machine and held against a real sshd."""

import json
import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.daemons import Daemon, free_ports
from tests.system.machine import program
from tests.system.real_sshd import make_key

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
USER = "cwtest-role"
HOME = Path("/var/lib") / USER


@pytest.fixture
def folder(open_folder: Path) -> Iterator[Path]:
    yield open_folder
    subprocess.run([program("userdel"), "--remove", USER], capture_output=True, check=False)


def play(folder: Path, key: str) -> "subprocess.CompletedProcess[str]":
    given = {
        "clockwork_login_host_key": key,
        "clockwork_login_host_user": USER,
        "clockwork_login_host_home": str(HOME),
        "clockwork_login_host_script": str(folder / "clockwork-forced-command"),
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    return subprocess.run(
        [
            program("ansible-playbook"),
            *("--inventory", "localhost,", "--connection", "local"),
            *("--extra-vars", json.dumps(given), "login_hosts.yml"),
        ],
        cwd=ROOT / "deploy" / "ansible",
        env={**os.environ, "ANSIBLE_LOCAL_TEMP": str(folder), "ANSIBLE_NOCOLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_key_can_run_the_allowed_commands_and_no_other(folder: Path) -> None:
    key = make_key(folder / "id_clockwork", "ed25519")
    refused = play(folder, "no key")
    assert refused.returncode != 0
    assert "clockwork_login_host_key is no public key" in refused.stdout
    public = key.with_name(f"{key.name}.pub").read_text()
    done = play(folder, public)
    assert done.returncode == 0, done.stdout + done.stderr
    again = play(folder, public)
    assert "changed=0" in again.stdout, "a second run changes nothing"
    assert pwd.getpwnam(USER).pw_shell == "/bin/sh"
    assert (HOME / ".ssh" / "authorized_keys").stat().st_uid == 0

    (port,) = free_ports(1)
    host_key = make_key(folder / "host", "ed25519")
    config = folder / "sshd_config"
    config.write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {host_key}\nPidFile none\nUsePAM no\n"
        "StrictModes yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
    )
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    arguments = ["-D", "-f", str(config), "-E", str(folder / "sshd.log")]
    daemon = Daemon("sshd", arguments, folder / "sshd.err", {"CLOCKWORK_TEST_SSHD": str(folder)})
    try:

        def ssh(command: str) -> "subprocess.CompletedProcess[str]":
            return subprocess.run(
                [
                    *(program("ssh"), "-F", "none", "-i", str(key), "-p", str(port)),
                    *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
                    *("-o", "ConnectionAttempts=20", f"{USER}@127.0.0.1", command),
                ],
                input="%FT%T%zabcdefg\n",
                capture_output=True,
                text=True,
                check=False,
            )

        refused = ssh("id")
        assert (refused.returncode, refused.stdout) == (126, "")
        assert "clockwork-forced-command: refused: " in refused.stderr
        read = "read -r SLURM_TIME_FORMAT && export SLURM_TIME_FORMAT && exec"
        allowed = ssh(f"sh -c '{read} scontrol -a show job'")
        assert "refused" not in allowed.stderr
        assert "scontrol: " in allowed.stderr, "it ran, and found no slurm.conf"
    finally:
        daemon.stop()
