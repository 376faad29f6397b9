"""The page as a person uses it: actions on it, and what is seen on it."""

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

from tests.browser.recorder import RECORDER

PATIENCE = 60.0
"""Seconds after which a test gives up; nothing asserted depends on it."""

_fresh = itertools.count()


@dataclass(frozen=True)
class Pictures:
    """Files to open. Each picture differs from all others, so that the service does not know it yet."""

    folder: Path

    def photo(self, size: tuple[int, int] = (900, 600), name: str = "photo.jpg", **save: Any) -> Path:
        """Write a picture of a red block in the middle of a green field with a blue corner."""
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
    """The page in a browser.

    A key or a click has done what its handler does at once when its method returns. What comes later, by a touch, a
    fetch, a worker, the browser's database, a frame or a queued event, has to be waited for with `wait_until`.
    """

    def __init__(self, driver: webdriver.Chrome, url: str, patience: float = PATIENCE) -> None:
        """`patience`: how many seconds to wait for anything."""
        self._driver = driver
        self._patience = patience
        self.service_url = url

    def use_screen(self, width: int, height: int, *, phone: bool = False, scheme: str = "light") -> None:
        cdp = self._driver.execute_cdp_cmd
        metrics = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1, "mobile": phone}
        cdp("Emulation.setDeviceMetricsOverride", metrics)
        cdp("Emulation.setTouchEmulationEnabled", {"enabled": phone})
        wanted = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in wanted.items()]
        cdp("Emulation.setEmulatedMedia", {"features": features})

    def load(self, *, afresh: bool = True) -> None:
        """Load the page. `afresh`: without the session that an earlier page kept in the browser."""
        self._driver.get_log("browser")
        self._driver.get("about:blank")
        if afresh:
            where = {"origin": self.service_url, "storageTypes": "indexeddb"}
            self._driver.execute_cdp_cmd("Storage.clearDataForOrigin", where)
        self._driver.get(self.service_url + "/")
        self.wait_until(lambda: self.script("return document.documentElement.dataset.ready") == "yes")
        self.script(RECORDER)

    def script(self, code: str, *arguments: Any) -> Any:
        return self._driver.execute_script(code, *arguments)

    def script_until_done(self, code: str, *arguments: Any) -> Any:
        """Run code that calls its last argument with the result, and return that."""
        return self._driver.execute_async_script(code, *arguments)

    def wait_until(self, condition: Any) -> None:
        WebDriverWait(self._driver, self._patience, poll_frequency=0.02).until(lambda _: condition())

    def next_frame(self) -> None:
        """Wait until the screen has been painted. What changes with a measured size is painted one frame later."""
        self.script_until_done("requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(arguments[0])))")

    def console_errors(self) -> list[str]:
        """Return the errors in the console, without the HTTP statuses that the contract defines."""
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

    def choose_files(self, *paths: Path) -> Self:
        self._find("file").send_keys("\n".join(map(str, paths)))
        return self

    def open(self, *paths: Path) -> Self:
        """Choose pictures and wait until the first can be prompted."""
        self.choose_files(*paths)
        self.wait_until(lambda: self.text("name") == paths[0].name and self.text("origin"))
        return self

    def choose_folder(self, folder: Path) -> None:
        self._find("folder").send_keys(str(folder))

    def give(self, *paths: Path, event: str) -> None:
        """`drop` or `paste` files on the page, all at once."""
        self.script(
            """
            const [files, type] = arguments;
            const transfer = new DataTransfer();
            for (const [name, data] of files) {
              const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
              transfer.items.add(new File([bytes], name));
            }
            const event = type === "paste"
              ? new ClipboardEvent("paste", {clipboardData: transfer, bubbles: true})
              : new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true});
            document.body.dispatchEvent(event);
            """,
            [(path.name, base64.b64encode(path.read_bytes()).decode()) for path in paths],
            event,
        )

    def click(self, x: float, y: float, *, right: bool = False, alt: bool = False, shift: bool = False) -> None:
        """Click at a place of the picture, given in shares of its width and height."""
        chain = self._at(x, y)
        if alt or shift:
            key = Keys.ALT if alt else Keys.SHIFT
            chain.key_down(key).click().key_up(key)
        elif right:
            chain.context_click()
        else:
            chain.click()
        chain.perform()

    def hover(self, x: float, y: float) -> None:
        self._at(x, y).perform()

    def leave(self) -> None:
        ActionChains(self._driver, duration=0).move_to_element(self._find("theme")).perform()

    def drag(self, start: tuple[float, float], end: tuple[float, float], *, space: bool = False) -> None:
        """Drag from one place of the picture to another. With the space bar held, the picture moves along."""
        frame = self.frame()
        by = [round((b - a) * frame[side]) for a, b, side in zip(start, end, ("width", "height"), strict=True)]
        chain = self._at(*start)
        if space:
            chain.key_down(Keys.SPACE)
        chain.click_and_hold().move_by_offset(*by).release()
        if space:
            chain.key_up(Keys.SPACE)
        chain.perform()

    def stroke(self, *places: tuple[float, float], right: bool = False) -> None:
        """Press the mouse at the first place of the picture, move it to the others in turn, and release it."""
        frame = self.frame()
        button = "right" if right else "left"
        kinds = ["mousePressed", *["mouseMoved"] * (len(places) - 1), "mouseReleased"]
        for kind, (x, y) in zip(kinds, (*places, places[-1]), strict=True):
            place = {"x": frame["x"] + x * frame["width"], "y": frame["y"] + y * frame["height"]}
            event = {"type": kind, "button": button, "buttons": 2 if right else 1, "clickCount": 1, **place}
            self._driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)

    def stroke_by_touch(self, *places: tuple[float, float]) -> None:
        """Draw over the picture with one finger."""
        self._touch("touchStart", places[0])
        for place in places[1:]:
            self._touch("touchMove", place)
        self._touch("touchEnd")

    def double_click(self, x: float, y: float) -> None:
        self._at(x, y).double_click().perform()

    def wheel(self, x: float, y: float, pixels: int) -> None:
        """Turn the wheel at a place of the picture. A negative number zooms in."""
        frame = self.frame()
        place = {"x": frame["x"] + x * frame["width"], "y": frame["y"] + y * frame["height"]}
        event = {"type": "mouseWheel", "deltaX": 0, "deltaY": pixels, **place}
        self._driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)

    def tap(self, x: float, y: float) -> None:
        """Touch a place of the picture."""
        self._touch("touchStart", (x, y))
        self._touch("touchEnd")

    def pinch(self, x: float, y: float, *, apart: float) -> None:
        """Move two fingers around a place of the picture until they are `apart` times as far from each other."""
        frame = self.frame()
        for kind, reach in (("touchStart", 0.1), ("touchMove", 0.1 * (1 + apart) / 2), ("touchMove", 0.1 * apart)):
            self._touch(kind, (x - reach, y), (x + reach, y), frame=frame)
        self._touch("touchEnd")

    def _touch(self, kind: str, *places: tuple[float, float], frame: dict[str, float] | None = None) -> None:
        frame = frame or self.frame()
        points = [
            {"x": frame["x"] + x * frame["width"], "y": frame["y"] + y * frame["height"], "id": number}
            for number, (x, y) in enumerate(places)
        ]
        self._driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def press(self, *keys: str) -> None:
        """Press keys one after the other. "Control+z" holds Control while z is pressed."""
        for key in keys:
            *held, last = [getattr(Keys, name.upper(), name) for name in key.split("+")]
            chain = ActionChains(self._driver, duration=0)
            for name in held:
                chain.key_down(name)
            chain.send_keys(last)
            for name in held:
                chain.key_up(name)
            chain.perform()

    def dismiss(self) -> None:
        """Close the open dialog by the Escape key. The browser tells the page of it a moment after the key."""
        before = self.script("return window.closings")
        self.press("Escape")
        self.wait_until(lambda: self.script("return window.closings") > before)

    def tab_to(self, name: str) -> None:
        """Press the tab key from the start of the page until the named element has the focus."""
        self.script("document.activeElement.blur()")
        for _ in range(40):
            if self.focused == name:
                return
            self.press("Tab")
        raise AssertionError(f"the tab key never reaches {name}")

    def button(self, name: str) -> WebElement:
        return self._find(name)

    def keep(self, label: str) -> None:
        """Keep the present mask under a label."""
        self.write("label", label)
        self.button("keep").click()

    def write(self, name: str, text: str) -> None:
        field = self._find(name)
        field.clear()
        field.send_keys(text)

    def choose_tool(self, name: str) -> None:
        self.script("document.querySelector(`input[name=tool][value=${arguments[0]}]`).click()", name)

    def in_row(self, row: int, part: str) -> WebElement:
        """Return a control of a kept object: `label`, `show`, `edit` or `delete`."""
        return self._driver.find_elements(By.CSS_SELECTOR, f".object .object-{part}")[row]

    def classes(self) -> list[str]:
        """Return the names of the classes, in the order of their keys, all read at one moment."""
        return list(self.script("return [...document.querySelectorAll('.class-name')].map((field) => field.value)"))

    def wait_until_kept(self) -> None:
        """Wait until the browser has stored everything that was done."""
        self.wait_until(lambda: self._find("session-note").get_attribute("data-state") == "kept")

    def thumbnails(self) -> list[WebElement]:
        return self._driver.find_elements(By.CSS_SELECTOR, ".frame-open")

    def thumbnail_labels(self) -> list[str]:
        """The label of each thumbnail, all read at one moment: the page may draw the strip anew at any time."""
        labels: list[str] = self.script(
            'return [...document.querySelectorAll(".frame-open")].map((frame) => frame.getAttribute("aria-label"))'
        )
        return labels

    def download(self, choice: str, folder: Path, name: str) -> Path:
        """Export in a format and wait for the file."""
        behaviour = {"behavior": "allow", "downloadPath": str(folder)}
        self._driver.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
        self.button("export").click()
        self._driver.find_element(By.CSS_SELECTOR, f"[data-format={choice}]").click()
        self.wait_until((folder / name).exists)
        return folder / name

    def choose_mask(self, index: int) -> None:
        self._driver.find_elements(By.CSS_SELECTOR, "#choices label")[index].click()

    # What a person sees

    def frame(self) -> dict[str, float]:
        """Return where the whole picture lies, in CSS pixels: x, y, width, height. It may extend beyond the stage."""
        frame: dict[str, float] = self.script(
            "return document.getElementById('picture').getBoundingClientRect().toJSON()"
        )
        return frame

    def labels(self) -> list[str]:
        """Return the labels of the kept objects, all read at one moment."""
        return list(self.script("return [...document.querySelectorAll('.object-label')].map((field) => field.value)"))

    @property
    def focused(self) -> str:
        return str(self.script("return document.activeElement.id"))

    def text(self, name: str) -> str:
        return str(self.script("return document.getElementById(arguments[0]).textContent", name))

    def is_shown(self, name: str) -> bool:
        return self._find(name).is_displayed()

    def wait_for_masks(self, count: int) -> None:
        """Wait until the current prompt is answered with `count` masks."""
        self.wait_until(lambda: self.settled and len(self.scores()) == count)

    @property
    def settled(self) -> bool:
        return self.script("return document.getElementById('choices').getAttribute('aria-busy')") == "false"

    def scores(self) -> list[str]:
        return list(self.script("return [...document.querySelectorAll('#choices span')].map((e) => e.textContent)"))

    def chosen(self) -> int:
        return int(self.script("return [...document.querySelectorAll('#choices input')].findIndex((e) => e.checked)"))

    def marks(self) -> list[str]:
        """Return the classes of the marks over the picture: points and a box."""
        return list(self.script("return [...document.getElementById('marks').children].map((e) => e.className)"))

    def overlay_state(self) -> str:
        return str(self._find("overlay").get_attribute("data-state"))

    def overlay(self, name: str = "overlay") -> NDArray[np.bool_]:
        """Return where the overlay is painted: (H, W) in canvas pixels, over the whole stage."""
        self.next_frame()
        width, height, data = self.script(
            """
            const canvas = document.getElementById(arguments[0]);
            const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            let text = "";
            for (let i = 3; i < data.length; i += 4) text += data[i] ? "1" : "0";
            return [canvas.width, canvas.height, text];
            """,
            name,
        )
        return (np.frombuffer(data.encode(), np.uint8) == ord("1")).reshape(height, width)

    def expected_overlay(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return what `overlay` is for this (H, W) mask of the picture: the mask at the centre of each canvas pixel."""
        stage = self.script("return document.getElementById('stage').getBoundingClientRect().toJSON()")
        shape = self.script("const c = document.getElementById('overlay'); return [c.height, c.width]")
        frame = self.frame()
        places = []
        for side, length, start, cells in (("height", shape[0], "y", 0), ("width", shape[1], "x", 1)):
            on_stage = (np.arange(length) + 0.5) * stage[side] / length
            places.append(
                np.floor((on_stage - frame[start] + stage[start]) * mask.shape[cells] / frame[side]).astype(int)
            )
        rows, columns = places
        inside = np.ix_((rows >= 0) & (rows < mask.shape[0]), (columns >= 0) & (columns < mask.shape[1]))
        expected = np.zeros(shape, bool)
        expected[inside] = mask[np.ix_(rows[inside[0][:, 0]], columns[inside[1][0]])]
        return expected

    def requests(self, method: str, ending: str) -> list[dict[str, Any]]:
        """Return the page's requests to the service since it was loaded: {method, url, body, answer}.

        Args:
            ending: of the path, without the query.
        """
        asked = self.script("return window.asked")
        return [
            entry for entry in asked if entry["method"] == method and entry["url"].partition("?")[0].endswith(ending)
        ]

    def _find(self, name: str) -> WebElement:
        return self._driver.find_element(By.ID, name)

    def _at(self, x: float, y: float) -> ActionChains:
        """Return actions with the pointer moved to a place of the picture, which must lie on the stage."""
        frame = self.frame()
        stage = self._find("stage")
        room = self.script("return arguments[0].getBoundingClientRect().toJSON()", stage)
        across = frame["x"] + x * frame["width"] - room["x"] - room["width"] / 2
        down = frame["y"] + y * frame["height"] - room["y"] - room["height"] / 2
        chain = ActionChains(self._driver, duration=0)
        return chain.move_to_element_with_offset(stage, round(across), round(down))
