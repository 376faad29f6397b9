"""The page as a person meets it: what can be done to it and what can be seen on it."""

from __future__ import annotations

import base64
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE = 20.0

_fresh = itertools.count()

# Writes down every fetch and upload of the page, and lets a test put something before a fetch.
_RECORDER = """
window.asked = []; window.running = 0; window.mostRunning = 0; window.beforeFetch = async () => null;
const plainFetch = window.fetch;
window.fetch = async (url, options = {}) => {
  const entry = {method: options.method ?? "GET", url: String(url), body: options.body ?? null, answer: null};
  window.asked.push(entry);
  window.mostRunning = Math.max(window.mostRunning, ++window.running);
  try {
    const response = (await window.beforeFetch(entry)) ?? (await plainFetch(url, options));
    response.clone().json().then((answer) => { entry.answer = answer; }, () => {});
    return response;
  } finally {
    window.running--;
  }
};
const plainOpen = XMLHttpRequest.prototype.open;
XMLHttpRequest.prototype.open = function (method, url) {
  window.asked.push({method, url: String(url), body: null, answer: null});
  return plainOpen.apply(this, arguments);
};
"""


@dataclass(frozen=True)
class Pictures:
    """Files to open. Each picture differs from all others, so the service never knows it already."""

    folder: Path

    def photo(self, size: tuple[int, int] = (900, 600), name: str = "photo.jpg", **save: Any) -> Path:
        """A red block in the middle of a green field with a blue corner."""
        width, height = size
        image = Image.new("RGB", size, (40, 150, 60))
        draw = ImageDraw.Draw(image)
        draw.rectangle((width * 0.35, height * 0.3, width * 0.65, height * 0.7), fill=(210, 40, 40))
        draw.rectangle((0, 0, width * 0.2, height * 0.25), fill=(40, 60, 200))
        image.putpixel((width - 1, height - 1), (next(_fresh) % 256, np.random.default_rng().integers(256), 7))
        path = self.folder / name
        image.save(path, **save)
        return path

    def text(self) -> Path:
        path = self.folder / "notes.txt"
        path.write_text("not a picture")
        return path


class Page:
    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        self._driver = driver
        self.service_url = url

    def use_screen(self, width: int, height: int, *, phone: bool = False, scheme: str = "light") -> None:
        cdp = self._driver.execute_cdp_cmd
        metrics = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1, "mobile": phone}
        cdp("Emulation.setDeviceMetricsOverride", metrics)
        cdp("Emulation.setTouchEmulationEnabled", {"enabled": phone})
        feature = {"name": "prefers-color-scheme", "value": scheme}
        cdp("Emulation.setEmulatedMedia", {"features": [feature]})

    def load(self) -> None:
        self._driver.get_log("browser")
        self._driver.get(self.service_url + "/")
        self.wait_until(lambda: self.script("return document.documentElement.dataset.ready") == "yes")
        self.script(_RECORDER)

    def script(self, code: str, *arguments: Any) -> Any:
        return self._driver.execute_script(code, *arguments)

    def wait_until(self, condition: Any) -> None:
        WebDriverWait(self._driver, PATIENCE, poll_frequency=0.02).until(lambda _: condition())

    def console_errors(self) -> list[str]:
        """What the console holds against the page. Statuses that the contract defines are no fault of it."""
        entries = [entry for entry in self._driver.get_log("browser") if entry["level"] == "SEVERE"]
        return [
            entry["message"]
            for entry in entries
            if entry["source"] != "network" or "/v1/images" not in entry["message"]
        ]

    def screenshot(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._driver.save_screenshot(str(path))

    # What a person does

    def choose_file(self, path: Path) -> Self:
        self._find("file").send_keys(str(path))
        return self

    def open(self, path: Path) -> Self:
        """Choose a picture and wait until it can be prompted."""
        self.choose_file(path)
        self.wait_until(lambda: self.text("name") == path.name and self.text("origin"))
        return self

    def give(self, path: Path, *, event: str) -> None:
        """`drop` or `paste` a file on the page."""
        data = base64.b64encode(path.read_bytes()).decode()
        self.script(
            """
            const [name, data, type] = arguments;
            const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], name));
            const event = type === "paste"
              ? new ClipboardEvent("paste", {clipboardData: transfer, bubbles: true})
              : new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true});
            document.body.dispatchEvent(event);
            """,
            path.name,
            data,
            event,
        )

    def click(self, x: float, y: float, *, right: bool = False, alt: bool = False) -> None:
        """Click at a place of the picture, in shares of its width and height."""
        chain = self._at(x, y)
        if alt:
            chain.key_down(Keys.ALT).click().key_up(Keys.ALT)
        elif right:
            chain.context_click()
        else:
            chain.click()
        chain.perform()

    def hover(self, x: float, y: float) -> None:
        self._at(x, y).perform()

    def leave(self) -> None:
        ActionChains(self._driver, duration=0).move_to_element(self._find("another")).perform()

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        size = self.picture.size
        by = [round((b - a) * size[side]) for a, b, side in zip(start, end, ("width", "height"), strict=True)]
        self._at(*start).click_and_hold().move_by_offset(*by).release().perform()

    def tap(self, x: float, y: float) -> None:
        frame = self.script("return document.getElementById('picture').getBoundingClientRect().toJSON()")
        point = {"x": frame["x"] + x * frame["width"], "y": frame["y"] + y * frame["height"]}
        self._driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
        self._driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    def press(self, *keys: str) -> None:
        """Press keys one after the other; "Control+z" holds the first."""
        for key in keys:
            *held, last = [getattr(Keys, name.upper(), name) for name in key.split("+")]
            chain = ActionChains(self._driver, duration=0)
            for name in held:
                chain.key_down(name)
            chain.send_keys(last)
            for name in held:
                chain.key_up(name)
            chain.perform()

    def button(self, name: str) -> WebElement:
        return self._find(name)

    def choose_mask(self, index: int) -> None:
        self._driver.find_elements(By.CSS_SELECTOR, "#choices label")[index].click()

    # What a person sees

    @property
    def picture(self) -> WebElement:
        return self._find("picture")

    def text(self, name: str) -> str:
        return str(self.script("return document.getElementById(arguments[0]).textContent", name))

    def is_shown(self, name: str) -> bool:
        return self._find(name).is_displayed()

    def wait_for_masks(self, count: int) -> None:
        """Until the current prompt is answered by `count` masks."""
        self.wait_until(lambda: self.settled and len(self.scores()) == count)

    @property
    def settled(self) -> bool:
        return self.script("return document.getElementById('choices').getAttribute('aria-busy')") == "false"

    def scores(self) -> list[str]:
        return list(self.script("return [...document.querySelectorAll('#choices span')].map((e) => e.textContent)"))

    def chosen(self) -> int:
        return int(self.script("return [...document.querySelectorAll('#choices input')].findIndex((e) => e.checked)"))

    def marks(self) -> list[str]:
        """Classes of what is drawn over the picture: points and a box."""
        return list(self.script("return [...document.getElementById('marks').children].map((e) => e.className)"))

    def overlay_state(self) -> str:
        return str(self._find("overlay").get_attribute("data-state"))

    def overlay(self) -> NDArray[np.bool_]:
        """Where the overlay is painted: (H, W) in canvas pixels."""
        width, height, data = self.script(
            """
            const canvas = document.getElementById("overlay");
            const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            let text = "";
            for (let i = 3; i < data.length; i += 4) text += data[i] ? "1" : "0";
            return [canvas.width, canvas.height, text];
            """
        )
        return (np.frombuffer(data.encode(), np.uint8) == ord("1")).reshape(height, width)

    def requests(self, method: str, ending: str) -> list[dict[str, Any]]:
        """What the page asked of the service since it was loaded: {method, url, body, answer}."""
        asked = self.script("return window.asked")
        return [entry for entry in asked if entry["method"] == method and entry["url"].endswith(ending)]

    def _find(self, name: str) -> WebElement:
        return self._driver.find_element(By.ID, name)

    def _at(self, x: float, y: float) -> ActionChains:
        size = self.picture.size
        offset = round((x - 0.5) * size["width"]), round((y - 0.5) * size["height"])
        return ActionChains(self._driver, duration=0).move_to_element_with_offset(self.picture, *offset)
