"""Headless Chromium, driven over its DevTools pipe: no driver, no port, software GL."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WHY_NOT = "no Chromium: apt-get install chromium to see that pages work in a browser"
LIMIT_S = 180
FLAGS = (
    "--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-first-run",
    "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--force-color-profile=srgb", "--remote-debugging-pipe",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # Chromium itself asks for nothing either
)  # fmt: skip


class Page:
    """One tab. ``requests`` holds the address of everything that it and its workers asked for."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session
        self.requests: list[str] = []
        self.complaints: list[str] = []
        """Of the console, and uncaught errors."""

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        return self._browser.call(method, session=self._session, **params)

    def open(self, address: str, *, width: int, height: int, scale: float = 1, dark: bool = False) -> Self:
        """Go there and wait until everything is loaded."""
        mobile = width < 600
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=address)
        self._browser.until(
            lambda event: event["method"] == "Page.loadEventFired" and event.get("sessionId") == self._session
        )
        return self

    def run(self, script: str) -> Any:
        """Return what an expression is, or what its promise gives."""
        told = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in told:
            raise RuntimeError(json.dumps(told["exceptionDetails"])[:2000])
        return told["result"].get("value")

    def picture(self, *, whole: bool = False) -> np.ndarray:
        """Return what is seen, (H, W, 3) RGB; ``whole``: of the page from top to bottom."""
        clip = {}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"clip": {**size, "scale": 1}, "captureBeyondViewport": True}
        data = self.call("Page.captureScreenshot", format="png", **clip)["data"]
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


class Browser:
    """A running Chromium. Messages go through its file descriptors 3 and 4, each ended by a zero byte."""

    def __init__(self, folder: Path, *flags: str) -> None:
        assert CHROMIUM is not None
        to_child, self._to = os.pipe()
        self._from, from_child = os.pipe()
        with (folder / "chromium.log").open("wb") as log:
            self.pid = os.posix_spawn(
                CHROMIUM,
                [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", *flags, "about:blank"],
                {**os.environ, "HOME": str(folder)},
                file_actions=[
                    # By way of high numbers: one of the two pipes may itself be 3 or 4.
                    (os.POSIX_SPAWN_DUP2, to_child, 60), (os.POSIX_SPAWN_DUP2, from_child, 61),
                    (os.POSIX_SPAWN_DUP2, 60, 3), (os.POSIX_SPAWN_DUP2, 61, 4),
                    (os.POSIX_SPAWN_DUP2, log.fileno(), 1), (os.POSIX_SPAWN_DUP2, log.fileno(), 2),
                ],
                setpgroup=0,
            )  # fmt: skip
        os.close(to_child)
        os.close(from_child)
        self._log, self._buffer, self._number = folder / "chromium.log", b"", 0
        self._events: list[dict[str, Any]] = []
        self._pages: dict[str, Page] = {}

    def page(self) -> Page:
        """Open a tab."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Network", "Runtime", "Log"):
            page.call(f"{domain}.enable")
        page.call("Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=False, flatten=True)
        return page

    def call(self, method: str, *, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Send a command and return its result. Raises ``RuntimeError`` with what Chromium says."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": params, **({"sessionId": session} if session else {})}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        answer = self._next(lambda told: told.get("id") == number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def until(self, wanted: Any) -> dict[str, Any]:
        """Return the next event that is wanted, one that came before included."""
        for i, event in enumerate(self._events):
            if wanted(event):
                return self._events.pop(i)
        return self._next(lambda told: "method" in told and wanted(told))

    def close(self) -> None:
        os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._to)
        os.close(self._from)

    def _next(self, wanted: Any) -> dict[str, Any]:
        stop = time.monotonic() + LIMIT_S
        for told in self._messages(stop):
            self._noted(told)
            if wanted(told):
                return told
            if "method" in told:
                self._events.append(told)
        raise TimeoutError(f"Chromium did not answer in {LIMIT_S} s: {self._log.read_text(errors='replace')[-2000:]}")

    def _messages(self, stop: float) -> Iterator[dict[str, Any]]:
        import select

        while True:
            while b"\0" in self._buffer:
                message, _, self._buffer = self._buffer.partition(b"\0")
                yield json.loads(message)
            ready, _, _ = select.select([self._from], [], [], max(0, stop - time.monotonic()))
            piece = os.read(self._from, 1 << 20) if ready else b""
            if not piece:
                return
            self._buffer += piece

    def _noted(self, told: dict[str, Any]) -> None:
        method, params = told.get("method"), told.get("params", {})
        if method == "Target.attachedToTarget" and told.get("sessionId") in self._pages:  # a worker: watched as well
            page = self._pages[params["sessionId"]] = self._pages[told["sessionId"]]
            for number, domain in ((-1, "Network"), (-2, "Runtime")):
                message = {"id": number, "method": f"{domain}.enable", "sessionId": params["sessionId"]}
                os.write(self._to, json.dumps(message).encode() + b"\0")
            return
        page = self._pages.get(told.get("sessionId", ""))
        if page is None:
            return
        if method == "Network.requestWillBeSent":
            page.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            page.complaints.append(str(params["exceptionDetails"].get("exception", params["exceptionDetails"])))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            page.complaints.append(params["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] == "error":
            page.complaints.append(str([part.get("value") for part in params["args"]]))


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """Give a browser with a profile of its own; it and its children are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as folder:
        browser = Browser(Path(folder), *flags)
        try:
            yield browser
        finally:
            browser.close()
