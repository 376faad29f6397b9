"""The worker's use case: one uploaded image to one stored image embedding."""

from __future__ import annotations

import hashlib
import logging
import math
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder_worker.decoding.decoder import Decoded, Decoder, DecoderInProcess, Order
from encoder_worker.decoding.stretch import stretched
from encoder_worker.encoding.cut import cut
from encoder_worker.encoding.decode_room import DecodeRoom
from encoder_worker.encoding.encoder import Encoder, Pending, ResizingEncoder, begin
from encoder_worker.encoding.pictures import DecodedPictures
from encoder_worker.metrics.counting import WorkerMetrics
from shared.contract.errors import EncodeFailed, ImageExpired, RequestError
from shared.contract.geometry import Size
from shared.contract.keys import EmbeddingKey, image_key, preview_key, record_key
from shared.contract.models import StoredAs
from shared.contract.region import Region
from shared.events.interface import Events
from shared.images.preview import preview_of, wants_preview
from shared.images.reading import decoding_bytes, inspect_image
from shared.observe.stages import Stages
from shared.observe.tracing import carried
from shared.store.interface import Store
from shared.tensors.embedding import Tensors, encode_embedding

_RESIZING = 2
"""Times that the resized pixels are in memory while they are made. For small images this is the larger part."""

_CUTTING = 12
"""Bytes for each pixel of a region while it is cut out of a picture that is kept, and resized."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeImage:
    """Encodes images of one model, in three steps: `prepare`, `embed`, `finish`. Any thread may run any of them.

    Attributes:
        dtype: how the tensors of an embedding are stored.
        ttl: seconds they are kept.
        max_pixels: of the largest image that is decoded.
        metrics: where it counts.
        decoder: makes pixels of the uploaded bytes; by default in the thread that prepares an image.
        room: for images that are decoded at the same time; without a limit by default.
        pictures: that stay decoded because regions of them come; none by default.
    """

    store: Store
    encoder: Encoder
    events: Events
    dtype: StoredAs
    ttl: int
    max_pixels: int
    metrics: WorkerMetrics = field(default_factory=WorkerMetrics)
    decoder: Decoder = field(default_factory=DecoderInProcess)
    room: DecodeRoom = field(default_factory=lambda: DecodeRoom(sys.maxsize))
    pictures: DecodedPictures = field(default_factory=lambda: DecodedPictures(0, 0))
    _device: Lock = field(default_factory=Lock, init=False)
    _busy: _BusyTime = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_busy", _BusyTime(self.metrics))

    def __call__(self, key: EmbeddingKey) -> None:
        """Store the embedding that `key` names, unless it is there, and wake those who wait for it.

        Raises:
            ImageExpired: the bytes are gone, or damaged.
            UnsupportedImage, InvalidImage, ImageTooLarge: the bytes are no image this service takes.
            EncodeFailed: this worker runs other weights or another preprocessing, the region is no part of the image,
                or the encoder failed.
            StoreUnavailable: the cache is out of reach.
        """
        prepared = self.prepare(key)
        if prepared is not None:
            (tensors,) = self.embed([prepared])
            self.finish(prepared, tensors)

    def prepare(self, key: EmbeddingKey) -> Prepared | None:
        """Read the image, cut the region out of it if the key names one, and bring it to the encoder's size.

        Returns:
            None if its embedding is there already. Then those who wait for it are woken.

        Raises:
            ImageExpired: the bytes are gone, or damaged.
            UnsupportedImage, InvalidImage, ImageTooLarge: the bytes are no image this service takes.
            EncodeFailed: this worker runs other weights or another preprocessing, or the region is no part of the
                image.
            StoreUnavailable: the cache is out of reach.
        """
        if key != EmbeddingKey.of(key.image_id, self.encoder.model, key.region):
            raise EncodeFailed("this worker runs other weights, or another preprocessing, than the job asks for")
        stages = Stages(carried(_log_stage))
        self.events.publish(key, "encoding")
        if self.store.exists(key.redis_key):
            _log.info("%s: the %s embedding is there already", _subject(key), key.model)
            self.events.publish(key, "ready")
            return None
        try:
            frame, original = self._frame(key, stages)
        except MemoryError:
            self.pictures.close()  # so that the next attempt has more
            raise
        return Prepared(key, frame, original, stages)

    def embed(self, batch: Sequence[Prepared]) -> list[Tensors]:
        """The embeddings of several images. Threads that call this at once take turns.

        Raises:
            EncodeFailed: the encoder failed on at least one of them.
        """
        return self.begin(batch).results()

    def begin(self, batch: Sequence[Prepared]) -> Begun:
        """Give several images to the encoder. If it can overlap batches, this does not wait for their embeddings.

        Threads that call this at once take turns.

        Raises:
            EncodeFailed: the encoder failed on at least one of them.
        """
        with self._device:
            for prepared in batch:
                prepared.stages.lap("wait")
            began = time.perf_counter()
            pending = begin(self.encoder, [prepared.frame for prepared in batch])
        return Begun(batch, pending, began, self._busy)

    def finish(self, prepared: Prepared, tensors: Tensors) -> None:
        """Store the embedding and wake those who wait for it.

        Raises:
            EncodeFailed: the embedding has a wrong shape, or numbers that no embedding has.
            StoreUnavailable: the cache is out of reach.
        """
        key = prepared.key
        architecture = self.encoder.model.architecture
        value = encode_embedding(
            key,
            tensors,
            specs=architecture.tensors,
            dtypes=architecture.stored_as(self.dtype),
            original=prepared.original,
        )
        self.store.put(key.redis_key, value, self.ttl)
        if not self.store.exists(record_key(key.image_id)):
            # The image was deleted meanwhile. Whoever deletes removes the record first and the embedding later, so
            # either that or this removes the embedding.
            self.store.delete(key.redis_key)
            self.store.delete(preview_key(key.image_id))
        prepared.stages.lap("store")
        self.metrics.encoded(prepared.stages.seconds)
        _log_stages(prepared)
        self.events.publish(key, "ready")

    def _bytes_of(self, key: EmbeddingKey) -> bytes:
        """Exactly the bytes that were uploaded. They are checked: a decoder may also find a photo in damaged bytes."""
        data = self.store.get(image_key(key.image_id))
        if data is None:
            raise ImageExpired("the image's bytes were gone before it was encoded; upload it again")
        if hashlib.sha256(data).hexdigest() != key.image_id:
            self.store.delete(image_key(key.image_id))
            raise ImageExpired("the image's bytes were damaged in the cache; upload it again")
        return data

    def _frame(self, key: EmbeddingKey, stages: Stages) -> tuple[Any, Size]:
        """Return what the encoder takes for the image or region, and the (height, width) of the whole image.

        The preview of a whole image is stored, if it needs one.
        """
        with ExitStack() as held:
            picture = self._picture(key, stages, held)
            original, preview = picture.original, picture.preview
            if picture.resizing is not None:
                stages.lap_of_two("decode", "resize", picture.resizing)
                frame = picture.pixels
            else:
                stages.lap("decode")
                frame = self._resized(picture.pixels, key.region)
                stages.lap("resize")
            del picture  # before the next image gets its room
        if preview is not None:
            self.store.put(preview_key(key.image_id), preview, self.ttl)
        return frame, original

    def _resized(self, rgb: NDArray[np.uint8], region: Region | None) -> Any:
        model = self.encoder.model
        part = rgb if region is None else cut(rgb, region)
        if model.stretch:
            part = stretched(part)
        encoder = self.encoder
        if isinstance(encoder, ResizingEncoder) and encoder.resizes((part.shape[0], part.shape[1])):
            return encoder.resized(part)
        return model.encoder_frame.resize(part)

    def _device_resizes(self, data: bytes) -> bool:
        """Whether the device gets this image as it is decoded."""
        encoder = self.encoder
        if encoder.model.stretch or not isinstance(encoder, ResizingEncoder):
            return False
        return encoder.resizes(inspect_image(data, max_pixels=self.max_pixels).original)

    def _picture(self, key: EmbeddingKey, stages: Stages, held: ExitStack) -> Decoded:
        """Return the pixels of the whole picture, or those of the frame at once if nothing needs the whole.

        The picture may have been decoded before, for another region. Until `held` is closed there is room for it, and
        for what is made of it.
        """
        region, data = key.region, None
        with self.pictures.turn(key.image_id):
            kept = held.enter_context(self.pictures.lent(key.image_id, for_region=region is not None))
            if kept is None or region is None:
                data = self._bytes_of(key)
                stages.lap("load")
            if kept is None:
                assert data is not None
                decoded = self._decoded(key, data, held)
        if region is not None:
            self.metrics.picture_for_region("decoded" if kept is None else "kept")
        if kept is None:
            return decoded
        if not self.store.exists(record_key(key.image_id)):
            self.pictures.drop(key.image_id)
            raise ImageExpired("the image was deleted before it was encoded; upload it again")
        height, width = kept.shape[:2] if region is None else region.size
        held.enter_context(self.room.held(_CUTTING * height * width + self._resizing))
        preview = preview_of(kept) if region is None and data is not None and wants_preview(data) else None
        return Decoded(pixels=kept, original=(kept.shape[0], kept.shape[1]), preview=preview, resizing=None)

    def _decoded(self, key: EmbeddingKey, data: bytes, held: ExitStack) -> Decoded:
        """Have a picture decoded that is not kept, and keep it if it may be of use.

        It is resized at once unless it is kept, or the device resizes it.
        """
        for_region = key.region is not None
        kept = for_region or self.pictures.whole_images_are_kept
        model = self.encoder.model
        self.pictures.require_not_refused(key.image_id)
        try:
            held.enter_context(self.room.held(decoding_bytes(data) + self._resizing))
            whole = kept or self._device_resizes(data)
            order = Order(
                frame=None if whole else model.encoder_frame,
                stretch=model.stretch and not whole,
                max_pixels=self.max_pixels,
                preview=not for_region and wants_preview(data),
            )
            decoded = self.decoder.decode(data, order)
        except RequestError as error:
            self.pictures.refuse(key.image_id, error)
            raise
        if kept:
            self.pictures.keep(key.image_id, decoded.pixels, for_region=for_region)
        return decoded

    @property
    def _resizing(self) -> int:
        """Bytes that the resized pixels take while they are made."""
        frame_of = self.encoder.model.encoder_frame
        return _RESIZING * 3 * frame_of.side**2 * frame_of.pixels.itemsize


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """An image, or a region of one, ready for the encoder.

    Attributes:
        key: of its embedding.
        frame: what the encoder takes. (H, W, 3), resized into the model's frame, uint8 or float32 as the frame gives
            it; or what a `ResizingEncoder` has made of the picture.
        original: (height, width) of the whole image before anything was resized.
        stages: those it has been through.
    """

    key: EmbeddingKey
    frame: Any
    original: Size
    stages: Stages


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """A batch that the encoder has begun.

    Attributes:
        batch: its images.
        pending: what the encoder gave for them.
        began: time of `time.perf_counter` at which it began.
    """

    batch: Sequence[Prepared]
    pending: Pending
    began: float
    _busy: _BusyTime

    def results(self) -> list[Tensors]:
        """Wait for the embeddings of its images. Any thread may call this, once.

        Raises:
            EncodeFailed: the encoder failed on at least one of them.
        """
        embeddings = list(self.pending.result())
        self._busy.count(len(self.batch), self.began)
        for prepared in self.batch:
            prepared.stages.lap("encode")
        return embeddings


class _BusyTime:
    """Counts batches, and the time the encoder takes for each. Of two that overlap, the first one's is counted once."""

    def __init__(self, metrics: WorkerMetrics) -> None:
        self._metrics = metrics
        self._lock = Lock()
        self._ended = -math.inf

    def count(self, images: int, began: float) -> None:
        """Count a batch that began at `began`, in seconds of `time.perf_counter`, and ends now."""
        with self._lock:
            since, self._ended = max(began, self._ended), time.perf_counter()
            self._metrics.batched(images, self._ended - since)


def _subject(key: EmbeddingKey) -> str:
    """For a message: the image, by the start of its id, and the region."""
    image = f"image {key.image_id[:12]}"
    return image if key.region is None else f"region {key.region.text} of {image}"


def _log_stage(name: str, seconds: float) -> None:
    milliseconds = 1000 * seconds
    _log.debug("%s took %.1f ms", name, milliseconds, extra={"stage": name, "duration_ms": milliseconds})


def _log_stages(prepared: Prepared) -> None:
    height, width = prepared.original
    milliseconds = {stage: 1000 * seconds for stage, seconds in prepared.stages.seconds.items()}
    _log.info(
        "%s (%dx%d) encoded by %s: %s ms",
        _subject(prepared.key),
        width,
        height,
        prepared.key.model,
        ", ".join(f"{stage} {spent:.0f}" for stage, spent in milliseconds.items()),
        extra={"stages_ms": {stage: round(spent, 2) for stage, spent in milliseconds.items()}},
    )
