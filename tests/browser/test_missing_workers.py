"""What the page says while no worker of the model is alive."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from selenium import webdriver

from tests.browser.page import Page, Pictures
from tests.support.stack import ObservedStack
from tests.support.workers import WorkerProcess

WAITING = "Waiting for a worker to be started"


@pytest.fixture
def stack(driver: webdriver.Chrome) -> Iterator[ObservedStack]:
    """Start a service without any worker. `driver` skips first if there is no browser."""
    with ObservedStack({"SAM_MODEL": "fake"}, workers=0) as stack:
        yield stack


def test_a_picture_that_no_worker_would_encode_says_so_until_one_is_there(
    driver: webdriver.Chrome, stack: ObservedStack, pictures: Pictures
) -> None:
    page = Page(driver, stack.url)
    page.use_screen(1280, 800)
    page.load()

    def waits() -> bool:
        return page.text("progress-text") == WAITING

    with WorkerProcess(stack.valkey_url, stack.queue_url) as worker:
        page.choose_files(pictures.photo(name="first.jpg"))
        page.wait_until(waits)
        assert page.text("progress-note") == "No worker of fake is running. New pictures wait."
        worker.start()
        page.wait_until(lambda: page.text("origin"))
        assert not page.is_shown("progress")

        worker.send(signal.SIGKILL)
        page.choose_files(pictures.photo(name="second.jpg"))
        page.wait_until(waits)
        worker.start()
        page.wait_until(lambda: page.text("name") == "second.jpg" and page.text("origin"))
    assert page.console_errors() == []
