"""The menu of models, in a service that serves two: the fake one, and one of a catalogue with small random weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from deploy.local.stack import LocalStack
from tests.browser.page import Page, Pictures
from tests.support.catalogue import SAM_MEAN, SAM_STD, write_catalogue, write_safetensors
from tests.support.small_encoders import patch_kernel, write_patch_encoder
from tests.unit.decoder_material import random_weights


@pytest.fixture(scope="module")
def two_models(driver: webdriver.Chrome, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("models")
    write_patch_encoder(folder / "e.onnx", patch_kernel(64), 64)
    write_safetensors(folder / "d.safetensors", random_weights())
    files = {"encoder": "e.onnx", "decoder": "d.safetensors"}
    own = {"architecture": "onnx", **files, "side": 64, "mean": SAM_MEAN, "std": SAM_STD, "title": "Small and random"}
    catalogue = write_catalogue(folder, own=own)
    settings = {"SAM_MODEL": "fake", "SAM_MODELS": "own", "SAM_CATALOGUE": str(catalogue)}
    with LocalStack({**settings, "SAM_WEIGHTS_DIR": str(folder / "cache")}) as stack:
        yield stack.url


@pytest.fixture
def page(driver: webdriver.Chrome, two_models: str) -> Iterator[Page]:
    page = Page(driver, two_models)
    page.use_screen(1280, 800)
    page.load()
    yield page
    page.script("localStorage.clear()")
    assert page.console_errors() == []


def menu(driver: webdriver.Chrome) -> Select:
    return Select(driver.find_element(By.ID, "model"))


def answered_by(page: Page) -> list[str]:
    """Return the model of each answer with masks, without those that are under way."""
    return [entry["answer"]["model"] for entry in page.requests("POST", "/masks") if entry["answer"]]


def test_the_chosen_model_answers_and_stays_chosen(
    page: Page, driver: webdriver.Chrome, pictures: Pictures, tmp_path: Path
) -> None:
    page.wait_until(lambda: page.is_shown("model"))
    assert [option.text for option in menu(driver).options] == ["fake", "own"]
    page.open(pictures.photo())
    page.click(0.5, 0.5)
    page.wait_until(lambda: answered_by(page) and set(answered_by(page)) == {"fake"})
    assert page.text("about").endswith("fake")
    menu(driver).select_by_value("own")
    # The click is asked again, without the token that the first model gave.
    page.wait_until(lambda: "own" in answered_by(page))
    assert page.text("about").endswith("own")
    asked = page.requests("POST", "/masks")[-1]
    assert asked["url"].endswith("?model=own")
    page.load()
    page.wait_until(lambda: menu(driver).first_selected_option.text == "own")
    page.open(pictures.photo(name="second.jpg"))
    page.click(0.5, 0.5)
    page.wait_until(lambda: answered_by(page))
    assert set(answered_by(page)) == {"own"}


def test_the_menu_is_not_shown_for_one_model(driver: webdriver.Chrome, service_url: str) -> None:
    page = Page(driver, service_url)
    page.load()
    page.wait_until(
        lambda: page.script("return performance.getEntriesByType('resource').some(r => r.name.endsWith('v1/models'))")
    )
    page.next_frame()
    assert not page.is_shown("model")
