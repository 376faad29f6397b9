"""Uploads the image that a task refers to: from a data URL, or from the configured Label Studio."""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from itertools import islice
from threading import Lock
from urllib.parse import unquote_to_bytes

from prompt_api.access.scopes import Quota
from prompt_api.integrations.asker import Asker
from prompt_api.integrations.label_studio.cloud_storage import reachable
from prompt_api.integrations.label_studio.instance import LabelStudioInstance
from prompt_api.integrations.recent import RecentImages
from prompt_api.remote_images.fetch import FETCHES, TURN_SECONDS, Fetch, RemoteImages
from prompt_api.remote_images.turns import FetchTurns
from prompt_api.service.images import ImageService
from shared.contract.errors import (
    EmbeddingPending,
    ImageUnreachable,
    InvalidImage,
    Overloaded,
    SamCacheError,
    Unavailable,
)
from shared.contract.models import Model
from shared.observe.tracing import carried

WARMING_THREADS = 3
"""Threads that fetch ahead of time: one more than there may be slow fetches while others wait, and fewer than there are
turns."""

MAX_WARMING = 256
"""Most images of one request that are uploaded ahead of time, and most images that may wait to be fetched. Further
images are uploaded when an annotator clicks on them."""

_log = logging.getLogger(__name__)


class TaskPictures:
    """Uploads the images of tasks and remembers their ids. Thread-safe."""

    def __init__(
        self,
        *,
        images: ImageService,
        model: Model,
        instance: LabelStudioInstance | None,
        remote: RemoteImages,
        fetches_for: str | None,
        recent: RecentImages,
        background: Executor | None = None,
    ) -> None:
        """Args:
        instance: the Label Studio to fetch from; None fetches nothing.
        remote: fetches from hosts and buckets that the operator allows for everybody's URLs.
        fetches_for: the only namespace that may use images of `instance`; None allows all.
        recent: remembers the image id of a reference for a while.
        background: fetches ahead of time; None makes new threads for it.
        """
        self._images = images
        self._model = model
        self._instance = instance
        self._remote = remote
        self._fetches_for = fetches_for
        self._recent = recent
        self._turns = FetchTurns(FETCHES)
        self._background = background or ThreadPoolExecutor(WARMING_THREADS, thread_name_prefix="label-studio")
        self._lock = Lock()
        self._warming: set[tuple[str, str]] = set()

    def reachable(self, reference: str, task_id: int | str | None, asker: Asker) -> str:
        """Return the reference under which the image can be fetched.

        A file in cloud storage is asked for at Label Studio, unless this service may read its bucket itself.
        """
        return reference if self._is_by_url(reference, asker) else reachable(reference, task_id)

    def image_id(self, reference: str, asker: Asker, *, may_fetch: bool, fresh: bool = False) -> str:
        """Return the id of the image at `reference`. Upload it for the asker unless that was done a moment ago.

        Args:
            may_fetch: whether this thread may wait for Label Studio. If not, the background fetches the image.
            fresh: upload the image even if its id is remembered, because the service has lost the image.

        Raises:
            EmbeddingPending: the image is being fetched in the background.
            ImageUnreachable, UrlNotAllowed: the image cannot be fetched, or this service may not fetch it for the
                asker, or it leads to an address to which no request may go.
            UnsupportedImage, InvalidImage, ImageTooLarge: it is not an image that this service accepts.
            RateLimited: the asker has used up its uploads.
            Overloaded, StoreUnavailable: try again later.
        """
        if reference.startswith("data:"):
            return self._unpack(reference, asker, fresh=fresh)
        key = (asker.namespace, reference)
        known = None if fresh else self._recent.get(key)
        if known is not None:
            return known
        get = self._source(reference, asker)
        if key not in self._warming:  # an image that waits to be fetched was counted before
            asker.spend(Quota.UPLOADS, 1)
        if may_fetch:
            return self._fetch(key, get)
        self._fetch_ahead(key, get)
        raise EmbeddingPending("the image is being fetched", retry_after=1)

    def warm(self, references: Iterable[str], asker: Asker) -> None:
        """Upload images ahead of time, fetching in the background.

        Images that are left out or fail are uploaded when an annotator clicks on them.
        """
        for reference in islice(references, MAX_WARMING):
            try:
                self.image_id(reference, asker, may_fetch=False)
            except EmbeddingPending:
                continue
            except SamCacheError as error:
                _log_refusal(error)
                if isinstance(error, Unavailable):  # the next image would be refused too
                    return

    def close(self) -> None:
        """Start no more fetches. Running fetches end within their time limit."""
        self._background.shutdown(wait=False, cancel_futures=True)

    def _unpack(self, url: str, asker: Asker, *, fresh: bool) -> str:
        data = _data(url)
        key = (asker.namespace, hashlib.sha256(data).hexdigest())
        if fresh or self._recent.get(key) is None:
            asker.spend(Quota.UPLOADS, 1)
            self._recent.put(key, self._take_in(data, asker.namespace))
        return key[1]

    def _source(self, reference: str, asker: Asker) -> Fetch:
        """Return the function that fetches the image.

        Raises:
            ImageUnreachable: this service may not fetch it for the asker.
        """
        if self._is_by_url(reference, asker):
            return self._remote.source(reference, asker.namespace)
        if self._instance is None:
            raise ImageUnreachable("SAM_LABEL_STUDIO_URL is not set: only images in data URLs can be used")
        if self._fetches_for not in (None, asker.namespace):
            raise ImageUnreachable("images on Label Studio are for another namespace: only data URLs can be used")
        return partial(self._instance.fetch, self._instance.target(reference))

    def _is_by_url(self, reference: str, asker: Asker) -> bool:
        """Return whether the image is fetched like one that any client names by its URL.

        An image on Label Studio is not, even if the operator lists that host, because it needs Label Studio's token.
        """
        if not self._remote.serves(reference, asker.namespace):
            return False
        try:
            return self._instance is None or not self._instance.target(reference)
        except ImageUnreachable:
            return True

    def _fetch_ahead(self, key: tuple[str, str], get: Fetch) -> None:
        with self._lock:
            if key in self._warming:
                return
            if len(self._warming) >= MAX_WARMING:
                raise Overloaded(f"{MAX_WARMING} images are already waiting to be fetched", retry_after=2)
            self._warming.add(key)
        self._background.submit(carried(self._fetch_quietly), key, get)

    def _fetch_quietly(self, key: tuple[str, str], get: Fetch) -> None:
        try:
            self._fetch(key, get, more_wait=lambda: len(self._warming) > WARMING_THREADS)
        except SamCacheError as error:
            _log_refusal(error)
        finally:
            with self._lock:
                self._warming.discard(key)

    def _fetch(self, key: tuple[str, str], get: Fetch, more_wait: Callable[[], bool] = lambda: False) -> str:
        with self._turns.take(TURN_SECONDS, more_wait) as turn:
            image_id = self._take_in(get(turn.check), key[0])
        self._recent.put(key, image_id)
        return image_id

    def _take_in(self, data: bytes, namespace: str) -> str:
        image_id = hashlib.sha256(data).hexdigest()
        self._images.upload(image_id, data, self._model, namespace=namespace)
        return image_id


def _log_refusal(error: SamCacheError) -> None:
    _log.info("cannot upload an image ahead of time: %s: %s", error.code, error.detail)


def _data(url: str) -> bytes:
    """Return the data of a data URL (RFC 2397). Its size is limited because the size of the request is."""
    header, comma, body = url.partition(",")
    if not comma:
        raise InvalidImage("the image's data URL has no data")
    try:
        data = base64.b64decode(body, validate=True) if header.endswith(";base64") else unquote_to_bytes(body)
    except (binascii.Error, ValueError):
        raise InvalidImage("the image's data URL is not base64") from None
    return data
