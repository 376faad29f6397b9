"""`/docs` in a real browser: it is complete, loads nothing from elsewhere, and is accessible on every screen."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.browser.axe import violations
from tests.browser.page import Page
from tests.unit.api.test_openapi import operations

SCREENS = {"desktop": (1440, 900, False), "phone": (390, 844, True)}

_LOADED = 'return performance.getEntriesByType("resource").map((entry) => new URL(entry.name).origin)'
_OVERFLOW = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture
def reference(driver: webdriver.Chrome, service_url: str) -> Iterator[Page]:
    page = Page(driver, service_url)
    page.use_screen(1440, 900)
    driver.get_log("browser")
    driver.get(f"{service_url}/docs")
    yield page
    assert page.console_errors() == []


def test_it_asks_nobody_but_the_service(reference: Page, service_url: str) -> None:
    assert set(reference.script(_LOADED)) == {service_url}


def test_every_operation_is_shown_under_a_heading(reference: Page, service_url: str) -> None:
    with urllib.request.urlopen(f"{service_url}/openapi.json", timeout=20) as answer:
        document = json.load(answer)
    for method, path, operation in operations(document):
        heading, route = reference.script(
            "const e = document.getElementById(arguments[0]);"
            'return [e.querySelector("h3").innerText, e.querySelector(".route").innerText.split(/\\s+/)]',
            operation["operationId"],
        )
        assert (heading, route) == (operation["summary"], [method, path])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
def test_nothing_keeps_people_out(reference: Page, axe: str, screen: str, scheme: str) -> None:
    width, height, phone = SCREENS[screen]
    reference.use_screen(width, height, phone=phone, scheme=scheme)
    reference.script('document.querySelectorAll("details").forEach((part) => { part.open = true; })')
    reference.next_frame()
    assert violations(reference, axe) == []
    assert reference.script(_OVERFLOW) == 0, "the page scrolls sideways"


def test_the_keyboard_skips_the_contents(driver: webdriver.Chrome, reference: Page) -> None:
    ActionChains(driver).send_keys(Keys.TAB, Keys.ENTER).perform()
    reference.wait_until(lambda: reference.script("return location.hash") == "#content")
    ActionChains(driver).send_keys(Keys.TAB).perform()
    reference.wait_until(lambda: reference.script('return document.activeElement.closest("main") !== null'))
