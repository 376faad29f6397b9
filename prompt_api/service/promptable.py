"""Images that are ready for prompts, for requests that may wait until they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prompt_api.models.interface import Decoder
from prompt_api.service.embeddings import EmbeddingCache, PromptableImage
from prompt_api.service.images import Charge, ImageService, ImageStatus
from shared.contract import errors
from shared.contract.keys import EmbeddingKey
from shared.contract.models import Model
from shared.observe.stages import Stages

PENDING_RETRY = 1.0
"""Seconds after which a client should ask again for a pending embedding."""


class PromptableImages:
    """Gives images and regions with their embeddings. Safe for threads."""

    def __init__(
        self, *, images: ImageService, embeddings: EmbeddingCache, decoders: Mapping[str, Decoder[Any]]
    ) -> None:
        """Args:
        decoders: one per served model, by model name.
        """
        self._images = images
        self._embeddings = embeddings
        self._decoders = decoders

    def get(self, key: EmbeddingKey, model: Model, wait: float, timings: Stages, charge: Charge) -> PromptableImage:
        """Return the image or region. If its embedding is not there, have it made and wait for it.

        Args:
            model: the model that `key` names.
            wait: seconds to wait.
            charge: called before a region is queued that nobody has asked for yet.

        Raises:
            ImageNotFound, ImageExpired, EmbeddingPending: there is no embedding, or not yet.
            EncodeFailed, InvalidImage, UnsupportedImage, ImageTooLarge: the recorded reason why there is none.
            RateLimited: `charge` raised it.
            StoreUnavailable: Redis does not answer.
        """
        decoder = self._decoders[model.name]
        image = self._embeddings.get(key, model.architecture, decoder, timings)
        if image is not None:
            return image
        with timings.stage("wait"):
            state = self._images.wait(key, wait, charge=charge)
        if state.error is not None:
            raise state.error
        if state.status is ImageStatus.READY:
            image = self._embeddings.get(key, model.architecture, decoder, timings)
            if image is not None:
                return image
        raise errors.EmbeddingPending(state.pending, retry_after=PENDING_RETRY)
