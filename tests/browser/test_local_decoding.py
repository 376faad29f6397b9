"""Decoding in the browser, with real weights in a real Chromium, compared with the masks of the service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco
from selenium import webdriver
from skimage import data

from deploy.local.photo import PHOTO
from deploy.local.stack import LocalStack
from prompt_api.models.browser_runtime import RUNTIME
from tests.browser.local_decoder import ENCODING_WAITS, LocalPage, Refused, encoded, wait_for_runtime
from tests.browser.page import Page

IMAGES = ("landscape", "portrait")
ROUNDS = 2
CLICK = {"prompts": [{"points": [[300, 200]], "labels": [1]}], "multimask": False}


@pytest.fixture(scope="module")
def stack_url(driver: webdriver.Chrome) -> Iterator[str]:
    """Start a service whose MobileSAM browsers can decode. `driver` skips first if there is no browser."""
    with LocalStack({"SAM_MODEL": "mobile_sam"}) as stack:
        wait_for_runtime(stack.url, "mobile_sam")
        yield stack.url


@pytest.fixture(scope="module")
def images(stack_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Return image resources of a small picture that is turned on its side and a larger upright one."""
    portrait = Image.fromarray(data.astronaut()[:, 60:440]).resize((1140, 1536), Image.Resampling.BICUBIC)
    path = tmp_path_factory.mktemp("photos") / "portrait.jpg"
    portrait.save(path, quality=92)
    return {"landscape": encoded(stack_url, PHOTO), "portrait": encoded(stack_url, path)}


@pytest.fixture(scope="module")
def first_page(driver: webdriver.Chrome, stack_url: str) -> LocalPage:
    """Return a page that is loaded once for all tests, so that its decoder keeps what it has loaded."""
    page = LocalPage(driver, stack_url)
    page.load()
    return page


def _prompts(random: np.random.Generator, image: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield prompts of every kind, and whether three masks are asked for."""
    width, height = image["width"], image["height"]

    def point() -> list[float]:
        return [float(random.uniform(0, width)), float(random.uniform(0, height))]

    def box() -> list[float]:
        (x0, x1), (y0, y1) = np.sort(random.uniform((0, 0), (width, height), (2, 2)), axis=0).T
        return [float(x0), float(y0), float(x1) + 1, float(y1) + 1]

    yield {"points": [point()], "labels": [1]}, True
    yield {"points": [point(), point(), point()], "labels": [1, 1, 0]}, False
    yield {"box": box()}, False
    yield {"box": box(), "points": [point()], "labels": [0]}, True
    yield {"points": [[-5.5, -5.5]], "labels": [1]}, True


def _iou(one: dict[str, Any], other: dict[str, Any]) -> float:
    if one["area"] == other["area"] == 0:
        return 1.0
    return float(coco.iou([one["rle"]], [other["rle"]], [0])[0][0])


@pytest.mark.parametrize("name", IMAGES)
def test_every_mask_is_the_services(first_page: LocalPage, images: dict[str, dict[str, Any]], name: str) -> None:
    image, random = images[name], np.random.default_rng(20)
    equal = []

    def compare(here: dict[str, Any], there: dict[str, Any], multimask: bool) -> tuple[Any, Any]:
        """Ask both decoders, compare their masks, and return them."""
        answers = (
            first_page.masks(image, {"prompts": [here], "multimask": multimask, "format": "rle"}),
            service.post(image["links"]["masks"], json={"prompts": [there], "multimask": multimask}).json(),
        )
        assert answers[0].pop("times")["inside"] >= 0
        for member in ("image_id", "model", "width", "height"):
            assert answers[0][member] == answers[1][member]
        ours, theirs = (answer["results"][0]["masks"] for answer in answers)
        assert len(ours) == len(theirs) == (3 if multimask else 1)
        for one, other in zip(ours, theirs, strict=True):
            assert one.keys() == other.keys()
            assert one["score"] == pytest.approx(other["score"], abs=1e-3)
            assert one["rle"]["size"] == other["rle"]["size"]
            assert _iou(one, other) >= 0.999
            equal.append(one["rle"] == other["rle"])
            if equal[-1]:
                assert (one["area"], one["bbox"]) == (other["area"], other["bbox"])
        return ours, theirs

    with httpx.Client(base_url=first_page.url, timeout=60) as service:
        for _ in range(ROUNDS):
            for prompt, multimask in _prompts(random, image):
                ours, theirs = compare(prompt, prompt, multimask)
                # Refine the best mask with one more point, as a person would.
                best = int(np.argmax([mask["score"] for mask in theirs]))
                points = [*prompt.get("points", []), [image["width"] * 0.4, image["height"] * 0.6]]
                more = {**prompt, "points": points, "labels": [*prompt.get("labels", []), 0]}
                tokens = ({"mask_token": masks[best]["mask_token"]} for masks in (ours, theirs))
                compare(*({**more, **token} for token in tokens), False)
    assert np.mean(equal) > 0.8


@pytest.mark.parametrize(("name", "region"), [("landscape", [200, 100, 456, 356]), ("portrait", [0, 1024, 768, 1536])])
def test_every_mask_in_a_region_is_the_services(
    first_page: LocalPage, images: dict[str, dict[str, Any]], name: str, region: list[int]
) -> None:
    image = images[name]
    x0, y0, x1, y1 = region
    points = [[(x0 + x1) / 2, (y0 + y1) / 2], [x0 + 0.3 * (x1 - x0), y0 + 0.6 * (y1 - y0)], [x0 - 5.5, y0 + 9]]
    with httpx.Client(base_url=first_page.url, timeout=60) as service:
        for _ in range(ENCODING_WAITS):
            encoding = service.post(f"/v1/images/{image['image_id']}/regions?wait=30", json={"regions": [region]})
            if encoding.json()["regions"][0]["status"] == "ready":
                break
        assert encoding.json()["regions"][0]["status"] == "ready"
        for point in points:
            prompt = {"points": [point], "labels": [1]}
            for token in (False, True):
                answers = []
                for ask in (
                    lambda body: first_page.masks(image, body),
                    lambda body: service.post(image["links"]["masks"], json=body).json(),
                ):
                    body: dict[str, Any] = {"prompts": [prompt], "multimask": True, "format": "rle", "region": region}
                    answer = ask(body)
                    if token:
                        first = answer["results"][0]["masks"][0]["mask_token"]
                        more = {**prompt, "points": [point, points[1]], "labels": [1, 1], "mask_token": first}
                        answer = ask({**body, "prompts": [more], "multimask": False})
                    assert answer["region"] == region
                    answers.append(answer["results"][0]["masks"])
                for ours, theirs in zip(*answers, strict=True):
                    assert ours["rle"]["size"] == theirs["rle"]["size"] == [image["height"], image["width"]]
                    assert ours["score"] == pytest.approx(theirs["score"], abs=1e-3)
                    assert _iou(ours, theirs) >= 0.999
                    left, top, width, height = ours["bbox"]
                    assert width == 0 or (x0 <= left and left + width <= x1 and y0 <= top and top + height <= y1)


def test_a_prompt_asks_nothing_of_the_service(first_page: LocalPage, images: dict[str, dict[str, Any]]) -> None:
    first_page.masks(images["landscape"], CLICK)
    asked, loaded = first_page.asked(), first_page.loaded()
    for _ in range(3):
        first_page.masks(images["landscape"], CLICK)
    assert first_page.asked() == asked
    assert first_page.loaded() == loaded


def test_the_page_is_isolated_so_that_the_runtime_may_use_threads(first_page: LocalPage) -> None:
    assert first_page.run("return crossOriginIsolated;") is True


def test_a_token_that_was_not_issued_here_is_refused(first_page: LocalPage, images: dict[str, dict[str, Any]]) -> None:
    request = {"prompts": [{"points": [[1, 1]], "labels": [1], "mask_token": "rq1YqSyxSslI"}], "multimask": False}
    with pytest.raises(Refused) as refused:
        first_page.masks(images["landscape"], request)
    assert (refused.value.name, refused.value.code) == ("Problem", "invalid-prompt")


def test_an_image_that_the_service_does_not_have_is_its_problem(
    first_page: LocalPage, images: dict[str, dict[str, Any]]
) -> None:
    with pytest.raises(Refused) as refused:
        first_page.prepare({**images["landscape"], "image_id": "0" * 64})
    assert refused.value.code == "image-not-found"


def test_a_second_visit_takes_everything_from_the_browsers_cache(
    driver: webdriver.Chrome, first_page: LocalPage, images: dict[str, dict[str, Any]]
) -> None:
    first_page.masks(images["landscape"], CLICK)
    page = LocalPage(driver, first_page.url)
    page.load()
    shares = page.prepare(images["landscape"])
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert page.masks(images["landscape"], CLICK)["results"][0]["masks"][0]["area"] > 0
    # The page's own record does not contain what the worker loads, so the page requests it once more.
    wasm = f"static/runtime/{RUNTIME.version}/ort-wasm-simd-threaded.wasm"
    page.run("await (await fetch(given.wasm)).blob();", wasm=wasm)
    sizes = {path.partition("?")[0]: size for path, size in page.loaded().items()}
    large = {path: size for path, size in sizes.items() if path.endswith((".onnx", ".wasm", "/embedding"))}
    assert len(large) == 5
    assert set(large.values()) == {0}


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"status": "unavailable", "detail": "npm could not fetch it: no network"}, "no network"),
        ({"runtime": "0.0.1"}, "static/runtime/0.0.1/ort.wasm.min.mjs"),
    ],
    ids=["as the service says", "its files are gone"],
)
def test_a_missing_runtime_is_a_problem_with_its_reason(
    driver: webdriver.Chrome,
    stack_url: str,
    images: dict[str, dict[str, Any]],
    change: dict[str, str],
    detail: str,
) -> None:
    page = LocalPage(driver, stack_url)
    page.load()
    path = "v1/models/mobile_sam/decoder"
    page.answer_instead(path, httpx.get(f"{stack_url}/{path}").json() | change)
    with pytest.raises(Refused) as refused:
        page.prepare(images["landscape"])
    assert (refused.value.name, refused.value.code) == ("Problem", "local-decoding")
    assert detail in refused.value.detail


def test_a_model_without_weights_says_why_it_is_not_offered(driver: webdriver.Chrome, service_url: str) -> None:
    page = LocalPage(driver, service_url)
    page.load()
    assert page.run("return local.isSupported();") is True
    answer = page.run("return local.availability(service, given.model);", model="fake")
    assert answer == {"available": False, "reason": "model fake has no decoder for browsers"}


def test_a_closed_decoder_gives_its_memory_back_and_another_takes_over(
    driver: webdriver.Chrome, stack_url: str, images: dict[str, dict[str, Any]]
) -> None:
    page = LocalPage(driver, stack_url)
    page.load()
    page.prepare(images["landscape"])
    with pytest.raises(Refused) as refused:
        page.run(
            "const answer = decoder.masks(given.image, given.request, {}); decoder.close(); return answer;",
            image=images["landscape"],
            request=CLICK,
        )
    assert refused.value.code == "local-decoding"
    page.run("window.decoder = local.createDecoder(service);")
    assert len(page.masks(images["landscape"], CLICK)["results"]) == 1


def test_the_page_decodes_the_visible_part_of_a_large_picture_itself(
    driver: webdriver.Chrome, stack_url: str, tmp_path: Path
) -> None:
    picture = tmp_path / "large.jpg"
    Image.fromarray(data.astronaut()).resize((2000, 2000), Image.Resampling.BICUBIC).save(picture, quality=90)
    page = Page(driver, stack_url, patience=180)
    page.use_screen(1280, 800)
    page.load()
    page.open(picture)
    page.script("document.getElementById('local').click()")
    page.wait_until(lambda: page.script("return document.getElementById('progress').hidden"))
    for _ in range(2):
        page.wheel(0.594, 0.698, -500)
    page.wait_until(lambda: page.text("part") == "The visible part is ready")
    page.click(0.594, 0.698)
    page.wait_for_masks(3)
    assert page.text("part") == "Mask from a part of the picture"
    assert " · decoding " in page.text("latency")
    [region] = json.loads(page.requests("POST", "/regions")[-1]["body"])["regions"]
    fetched = page.script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert any(f"&region={','.join(map(str, region))}" in address for address in fetched)
    assert page.requests("POST", "/masks") == []
    page.script("localStorage.clear()")
    assert page.console_errors() == []
