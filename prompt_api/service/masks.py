"""Prompts in, masks out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from prompt_api.masks.encode import MaskWriter, base64_logits, encode_mask, in_place
from prompt_api.masks.interface import EncodedMask, MaskFormat
from prompt_api.metrics.counting import ApiMetrics
from prompt_api.models.interface import DecodedMasks, Decoder, Prompt
from prompt_api.service.embeddings import EmbeddingCache, PromptableImage
from prompt_api.service.images import Charge, ImageService, ImageStatus, free
from prompt_api.service.prompts import ImagePrompt, MasksQuery, check_position, to_decoder_frame
from prompt_api.service.refinement import Refinement, must_be_whole
from prompt_api.service.tokens import MAX_NESTING
from prompt_api.service.turns import Turn, Turns
from shared.contract import errors
from shared.contract.geometry import Size
from shared.contract.keys import EmbeddingKey
from shared.contract.models import Model
from shared.observe.stages import Stages

LONGEST_TURN = 10.0
"""Seconds of its turn after which a request decodes no more mask tokens. 64 deep ones take most of a minute."""

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


class AnswerWriter(Protocol):
    """Takes the masks of a request one by one, so that they are not all in memory at once."""

    def begin(self, key: EmbeddingKey, original: Size) -> None:
        """Begin the answer. `original` is the (height, width) of the EXIF-oriented original."""
        ...

    def add(self, prompt: int, mask: MaskAnswer) -> None:
        """Add the next mask of prompt number `prompt`. Masks come in the order of the prompts, then of the model."""
        ...


@dataclass(slots=True)
class _Collected:
    """Keeps the masks."""

    answer: MasksAnswer = field(init=False)

    def begin(self, key: EmbeddingKey, original: Size) -> None:
        self.answer = MasksAnswer(key, original, [])

    def add(self, prompt: int, mask: MaskAnswer) -> None:
        if prompt == len(self.answer.results):
            self.answer.results.append([])
        self.answer.results[prompt].append(mask)


@dataclass(frozen=True, slots=True, eq=False)
class _Subject:
    """What all prompts of a request share.

    Attributes:
        decoder: that of `model`.
        namespace: that of the client.
        turn: the turn of the request.
    """

    key: EmbeddingKey
    model: Model
    decoder: Decoder[Any]
    image: PromptableImage
    namespace: str
    turn: Turn


class MaskService:
    """Answers prompts on images and regions that have an embedding."""

    def __init__(
        self,
        *,
        images: ImageService,
        embeddings: EmbeddingCache,
        refinement: Refinement,
        decoders: Mapping[str, Decoder[Any]],
        turns: Turns,
        metrics: ApiMetrics,
    ) -> None:
        """Args:
        decoders: one per served model, by model name.
        turns: the turns to decode.
        """
        self._images = images
        self._embeddings = embeddings
        self._refinement = refinement
        self._decoders = decoders
        self._turns = turns
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
        client: str = "",
        write: MaskWriter | None = None,
        charge: Charge = free,
    ) -> MasksAnswer:
        """Return the masks for each prompt of `request`. The arguments and errors are those of `write_answer`."""
        collected = _Collected()
        self.write_answer(
            collected,
            image_id,
            model,
            request,
            wait=wait,
            timings=timings,
            namespace=namespace,
            client=client,
            write=write,
            charge=charge,
        )
        return collected.answer

    def write_answer(
        self,
        into: AnswerWriter,
        image_id: str,
        model: Model,
        request: MasksQuery,
        *,
        wait: float,
        timings: Stages,
        namespace: str = "",
        client: str = "",
        write: MaskWriter | None = None,
        charge: Charge = free,
    ) -> None:
        """Write the masks for each prompt of `request`, one by one. If it raises, what was written is not an answer.

        Args:
            into: gets the masks. Its errors end the request.
            wait: seconds to wait for an embedding that is not there yet.
            namespace: that of the client, which is known to have the image. Mask tokens of other namespaces are
                refused.
            client: name of the client. Turns are shared between clients.
            write: makes each mask's payload, instead of the format in `request`.
            charge: called before a region is queued that nobody has asked for yet.

        Raises:
            InvalidParameter: the image has no such region.
            RateLimited: `charge` raised it.
            ImageNotFound, ImageExpired, EmbeddingPending: there is no embedding, or not yet.
            EncodeFailed, InvalidImage, UnsupportedImage, ImageTooLarge: the recorded reason why there is no embedding.
            InvalidPrompt: a prompt makes no sense for this image.
            Overloaded: too many requests decode, or the mask tokens of this request take too long; try again. Tokens
                that were decoded are remembered.
            StoreUnavailable: nothing is wrong with the request; try again.
        """
        key = self._images.key(image_id, model, request.region)
        image = self._promptable(key, model, wait, timings, charge)
        for number, prompt in enumerate(request.prompts):
            check_position(prompt, image.original, f"prompts/{number}")
        whole = request.logits or request.format is MaskFormat.LOGITS or any(map(must_be_whole, request.prompts))
        unkept: list[Callable[[], None]] = []
        into.begin(key, image.original)
        with self._turns.turn(client, len(request.prompts), timings) as turn:
            subject = _Subject(key, model, self._decoders[model.name], image, namespace, turn)
            resolved = self._resolve_all(subject, request.prompts, timings)
            with timings.stage("decode"):
                answers = subject.decoder.decode(image.prepared, resolved, multimask=request.multimask, padding=whole)
            for number in range(len(request.prompts)):
                if number:
                    turn.give_way()
                with timings.stage("decode"):  # in a batch, this waits until the prompt is decoded
                    answer = next(answers)
                with timings.stage("encode"):
                    unkept.append(self._encode(subject, number, answer, request, into=into, whole=whole, write=write))
        # This comes after the turn, so that other requests decode while this one waits for the store.
        with timings.stage("keep"):
            for keep in unkept:
                keep()
        self._metrics.prompted(len(request.prompts))

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn to decode."""
        return self._turns.waiting

    def forget(self, image_id: str) -> None:
        """Drop what this process remembers of the image."""
        self._embeddings.forget(image_id)
        self._refinement.forget(image_id)

    def doubt(self) -> None:
        """Have each image in memory checked before its next answer: it may have been deleted, and the event missed."""
        self._embeddings.doubt()

    def _promptable(
        self, key: EmbeddingKey, model: Model, wait: float, timings: Stages, charge: Charge
    ) -> PromptableImage:
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

    def _resolve_all(self, subject: _Subject, prompts: Sequence[ImagePrompt], timings: Stages) -> list[Prompt]:
        """Return the prompts as the decoder takes them. Between tokens, the turn gives way."""
        resolved: list[Prompt] = []
        for prompt in prompts:
            if prompt.mask_token is None:
                resolved.append(self._resolve(subject, prompt, MAX_NESTING))
                continue
            if resolved:
                subject.turn.give_way()
            with timings.stage("decode"):
                resolved.append(self._resolve(subject, prompt, MAX_NESTING))
        return resolved

    def _resolve(self, subject: _Subject, prompt: ImagePrompt, nesting: int) -> Prompt:
        """Return the prompt as the decoder takes it, with the logits that its token names."""
        image, architecture = subject.image, subject.model.architecture

        def decode_nested(prompt: ImagePrompt, multimask: bool, nesting_left: int) -> DecodedMasks:
            if subject.turn.seconds > LONGEST_TURN:
                raise errors.Overloaded(
                    "the mask_tokens take too long to decode in one request; some are decoded now: ask again, or "
                    "send fewer",
                    retry_after=1,
                )
            check_position(prompt, image.original, "mask_token")  # a client may have made up the token
            nested = self._resolve(subject, prompt, nesting_left)
            return next(subject.decoder.decode(image.prepared, [nested], multimask=multimask, padding=True))

        mask = prompt.mask_logits
        if prompt.mask_token is not None:
            mask = self._refinement.resolve(
                prompt.mask_token,
                subject.key,
                decode_nested,
                side=architecture.low_res_side,
                nesting=nesting,
                namespace=subject.namespace,
            )
        return to_decoder_frame(prompt, architecture.frame, image.size, mask, corner=image.corner)

    def _encode(
        self,
        subject: _Subject,
        number: int,
        answer: DecodedMasks,
        request: MasksQuery,
        *,
        into: AnswerWriter,
        whole: bool,
        write: MaskWriter | None,
    ) -> Callable[[], None]:
        """Write the masks of prompt number `number`. Return what stores their logits; the caller must call it."""
        form = write or request.format
        issued = self._refinement.issue(
            request.prompts[number],
            subject.key,
            answer,
            multimask=request.multimask,
            whole=whole,
            namespace=subject.namespace,
        )
        returned = answer.limited() if whole else answer.logits
        image = subject.image
        runs_of = in_place(subject.decoder.mask_runs, image.region)
        for score, token, logits, low_res in zip(answer.scores, issued.tokens, answer.logits, returned, strict=True):
            mask = encode_mask(runs_of, logits, image.original, form, low_res)
            more = base64_logits(low_res) if request.logits else None
            into.add(number, MaskAnswer(float(score), mask, token, more))
        return issued.keep
