"""axe-core, which finds what people with a disability cannot use: from npm, locked."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.page.browser import Browser

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "node_modules/axe-core/axe.min.js"


def axe_script() -> str:
    """The text of axe-core, installed if need be; skips the test where npm is missing."""
    if shutil.which("npm") is None or shutil.which("make") is None:
        pytest.skip("axe-core comes from npm, which this machine lacks (Debian: apt install npm).")
    command = ["make", "--silent", "node_modules/.package-lock.json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"axe-core could not be installed from npm: {done.stderr.strip()[-300:]}")
    return SCRIPT.read_text()


def violations(browser: Browser, script: str) -> list[str]:
    """The rules that what the browser shows breaks, each with the elements that break it.

    Of each table, only the first rows stay: the others are like them, and take long.
    """
    if not browser.run("return Boolean(window.axe)"):
        browser.run(script)
    found: list[str] = browser.driver.execute_async_script(_RUN)
    return found


_RUN = """
    const done = arguments[0];
    for (const row of document.querySelectorAll("tbody tr:nth-child(n + 21)")) row.remove();
    axe.run({ resultTypes: ["violations"] }).then(({ violations }) => done(violations.map((rule) =>
        [rule.id, ...rule.nodes.map((node) => node.html.slice(0, 200))].join(" "))), done);
"""
