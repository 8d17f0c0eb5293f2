"""What is said and done where the machine cannot run the system tests, or not yet."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system import machine

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Debian without the programs, seen by root; the folder in which apt-get is found."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, value in (
        ("SEARCH_PATH", str(folder)),
        ("LOCK", tmp_path / "lock"),
        ("POLICY", tmp_path / "policy-rc.d"),
    ):
        monkeypatch.setattr(machine, name, value)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def write_apt_get(folder: Path, body: str) -> None:
    apt_get = folder / "apt-get"
    apt_get.write_text(f'#!/bin/sh\necho "$@" >> {folder}/calls\n{body}\n')
    apt_get.chmod(0o755)


def test_without_root_the_reason_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "run them as root" in (machine.why_not() or "")


@pytest.mark.skipif(not Path("/etc/debian_version").exists(), reason="needs a Debian")
def test_missing_packages_are_installed_and_no_service_is_started(bare_machine: Path) -> None:
    write_apt_get(
        bare_machine,
        f"""
        [ "$DEBIAN_FRONTEND" = noninteractive ] || exit 1
        "{machine.POLICY}" && exit 1
        case $* in *install*)
            for name in {" ".join(machine.PACKAGES)}; do
                printf '#!/bin/sh\\n' > "{bare_machine}/$name"
                chmod 755 "{bare_machine}/$name"
            done
        esac
        exit 0""",
    )
    assert machine.missing_programs() == list(machine.PACKAGES)
    assert machine.why_not() is None
    update, install = (bare_machine / "calls").read_text().splitlines()
    assert update.endswith(" update")
    assert "install --yes --no-install-recommends" in install
    for package in ("slurmctld", "slurmd", "slurm-client", machine.PLUGINS, "openssh-server"):
        assert package in install.split()
    assert not machine.POLICY.exists()
    assert machine.why_not() is None
    assert len((bare_machine / "calls").read_text().splitlines()) == 2


@pytest.mark.skipif(not Path("/etc/debian_version").exists(), reason="needs a Debian")
def test_a_browser_is_installed_by_root_alone(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_apt_get(
        bare_machine,
        f'cp /bin/true "{bare_machine}/chromium"\ncp /bin/true "{bare_machine}/chromedriver"',
    )
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "chromium and chromium-driver" in (machine.why_no_browser() or "")
    assert not (bare_machine / "calls").exists()

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert machine.why_no_browser() is None
    _, install = (bare_machine / "calls").read_text().splitlines()
    assert install.split()[-3:] == ["chromium", "chromium-driver", machine.FONTS]
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert machine.why_no_browser() is None


@pytest.mark.skipif(not Path("/etc/debian_version").exists(), reason="needs a Debian")
def test_an_installation_that_breaks_is_an_error_with_apts_words(bare_machine: Path) -> None:
    write_apt_get(bare_machine, "echo 'E: no such mirror'; exit 100")
    machine.POLICY.write_text("#!/bin/sh\nexit 0\n")
    with pytest.raises(machine.InstallError, match="status 100") as caught:
        machine.why_not()
    assert "E: no such mirror" in str(caught.value)
    assert machine.POLICY.read_text() == "#!/bin/sh\nexit 0\n"


@pytest.mark.skipif(not Path("/etc/debian_version").exists(), reason="needs a Debian")
def test_an_installation_that_brings_nothing_is_an_error(bare_machine: Path) -> None:
    write_apt_get(bare_machine, "exit 0")
    with pytest.raises(machine.InstallError, match="slurmctld"):
        machine.why_not()


@pytest.mark.parametrize(
    ("verdict", "outcome", "status"),
    [
        ("return 'There is no Slurm for this machine.'", "skipped", 0),
        ("raise machine.InstallError('E: no such mirror')", "errors", 1),
    ],
)
def test_system_tests_are_never_left_out_without_a_word(
    tmp_path: Path, verdict: str, outcome: str, status: int
) -> None:
    (tmp_path / "unfit_machine.py").write_text(
        "from tests.system import machine\n"
        f"def why_not():\n    {verdict}\n"
        "machine.READY['system'] = why_not\n"
    )
    options = ["-p", "unfit_machine", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "tests/system/test_harness.py"],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{REPOSITORY}", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert re.fullmatch(rf"=+ \d+ {outcome} in .*", done.stdout.splitlines()[-1])
    assert ("There is no Slurm" if status == 0 else "E: no such mirror") in done.stdout
