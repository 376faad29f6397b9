"""What the API serves to browsers that decode: the split decoder, the runtime, and embeddings tied to their weights."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from prompt_api.models.browser_runtime import RUNTIME, compressed
from prompt_api.models.interface import SplitDecoder
from prompt_api.models.two_way.graph_cache import DecoderGraphs
from prompt_api.service.browser import RETRY_SECONDS, BrowserDecoding
from shared.contract.errors import WeightsError
from shared.contract.models import FAKE
from tests.support.world import World, png

MODULE = b"export const ort = 1;\n" * 100
WASM = b"\0asm" * 1000
PARTS = ("image_side", "mask_side", "prompt_side")
BASE = f"/static/runtime/{RUNTIME.version}"


@dataclass
class Fetching:
    """A fake fetch of the runtime, and its clock. The test decides when the fetch ends and whether it fails."""

    folder: Path
    failure: Exception | None = None
    may_end: Event = field(default_factory=Event)
    calls: int = 0
    now: float = 1000.0

    def __call__(self) -> Path:
        self.calls += 1
        assert self.may_end.wait(60)
        if self.failure is not None:
            raise self.failure
        return self.folder


@dataclass
class Browser:
    world: World
    decoding: BrowserDecoding
    fetching: Fetching

    def get(self, path: str, **headers: str) -> Any:
        return self.world.client.get(path, headers=headers, buffered=True)

    def described(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.get("/v1/models/fake/decoder").json
        return answer

    def fetched(self) -> dict[str, Any]:
        """Let the fetch end and return the decoder's description after it."""
        self.fetching.may_end.set()
        while (description := self.described())["status"] == "fetching":
            pass
        return description


def _graphs(folder: Path) -> DecoderGraphs:
    return DecoderGraphs(**{part.name: folder / f"{part.name}.onnx" for part in fields(DecoderGraphs)})


@pytest.fixture
def browser(make_world: Callable[..., World], tmp_path: Path) -> Iterator[Browser]:
    graphs = _graphs(tmp_path)
    for name, path in graphs.split.items():
        path.write_bytes(name.encode() * 50)
        path.with_suffix(".sha256").write_text(hashlib.sha256(path.read_bytes()).hexdigest())
    for file in RUNTIME.files:
        content = WASM if file.name.endswith(".wasm") else MODULE
        compressed(tmp_path, file.name).write_bytes(gzip.compress(content))
    fetching = Fetching(tmp_path)
    decoding = BrowserDecoding(
        {"fake": SplitDecoder(graphs.split_digest, graphs.split)}, fetching, clock=lambda: fetching.now
    )
    yield Browser(make_world(browser=decoding), decoding, fetching)
    fetching.may_end.set()


def test_the_service_says_what_browsers_decode_with(browser: Browser) -> None:
    assert browser.described()["status"] == "fetching"
    description = browser.fetched()
    assert (description["status"], description["detail"]) == ("ready", None)
    assert description["weights_digest"] == FAKE.weights_digest
    assert description["runtime"] == RUNTIME.version
    assert description["parts"] == {name: 50 * len(name) for name in PARTS}


def test_the_parts_are_immutable_under_their_digest(browser: Browser) -> None:
    digest = browser.described()["digest"]
    for name in PARTS:
        path = f"/v1/models/fake/decoder/{digest}/{name}.onnx"
        answer = browser.get(path)
        assert answer.data == name.encode() * 50
        assert "immutable" in answer.headers["Cache-Control"]
        assert "private" in answer.headers["Cache-Control"]
        assert browser.get(path, **{"If-None-Match": answer.headers["ETag"]}).status_code == 304
        assert browser.get(path, Range="bytes=0-9").data == answer.data[:10]


@pytest.mark.parametrize("path", ["0" * 32 + "/image_side", "{digest}/decoder", "{digest}/..%2Fdecoder"])
def test_another_digest_or_part_is_not_there(browser: Browser, path: str) -> None:
    path = path.format(digest=browser.described()["digest"])
    assert browser.get(f"/v1/models/fake/decoder/{path}.onnx").status_code == 404


def test_the_digest_changes_with_any_part(browser: Browser, tmp_path: Path) -> None:
    graphs = _graphs(tmp_path)
    before = graphs.split_digest
    graphs.mask_side.with_suffix(".sha256").write_text("0" * 64)
    assert graphs.split_digest != before


def test_the_runtime_is_served_with_its_types_compressed_and_immutable(browser: Browser) -> None:
    browser.fetched()
    for file in RUNTIME.files:
        content, kind = (WASM, "application/wasm") if file.name.endswith("wasm") else (MODULE, "text/javascript")
        plain = browser.get(f"{BASE}/{file.name}")
        packed = browser.get(f"{BASE}/{file.name}", **{"Accept-Encoding": "gzip, br"})
        assert (plain.data, gzip.decompress(packed.data)) == (content, content)
        assert "Content-Encoding" not in plain.headers
        assert packed.headers["Content-Encoding"] == "gzip"
        assert plain.headers["ETag"] != packed.headers["ETag"]
        for answer in (plain, packed):
            assert answer.mimetype == kind
            assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            assert "Accept-Encoding" in answer.headers["Vary"]
            # The runtime starts its threads as web workers from this same file.
            assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
            assert "wasm-unsafe-eval" in answer.headers["Content-Security-Policy"]


def test_a_client_that_takes_nothing_compressed_is_told_once(browser: Browser) -> None:
    browser.fetched()
    path = f"{BASE}/{RUNTIME.files[0].name}"
    answer = browser.get(path, Range="bytes=0-9", **{"Accept-Encoding": "gzip"})
    assert (answer.status_code, answer.data) == (200, MODULE)
    again = browser.get(path, **{"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize("path", ["0.0.1/ort.wasm.min.mjs", f"{RUNTIME.version}/decoder.onnx"])
def test_nothing_else_is_served_with_it(browser: Browser, path: str) -> None:
    browser.fetched()
    assert browser.get(f"/static/runtime/{path}").status_code == 404


def test_before_it_is_there_the_runtime_is_not_found(browser: Browser) -> None:
    assert browser.get(f"{BASE}/ort.wasm.min.mjs").status_code == 404


def test_it_is_fetched_once_however_many_ask(browser: Browser) -> None:
    browser.decoding.start()
    for _ in range(3):
        browser.described()
    browser.fetched()
    browser.described()
    assert browser.fetching.calls == 1


def test_a_runtime_that_cannot_be_fetched_says_why_and_is_tried_again_later(browser: Browser) -> None:
    browser.fetching.failure = WeightsError("npm could not fetch it: no network")
    assert browser.fetched()["detail"] == "npm could not fetch it: no network"
    assert browser.described()["status"] == "unavailable"
    assert browser.fetching.calls == 1

    browser.fetching.failure = None
    browser.fetching.now += RETRY_SECONDS + 1
    assert browser.described()["status"] == "fetching"
    assert browser.fetched()["status"] == "ready"


def test_a_fetch_that_breaks_in_an_unknown_way_does_not_look_like_one_that_goes_on(browser: Browser) -> None:
    browser.fetching.failure = RuntimeError("bug")
    description = browser.fetched()
    assert description["status"] == "unavailable"
    assert "bug" not in description["detail"]


def test_a_model_without_a_decoder_says_so_and_nothing_is_fetched(world: World) -> None:
    description = world.client.get("/v1/models/fake/decoder").json
    assert description["status"] == "unavailable"
    assert description["detail"] == "model fake has no decoder for browsers"
    assert (description["digest"], description["parts"]) == (None, {})


def test_an_embedding_is_given_only_for_the_weights_asked_for(world: World) -> None:
    image_id = world.ready_image(png())
    path = f"/v1/images/{image_id}/embedding?weights="
    assert world.client.get(path + FAKE.weights_digest).status_code == 200
    other = world.client.get(path + "0" * 64)
    assert (other.status_code, other.json["code"]) == (404, "model-not-found")
