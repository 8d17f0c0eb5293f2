"""What docs/install.md and the release promise: the commands as written, on an empty prefix."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"(?:^ {4}.*\n|^\n(?= {4}))+", re.MULTILINE)


def built(folder: Path) -> Path:
    """The wheel and the source archive of the checkout, in *folder*."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)],
        cwd=ROOT,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"},
        capture_output=True,
        check=True,
    )
    return folder


def commands(page: str, heading: str) -> str:
    """The indented blocks of a chapter of a page in docs/, one after the other."""
    text = (ROOT / "docs" / page).read_text()
    chapter = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return "\n".join(line[4:] for block in _BLOCK.findall(chapter) for line in block.splitlines())


@pytest.mark.slow
def test_the_same_checkout_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = built(tmp_path / "one"), built(tmp_path / "two")
    names = sorted(path.name for path in one.iterdir())
    assert [Path(name).suffix for name in names] == [".whl", ".gz"]
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes()
    with zipfile.ZipFile(one / names[0]) as wheel:
        tops = {name.partition("/")[0].partition("-")[0] for name in wheel.namelist()}
    assert tops == {
        *("api", "clockwork", "config", "ingest", "scraper"),
        *("clockwork_client.py", "clockwork_slurm"),
    }
    with tarfile.open(one / names[1]) as source:
        assert any(name.endswith("/tests/test_install.py") for name in source.getnames())


@pytest.mark.slow
@pytest.mark.timeout(1200)  # pip on a loaded machine
def test_the_commands_of_the_install_page(tmp_path: Path) -> None:
    """Chapters 1 and 2, with /opt and /etc below *tmp_path*: the rest needs systemd and root."""
    release = built(tmp_path / "release")
    for lock in ROOT.glob("requirements*.lock"):
        shutil.copy(lock, release)
    written = commands("install.md", "1. The program") + "\n"
    written += commands("install.md", "2. The configuration").partition("[clusters")[0]
    assert "/opt/clockwork" in written
    assert "/etc/clockwork" in written
    script = written.replace("/usr/bin/python3", sys.executable)
    for folder in ("/opt/clockwork", "/etc/clockwork"):
        script = script.replace(folder, str(tmp_path / folder[1:]))
    (tmp_path / "opt").mkdir()
    (tmp_path / "etc").mkdir()
    done = subprocess.run(
        ["sh", "-eu", "-c", script],
        cwd=release,
        capture_output=True,
        text=True,
        check=False,
    )
    if "No matching distribution" in done.stderr and "connection" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "etc/clockwork/id_clockwork.pub").exists()

    program = str(tmp_path / "opt/clockwork/bin/clockwork")
    packages = {path.name for path in (tmp_path / "opt/clockwork").glob("lib/*/site-packages/*")}
    assert packages.isdisjoint({"secantus", "numpy", "shapely", "s2sphere"})

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        where = str(tmp_path / "etc/clockwork/clockwork.toml")
        return subprocess.run(
            [program, "--config", where, *words],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
        )

    assert re.fullmatch(r"clockwork [0-9.]+\n", run("--version").stdout)
    assert "all is well" in run("check", "--offline").stdout
    missing = run("user", "list")
    assert missing.returncode == 1
    assert "SecantusDB is not installed" in missing.stderr or "embedded" in missing.stderr
    share = tmp_path / "opt/clockwork/share/clockwork"
    assert {path.name for path in share.iterdir()} == {
        *("clockwork.example.toml", "clockwork-forced-command", "systemd"),
    }
    assert os.access(share / "clockwork-forced-command", os.X_OK)
