"""Prompts in, masks out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.encode import MaskWriter, base64_logits, encode_masks
from prompt_api.masks.interface import EncodedMask, MaskFormat
from prompt_api.metrics.counting import ApiMetrics
from prompt_api.models.interface import DecodedMasks, Decoder
from prompt_api.service.embeddings import EmbeddingCache, PromptableImage
from prompt_api.service.images import ImageService, ImageStatus
from prompt_api.service.prompts import ImagePrompt, MasksQuery, check_position, to_decoder_frame
from prompt_api.service.refinement import Refinement, must_be_whole
from prompt_api.service.tokens import MAX_NESTING
from shared.contract import errors
from shared.contract.geometry import Size
from shared.contract.keys import EmbeddingKey
from shared.contract.models import Model
from shared.observe.stages import Stages

TURN_WAIT = 5.0
"""Seconds a request waits for its turn to decode before it is refused."""

LONGEST_TURN = 10.0
"""Seconds after which a turn decodes no more mask tokens. 64 deeply nested tokens take most of a minute."""

PENDING_RETRY = 1.0
"""Seconds after which a client should ask again for a pending embedding."""


@dataclass(frozen=True, slots=True)
class MaskAnswer:
    """One mask of one prompt.

    Attributes:
        score: the IoU that the model predicts.
        mask: area, box, and the mask in the format asked for.
        token: the mask token that refines this mask.
        logits: its low-res logits as `MaskFormat.LOGITS` writes them, or None if the request did not add them.
    """

    score: float
    mask: EncodedMask
    token: str
    logits: str | None


@dataclass(frozen=True, slots=True)
class MasksAnswer:
    """The masks of every prompt, in the order of the prompts.

    Attributes:
        original: (height, width) of the EXIF-oriented original.
    """

    key: EmbeddingKey
    original: Size
    results: list[list[MaskAnswer]]


@dataclass(frozen=True, slots=True, eq=False)
class _Subject:
    """What all prompts of a request share.

    Attributes:
        decoder: that of `model`.
        namespace: that of the client.
        until: monotonic time in seconds after which no more mask tokens are decoded.
    """

    key: EmbeddingKey
    model: Model
    decoder: Decoder[Any]
    image: PromptableImage
    namespace: str
    until: float


class MaskService:
    """Answers prompts on images that have an embedding."""

    def __init__(
        self,
        *,
        images: ImageService,
        embeddings: EmbeddingCache,
        refinement: Refinement,
        decoders: Mapping[str, Decoder[Any]],
        concurrency: int,
        metrics: ApiMetrics,
    ) -> None:
        """Args:
        decoders: one per served model, by model name.
        concurrency: requests that may decode at the same time; the others wait for their turn.
        """
        self._images = images
        self._embeddings = embeddings
        self._refinement = refinement
        self._decoders = decoders
        self._turns = BoundedSemaphore(concurrency)
        self._metrics = metrics

    def answer(
        self,
        image_id: str,
        model: Model,
        request: MasksQuery,
        *,
        wait: float,
        timings: Stages,
        namespace: str = "",
        write: MaskWriter | None = None,
    ) -> MasksAnswer:
        """Return the masks for each prompt of `request`.

        Args:
            wait: seconds to wait for an embedding that is not there yet.
            namespace: that of the client, which is known to have the image. Mask tokens of other namespaces are
                refused.
            write: makes each mask's payload, instead of the format in `request`.

        Raises:
            ImageNotFound, ImageExpired, EmbeddingPending: there is no embedding, or not yet.
            EncodeFailed, InvalidImage, UnsupportedImage, ImageTooLarge: the recorded reason why there is no embedding.
            InvalidPrompt: a prompt makes no sense for this image.
            Overloaded: too many requests decode, or the mask tokens of this request take too long; try again. Tokens
                that were decoded are remembered.
            StoreUnavailable: nothing is wrong with the request; try again.
        """
        key = EmbeddingKey.of(image_id, model)
        image = self._promptable(key, model, wait, timings)
        for number, prompt in enumerate(request.prompts):
            check_position(prompt, image.original, f"prompts/{number}")
        whole = request.logits or request.format is MaskFormat.LOGITS or any(map(must_be_whole, request.prompts))
        results: list[list[MaskAnswer]] = []
        unkept: list[Callable[[], None]] = []
        with self._turn(timings) as until:
            with timings.stage("decode"):
                subject = _Subject(key, model, self._decoders[model.name], image, namespace, until)
                answers = self._decode(subject, request.prompts, request.multimask, MAX_NESTING, padding=whole)
            for prompt in request.prompts:
                with timings.stage("decode"):  # in a batch, this waits until the prompt is decoded
                    answer = next(answers)
                with timings.stage("encode"):
                    masks, keep = self._encode(subject, prompt, answer, request, whole=whole, write=write)
                    results.append(masks)
                    unkept.append(keep)
        # This comes after the turn, so that other requests decode while this one waits for the store.
        with timings.stage("keep"):
            for keep in unkept:
                keep()
        self._metrics.prompted(len(results))
        return MasksAnswer(key, image.original, results)

    def forget(self, image_id: str) -> None:
        """Drop what this process remembers of the image."""
        self._embeddings.forget(image_id)
        self._refinement.forget(image_id)

    def doubt(self) -> None:
        """Have each image in memory checked before its next answer: it may have been deleted, and the event missed."""
        self._embeddings.doubt()

    def _promptable(self, key: EmbeddingKey, model: Model, wait: float, timings: Stages) -> PromptableImage:
        decoder = self._decoders[model.name]
        image = self._embeddings.get(key, model.architecture, decoder, timings)
        if image is not None:
            return image
        with timings.stage("wait"):
            state = self._images.wait(key.image_id, model, wait)
        if state.error is not None:
            raise state.error
        if state.status is ImageStatus.READY:
            image = self._embeddings.get(key, model.architecture, decoder, timings)
            if image is not None:
                return image
        raise errors.EmbeddingPending("the image is not encoded yet", retry_after=PENDING_RETRY)

    @contextmanager
    def _turn(self, timings: Stages) -> Iterator[float]:
        """Hold a turn, and yield the monotonic time after which it decodes no more mask tokens."""
        with timings.stage("turn"):
            granted = self._turns.acquire(timeout=TURN_WAIT)
        if not granted:
            raise errors.Overloaded("too many prompts are being decoded", retry_after=1)
        try:
            yield time.monotonic() + LONGEST_TURN
        finally:
            self._turns.release()

    def _decode(
        self, subject: _Subject, prompts: Sequence[ImagePrompt], multimask: bool, nesting: int, *, padding: bool
    ) -> Iterator[DecodedMasks]:
        image, architecture = subject.image, subject.model.architecture

        def decode_nested(prompt: ImagePrompt, nested_multimask: bool, nesting_left: int) -> DecodedMasks:
            if time.monotonic() > subject.until:
                raise errors.Overloaded(
                    "the mask_tokens take too long to decode in one request; some are decoded now: ask again, or "
                    "send fewer",
                    retry_after=1,
                )
            check_position(prompt, image.original, "mask_token")  # a client may have made up the token
            return next(self._decode(subject, [prompt], nested_multimask, nesting_left, padding=True))

        def mask_of(prompt: ImagePrompt) -> NDArray[np.float32] | None:
            if prompt.mask_token is None:
                return prompt.mask_logits
            return self._refinement.resolve(
                prompt.mask_token,
                subject.key,
                decode_nested,
                side=architecture.low_res_side,
                nesting=nesting,
                namespace=subject.namespace,
            )

        resolved = [to_decoder_frame(prompt, architecture.frame, image.original, mask_of(prompt)) for prompt in prompts]
        return subject.decoder.decode(image.prepared, resolved, multimask=multimask, padding=padding)

    def _encode(
        self,
        subject: _Subject,
        prompt: ImagePrompt,
        answer: DecodedMasks,
        request: MasksQuery,
        *,
        whole: bool,
        write: MaskWriter | None,
    ) -> tuple[list[MaskAnswer], Callable[[], None]]:
        form = write or request.format
        encoded = encode_masks(subject.decoder.mask_runs, answer.logits, subject.image.original, form)
        issued = self._refinement.issue(
            prompt, subject.key, answer, multimask=request.multimask, whole=whole, namespace=subject.namespace
        )
        masks = [
            MaskAnswer(float(score), mask, token, base64_logits(logits) if request.logits else None)
            for score, mask, token, logits in zip(answer.scores, encoded, issued.tokens, answer.logits, strict=True)
        ]
        return masks, issued.keep
