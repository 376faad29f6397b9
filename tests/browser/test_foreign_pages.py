"""What a page of another origin gets done through a real browser: nothing."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from selenium import webdriver

from tests.browser.chromium import NAME_THAT_LEADS_HERE

UPLOAD = """
const [url, done] = arguments;
fetch(url + "/v1/images", {method: "POST", mode: "no-cors", body: "a picture of " + location.host})
  .then(() => done("answered"), () => done("the answer was kept from the page"));
"""
READ = """
const done = arguments[0];
fetch("/v1/models").then(async (answer) => done([answer.status, (await answer.json()).code ?? ""]),
                         (error) => done(String(error)));
"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def refusals(url: str) -> int:
    """How many requests the service has refused because of their page."""
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return int(sum(float(line.split()[-1]) for line in lines if "_total{" in line and 'code="foreign-origin"' in line))


@pytest.fixture
def other_site(tmp_path: Path) -> Iterator[str]:
    """A page on another port: another origin, though the same site."""
    (tmp_path / "index.html").write_text("<title>another site</title>")
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("page_host", ["127.0.0.1", NAME_THAT_LEADS_HERE], ids=["same site", "cross site"])
def test_a_page_of_another_origin_uploads_nothing(
    driver: webdriver.Chrome, service_url: str, other_site: str, page_host: str
) -> None:
    before = refusals(service_url)
    driver.get(other_site.replace("127.0.0.1", page_host))
    host = driver.execute_script("return location.host")
    assert driver.execute_async_script(UPLOAD, service_url) == "the answer was kept from the page"
    refused = hashlib.sha256(f"a picture of {host}".encode()).hexdigest()
    assert httpx.get(f"{service_url}/v1/images/{refused}").json()["code"] == "image-not-found"
    assert refusals(service_url) == before + 1


def test_a_name_that_was_rebound_to_this_machine_reads_nothing(driver: webdriver.Chrome, service_url: str) -> None:
    """The browser takes the service for the page's own server, as after DNS rebinding."""
    port = service_url.rpartition(":")[2]
    driver.get(f"http://{NAME_THAT_LEADS_HERE}:{port}/healthz")  # told under any name: stands for the page
    driver.execute_cdp_cmd("Page.setBypassCSP", {"enabled": True})  # a page of its own has no policy of this service
    driver.refresh()
    try:
        assert driver.execute_async_script(READ) == [421, "unknown-host"]
    finally:
        driver.execute_cdp_cmd("Page.setBypassCSP", {"enabled": False})
    driver.get(f"http://{NAME_THAT_LEADS_HERE}:{port}/")
    assert "unknown-host" in driver.page_source
    driver.get_log("browser")  # the refusals
