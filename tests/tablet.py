"""A browser that stands in for a tablet, and what fingers do on it."""

from __future__ import annotations

import shutil
import time
from typing import Any

import pytest

from mammogan.report.provenance import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SIZES = {
    "iPad": (834, 1194),
    "iPad on its side": (1194, 834),
    "phone": (390, 844),
    "phone on its side": (844, 390),
    "Split View": (507, 1194),
}
PAIRS = 4
# What the modules of the page export, once the page has loaded them.
MODULES = """async () => {
    if (document.readyState !== "complete") return null;
    const names = ["state", "viewer", "only_window", "cover", "clock", "pictures"];
    const parts = await Promise.all(names.map((name) => import(new URL(`${name}.js`, document.baseURI))));
    const { state, study, save, viewers, mine, covered, seconds, progressOf } = Object.assign({}, ...parts);
    return EXPRESSION;
}"""
needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="Chromium is missing")


class Tablet:
    """A page in a browser, with its errors and its requests to other origins."""

    def __init__(
        self,
        browser: Any,
        address: str,
        size: tuple[int, int] = (1194, 834),
        touch: bool = False,
        worker: bool = False,
        speed: float = 0,
    ) -> None:
        """Open an address; `worker` allows the service worker, which hides requests from the routes of Playwright.

        From the first request on, the network has the given speed, bytes per second; 0 is as fast as it can.
        """
        width, height = size
        self.address, self.troubles = address, []
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, has_touch=touch, service_workers="allow" if worker else "block"
        )
        self.context.set_default_timeout(60_000)
        self.page = self.context.new_page()
        self.page.on("request", self.requested)
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("console", self.said)
        self.network = self.context.new_cdp_session(self.page)
        if speed:
            self.limit(speed)
        self.page.goto(address)

    def limit(self, speed: float) -> None:
        """Limit the network to a speed, bytes per second, with 60 ms of latency."""
        conditions = {"downloadThroughput": speed, "uploadThroughput": speed, "latency": 60, "offline": False}
        self.network.send("Network.emulateNetworkConditions", conditions)

    def requested(self, request: Any) -> None:
        origin = self.address.rpartition("/")[0]
        if not request.url.startswith((origin, "data:", "blob:")):
            self.troubles.append(f"outside: {request.url}")

    def said(self, message: Any) -> None:
        # A lost network is reported by the browser itself.
        if message.type == "error" and "net::ERR" not in message.text:
            self.troubles.append(message.text)

    def fill(self, radiologist: bool = False) -> None:
        page = self.page
        page.click("#begin")
        page.check(f"input[name=radiologist][value={'yes' if radiologist else 'no'}]")
        if radiologist:
            page.check("input[value=trainee]")
            page.check("input[name=breast_specialist][value=yes]")
            page.check("input[name=screening][value=no]")
        page.fill("#about-years", "3")
        page.click("#start")
        self.pair(1)

    def js(self, expression: str) -> Any:
        """Evaluate an expression of what the modules of the page export; None while the page is being loaded."""
        return self.page.evaluate(MODULES.replace("EXPRESSION", expression))

    def until(self, condition: str) -> None:
        """Wait for a condition. (Playwright's own function needs eval, which the page's policy forbids.)"""
        from playwright.sync_api import Error

        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                if self.js(f"Boolean({condition})"):
                    return
            except Error:  # the page is being loaded
                pass
            self.page.wait_for_timeout(50)
        raise AssertionError(f"never came true: {condition}")

    def pair(self, number: int) -> None:
        """Wait until a pair can be answered."""
        self.page.locator("#pairs-title", has_text=f"Pair {number} of {PAIRS}").wait_for()
        for side in ("left", "right"):
            self.page.locator(f"#{side}[aria-busy=false]").wait_for()

    def answer(self, number: int, side: str) -> None:
        self.pair(number)
        self.page.check(f"input[name=side][value={side}]")
        self.page.click("#confirm")
        self.page.click("#next")

    def settled(self) -> None:
        """Wait until every answer is acknowledged."""
        self.until("state.answers.every((answer) => answer.sent)")

    def view(self, side: str) -> dict[str, float]:
        """Return zoom, relative to the whole image, and center of one viewer."""
        return self.js(
            f"(() => {{ const v = viewers.{side}.osd.viewport, c = v.getCenter();"
            " return { zoom: v.getZoom() / v.getHomeZoom(), x: c.x, y: c.y }; })()"
        )


def axe(tablet: Tablet) -> list[tuple[str, str]]:
    """Return the violations that axe-core reports, evaluated outside the content security policy of the page."""
    tablet.page.evaluate((ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text())
    violations = tablet.page.evaluate("axe.run({preload: false})")["violations"]
    return [(violation["id"], node["html"][:160]) for violation in violations for node in violation["nodes"]]


def fingers_do(fingers: Any, kind: str, *points: tuple[float, float]) -> None:
    """Send a touch of any number of fingers, as the screen would."""
    positions = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
    fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": positions})


def pinch(tablet: Tablet, x: float, y: float) -> None:
    """Spread two fingers around a point of the screen."""
    fingers = tablet.context.new_cdp_session(tablet.page)
    fingers_do(fingers, "touchStart", (x - 10, y), (x + 10, y))
    for spread in range(12, 100, 8):
        fingers_do(fingers, "touchMove", (x - spread, y), (x + spread, y))
        tablet.page.wait_for_timeout(16)
    fingers_do(fingers, "touchEnd")
    tablet.page.wait_for_timeout(100)
