"""Answers prompts on images that the requests themselves carry: some tools send the image again with every prompt."""

from __future__ import annotations

import binascii
import hashlib
from threading import BoundedSemaphore

from prompt_api.access.owners import Owners
from prompt_api.access.scopes import Quota
from prompt_api.integrations.asker import Asker
from prompt_api.integrations.recent import RecentImages
from prompt_api.masks.encode import MaskWriter
from prompt_api.service.images import ImageService
from prompt_api.service.masks import MasksAnswer, MaskService
from prompt_api.service.prompts import MasksQuery
from shared.contract.errors import EmbeddingPending, ImageExpired, ImageNotFound, InvalidImage, Overloaded
from shared.contract.models import Model
from shared.observe.stages import Stages

PATIENCE = 25.0
"""Longest wait for the encoding of an image, in seconds. X-AnyLabeling waits 180 for an answer, proxies often 60."""

RETRY_AFTER = 2.0
"""Seconds after which a person or a program should try again when the image is not encoded yet."""


class CarriedImages:
    """Uploads carried images and answers prompts on them. Thread-safe.

    An image that a client carries again is recognised by its hash: it is stored and encoded once. The bytes are needed
    only in `take_in`, so a request that waits for the encoding does not hold them.
    """

    def __init__(
        self,
        *,
        images: ImageService,
        masks: MaskService,
        owners: Owners,
        recent: RecentImages,
        waiters: BoundedSemaphore,
    ) -> None:
        """Args:
        owners: checks that a namespace still has an image that was taken in a moment ago.
        recent: remembers for a while which images were taken in.
        waiters: slots for requests that keep their thread while they wait.
        """
        self._images = images
        self._masks = masks
        self._owners = owners
        self._recent = recent
        self._waiters = waiters

    def take_in(self, data: bytes, model: Model, asker: Asker) -> str:
        """Return the id of the image. Upload it for the asker unless that was done a moment ago.

        Raises:
            UnsupportedImage, InvalidImage, ImageTooLarge: it is not an image that this service accepts.
            RateLimited: the asker has used up its uploads.
            Overloaded, StoreUnavailable: try again later.
        """
        image_id = hashlib.sha256(data).hexdigest()
        key = (asker.namespace, model.name, image_id)
        if self._recent.get(key) is not None and self._still_has(image_id, asker.namespace):
            return image_id
        asker.spend(Quota.UPLOADS, 1)
        self._images.upload(image_id, data, model, namespace=asker.namespace)
        self._recent.put(key, image_id)
        return image_id

    def answer(self, image_id: str, model: Model, query: MasksQuery, asker: Asker, write: MaskWriter) -> MasksAnswer:
        """Return the masks for each prompt of `query` on an image that was taken in. Wait for its encoding if needed.

        Args:
            write: makes each mask's payload.

        Raises:
            Overloaded: the image is not encoded after `PATIENCE` seconds; no thread may wait for it; the service has
                lost the image, and takes it in again with the next request; or too many requests decode.
            EncodeFailed, InvalidImage, UnsupportedImage, ImageTooLarge: the recorded reason why there is no embedding.
            InvalidPrompt: a prompt makes no sense for this image.
            StoreUnavailable: nothing is wrong with the request; try again.
        """
        granted = self._waiters.acquire(blocking=False)
        try:
            return self._masks.answer(
                image_id,
                model,
                query,
                wait=PATIENCE if granted else 0.0,
                timings=Stages(),
                namespace=asker.namespace,
                client=asker.client,
                write=write,
            )
        except EmbeddingPending:
            raise Overloaded(
                "the image is still being encoded; try again in a moment", retry_after=RETRY_AFTER
            ) from None
        except (ImageNotFound, ImageExpired):
            self._recent.forget((asker.namespace, model.name, image_id))
            raise Overloaded("the service has lost the image; try again", retry_after=RETRY_AFTER) from None
        finally:
            if granted:
                self._waiters.release()

    def _still_has(self, image_id: str, namespace: str) -> bool:
        try:
            self._owners.require(image_id, namespace)
        except ImageNotFound:
            return False
        return True


def unpacked(text: bytes | memoryview) -> bytes:
    """Return the bytes that base64 `text` stands for. Characters outside the alphabet are left out.

    Raises:
        InvalidImage: it is not base64, or it is empty.
    """
    try:
        data = binascii.a2b_base64(text)
    except binascii.Error:
        raise InvalidImage("the image is not base64") from None
    if not data:
        raise InvalidImage("the image is empty")
    return data
