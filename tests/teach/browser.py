"""A headless Chromium, driven over WebDriver (W3C): plain HTTP and JSON, so no library is needed.

The browser gets a fresh profile and a proxy that is not there, so that no page can reach anything.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""WebDriver, section 12.1: how an element is called in JSON."""
KEYS = {"right": "\ue014", "left": "\ue012", "end": "\ue010", "home": "\ue011", "tab": "\ue004",
        "enter": "\ue007", "space": " "}  # fmt: skip
"""WebDriver, section 17.4.2."""


class Browser:
    """One session."""

    def __init__(self, address: str, capabilities: dict[str, Any]) -> None:
        self._address = address
        made = self._call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        self._session = f"/session/{made['sessionId']}"

    def open(self, path: Path) -> None:
        """Load a file."""
        self._post("/url", {"url": path.absolute().as_uri()})

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript; `return` gives its value."""
        return self._post("/execute/sync", {"script": script, "args": list(arguments)})

    def find(self, selector: str) -> list[str]:
        """Elements by CSS."""
        found = self._post("/elements", {"using": "css selector", "value": selector})
        return [element[_ELEMENT] for element in found]

    def click(self, element: str) -> None:
        """Click as a user does: scrolled into view, and refused if something covers it."""
        self._post(f"/element/{element}/click", {})

    def focus(self, selector: str, index: int = 0) -> None:
        """Put the keyboard's focus there."""
        self.run("document.querySelectorAll(arguments[0])[arguments[1]].focus()", selector, index)

    def press(self, *keys: str) -> None:
        """Type keys where the focus is."""
        actions = [
            {"type": kind, "value": KEYS.get(key, key)}
            for key in keys
            for kind in ("keyDown", "keyUp")
        ]
        self._post("/actions", {"actions": [{"type": "key", "id": "k", "actions": actions}]})

    def size(self, width: int, height: int) -> None:
        """Resize the window's inside, as a device of that size has it."""
        self.devtools("Emulation.setDeviceMetricsOverride",
                      width=width, height=height, deviceScaleFactor=1, mobile=True)  # fmt: skip

    def scheme(self, name: str) -> None:
        """`dark` or `light`, as the system would say."""
        features = [{"name": "prefers-color-scheme", "value": name}]
        self.devtools("Emulation.setEmulatedMedia", features=features)

    def devtools(self, command: str, **parameters: Any) -> Any:
        """Chromium's own commands."""
        return self._post("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def complaints(self) -> list[str]:
        """What has been written to the console since it was last asked."""
        return [entry["message"] for entry in self._post("/se/log", {"type": "browser"})]

    def screenshot(self, path: Path) -> None:
        """What is to be seen, as PNG."""
        path.write_bytes(base64.b64decode(self._call("GET", f"{self._session}/screenshot")))

    def close(self) -> None:
        """End the session, and the browser with it."""
        self._call("DELETE", self._session)

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return self._call("POST", self._session + path, body)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self._address + path, data, {"Content-Type": "application/json"})
        request.method = method
        with urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())["value"]


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Start driver and browser, and end both."""
    assert DRIVER is not None
    driver = subprocess.Popen(
        [DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert driver.stdout is not None
        port = next(
            line.rpartition("port ")[2].strip().rstrip(".")
            for line in driver.stdout
            if "started successfully on port" in line
        )
        browser = _begin(f"http://127.0.0.1:{port}", profile)
        try:
            yield browser
        finally:
            browser.close()
    finally:
        driver.terminate()
        driver.wait(20)


def _begin(address: str, profile: Path) -> Browser:
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--no-first-run",
             "--proxy-server=127.0.0.1:9", f"--user-data-dir={profile}"]  # fmt: skip
    capabilities = {
        "browserName": "chrome",
        "goog:chromeOptions": {"binary": CHROMIUM, "args": flags},
        "goog:loggingPrefs": {"browser": "ALL"},
    }
    for _ in range(50):
        try:
            return Browser(address, capabilities)
        except URLError:  # it is not listening yet
            time.sleep(0.1)
    raise TimeoutError(f"no driver at {address}")
