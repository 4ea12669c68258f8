"""Chromium without a window, for tests of pages; they skip where it, its driver or selenium is absent."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

LOAD_SECONDS = 30


class Browser:
    """A page in chromium: run scripts in it, press keys, and read what it put into `downloads`."""

    def __init__(self, driver: Any, downloads: Path) -> None:
        self.driver, self.downloads = driver, downloads

    def open(self, page: Path, fragment: str = "") -> None:
        """Open `page` and wait until its rows are there. Raises if the page logs an error or asks for anything."""
        self.driver.get("about:blank")  # another fragment alone would not load the page again
        self.driver.get(f"{page.resolve().as_uri()}{fragment}")
        self.wait(lambda: self.run("return document.getElementById('rows').dataset.ready !== undefined"))
        assert self.errors() == []

    def run(self, script: str, *arguments: Any) -> Any:
        """What `script` returns."""
        return self.driver.execute_script(script, *arguments)

    def press(self, *keys: str) -> None:
        """Press keys, one after the other, wherever the focus is."""
        from selenium.webdriver import ActionChains

        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def click(self, selector: str) -> None:
        """Click the first element that matches, out from under the page's sticky line."""
        from selenium.webdriver.common.by import By

        self.run("document.querySelector(arguments[0]).scrollIntoView({ block: 'center' })", selector)
        self.driver.find_element(By.CSS_SELECTOR, selector).click()

    def write(self, selector: str, text: str) -> None:
        """Type into the first element that matches."""
        from selenium.webdriver.common.by import By

        self.driver.find_element(By.CSS_SELECTOR, selector).send_keys(text)

    def choose(self, facet: str, value: str) -> None:
        """Choose a value of one of the filters."""
        self.run(
            """const select = document.querySelector(`[data-facet="${arguments[0]}"]`);
            select.value = arguments[1];
            select.dispatchEvent(new Event("change"));""",
            facet,
            value,
        )

    def texts(self, selector: str) -> list[str]:
        """The visible text of each match."""
        return self.run("return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText)", selector)

    def resize(self, width: int, height: int) -> None:
        """Show the page as a screen of that many pixels does."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def downloaded(self, name: str) -> Path:
        """The downloaded file, once it is whole."""
        file = self.downloads / name
        self.wait(lambda: file.exists() and not list(self.downloads.glob("*.crdownload")))
        return file

    def wait(self, condition: Callable[[], Any]) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, LOAD_SECONDS, 0.05).until(lambda _: condition())

    def cpu_ms(self, script: str, *arguments: Any) -> float:
        """The CPU time, ms, that the page's thread takes to run `script` and lay the page out: on an idle machine that
        is the time it takes; on a busy one the clock would count the others' work too."""
        self.driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
        before = self._task_seconds()
        self.run(f"{script}; document.body.offsetHeight;", *arguments)
        return 1000 * (self._task_seconds() - before)

    def _task_seconds(self) -> float:
        found = self.driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        return next(float(one["value"]) for one in found if one["name"] == "TaskDuration")

    def errors(self) -> list[str]:
        """What the console complained of since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def requests(self) -> list[str]:
        """The addresses that pages asked for since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]


@contextmanager
def start(downloads: Path) -> Iterator[Browser]:
    """A browser with a profile of its own."""
    pytest.importorskip("selenium")
    program, driver = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if not (program and driver):
        pytest.skip("chromium and chromedriver are not installed (Debian: chromium, chromium-driver)")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--lang=en"):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    running = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield Browser(running, downloads)
    finally:
        running.quit()
