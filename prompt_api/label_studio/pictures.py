"""From what a task says its image is to an uploaded image: a data URL, or something on the configured Label Studio."""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore, Lock
from urllib.parse import unquote_to_bytes

from prompt_api.label_studio.instance import LabelStudioInstance
from prompt_api.label_studio.recent import RecentImages
from prompt_api.service.images import ImageService
from shared.errors import ImageUnreachable, InvalidImage, Overloaded, SamCacheError
from shared.models import Model
from shared.tracing import carried

TURN_SECONDS = 5.0
"""Seconds a fetch waits for a slot of memory before it is refused."""

WARMING_THREADS = 2
MAX_WARMING = 256
"""Images that may wait to be fetched ahead of time; beyond, they are fetched when somebody clicks on them."""

_log = logging.getLogger(__name__)


class TaskPictures:
    """Takes the images of tasks in, and remembers which they were. Thread-safe."""

    def __init__(
        self,
        *,
        images: ImageService,
        model: Model,
        instance: LabelStudioInstance | None,
        recent: RecentImages,
        slots: BoundedSemaphore,
    ) -> None:
        """Args:
        instance: None fetches nothing.
        slots: for images held in memory at once.
        """
        self._images = images
        self._model = model
        self._instance = instance
        self._recent = recent
        self._slots = slots
        self._pool = ThreadPoolExecutor(WARMING_THREADS, thread_name_prefix="label-studio")
        self._lock = Lock()
        self._warming: set[tuple[str, str]] = set()

    def image_id(self, reference: str, namespace: str, *, fresh: bool = False) -> str:
        """The id of the image at `reference`, uploaded for `namespace` unless it was a moment ago.

        Args:
            fresh: upload it whatever is remembered: the service has lost it.

        Raises:
            ImageUnreachable: it is no data URL and nowhere this service may fetch from, or cannot be fetched.
            UnsupportedImage, InvalidImage, ImageTooLarge: it is not an image this service takes.
            Overloaded, StoreUnavailable: try again.
        """
        if reference.startswith("data:"):
            return self._unpack(reference, namespace, fresh=fresh)
        known = None if fresh else self._recent.get((namespace, reference))
        return known or self._fetch(reference, namespace)

    def warm(self, references: Iterable[str], namespace: str) -> None:
        """Upload ahead of time, fetching in the background. What fails is tried again when somebody clicks on it."""
        for reference in references:
            key = (namespace, reference)
            if reference.startswith("data:"):  # the bytes are here: nothing to wait for, and nothing to hold on to
                self._warm(key)
                continue
            with self._lock:
                if key in self._warming or self._recent.get(key) is not None:
                    continue
                if len(self._warming) >= MAX_WARMING:
                    _log.info("%d images wait to be fetched ahead of time; no more are taken", MAX_WARMING)
                    return
                self._warming.add(key)
            self._pool.submit(carried(self._warm), key)

    def close(self) -> None:
        """Start no more fetches. Those under way end within their time limit."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _warm(self, key: tuple[str, str]) -> None:
        namespace, reference = key
        try:
            self.image_id(reference, namespace)
        except SamCacheError as error:
            _log.info("cannot fetch ahead of time: %s: %s", error.code, error.detail)
        finally:
            with self._lock:
                self._warming.discard(key)

    def _unpack(self, url: str, namespace: str, *, fresh: bool) -> str:
        data = _data(url)
        key = (namespace, hashlib.sha256(data).hexdigest())
        if fresh or self._recent.get(key) is None:
            self._recent.put(key, self._take_in(data, namespace))
        return key[1]

    def _fetch(self, reference: str, namespace: str) -> str:
        if self._instance is None:
            raise ImageUnreachable("SAM_LABEL_STUDIO_URL is not set: only images in data URLs can be used")
        target = self._instance.target(reference)
        if not self._slots.acquire(timeout=TURN_SECONDS):
            raise Overloaded("too many images are being fetched", retry_after=2)
        try:
            image_id = self._take_in(self._instance.fetch(target), namespace)
        finally:
            self._slots.release()
        self._recent.put((namespace, reference), image_id)
        return image_id

    def _take_in(self, data: bytes, namespace: str) -> str:
        image_id = hashlib.sha256(data).hexdigest()
        self._images.upload(image_id, data, self._model, namespace=namespace)
        return image_id


def _data(url: str) -> bytes:
    """What is in a data URL (RFC 2397); the request that holds it is bounded."""
    header, comma, body = url.partition(",")
    if not comma:
        raise InvalidImage("the image's data URL has no data")
    try:
        data = base64.b64decode(body, validate=True) if header.endswith(";base64") else unquote_to_bytes(body)
    except (binascii.Error, ValueError):
        raise InvalidImage("the image's data URL is not base64") from None
    return data
