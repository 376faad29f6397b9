"""Label Studio's editor in a headless Chromium, used as an annotator does."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from selenium import webdriver
from selenium.common.exceptions import ElementClickInterceptedException, StaleElementReferenceException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.label_studio.studio import EMAIL, Studio

PATIENCE = 120.0
SIZE = (1200, 860)

_SERIALIZED = "return JSON.parse(JSON.stringify(Htx.annotationStore.selected.serializeAnnotation()))"
_SUGGESTED = "return [...Htx.annotationStore.selected.suggestions.values()].map(area => area.type)"

_SHOWN = "return Htx.annotationStore.selected.regions.map((area) => [area.type, [...(area.labels ?? [])]])"
_ASKED = "return performance.getEntriesByType('resource').map((entry) => new URL(entry.name).pathname)"
_STAGE = "const [image] = Htx.annotationStore.selected.objects; return [image.stageWidth, image.stageHeight]"
_IS_SHOWN = "return window.Htx?.annotationStore.selected?.objects.every((image) => image.imageIsLoaded)"
_AUTO_ANNOTATE = """
const toggle = document.querySelector("[data-testid=bottombar-auto-annotation-toggle]");
if (!toggle.checked) toggle.click();
"""
_ACCEPT = "[data-testid=bottombar-accept-suggestions-button]"


class Editor:
    """The editor with one open task."""

    def __init__(self, driver: webdriver.Chrome, studio: Studio) -> None:
        self._driver = driver
        self._studio = studio

    def sign_in(self) -> None:
        self._driver.get(f"{self._studio.url}/user/login/")
        self._find("input[name=email]").send_keys(EMAIL)
        self._find("input[name=password]").send_keys(self._studio.password + Keys.ENTER)
        self._until(lambda: "/user/login" not in self._driver.current_url)

    def look_at(self, project: int, task: int) -> None:
        """Open the task."""
        self._driver.get(f"{self._studio.url}/projects/{project}/data?task={task}")
        self._until(self._image_is_shown)

    def open(self, project: int, task: int) -> None:
        """Open the task and switch auto-annotation on."""
        self.look_at(project, task)
        self._driver.execute_script(_AUTO_ANNOTATE)
        self._until(lambda: bool(self._smart_tools()))

    def choose(self, tool: str, label: str) -> None:
        """Choose a smart tool, `key-point-tool` or `rectangle-tool`, and one of its labels."""
        self._until(lambda: self._pick(tool))
        keys = {"key-point-tool": "keypointlabels", "rectangle-tool": "rectanglelabels"}
        self._driver.execute_script(
            """
            const [kind, label] = arguments;
            const tags = [...Htx.annotationStore.selected.names.values()];
            const wanted = tags.find((tag) => tag.type === kind) ?? tags.find((tag) => tag.type === "labels");
            wanted.children.find((child) => child.value === label).toggleSelected();
            """,
            keys[tool],
            label,
        )

    def click(self, x: float, y: float, *, negative: bool = False) -> None:
        """Click at these shares of the image's width and height. A negative click holds Alt."""
        actions = self._at(x, y)
        if negative:
            actions.key_down(Keys.ALT).click().key_up(Keys.ALT)
        else:
            actions.click()
        actions.perform()

    def drag(self, start: tuple[float, float], stop: tuple[float, float]) -> None:
        actions = self._at(*start).click_and_hold()
        actions.move_to_element_with_offset(self._canvas(), *self._offset(*stop)).release().perform()

    def wait_for_suggestions(self, count: int = 1) -> list[str]:
        """Return the kinds of the regions that wait to be accepted."""

        def found() -> list[str]:
            kinds: list[str] = self._driver.execute_script(_SUGGESTED)
            return kinds

        self._until(lambda: len(found()) == count)
        return found()

    def drawn(self) -> list[dict[str, Any]]:
        """Return the regions as they are now, including the drawn prompts."""
        regions: list[dict[str, Any]] = self._driver.execute_script(_SERIALIZED)
        return regions

    def asked(self) -> list[str]:
        """Return the paths that the editor asked Label Studio for, without their queries."""
        paths: list[str] = self._driver.execute_script(_ASKED)
        return paths

    def shown_regions(self) -> list[tuple[str, list[str]]]:
        """Return the kind and the labels of each region that is shown."""
        regions: list[list[Any]] = self._driver.execute_script(_SHOWN)
        return [(str(kind), [str(label) for label in labels]) for kind, labels in regions]

    def accept(self) -> None:
        """Accept the suggestions."""
        self._find(_ACCEPT).click()
        self._until(lambda: not self._driver.execute_script(_SUGGESTED))

    def submit(self) -> None:
        self._find("[data-testid=bottombar-submit-button]").click()
        self._until(lambda: bool(self._driver.find_elements(By.CSS_SELECTOR, "[data-testid=bottombar-update-button]")))

    def take_picture(self, path: Path) -> None:
        """Save a screenshot that is small enough to keep with the documents."""
        shot = Image.open(io.BytesIO(self._driver.get_screenshot_as_png())).convert("RGB")
        shot.save(path, quality=82, optimize=True)

    def _smart_tools(self) -> list[WebElement]:
        return self._driver.find_elements(By.CSS_SELECTOR, ".lsf-tool_smart")

    def _pick(self, tool: str) -> bool:
        """Click on a smart tool. Return False if it is still folded away."""
        tools = self._smart_tools()
        if len(tools) > 1:
            ActionChains(self._driver).move_to_element(tools[0]).perform()
            tools = self._driver.find_elements(By.CSS_SELECTOR, f".lsf-tool_smart[aria-label={tool}]")
        if not tools or not tools[0].is_displayed():
            return False
        tools[0].click()
        return True

    def _image_is_shown(self) -> bool:
        return bool(self._driver.execute_script(_IS_SHOWN))

    def _canvas(self) -> WebElement:
        return self._driver.find_elements(By.CSS_SELECTOR, "canvas")[-1]

    def _at(self, x: float, y: float) -> ActionChains:
        return ActionChains(self._driver).move_to_element_with_offset(self._canvas(), *self._offset(x, y))

    def _offset(self, x: float, y: float) -> tuple[int, int]:
        """Return the offset from the middle of the canvas, which may be wider than the image on it."""
        box = self._canvas().rect
        width, height = self._driver.execute_script(_STAGE)
        return round(x * width - box["width"] / 2), round(y * height - box["height"] / 2)

    def _find(self, selector: str) -> WebElement:
        return WebDriverWait(self._driver, PATIENCE).until(lambda d: d.find_element(By.CSS_SELECTOR, selector))

    def _until(self, condition: Any) -> None:
        # The editor draws and moves its tools anew whenever it learns something.
        redrawn = [StaleElementReferenceException, ElementClickInterceptedException]
        WebDriverWait(self._driver, PATIENCE, ignored_exceptions=redrawn).until(lambda _: condition())


@contextmanager
def chromium(profile: Path) -> Iterator[webdriver.Chrome]:
    """Start a headless Chromium with a profile of its own, and quit it at the end."""
    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    service = shutil.which("chromedriver")
    assert binary, "Chromium is not installed"
    assert service, "chromedriver is not installed"
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    size = f"--window-size={SIZE[0]},{SIZE[1]}"
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", size):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={profile}")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(service))
    driver.set_script_timeout(PATIENCE)
    driver.set_page_load_timeout(PATIENCE)
    try:
        yield driver
    finally:
        driver.quit()
