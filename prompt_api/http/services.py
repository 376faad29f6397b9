"""What a route may call: the use cases, and the objects that they need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore

from flask import current_app

from prompt_api.access.policy import AccessPolicy
from prompt_api.http.answer_budget import AnswerBudget
from prompt_api.integrations.label_studio.backend import LabelStudioBackend
from prompt_api.integrations.samapi.server import SamapiServer
from prompt_api.integrations.x_anylabeling.server import AnyLabelingServer
from prompt_api.metrics.counting import ApiMetrics
from prompt_api.metrics.scrape import Scrape
from prompt_api.models.interface import DecoderForm
from prompt_api.remote_images.fetch import RemoteImages
from prompt_api.service.browser import BrowserDecoding
from prompt_api.service.embeddings import EmbeddingCache
from prompt_api.service.everything import EverythingService
from prompt_api.service.images import ImageService
from prompt_api.service.live_workers import LiveWorkers
from prompt_api.service.masks import MaskService
from prompt_api.service.similar import SimilarService
from shared.contract.errors import ModelNotFound
from shared.contract.models import Model
from shared.contract.settings import Settings


@dataclass(frozen=True, slots=True, eq=False)
class Services:
    """Everything a route may call. `prompt_api.wiring` builds it once per process.

    Attributes:
        models: served models by name, the default first.
        decoder_files: the decoder graph that clients may download, by model name and form; only models that have one.
        access: the policy that says who may do what.
        browser: the files that decoding in browsers needs.
        remote: fetches images by URL.
        label_studio: the ML backend for Label Studio, with one of the models.
        x_anylabeling: the remote server for X-AnyLabeling.
        samapi: the server for QuPath's SAM extension.
        checks: for `/readyz`, by name of the dependency. A check raises `SamCacheError` if its dependency fails.
        workers: how many workers of each model are alive.
        metrics: the counters of this process.
        scrape: answers `/metrics`.
        uploads: slots for uploads that are in memory at the same time.
        waiters: slots for requests that keep their thread while they wait.
        answers: the bytes of large answers that are written and sent.
    """

    settings: Settings
    models: Mapping[str, Model]
    decoder_files: Mapping[str, Mapping[DecoderForm, Path]]
    images: ImageService
    embeddings: EmbeddingCache
    masks: MaskService
    everything: EverythingService
    similar: SimilarService
    access: AccessPolicy
    browser: BrowserDecoding
    remote: RemoteImages
    label_studio: LabelStudioBackend
    x_anylabeling: AnyLabelingServer
    samapi: SamapiServer
    checks: Mapping[str, Callable[[], None]]
    workers: LiveWorkers
    metrics: ApiMetrics
    scrape: Scrape
    uploads: BoundedSemaphore
    waiters: BoundedSemaphore
    answers: AnswerBudget

    def model(self, name: str | None) -> Model:
        """Return the served model called `name`, or the default model for None.

        Raises:
            ModelNotFound: this service does not serve it.
        """
        name = self.settings.model if name is None else name
        try:
            return self.models[name]
        except KeyError:
            raise ModelNotFound(f"model {name!r} is not served here; served models: {', '.join(self.models)}") from None


def services() -> Services:
    """Return the services of the application that answers the current request."""
    found = current_app.extensions["sam"]
    assert isinstance(found, Services)
    return found
