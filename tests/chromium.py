"""A headless Chromium for tests, driven over its DevTools pipe: no package is needed beside it."""

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe"),
)
CODES = {" ": "Space", "?": "Slash", "/": "Slash"}
CONTROL, SHIFT = 2, 8
COMPLAINTS = ("Log.entryAdded", "Runtime.exceptionThrown")


class Chromium:
    """One browser; `open` gives a tab."""

    def __init__(self, profile: Path):
        (theirs, self._to_browser), (self._from_browser, ours) = os.pipe(), os.pipe()
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (theirs, ours)]  # away from 3 and 4, where they go
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{ends[0]} 4>&{ends[1]}', "bash", str(PROGRAM), *FLAGS,
             f"--user-data-dir={profile}"],
            pass_fds=ends, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for end in (theirs, ours, *ends):
            os.close(end)
        self._numbers, self._buffer = itertools.count(1), b""
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Send one command and wait for its answer; events that come first are kept."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        sent = json.dumps(message).encode() + b"\0"
        while sent:
            sent = sent[os.write(self._to_browser, sent) :]
        while True:
            answer = self.read()
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def read(self, seconds: float = 60) -> dict[str, Any]:
        """The next message of the browser."""
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from_browser], [], [], seconds)
            assert ready, f"the browser said nothing for {seconds} seconds"
            part = os.read(self._from_browser, 1 << 20)
            assert part, "the browser has ended"
            self._buffer += part
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)

    def open(self, path: Path, *, size: tuple[int, int] = (1280, 900), dark: bool = False) -> "Tab":
        """A tab that shows a file, once it has loaded."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        tab = Tab(self, self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        for domain in ("Page", "Runtime", "Log"):
            tab.call(f"{domain}.enable")
        tab.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ])  # fmt: skip
        width, height = size
        tab.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        tab.call("Emulation.setFocusEmulationEnabled", enabled=True)
        tab.go(path)
        return tab

    def close(self) -> None:
        """End the browser."""
        self.call("Browser.close")
        self._process.wait(20)
        os.close(self._to_browser)
        os.close(self._from_browser)


class Tab:
    """One page as a person has it: keys, clicks, and what is on it."""

    def __init__(self, browser: Chromium, session: str):
        self._browser, self._session = browser, session

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send one command for this tab."""
        return self._browser.call(method, self._session, **params)

    def go(self, path: Path) -> None:
        """Show a file, and wait until it has loaded."""
        self.errors(clear=True)
        self.call("Page.navigate", url=path.as_uri())
        self.wait("document.readyState === 'complete' && location.protocol === 'file:'")

    def run(self, script: str) -> Any:
        """What an expression gives, as JSON; a promise is waited for."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: str, seconds: float = 20) -> None:
        """Until an expression holds."""
        until = time.monotonic() + seconds
        while not self.run(condition):
            assert time.monotonic() < until, f"waited in vain for {condition}"
            time.sleep(0.02)

    def press(self, *keys: str, control: bool = False, shift: bool = False) -> None:
        """Press keys by their names, such as a, ArrowRight or ?."""
        modifiers = CONTROL * control + SHIFT * shift
        for key in keys:
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 and not control else "")
            code = CODES.get(key, f"Key{key.upper()}" if len(key) == 1 and key.isalpha() else key)
            known = {"Enter": 13, "Escape": 27, "Backspace": 8, "Tab": 9}.get(key, 0)
            event = {"key": key, "code": code, "modifiers": modifiers, "windowsVirtualKeyCode": known}
            self.call("Input.dispatchKeyEvent", type="keyDown", **event, **({"text": text} if text else {}))
            self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def type(self, text: str) -> None:
        """Put text where the cursor is."""
        self.call("Input.insertText", text=text)

    def click(self, selector: str, *, modifiers: int = 0) -> None:
        """Click the middle of an element with the mouse."""
        place = self.run(f"""(() => {{ const e = document.querySelector({json.dumps(selector)});
            e.scrollIntoView({{ block: "center" }}); const b = e.getBoundingClientRect();
            return [b.x + b.width / 2, b.y + b.height / 2]; }})()""")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1,
                      modifiers=modifiers)  # fmt: skip

    def text(self, selector: str) -> str:
        """The text of an element."""
        return self.run(f"document.querySelector({json.dumps(selector)}).textContent.trim()")

    def texts(self, selector: str) -> list[str]:
        """The texts of all elements that match."""
        return self.run(f"[...document.querySelectorAll({json.dumps(selector)})].map((e) => e.textContent.trim())")

    def download(self, selector: str, folder: Path, name: str) -> Path:
        """Click what starts a download, and wait for its file."""
        self._browser.call(
            "Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder), eventsEnabled=True
        )
        self.click(selector)
        until = time.monotonic() + 20
        while not any(
            event["method"] == "Browser.downloadProgress" and event["params"]["state"] == "completed"
            for event in self._browser.events
        ):
            assert time.monotonic() < until, "the download did not end"
            self._browser.events.append(self._browser.read())
        self._browser.events.clear()
        return folder / name

    def errors(self, *, clear: bool = False) -> list[str]:
        """What the page's console complained of since it was opened."""
        self.run("0")  # events that lie in the pipe are read with the answer
        found = [
            event["params"].get("entry", event["params"].get("exceptionDetails", {}))
            for event in self._browser.events
            if event.get("sessionId") == self._session and event["method"] in COMPLAINTS
        ]
        if clear:
            self._browser.events.clear()
        return [str(entry.get("text", entry)) for entry in found]

    def screenshot(self, path: Path) -> Path:
        """A picture of what is in view."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
        return path


@contextmanager
def chromium(profile: Path) -> Iterator[Chromium]:
    """A browser with a profile of its own."""
    browser = Chromium(profile)
    try:
        yield browser
    finally:
        browser.close()
