"""The harness itself: a real Slurm and a real sshd start, answer, and leave nothing behind."""

import os
import pwd
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import paramiko
import pytest

from scraper.commands.slurm_commands import show_command, show_job_command, time_format_line
from tests.system.daemons import kill_marked, wait_until
from tests.system.real_slurm import ALICE, BOB, RealCluster, SlurmCommandError
from tests.system.real_sshd import CLIENT_KEY_TYPES, LOGIN_USER, RealSshd, make_key
from tests.system.unix_users import MADE_HERE

pytestmark = pytest.mark.system

REPOSITORY = Path(__file__).parents[2]
SHOW_JOB = show_command("scontrol", "job")
STDIN = time_format_line("q7Rk2Xa")
SQUEUE = "squeue -h -a -t all -o %A:%U"

Answer = tuple[int, bytes, bytes]


@pytest.fixture(scope="module")
def cluster(open_folder: Path) -> Iterator[RealCluster]:
    with RealCluster(open_folder) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def sshd(open_folder: Path, cluster: RealCluster) -> Iterator[RealSshd]:
    environment = {"SLURM_CONF": str(cluster.conf), "TZ": "America/Montreal"}
    with RealSshd(open_folder, environment, host_key_types=("ed25519", "rsa")) as sshd:
        yield sshd


def connect(sshd: RealSshd, key: Path, known_hosts: Path | None = None) -> paramiko.SSHClient:
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    client.load_host_keys(str(known_hosts or sshd.known_hosts))
    client.connect(
        sshd.host,
        sshd.port,
        sshd.user,
        key_filename=str(key),
        allow_agent=False,
        look_for_keys=False,
        timeout=300,
        banner_timeout=300,
        auth_timeout=300,
    )
    return client


def ask(client: paramiko.SSHClient, command: str) -> Answer:
    """Exit status, standard output and standard error of one command, given `STDIN`."""
    stdin, output, errors = client.exec_command(command, timeout=300)
    with suppress(OSError):  # a command that is refused may have ended already
        stdin.write(STDIN)
        stdin.channel.shutdown_write()
    return output.channel.recv_exit_status(), output.read(), errors.read()


@pytest.fixture
def through_ssh(sshd: RealSshd) -> Iterator[Callable[[str], Answer]]:
    with closing(connect(sshd, sshd.private_keys["ed25519"])) as client:
        yield lambda command: ask(client, command)


def processes_of(folder: Path, name: str) -> list[str]:
    """Command lines of the processes of the clusters that were called ``name`` in ``folder``."""
    mark = f"SLURM_CONF={folder / name}-".encode()
    found = []
    for process in Path("/proc").iterdir():
        try:
            environment = (process / "environ").read_bytes().split(b"\0")
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if any(variable.startswith(mark) for variable in environment):
            found.append(command)
    return found


def test_nodes_are_idle_and_have_their_gpus(cluster: RealCluster) -> None:
    nodes = cluster.scontrol("-o", "show", "node").decode().splitlines()
    assert len(nodes) == 2
    for name, node in zip(("cn-a001", "cn-a002"), nodes, strict=True):
        assert node.startswith(f"NodeName={name} Arch=x86_64 ")
        assert " Gres=gpu:rtx8000:4 " in node
        assert " Partitions=main,long " in node


def test_a_job_is_its_users(cluster: RealCluster) -> None:
    job_id = cluster.sbatch(
        "--partition=long",
        "--gres=gpu:rtx8000:2",
        script="#!/bin/sh\nwhile [ ! -e go ]; do sleep 0.1; done\n",
        script_args=["--lr=0.1"],
        user=BOB,
    )
    cluster.wait_state(job_id, "RUNNING")
    record = cluster.scontrol("show", "job", job_id).decode()
    assert record.startswith(f"JobId={job_id} JobName=job-")
    assert f"UserId={BOB}({pwd.getpwnam(BOB).pw_uid})" in record
    assert "Partition=long" in record
    assert "TresPerNode=gres:gpu:rtx8000:2\n" in record
    assert ".sh --lr=0.1\n" in record
    assert f"WorkDir={cluster.work}\n" in record
    (cluster.work / "go").touch()
    cluster.wait_state(job_id, "COMPLETED")


def test_a_finished_job_is_forgotten(open_folder: Path) -> None:
    with RealCluster(open_folder, name="forgetful", nodes=1, min_job_age=2) as forgetful:
        forgetful.wait_forgotten(forgetful.sbatch(script="#!/bin/sh\n"))


def test_a_job_that_fails_and_a_command_that_fails(cluster: RealCluster) -> None:
    job_id = cluster.sbatch(script="#!/bin/sh\nexit 3\n")
    cluster.wait_state(job_id, "FAILED")
    with pytest.raises(SlurmCommandError, match="Invalid job id"):
        cluster.scontrol("show", "job", "999999")


def test_the_environment_given_reaches_the_command(cluster: RealCluster) -> None:
    job_id = cluster.sbatch("--hold")
    record = cluster.scontrol(
        "show", "job", job_id, env={"TZ": "Asia/Tokyo", "SLURM_TIME_FORMAT": "%FT%T%zAbC1234"}
    ).decode()
    assert "+0900AbC1234 EligibleTime=" in record
    cluster.run("scancel", job_id)


def test_the_controller_comes_back_with_its_jobs(cluster: RealCluster) -> None:
    job_id = cluster.sbatch("--hold")
    cluster.stop_controller()
    assert cluster.controller is not None
    assert not Path(f"/proc/{cluster.controller.pid}").exists()
    cluster.start_controller()
    assert job_id in cluster.squeue_ids()
    cluster.run("scancel", job_id)


def test_scontrol_through_ssh_is_scontrol(
    cluster: RealCluster, through_ssh: Callable[[str], Answer]
) -> None:
    job_id = cluster.sbatch("--hold", "--comment=two words")
    status, output, errors = through_ssh(SHOW_JOB)
    assert (status, errors) == (0, b"")
    assert b"Comment=two words" in output
    assert b"q7Rk2Xa EligibleTime=" in output
    environment = {"TZ": "America/Montreal", "SLURM_TIME_FORMAT": "%FT%T%zq7Rk2Xa"}
    by_full_path = show_command("/usr/bin/scontrol", "job")
    for command in (SHOW_JOB, by_full_path):
        # Asked again while the scheduler dates a record between the two.
        wait_until(
            lambda command=command: (  # type: ignore[misc]
                through_ssh(command)[1] == cluster.scontrol("-a", "show", "job", env=environment)
            ),
            f"`{command}` prints through ssh what it prints here",
        )
    nodes = through_ssh(show_command("scontrol", "node"))[1]
    assert nodes.count(b"NodeName=cn-a00") == 2
    status, configuration, errors = through_ssh(show_command("scontrol", "config"))
    assert (status, errors) == (0, b"")
    assert re.search(rb"^MinJobAge +=", configuration, re.M)
    cluster.run("scancel", job_id)


def test_one_job_through_ssh_is_shown_alone(
    cluster: RealCluster, through_ssh: Callable[[str], Answer]
) -> None:
    first, second = (cluster.sbatch("--hold") for _ in range(2))
    status, output, errors = through_ssh(show_job_command("scontrol", second))
    assert (status, errors) == (0, b"")
    assert output.startswith(f"JobId={second} ".encode())
    assert output.count(b"JobId=") == 1
    assert b"q7Rk2Xa EligibleTime=" in output
    status, output, errors = through_ssh(show_job_command("scontrol", "999999"))
    assert (status, output) == (1, b"")
    assert b"Invalid job id specified" in errors
    cluster.run("scancel", first, second)


def test_squeue_through_ssh_names_every_job_and_its_owner(
    cluster: RealCluster, through_ssh: Callable[[str], Answer]
) -> None:
    array = cluster.sbatch("--hold", "--array=1-3", user=ALICE)
    single = cluster.sbatch("--hold", user=BOB)
    status, output, _ = through_ssh(SQUEUE)
    assert status == 0
    lines = output.decode().splitlines()
    assert f"{array}:{pwd.getpwnam(ALICE).pw_uid}" in lines
    assert f"{single}:{pwd.getpwnam(BOB).pw_uid}" in lines
    assert {line.split(":")[0] for line in lines} == cluster.squeue_ids()
    cluster.run("scancel", array, single)


@pytest.mark.parametrize(
    "command",
    [
        *("id", "scontrol shutdown", f"{SHOW_JOB}; id", f"{SHOW_JOB}\nid", f"{SHOW_JOB} $(id)"),
        show_command("scontrol", "job $(id)"),
    ],
)
def test_any_other_command_is_refused(
    sshd: RealSshd, through_ssh: Callable[[str], Answer], command: str
) -> None:
    before = sshd.commands_run()
    status, output, errors = through_ssh(command)
    assert (status, output) == (126, b"")
    assert errors.startswith(b"clockwork-forced-command: refused: ")
    assert sshd.commands_run() == before + 1


def test_a_login_and_a_forwarding_are_refused(sshd: RealSshd) -> None:
    with closing(connect(sshd, sshd.private_keys["ed25519"])) as client:
        transport = client.get_transport()
        assert transport is not None
        session = transport.open_session()
        with pytest.raises(paramiko.SSHException):
            session.get_pty()
        session = transport.open_session()
        session.invoke_shell()
        assert session.recv_exit_status() == 126
        with pytest.raises(paramiko.ChannelException):
            transport.open_channel("direct-tcpip", ("127.0.0.1", sshd.port), ("127.0.0.1", 1))


@pytest.mark.parametrize("kind", CLIENT_KEY_TYPES)
def test_each_type_of_key_logs_in(sshd: RealSshd, kind: str) -> None:
    before = sshd.connections()
    with closing(connect(sshd, sshd.private_keys[kind])) as client:
        assert ask(client, SQUEUE)[0] == 0
    assert sshd.connections() == before + 1


def test_another_key_does_not_log_in(sshd: RealSshd, tmp_path: Path) -> None:
    with pytest.raises(paramiko.AuthenticationException):
        connect(sshd, make_key(tmp_path / "stranger", "ed25519"))


def test_known_hosts_holds_the_hosts_own_keys(sshd: RealSshd, tmp_path: Path) -> None:
    lines = sshd.known_hosts.read_text().splitlines()
    assert [line.split()[1] for line in lines] == ["ssh-ed25519", "ssh-rsa"]
    another = make_key(tmp_path / "other", "ed25519").with_suffix(".pub").read_text()
    forged = tmp_path / "known_hosts"
    forged.write_text(f"[{sshd.host}]:{sshd.port} {another}")
    with pytest.raises(paramiko.SSHException, match="does not match"):
        connect(sshd, sshd.private_keys["ed25519"], known_hosts=forged)


def test_two_clusters_side_by_side_share_nothing(open_folder: Path, cluster: RealCluster) -> None:
    with RealCluster(open_folder, name="second", nodes=1) as second:
        here = second.sbatch("--job-name=here", "--hold")
        assert second.squeue_ids() == {here}
        assert b"JobName=here " not in cluster.scontrol("show", "job")
        assert second.scontrol("show", "node").count(b"NodeName=") == 1
    assert cluster.run("scontrol", "ping").returncode == 0


def test_closing_leaves_no_process(open_folder: Path) -> None:
    stubborn = "#!/bin/sh\ntrap '' TERM\nsetsid sleep 3600 &\nsleep 3600\n"
    with RealCluster(open_folder, name="leaving", nodes=1) as leaving:
        for options in ([], ["--export=NONE"]):
            leaving.wait_state(leaving.sbatch(*options, script=stubborn), "RUNNING")

        def both_sleep() -> bool:
            # Two of each job: the script's own and the one that it sets apart.
            return (
                sum(line.startswith("sleep ") for line in processes_of(open_folder, "leaving")) == 4
            )

        wait_until(both_sleep, "two jobs run two sleeps each")
        assert len(processes_of(open_folder, "leaving")) > 6
        leaving.stop_controller()
    assert processes_of(open_folder, "leaving") == []


def test_a_suspended_controller_can_be_closed(open_folder: Path) -> None:
    with RealCluster(open_folder, name="suspended", nodes=1) as suspended:
        assert suspended.controller is not None
        os.kill(suspended.controller.pid, signal.SIGSTOP)
    assert processes_of(open_folder, "suspended") == []


def test_what_a_killed_run_left_behind_does_not_hinder_the_next(open_folder: Path) -> None:
    program = (
        "import pathlib, time\n"
        "from tests.system.real_slurm import RealCluster\n"
        f"with RealCluster(pathlib.Path({str(open_folder)!r}), name='killed', nodes=1) as c:\n"
        "    c.wait_state(c.sbatch(), 'RUNNING')\n"
        "    print(c.conf, flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as killed:
        assert killed.stdout is not None
        conf = killed.stdout.readline().strip()
        killed.kill()
    assert Path(conf).with_name("slurmctld.pid").exists()

    def daemons_are_gone() -> bool:
        return not any("/sbin/" in line for line in processes_of(open_folder, "killed"))

    wait_until(daemons_are_gone, "the kernel ends the daemons of a run that was killed")
    with RealCluster(open_folder, name="killed", nodes=1) as after:
        assert after.squeue_ids() == set()
        assert Path(conf).exists()
    # The killed run's job lives on in its step, as no daemon of its cluster could end it.
    kill_marked(f"SLURM_CONF={conf}")
    assert processes_of(open_folder, "killed") == []


def test_a_folder_that_users_cannot_enter_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    for part in (RealCluster, RealSshd):
        with pytest.raises(ValueError, match="closed to other users"):
            part(tmp_path)


def test_a_daemon_that_cannot_start_says_why(open_folder: Path) -> None:
    broken = RealCluster(open_folder, name="broken", nodes=1, extra_conf="NoSuchKey=1")
    with pytest.raises(RuntimeError, match="NoSuchKey"), broken:
        pass
    assert processes_of(open_folder, "broken") == []


def test_users_made_here_are_marked(cluster: RealCluster, sshd: RealSshd) -> None:
    for name in (ALICE, BOB, LOGIN_USER):
        assert pwd.getpwnam(name).pw_gecos == MADE_HERE
