"""Images that are ready for prompts, for requests that may wait until they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from prompt_api.models.interface import Decoder
from prompt_api.service.embeddings import EmbeddingCache, PromptableImage
from prompt_api.service.images import Charge, ImageService, ImageStatus
from shared.contract import errors
from shared.contract.keys import EmbeddingKey
from shared.contract.models import Model
from shared.observe.stages import Stages

PENDING_RETRY = 1.0
"""Seconds after which a client should ask again for a pending embedding."""

T = TypeVar("T")


def once_encoded(
    images: ImageService,
    key: EmbeddingKey,
    look: Callable[[], T | None],
    *,
    wait: float,
    timings: Stages,
    charge: Charge,
) -> T:
    """Return what `look` makes of an embedding. If the embedding is not there, have it made and wait for it.

    Args:
        look: returns None if the embedding that `key` names is not there.
        wait: seconds to wait.
        charge: called before a region is queued that nobody has asked for yet.

    Raises:
        ImageNotFound, ImageExpired, EmbeddingPending: there is no embedding, or not yet.
        EncodeFailed, InvalidImage, UnsupportedImage, ImageTooLarge: the recorded reason why there is none.
        RateLimited: `charge` raised it.
        StoreUnavailable: Redis does not answer.
    """
    found = look()
    if found is not None:
        return found
    with timings.stage("wait"):
        state = images.wait(key, wait, charge=charge)
    if state.error is not None:
        raise state.error
    if state.status is ImageStatus.READY:
        found = look()
        if found is not None:
            return found
    raise errors.EmbeddingPending(state.pending, retry_after=PENDING_RETRY)


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
        """Return the image or region that `key` names, for the given model. The rest is as in `once_encoded`."""
        look = partial(self._embeddings.get, key, model.architecture, self._decoders[model.name], timings)
        return once_encoded(self._images, key, look, wait=wait, timings=timings, charge=charge)
