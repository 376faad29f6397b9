"""A running service and a headless Chromium for the tests of the page.

Without Chromium these tests are skipped, with that reason, unless `CI` or `EXPECT_BROWSER` is set.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver

from deploy.local.stack import LocalStack
from tests.browser.page import Page, Pictures

CHROMIUM_ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,800",
)


def _browser_paths() -> tuple[str, str]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if chromium and driver:
        return chromium, driver
    reason = "Chromium and chromedriver are not installed (Debian: apt-get install chromium chromium-driver)"
    if os.environ.get("CI") or os.environ.get("EXPECT_BROWSER"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    chromium, chromedriver = _browser_paths()
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (*CHROMIUM_ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    driver.set_script_timeout(20)
    driver.set_page_load_timeout(20)
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def service_url(driver: webdriver.Chrome) -> Iterator[str]:
    """The whole service, with the model that needs no weights. After `driver`: no browser, no need for it."""
    with LocalStack({"SAM_MODEL": "fake"}) as stack:
        yield stack.url


@pytest.fixture
def page(driver: webdriver.Chrome, service_url: str) -> Iterator[Page]:
    """The page, freshly loaded on a desktop screen. Whatever a test did, it must leave no error in the console."""
    page = Page(driver, service_url)
    page.use_screen(1280, 800)
    page.load()
    yield page
    assert page.console_errors() == []


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    return Pictures(tmp_path)
