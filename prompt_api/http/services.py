"""What a route may call: the use cases and what goes with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore

from flask import current_app

from prompt_api.access.policy import AccessPolicy
from prompt_api.integrations.label_studio.backend import LabelStudioBackend
from prompt_api.metrics.counting import ApiMetrics
from prompt_api.metrics.scrape import Scrape
from prompt_api.service.browser import BrowserDecoding
from prompt_api.service.embeddings import EmbeddingCache
from prompt_api.service.images import ImageService
from prompt_api.service.masks import MaskService
from shared.contract.errors import ModelNotFound
from shared.contract.models import Model
from shared.contract.settings import Settings


@dataclass(frozen=True, slots=True, eq=False)
class Services:
    """Everything a route may call, wired once per process by `prompt_api.wiring`.

    Attributes:
        models: served models by name, the default first.
        decoder_files: for each model that has one, the decoder graph clients may download.
        access: who may do what.
        browser: what decoding in browsers needs.
        label_studio: answers as an ML backend, with the default model.
        checks: for `/readyz`, by name of the dependency: returns, or raises `SamCacheError`.
        metrics: where everything counts.
        scrape: answers `/metrics`.
        uploads: slots for uploads held in memory at once.
        waiters: slots for requests that hold their thread to wait.
    """

    settings: Settings
    models: Mapping[str, Model]
    decoder_files: Mapping[str, Path]
    images: ImageService
    embeddings: EmbeddingCache
    masks: MaskService
    access: AccessPolicy
    browser: BrowserDecoding
    label_studio: LabelStudioBackend
    checks: Mapping[str, Callable[[], None]]
    metrics: ApiMetrics
    scrape: Scrape
    uploads: BoundedSemaphore
    waiters: BoundedSemaphore

    def model(self, name: str | None) -> Model:
        """The served model called `name`; None asks for the default.

        Raises:
            ModelNotFound: it is not served here.
        """
        name = self.settings.model if name is None else name
        try:
            return self.models[name]
        except KeyError:
            raise ModelNotFound(f"model {name!r} is not served here; {', '.join(self.models)} is") from None


def services() -> Services:
    """Those of the application that answers the present request."""
    found = current_app.extensions["sam"]
    assert isinstance(found, Services)
    return found
