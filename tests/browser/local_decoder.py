"""Drives the page's own decoder in a real browser, beside the service that it must agree with."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
from selenium import webdriver

PATIENCE = 120
"""Seconds for a script. The first one fetches 30 MB and starts the runtime, and the machine may be busy."""

RUNTIME_SECONDS = 180.0
"""How many seconds the service may take to fetch the runtime itself."""

ENCODING_WAITS = 4
"""How often to wait 30 seconds for an encoding. It takes three seconds on a quiet machine."""

# `service.request` as the page has it. It also records every path that is requested.
_OPEN = """
const done = arguments[0];
import(new URL("static/local/index.js", location.href)).then((local) => {
  const { Problem } = window.problems;
  window.asked = [];
  window.service = {
    async request(path, options) {
      window.asked.push(path);
      if (path in window.instead) return new Response(JSON.stringify(window.instead[path]));
      const response = await fetch(path, options);
      if (!response.ok) throw new Problem((await response.json()).code, { status: response.status });
      return response;
    },
  };
  window.instead = {};
  window.local = local;
  window.decoder = local.createDecoder(window.service);
  done();
});
"""

_PROBLEMS = """
const done = arguments[0];
import(new URL("static/problems.js", location.href)).then((problems) => { window.problems = problems; done(); });
"""

# Runs the body of an asynchronous function and gives its result, or the error that rejected it.
_RUN = """
const [given, done] = arguments;
(async () => { BODY })().then(
  (value) => done({ value: value ?? null }),
  (error) => done({ problem: { name: error.name, code: error.code ?? null, detail: error.detail ?? String(error) } }),
);
"""


class Refused(Exception):
    """The script was rejected.

    Attributes:
        name: of the JavaScript error.
        code: of the `Problem`, None for anything else.
        detail: a sentence.
    """

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(problem)
        self.name, self.code, self.detail = problem["name"], problem["code"], problem["detail"]


class LocalPage:
    """A page of the service with a local decoder."""

    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        self._driver = driver
        self.url = url

    def load(self) -> None:
        """Load the page afresh, with a decoder that has loaded nothing."""
        self._driver.set_script_timeout(PATIENCE)
        self._driver.get(self.url + "/")
        self._driver.execute_async_script(_PROBLEMS)
        self._driver.execute_async_script(_OPEN)

    def run(self, body: str, **given: Any) -> Any:
        """Return the result of the body of an asynchronous JavaScript function, which sees `given`.

        Raises:
            Refused: the function was rejected.
        """
        answer = self._driver.execute_async_script(_RUN.replace("BODY", body), given)
        if "problem" in answer:
            raise Refused(answer["problem"])
        return answer["value"]

    def prepare(self, image: dict[str, Any]) -> list[float]:
        """Prepare the image and return the shares of the bytes that were reported."""
        shares: list[float] = self.run(
            """
            const shares = [];
            await decoder.prepare(given.image, { report: (share) => shares.push(share) });
            return shares;
            """,
            image=image,
        )
        return shares

    def masks(self, image: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self.run(
            "return decoder.masks(given.image, given.request, {});", image=image, request=request
        )
        return answer

    def answer_instead(self, path: str, answer: Any) -> None:
        """Answer requests for `path` with this from now on, as if the service had said it."""
        self.run("instead[given.path] = given.answer;", path=path, answer=answer)

    def asked(self) -> list[str]:
        """Return the paths that were requested from the service."""
        paths: list[str] = self.run("return asked;")
        return paths

    def loaded(self) -> dict[str, int]:
        """Return the bytes that came over the network for each file, by address. It is 0 from the browser's cache."""
        entries = self.run(
            "return performance.getEntriesByType('resource').map((entry) => [entry.name, entry.transferSize]);"
        )
        return {str(name).removeprefix(self.url): int(size) for name, size in entries}


def encoded(url: str, photo: Path) -> dict[str, Any]:
    """Have the service encode a photo and return its image resource."""
    for _ in range(ENCODING_WAITS):
        answer = httpx.post(f"{url}/v1/images?wait=30", content=photo.read_bytes(), timeout=60)
        resource: dict[str, Any] = answer.raise_for_status().json()
        if resource["status"] == "ready":
            return resource
    raise AssertionError(f"the photo is not encoded yet: {resource}")


def wait_for_runtime(url: str, model: str) -> dict[str, Any]:
    """Return what the service says about decoding in browsers, once it has fetched what they need."""
    deadline = time.monotonic() + RUNTIME_SECONDS
    while True:
        description: dict[str, Any] = httpx.get(f"{url}/v1/models/{model}/decoder").json()
        if description["status"] != "fetching" or time.monotonic() > deadline:
            assert description["status"] == "ready", description["detail"]
            return description
        time.sleep(0.2)
