"""A headless Chromium that shows the page, and what its console and its network had to say."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.system.machine import program

SECONDS_TO_SHOW = 240
SECONDS_FOR_A_SCRIPT = 300
"""Long: the machine may be busy with other tests."""

Found = TypeVar("Found")


@contextmanager
def chromium(profile: Path) -> Iterator["Browser"]:
    """The browser, with *profile*, an empty folder, as its own; ends with the block."""
    options = ChromeOptions()
    options.binary_location = program("chromium")
    for switch in (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--disable-dev-shm-usage", "--no-proxy-server", f"--user-data-dir={profile}"),
    ):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options, ChromeService(program("chromedriver")))
    driver.set_script_timeout(SECONDS_FOR_A_SCRIPT)
    try:
        yield Browser(driver)
    finally:
        driver.quit()


class Browser:
    """What a person does with the page and sees of it."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    # --- going somewhere ----------------------------------------------------------------------

    def open(self, address: str) -> None:
        """Load the page at *address* anew."""
        self.driver.get("about:blank")
        self.driver.get(address)

    def go(self, place: str) -> None:
        """Go to another *place* on the page, as a link does; until its content is there."""
        self.driver.execute_async_script(
            "addEventListener('hashchange', () => setTimeout(arguments[1]), { once: true });"
            "location.hash = arguments[0]",
            place,
        )
        self.one("main:not([aria-busy])")

    def forget(self, address: str) -> None:
        """Nobody is signed in any longer; the screen is wide and light."""
        self.screen(1280)
        self.driver.get(address)
        self.driver.execute_script("sessionStorage.clear(); localStorage.clear()")

    def leave(self) -> None:
        """Show nothing, so that nothing is asked for any longer."""
        self.driver.get("about:blank")

    def screen(self, width: int, scheme: str = "light", height: int = 900) -> None:
        """A screen of *width* CSS pixels for someone who prefers the colour *scheme*.

        Nothing moves there, so what is read right afterwards is final.
        """
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        preferred = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in preferred.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    # --- what is there ------------------------------------------------------------------------

    def wait(self, condition: Callable[[], Found]) -> Found:
        """What *condition* gives, as soon as it is true."""
        waiting = WebDriverWait(
            self.driver,
            SECONDS_TO_SHOW,
            poll_frequency=0.05,
            ignored_exceptions=[NoSuchElementException, StaleElementReferenceException],
        )
        return waiting.until(lambda _driver: condition())

    def one(self, selector: str) -> WebElement:
        """The element of this CSS selector, once it is there."""
        return self.wait(lambda: self.driver.find_element(By.CSS_SELECTOR, selector))

    def all(self, selector: str) -> list[WebElement]:
        """All elements of this selector that are there now."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """The texts of all elements of this selector, as the page has them."""
        script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)"
        found: list[str] = self.driver.execute_script(script, selector)
        return found

    def wait_for(self, selector: str, part: str) -> None:
        """Until an element of the selector has *part* in its text."""
        self.wait(lambda: any(part in text for text in self.texts(selector)))

    def run(self, script: str, *arguments: Any) -> Any:
        """What *script*, a function's body, returns."""
        return self.driver.execute_script(script, *arguments)

    # --- the keyboard -------------------------------------------------------------------------

    def press(self, *keys: str) -> None:
        """Press *keys*, wherever the focus is."""
        self.driver.switch_to.active_element.send_keys(*keys)

    def focused(self) -> str:
        """What has the focus: its accessible name, or its text."""
        script = """const e = document.activeElement;
            return e.ariaLabel ?? (e.labels?.length ? e.labels[0].textContent : e.textContent);"""
        name: str = self.run(script)
        return name.strip()

    def tab_to(self, name: str, most: int = 60) -> None:
        """Press Tab until what is called *name* has the focus; each stop can be seen."""
        for _ in range(most):
            self.press(Keys.TAB)
            assert self.run(_FOCUS_IS_VISIBLE), self.focused()
            if self.focused() == name:
                return
        raise AssertionError(f"Tab does not come to {name!r}")

    # --- the console and the network ----------------------------------------------------------

    def complaints(self) -> list[str]:
        """What the console has said since it was last asked: errors, violations of the policy."""
        return [entry["message"] for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]

    def requested(self) -> list[str]:
        """The addresses that were asked for since this was last asked, but for blank pages."""
        sent = self._network("Network.requestWillBeSent")
        addresses = [params["request"]["url"] for params in sent]
        return [address for address in addresses if urlsplit(address).scheme in {"http", "https"}]

    def answers(self) -> list[tuple[str, int]]:
        """The addresses that answered since then, and with which status."""
        received = self._network("Network.responseReceived")
        answers = [params["response"] for params in received]
        return [(answer["url"], answer["status"]) for answer in answers]

    def _network(self, method: str) -> list[dict[str, Any]]:
        entries = self.driver.get_log("performance")  # type: ignore[no-untyped-call]
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        return [message["params"] for message in messages if message["method"] == method]

    def offline(self, *, yes: bool) -> None:
        """Cut the browser off the network, or connect it again."""
        conditions = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self.driver.execute_cdp_cmd("Network.enable", {})
        self.driver.execute_cdp_cmd(
            "Network.emulateNetworkConditions", {"offline": yes, **conditions}
        )


_FOCUS_IS_VISIBLE = """
    const focused = document.activeElement;
    const marked = focused.closest(".pills label") ?? focused;
    return focused.matches(":focus-visible") && getComputedStyle(marked).outlineStyle !== "none";
"""
