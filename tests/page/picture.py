"""Take the picture in README.md: ``python -m tests.page.picture``, of the running demo."""

import subprocess
import sys
import tempfile
from pathlib import Path

from clockwork.embedded.secantus import free_port
from tests.page.browser import chromium
from tests.page.visits import sign_in

PICTURE = Path(__file__).parents[2] / "docs/images/overview.png"
WIDTH, HEIGHT = 1280, 600


def main() -> None:
    """Run the demo, sign in to its page, and save the overview as `PICTURE`."""
    port = str(free_port())
    command = [str(Path(sys.executable).with_name("clockwork")), "demo", "--port", port]
    with (
        tempfile.TemporaryDirectory() as profile,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo,
    ):
        try:
            assert demo.stdout is not None
            _, url, _, token = demo.stdout.readline().split()
            with chromium(Path(profile)) as browser:
                browser.screen(WIDTH, height=HEIGHT)
                browser.open(url)
                sign_in(browser, token)
                browser.one("main:not([aria-busy]) .cluster")
                browser.driver.save_screenshot(str(PICTURE))
        finally:
            demo.terminate()


if __name__ == "__main__":
    main()
