"""A running service and a headless Chromium for the tests of the page.

Without Chromium these tests are skipped with that reason, unless `CI` or `EXPECT_BROWSER` is set.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver

from deploy.local.stack import LocalStack
from tests.browser.axe import axe_script
from tests.browser.chromium import NoBrowserError, start_chromium
from tests.browser.page import Page, Pictures


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    try:
        driver = start_chromium(tmp_path_factory.mktemp("chromium"))
    except NoBrowserError as error:
        if os.environ.get("CI") or os.environ.get("EXPECT_BROWSER"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def service_url(driver: webdriver.Chrome) -> Iterator[str]:
    """Start the whole service with the model that needs no weights. `driver` skips first if there is no browser."""
    with LocalStack({"SAM_MODEL": "fake"}, mask_workers=True) as stack:
        yield stack.url


@pytest.fixture(scope="session")
def axe(driver: webdriver.Chrome) -> str:  # after `driver`: nothing needs to be fetched without a browser
    """Return the text of axe-core."""
    return axe_script()


@pytest.fixture
def page(driver: webdriver.Chrome, service_url: str) -> Iterator[Page]:
    """Load the page afresh on a desktop screen. Every test must leave no error in the console."""
    page = Page(driver, service_url)
    page.use_screen(1280, 800)
    page.load()
    yield page
    assert page.console_errors() == []


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    return Pictures(tmp_path)
