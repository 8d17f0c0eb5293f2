"""When the system tests run: on a machine that has, or can be given, Slurm and sshd."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system import machine

_REASON_TO_SKIP = pytest.StashKey[str | None]()
_BROKEN = pytest.StashKey[str]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Prepare the machine, once, before the first test's time limit begins to run."""
    wanted = any(item.get_closest_marker("system") for item in session.items)
    if not wanted or session.config.option.collectonly:
        return
    try:
        session.config.stash[_REASON_TO_SKIP] = machine.why_not()
    except machine.InstallError as error:
        session.config.stash[_BROKEN] = str(error)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a system test with the machine's reason; fail it when making the machine ready broke."""
    if item.get_closest_marker("system") is None:
        return
    if broken := item.config.stash.get(_BROKEN, None):
        pytest.fail(f"The packages of the system tests could not be installed. {broken}", False)
    if reason := item.config.stash.get(_REASON_TO_SKIP, None):
        pytest.skip(reason)


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    """A temporary folder that every Unix user may enter; gone after the module's last test."""
    folder = Path(tempfile.mkdtemp(prefix="cwtest-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
