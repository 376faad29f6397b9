"""Measures how far the preview of a mask lags behind the pointer: `python -m tests.browser.measure_hover PHOTO`.

The pointer circles over the photo for twelve seconds, sixty times a second. For each preview the page notes the time
from the pointer's event to the painted mask. Nothing else should run on the machine.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from deploy.local.stack import LocalStack
from tests.browser.chromium import start_chromium
from tests.browser.page import Page

SECONDS = 12

_CIRCLE = """
const [seconds, done] = arguments;
const stage = document.getElementById("stage");
const frame = document.getElementById("picture").getBoundingClientRect();
const start = performance.now();
const timer = setInterval(() => {
  const t = (performance.now() - start) / 1000;
  const clientX = frame.left + frame.width * (0.5 + 0.3 * Math.cos(1.3 * t));
  const clientY = frame.top + frame.height * (0.5 + 0.3 * Math.sin(1.7 * t));
  stage.dispatchEvent(new PointerEvent("pointermove", {clientX, clientY, pointerType: "mouse", bubbles: true}));
  if (t < seconds) return;
  clearInterval(timer);
  done(performance.getEntriesByName("hover-lag").map((entry) => entry.duration));
}, 1000 / 60);
"""


def measure(page: Page) -> list[float]:
    """Return the lag of each preview on the open picture, in ms, the smallest first."""
    lags: list[float] = page.script_until_done(_CIRCLE, SECONDS)
    return sorted(lags)


if __name__ == "__main__":
    with LocalStack() as stack, tempfile.TemporaryDirectory() as scratch:
        driver = start_chromium(Path(scratch))
        try:
            page = Page(driver, stack.url, patience=120)
            page.use_screen(1440, 900)
            page.load()
            lags = measure(page.open(Path(sys.argv[1]).resolve()))
        finally:
            driver.quit()
    median, ninth = statistics.median(lags), lags[len(lags) * 9 // 10]
    sys.stdout.write(f"{len(lags)} previews: lag {median:.0f} ms (median), {ninth:.0f} ms (p90)\n")
