"""Measures a large session: `python -m tests.browser.measure_session PHOTO [PICTURES] [OBJECTS]`.

The session has 500 pictures of that photo and 2,000 objects, unless other numbers are given. Their masks are real ones
of the photo. The page opens it and goes through sixty pictures. Then the memory of the tab and the lag of the preview
are measured, beside the same for one picture with as many objects as each of them. Nothing else should run on the
machine.

The memory is that of the tab's process: its private memory as the kernel counts it (anonymous pages, in memory or
swapped out), which is what the browser's own task manager shows, and the heap of the page's scripts.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image
from selenium import webdriver

from deploy.local.stack import LocalStack
from tests.browser.chromium import start_chromium
from tests.browser.measure_hover import measure as measure_lags
from tests.browser.page import Page
from tests.browser.stored_session import store_session

WALK = 60
CLICKS = 40
MIB = 2**20


@dataclass(frozen=True)
class Figures:
    private: float
    """MiB of private memory of the tab's process."""
    heap: float
    """MiB of the scripts' heap after a collection of garbage."""
    lags: list[float]
    """Sorted lags of the previews, in ms."""

    def text(self) -> str:
        median, ninth = statistics.median(self.lags), self.lags[len(self.lags) * 9 // 10]
        memory = f"{self.private:.0f} MiB in the tab, {self.heap:.0f} MiB heap"
        return f"{memory}; preview {median:.0f} ms (median), {ninth:.0f} ms (p90), {len(self.lags)} previews"


def answers_of(url: str, photo: Path) -> list[dict[str, Any]]:
    """Return what the service answers to clicks anywhere on the photo: {point, masks}."""
    random = np.random.default_rng(0)
    with httpx.Client(base_url=url, timeout=120) as service, Image.open(photo) as image:
        uploaded = service.post("/v1/images", content=photo.read_bytes(), headers={"Content-Type": "image/jpeg"}).json()
        service.get(f"/v1/images/{uploaded['image_id']}?wait=60")
        answers = []
        for _ in range(CLICKS):
            point = [round(float(random.uniform(0, side)), 1) for side in image.size]
            body = {"prompts": [{"points": [point], "labels": [1]}], "format": "rle"}
            answer = service.post(f"/v1/images/{uploaded['image_id']}/masks", json=body).json()
            answers.append({"point": point, "masks": answer["results"][0]["masks"]})
        return answers


def renderer_of(driver: webdriver.Chrome) -> int:
    """Return the process id of the tab: of the driver's descendants, the renderer with the most memory."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):  # a process that has ended meanwhile
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
            parents[int(fields["Pid"])] = int(fields["PPid"])

    def is_ours(pid: int) -> bool:
        return pid == driver.service.process.pid or (pid in parents and is_ours(parents[pid]))

    renderers = [
        pid for pid in parents if is_ours(pid) and b"--type=renderer" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return max(renderers, key=private_bytes)


def private_bytes(pid: int) -> int:
    fields = dict(line.split(":") for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return sum(int(fields[name].split()[0]) * 1024 for name in ("Anonymous", "Swap"))


def measure(driver: webdriver.Chrome, page: Page, walk: int) -> Figures:
    """Load the page with the session that is there, go through `walk` pictures, and measure."""
    page.use_screen(1440, 900)
    page.load(afresh=False)
    for _ in range(walk):
        before = page.text("name")
        page.press("n")
        page.wait_until(lambda before=before: page.text("name") != before and page.text("origin"))
    lags = measure_lags(page)
    driver.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
    heap = driver.execute_cdp_cmd("Runtime.getHeapUsage", {})["usedSize"]
    return Figures(private_bytes(renderer_of(driver)) / MIB, heap / MIB, lags)


def main(photo: Path, pictures: int, objects: int) -> None:
    with LocalStack() as stack, tempfile.TemporaryDirectory() as scratch:
        driver = start_chromium(Path(scratch))
        driver.set_script_timeout(600)
        try:
            page = Page(driver, stack.url, patience=120)
            answers, each = answers_of(stack.url, photo), objects // pictures
            for count in (1, pictures):
                page.load()
                store_session(page, count, photo, answers, each)
                figures = measure(driver, page, min(WALK, count - 1))
                sys.stdout.write(f"{count} pictures, {each} objects on each: {figures.text()}\n")
        finally:
            driver.quit()


if __name__ == "__main__":
    numbers = [int(text) for text in sys.argv[2:]]
    main(Path(sys.argv[1]).resolve(), *(numbers or [500, 2000]))
