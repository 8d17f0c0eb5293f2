"""The folder of the system tests."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    """A temporary folder that every Unix user may enter; gone after the module's last test."""
    folder = Path(tempfile.mkdtemp(prefix="cwtest-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
