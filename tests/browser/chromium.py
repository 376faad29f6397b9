"""A headless Chromium, driven by Selenium."""

from __future__ import annotations

import shutil
from pathlib import Path

from selenium import webdriver

NAME_THAT_LEADS_HERE = "rebound.test"
"""A name that the browser resolves to 127.0.0.1, like one of a page that does DNS rebinding."""

ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,800",
    f"--host-resolver-rules=MAP {NAME_THAT_LEADS_HERE} 127.0.0.1",
)


class NoBrowserError(Exception):
    """Chromium or its driver is missing."""


def start_chromium(profile: Path) -> webdriver.Chrome:
    """Start a browser with an empty profile in that folder. `quit` ends it.

    Raises:
        NoBrowserError: Chromium and chromedriver are not both installed.
    """
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    chromedriver = shutil.which("chromedriver")
    if not chromium or not chromedriver:
        raise NoBrowserError(
            "Chromium and chromedriver are not installed (Debian: apt-get install chromium chromium-driver)"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (*ARGUMENTS, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    driver.set_script_timeout(60)
    driver.set_page_load_timeout(60)
    return driver
