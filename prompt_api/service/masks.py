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

from prompt_api.decoder.interface import DecodedMasks, Decoder, Prompt
from prompt_api.masks.encode import MaskWriter, encode_logits, encode_masks
from prompt_api.masks.interface import EncodedMask, MaskFormat
from prompt_api.metrics.counting import ApiMetrics
from prompt_api.prompts import MasksRequest, PromptInput, check_position, parse_mask_logits
from prompt_api.service.embeddings import EmbeddingCache, PromptableImage
from prompt_api.service.images import ImageService, Status
from prompt_api.service.refinement import Refinement, must_be_whole
from prompt_api.tokens import MAX_DEPTH
from shared import errors
from shared.geometry import Size, to_resized_frame
from shared.keys import EmbeddingKey
from shared.models import Model
from shared.stages import Stages

TURN_WAIT = 5.0
"""Seconds a request waits for its turn to decode before it is refused."""

LONGEST_TURN = 10.0
"""Seconds after which a turn decodes no more of what mask tokens stand for; 64 deep ones take most of a minute."""

PENDING_RETRY = 1.0
"""Seconds after which asking again for a pending embedding makes sense."""


@dataclass(frozen=True, slots=True)
class MaskAnswer:
    """One mask of one prompt.

    Attributes:
        score: IoU the model predicts.
        mask: area, box and the format asked for.
        token: for refining it.
        logits: its low-res logits as `MaskFormat.LOGITS` writes them, where they were asked for besides the format.
    """

    score: float
    mask: EncodedMask
    token: str
    logits: str | None


@dataclass(frozen=True, slots=True)
class MasksAnswer:
    """Masks of every prompt, in the order asked; sizes as (height, width) of the oriented original."""

    key: EmbeddingKey
    original: Size
    results: list[list[MaskAnswer]]


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
        concurrency: requests that may decode at once; the rest wait their turn.
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
        request: MasksRequest,
        *,
        wait: float,
        timings: Stages,
        namespace: str = "",
        write: MaskWriter | None = None,
    ) -> MasksAnswer:
        """Masks for each prompt of `request`.

        Args:
            wait: seconds to wait for an embedding that is not there yet.
            namespace: who asks, and is known to have the image; mask tokens of others are refused.
            write: makes each mask's payload, in place of the format that `request` names.

        Raises:
            ImageNotFound, ImageExpired, EmbeddingPending: there is no embedding (yet, or any more).
            EncodeFailed, InvalidImage, UnsupportedImage, ImageTooLarge: the recorded reason why there is none.
            InvalidPrompt: a prompt makes no sense for this image.
            Overloaded: too many decode, or the mask tokens take too long at once, and what was decoded of them is
                remembered; try again.
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
                answers = self._decode(
                    key,
                    image,
                    request.prompts,
                    request.multimask,
                    MAX_DEPTH,
                    padding=whole,
                    until=until,
                    namespace=namespace,
                )
            for prompt in request.prompts:
                with timings.stage("decode"):  # in a batch, what is left to wait for
                    answer = next(answers)
                with timings.stage("encode"):
                    masks, keep = self._encode(
                        key, image.original, prompt, answer, request, whole=whole, namespace=namespace, write=write
                    )
                    results.append(masks)
                    unkept.append(keep)
        # Not in its turn: others decode while this waits for the store.
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
        """Make sure, before the next answer on each image in memory, that it was not deleted: news of that may have
        been missed.
        """
        self._embeddings.doubt()

    def _promptable(self, key: EmbeddingKey, model: Model, wait: float, timings: Stages) -> PromptableImage:
        decoder = self._decoders[model.name]
        image = self._embeddings.get(key, decoder, timings)
        if image is not None:
            return image
        with timings.stage("wait"):
            state = self._images.wait(key.image_id, model, wait)
        if state.error is not None:
            raise state.error
        if state.status is Status.READY:
            image = self._embeddings.get(key, decoder, timings)
            if image is not None:
                return image
        raise errors.EmbeddingPending("the image is not encoded yet", retry_after=PENDING_RETRY)

    @contextmanager
    def _turn(self, timings: Stages) -> Iterator[float]:
        """A turn, and the monotonic time at which it has lasted long enough."""
        with timings.stage("turn"):
            granted = self._turns.acquire(timeout=TURN_WAIT)
        if not granted:
            raise errors.Overloaded("too many prompts are being decoded", retry_after=1)
        try:
            yield time.monotonic() + LONGEST_TURN
        finally:
            self._turns.release()

    def _decode(
        self,
        key: EmbeddingKey,
        image: PromptableImage,
        prompts: Sequence[PromptInput],
        multimask: bool,
        nesting: int,
        *,
        padding: bool,
        until: float,
        namespace: str,
    ) -> Iterator[DecodedMasks]:
        def decode_nested(prompt: PromptInput, nested_multimask: bool, nesting_left: int) -> DecodedMasks:
            if time.monotonic() > until:
                raise errors.Overloaded(
                    "so many mask_tokens take too long at once; some are decoded now: ask again, or send fewer",
                    retry_after=1,
                )
            check_position(prompt, image.original, "mask_token")  # anybody can write one
            nested = self._decode(
                key, image, [prompt], nested_multimask, nesting_left, padding=True, until=until, namespace=namespace
            )
            return next(nested)

        def mask_of(number: int, prompt: PromptInput) -> NDArray[np.float32] | None:
            if prompt.mask_token is not None:
                return self._refinement.resolve(
                    prompt.mask_token, key, decode_nested, nesting=nesting, namespace=namespace
                )
            if prompt.mask_logits is not None:
                return parse_mask_logits(prompt.mask_logits, f"prompts/{number}")
            return None

        resolved = [
            to_decoder_frame(prompt, image.original, mask_of(number, prompt)) for number, prompt in enumerate(prompts)
        ]
        return self._decoders[key.model].decode(image.prepared, resolved, multimask=multimask, padding=padding)

    def _encode(
        self,
        key: EmbeddingKey,
        original: Size,
        prompt: PromptInput,
        answer: DecodedMasks,
        request: MasksRequest,
        *,
        whole: bool,
        namespace: str,
        write: MaskWriter | None,
    ) -> tuple[list[MaskAnswer], Callable[[], None]]:
        encoded = encode_masks(answer.logits, original, write or request.format)
        issued = self._refinement.issue(
            prompt, key, answer, multimask=request.multimask, whole=whole, namespace=namespace
        )
        masks = [
            MaskAnswer(float(score), mask, token, encode_logits(logits) if request.logits else None)
            for score, mask, token, logits in zip(answer.scores, encoded, issued.tokens, answer.logits, strict=True)
        ]
        return masks, issued.keep


def to_decoder_frame(prompt: PromptInput, original: Size, mask: NDArray[np.float32] | None) -> Prompt:
    """`prompt` as the decoder takes it: pixels of the original become pixels of the resized frame.

    Args:
        original: (height, width).
        mask: (256, 256) float32 low-res logits to refine, or None.
    """
    points = np.array(prompt.points or [], dtype=np.float64).reshape(-1, 2)
    box = None if prompt.box is None else to_resized_frame(np.array(prompt.box).reshape(2, 2), original).reshape(4)
    return Prompt(
        points=to_resized_frame(points, original),
        labels=np.array(prompt.labels or [], dtype=np.int64),
        box=box,
        mask=mask,
    )
