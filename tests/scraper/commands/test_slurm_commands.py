import shutil
import string
import subprocess
from pathlib import Path

import pytest

from scraper.commands.slurm_commands import (
    first_release_show_command,
    new_seal,
    show_command,
    show_job_command,
    time_format_line,
)

LOGIN_SHELLS = [
    shell for shell in ("sh", "bash", "dash", "zsh", "mksh", "tcsh", "fish") if shutil.which(shell)
]


@pytest.mark.parametrize("shell", LOGIN_SHELLS)
@pytest.mark.parametrize("words", ["job", "node", "config", "job 71"])
def test_every_login_shell_hands_the_time_format_to_scontrol(
    tmp_path: Path, shell: str, words: str
) -> None:
    scontrol = tmp_path / "scontrol"
    scontrol.write_text('#!/bin/sh\nprintf "%s\\n" "$@" "$SLURM_TIME_FORMAT"\ncat\n')
    scontrol.chmod(0o755)
    what, _, job_id = words.partition(" ")
    command = (
        show_job_command(str(scontrol), job_id) if job_id else show_command(str(scontrol), what)
    )
    done = subprocess.run(
        [shell, "-c", command],
        input=time_format_line("q7Rk2Xa"),
        capture_output=True,
        timeout=300,
        check=True,
    )
    assert done.stdout.decode().splitlines() == ["-a", "show", *words.split(), "%FT%T%zq7Rk2Xa"]
    assert done.stderr == b""


@pytest.mark.parametrize("stdin", [b"", b"%FT%T%zq7Rk2Xa"])
def test_without_a_line_of_standard_input_scontrol_is_not_run(tmp_path: Path, stdin: bytes) -> None:
    scontrol = tmp_path / "scontrol"
    scontrol.write_text("#!/bin/sh\necho was run\n")
    scontrol.chmod(0o755)
    command = ["sh", "-c", show_command(str(scontrol), "job")]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (1, b"")


@pytest.mark.parametrize(
    "job_id",
    ["", " ", "-1", "1_2", "1+1", "1,2", "1 2", "1\n", "x", "0x1", "1;id", "\u0661", "1" * 11],
)
def test_only_1_to_10_digits_are_a_job_id(job_id: str) -> None:
    with pytest.raises(ValueError, match="1 to 10 digits"):
        show_job_command("scontrol", job_id)


def test_no_command_line_holds_the_seal_but_that_of_the_first_release() -> None:
    seal = new_seal()
    assert seal not in show_command("scontrol", "job")
    assert time_format_line(seal) == f"%FT%T%z{seal}\n".encode()
    assert time_format_line("") == b"%FT%T%z\n"
    assert (
        first_release_show_command("/opt/slurm/bin/scontrol", "node", "q7Rk2Xa")
        == "env SLURM_TIME_FORMAT=%FT%T%zq7Rk2Xa /opt/slurm/bin/scontrol -a show node"
    )


def test_a_time_format_stays_below_the_32_letters_that_slurm_takes() -> None:
    assert len(time_format_line(new_seal())) < 32


def test_every_seal_is_new_and_made_of_seven_letters_and_digits() -> None:
    seals = {new_seal() for _ in range(1000)}
    assert len(seals) == 1000
    assert {len(seal) for seal in seals} == {7}
    assert set("".join(seals)) <= set(string.ascii_letters + string.digits)
