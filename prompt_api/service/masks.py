"""Prompts in, masks out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from prompt_api.masks.encode import MaskWriter, base64_logits, cleaned, encode_mask, in_place, within
from prompt_api.masks.interface import EncodedMask, MaskFormat
from prompt_api.metrics.counting import ApiMetrics
from prompt_api.models.interface import DecodedMasks, Decoder, Prompt
from prompt_api.service.auto_region import AutoRegion, unseen
from prompt_api.service.choices import AskedOf, Choice, Choices
from prompt_api.service.embeddings import EmbeddingCache, PromptableImage
from prompt_api.service.images import Charge, ImageService, ImageState, ImageStatus, free
from prompt_api.service.mask_prompts import with_known_mask
from prompt_api.service.promptable import PromptableImages
from prompt_api.service.prompts import AUTO, ImagePrompt, MasksQuery, check_position
from prompt_api.service.refinement import Refinement, must_be_whole
from prompt_api.service.resolving import Resolver, Subject
from prompt_api.service.tokens import region_of
from prompt_api.service.turns import Turns
from shared.contract import errors
from shared.contract.geometry import Size
from shared.contract.keys import EmbeddingKey
from shared.contract.models import Model
from shared.observe.stages import Stages
from shared.redis import allowance

LOOK_SECONDS = 0.1
"""Seconds that looks for a finer region may wait for Redis, if the request itself does not wait for the region."""

_log = logging.getLogger(__name__)


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


@dataclass(slots=True)
class MasksAnswer:
    """The masks of every prompt, in the order of the prompts.

    Attributes:
        key: that of the embedding that the masks come from. It names the region, if there is one.
        original: (height, width) of the EXIF-oriented original.
        finer: the region that would give finer masks and is not encoded yet, if the request left the choice.
    """

    key: EmbeddingKey
    original: Size
    results: list[list[MaskAnswer]]
    finer: ImageState | None = None


class AnswerWriter(Protocol):
    """Takes the masks of a request one by one, so that they are not all in memory at once."""

    def begin(self, key: EmbeddingKey, original: Size) -> None:
        """Begin the answer. `original` is the (height, width) of the EXIF-oriented original.

        A second call begins it again: what was written before is dropped.
        """
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


_Keep = Callable[[], None]
"""Stores the logits of one prompt's masks."""


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """A request, and where its answer goes. The members are the arguments of `MaskService.write_answer`."""

    into: AnswerWriter
    model: Model
    request: MasksQuery
    timings: Stages
    namespace: str
    client: str
    write: MaskWriter | None


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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        decoders: one per served model, by model name.
        turns: the turns to decode.
        clock: returns monotonic seconds.
        """
        self._images = images
        self._embeddings = embeddings
        self._refinement = refinement
        self._resolver = Resolver(refinement)
        self._promptable = PromptableImages(images=images, embeddings=embeddings, decoders=decoders)
        self._decoders = decoders
        self._turns = turns
        self._metrics = metrics
        self._clock = clock
        self._choices = Choices()

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
        finer = self.write_answer(
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
        collected.answer.finer = finer
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
    ) -> ImageState | None:
        """Write the masks for each prompt of `request`, one by one. If it raises, what was written is not an answer.

        If the request leaves the region to the service, the masks are those of the whole image until the region that
        suits the prompts is encoded. `AutoRegion` chooses it.

        Args:
            into: gets the masks. Its errors end the request.
            wait: seconds to wait for an embedding that is not there yet.
            namespace: that of the client, which is known to have the image. Mask tokens of other namespaces are
                refused.
            client: name of the client. Turns are shared between clients.
            write: makes each mask's payload, instead of the format in `request`.
            charge: called before a region is queued that nobody has asked for yet.

        Returns:
            The state of the region that would give finer masks, if the request left the choice and the region is not
            encoded; otherwise None.

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
        asked = _Asked(into, model, request, timings, namespace, client, write)
        if request.region == AUTO:
            finer, keep = self._answer_auto(asked, image_id, wait, charge)
        else:
            key = self._images.key(image_id, model, request.region)
            image = self._promptable.get(key, model, wait, timings, charge)
            finer, keep = None, self._answer(self._with_known_masks(asked, image.original), key, image)
        # This comes after the turn, so that other requests decode while this one waits for the store.
        with timings.stage("keep"):
            for kept in keep:
                kept()
        self._metrics.prompted(len(request.prompts))
        return finer

    def _answer_auto(
        self, asked: _Asked, image_id: str, wait: float, charge: Charge
    ) -> tuple[ImageState | None, list[_Keep]]:
        """Answer from the region that suits the prompts, or from the whole image until that is encoded."""
        whole = EmbeddingKey.of(image_id, asked.model)
        deadline = self._clock() + wait
        tokens = [prompt.mask_token for prompt in asked.request.prompts if prompt.mask_token is not None]
        if tokens:  # a token is an answer of one region, and only that can refine it
            whole = replace(whole, region=region_of(tokens[0]))
        image = self._promptable.get(whole, asked.model, wait, asked.timings, charge)
        asked = self._with_known_masks(asked, image.original)
        prompts = asked.request.prompts
        if tokens or any(prompt.mask_logits is not None for prompt in prompts):
            return None, self._answer(asked, whole, image)
        question = AskedOf(whole, prompts, asked.request.multimask)
        choice = AutoRegion(prompts, asked.model.architecture.frame, image.original, self._embeddings.regions_of(whole))
        region = choice.of_boxes()
        known = None if region is not None else self._choices.get(question)
        if known is not None:
            region, choice.is_guess = known.region, known.is_guess
        keep: list[_Keep] = []
        written: EmbeddingKey | None = None
        if region is None:
            keep, written = self._answer(asked, whole, image, choice.whole_image), whole
            region = choice.of_masks()
            if region is not None:
                self._choices.put(question, Choice(region, choice.is_guess))
        finer = None
        while region is not None:
            key = replace(whole, region=region)
            part, finer = self._finer(asked, key, image.original, deadline, charge)
            if part is None:
                break
            keep, written = self._answer(asked, key, part, choice.in_region(region)), key
            if not choice.is_cut:
                return None, keep
            region = choice.larger()
            if region is None:
                self._choices.drop(question)
        if written != whole:
            keep = self._answer(asked, whole, image)
        return finer, keep

    def _finer(
        self, asked: _Asked, key: EmbeddingKey, original: Size, deadline: float, charge: Charge
    ) -> tuple[PromptableImage | None, ImageState | None]:
        """Return the region that `key` names if it is encoded, or is before `deadline`; otherwise its state.

        The answer of the whole image is at hand, so nothing that goes wrong here is an error. Both are None then. The
        looks at Redis may take `LOOK_SECONDS`, because a request that does not wait shall not begin to.
        """
        model, timings = asked.model, asked.timings
        decoder = self._decoders[model.name]
        try:
            with allowance.at_most(LOOK_SECONDS):
                part = self._embeddings.get(key, model.architecture, decoder, timings)
                if part is not None:
                    return part, None
                with timings.stage("finer"):
                    state = self._images.begin(key, original, charge=charge)
            left = deadline - self._clock()
            if not state.settled and left > 0:
                with timings.stage("wait"):
                    state = self._images.wait(key, left, charge=charge)
            if state.status is ImageStatus.READY:
                part = self._embeddings.get(key, model.architecture, decoder, timings)
        except errors.SamCacheError as error:
            _log.info("image %s: no finer answer: %s", key.image_id[:12], error.detail)
            return None, None
        return part, None if part is not None else state

    def _answer(
        self,
        asked: _Asked,
        key: EmbeddingKey,
        image: PromptableImage,
        see: Callable[[int, DecodedMasks], None] = unseen,
    ) -> list[_Keep]:
        """Write the masks from one embedding. Return what stores their logits; the caller must call it.

        Args:
            see: gets the number of each prompt and its masks, before they are written.
        """
        request, timings = asked.request, asked.timings
        for number, prompt in enumerate(request.prompts):
            check_position(prompt, image.original, f"prompts/{number}")
        whole = request.logits or request.format is MaskFormat.LOGITS or any(map(must_be_whole, request.prompts))
        keep: list[_Keep] = []
        asked.into.begin(key, image.original)
        with self._turns.turn(asked.client, len(request.prompts), timings) as turn:
            subject = Subject(key, asked.model, self._decoders[asked.model.name], image, asked.namespace, turn)
            resolved = self._resolve_all(subject, request.prompts, timings)
            with timings.stage("decode"):
                answers = subject.decoder.decode(image.prepared, resolved, multimask=request.multimask, padding=whole)
            for number in range(len(request.prompts)):
                if number:
                    turn.give_way()
                with timings.stage("decode"):  # in a batch, this waits until the prompt is decoded
                    answer = next(answers)
                see(number, answer)
                with timings.stage("encode"):
                    keep.append(self._encode(asked, subject, number, answer, whole=whole))
        return keep

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn to decode."""
        return self._turns.waiting

    def forget(self, image_id: str) -> None:
        """Drop what this process remembers of the image."""
        self._embeddings.forget(image_id)
        self._refinement.forget(image_id)
        self._choices.forget(image_id)

    def doubt(self) -> None:
        """Have each image in memory checked before its next answer: it may have been deleted, and the event missed."""
        self._embeddings.doubt()

    def _with_known_masks(self, asked: _Asked, original: Size) -> _Asked:
        """Return the request with its mask prompts decoded, in a turn of its own: a large PNG takes a while."""
        count = sum(prompt.mask is not None for prompt in asked.request.prompts)
        if not count:
            return asked
        known: list[ImagePrompt] = []
        with self._turns.turn(asked.client, count, asked.timings) as turn:
            for number, prompt in enumerate(asked.request.prompts):
                if prompt.mask is not None:
                    if known:
                        turn.give_way()
                    with asked.timings.stage("decode"):
                        prompt = with_known_mask(prompt, original, f"prompts/{number}/mask")  # noqa: PLW2901
                known.append(prompt)
        return replace(asked, request=replace(asked.request, prompts=tuple(known)))

    def _resolve_all(self, subject: Subject, prompts: Sequence[ImagePrompt], timings: Stages) -> list[Prompt]:
        """Return the prompts as the decoder takes them. Between tokens, the turn gives way."""
        resolved: list[Prompt] = []
        for prompt in prompts:
            if prompt.mask_token is None:
                resolved.append(self._resolver.prompt(subject, prompt))
                continue
            if resolved:
                subject.turn.give_way()
            with timings.stage("decode"):
                resolved.append(self._resolver.prompt(subject, prompt))
        return resolved

    def _encode(self, asked: _Asked, subject: Subject, number: int, answer: DecodedMasks, *, whole: bool) -> _Keep:
        """Write the masks of prompt number `number`. Return what stores their logits; the caller must call it."""
        request = asked.request
        prompt = request.prompts[number]
        form = asked.write or within(request.format, request.tolerance)
        issued = self._refinement.issue(
            prompt,
            subject.key,
            answer,
            multimask=request.multimask,
            whole=whole,
            namespace=subject.namespace,
        )
        returned = answer.limited() if whole else answer.logits
        image = subject.image
        runs_of = cleaned(in_place(subject.decoder.mask_runs, image.region), request.cleaning, prompt.clicks)
        for score, token, logits, low_res in zip(answer.scores, issued.tokens, answer.logits, returned, strict=True):
            mask = encode_mask(runs_of, logits, image.original, form, low_res)
            more = base64_logits(low_res) if request.logits else None
            asked.into.add(number, MaskAnswer(float(score), mask, token, more))
        return issued.keep
