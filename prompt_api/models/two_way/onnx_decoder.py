"""The split mask decoder on ONNX Runtime."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.runs import ColumnRuns
from prompt_api.models.in_order import in_order
from prompt_api.models.interface import POINTS_AT_ONCE, DecodedMasks, Prompt
from prompt_api.models.onnx.session import OnnxSession
from prompt_api.models.two_way.folding import FIRST_COLUMNS
from prompt_api.models.two_way.graph_cache import DecoderGraphs
from prompt_api.models.two_way.image_side import FIRST_FEATURES, details_shapes
from prompt_api.models.two_way.network import Network
from prompt_api.models.two_way.onnx_image import ImageSide, OnnxImage, Tensors, image_side_of
from shared.contract.geometry import Size
from shared.contract.models import Model
from shared.contract.settings import Settings
from shared.host.cores import usable_cores

Floats = NDArray[np.float32]

_FEW_POINTS = 4
"""The most sparse tokens of a first prompt that is decoded from the embedding."""

_ANSWER_TIME = 0.05
"""Seconds in which a first answer's masks are encoded and sent, before the image side takes the processor."""

PADDING_LABEL = np.array([-1], np.float32)
CORNER_LABELS = np.array([2, 3], np.float32)

Range = tuple[int, int]
"""The index of the first of the four masks, and the index after the last."""


class OnnxDecoder(ABC):
    """A `Decoder` for any weights of one network. Sessions are made at their first use: a process may fork before that.

    Preparing an image costs twice as much as a prompt. So the first prompt on an image is decoded from the embedding
    itself, which costs less. The image side is computed after its answer is sent, or when the next prompt needs it.

    Prompts of one request run in parallel, one prompt per run. Prompts of different lengths could share a batch only
    with padding, which changes results. The working memory (about 40 MB per prompt) stays that of one prompt per core.
    """

    network: ClassVar[Network]

    def __init__(self, graphs: DecoderGraphs, *, weights_digest: str, threads: int, cores: int) -> None:
        """Args:
        weights_digest: digest of the weights that the graphs were built from. Embeddings carry the digest of theirs.
        threads: how many threads one prompt may use.
        cores: how many threads may be used by the first prompt on an image, by preparing an image, and by all prompts
            of one request together.
        """
        self.weights_digest = weights_digest
        self._image_side = OnnxSession(graphs.image_side, cores)
        self._mask_side = OnnxSession(graphs.mask_side, 1)
        self._first_prompt = OnnxSession(graphs.first_prompt, cores)
        self._prompt_side = OnnxSession(graphs.prompt_side, threads)
        self._one_of_many = self._prompt_side if threads == 1 else OnnxSession(graphs.prompt_side, 1)
        self._points_side = OnnxSession(graphs.points_side, 1)
        self._mask_of_point = OnnxSession(graphs.mask_of_point, 1)
        self._ahead = cores
        self._pool = ThreadPoolExecutor(cores, thread_name_prefix="decode")
        self._preparing = ThreadPoolExecutor(1, thread_name_prefix="prepare")
        self._may_prepare = BoundedSemaphore(1)
        empty = np.zeros((0, self.network.places), np.float32)
        self._no_mask: dict[str, Floats] = {
            "mask_rows": empty,
            "base_mask": empty,
            "second_mask": empty,
            "mask_updates": np.zeros((0, sum(FIRST_COLUMNS)), np.float32),
        }

    @classmethod
    def for_process(cls, graphs: DecoderGraphs, model: Model, settings: Settings) -> Self:
        """Return the decoder of `model` with as many threads as the settings and the processor allow."""
        threads = settings.decoder_threads
        cores = max(threads, usable_cores())
        return cls(graphs, weights_digest=model.weights_digest, threads=threads, cores=cores)

    @abstractmethod
    def mask_runs(self, logits: Floats, original: Size) -> ColumnRuns:
        """See `Decoder.mask_runs`."""

    @abstractmethod
    def areas_above(self, logits: Floats, thresholds: Floats, original: Size) -> NDArray[np.int64]:
        """See `Decoder.areas_above`."""

    @abstractmethod
    def sparse_prompt(self, prompt: Prompt) -> tuple[Floats, Floats]:
        """Return points (N, 2) and labels (N,) of all sparse tokens, in the order of the network's own predictor.

        A mask alone gives N = 0.
        """

    @abstractmethod
    def computed(self, *, multimask: bool) -> Range:
        """Return which masks are computed."""

    @abstractmethod
    def answered(self, logits: Floats, scores: Floats, *, multimask: bool) -> Range:
        """Return which of the computed masks are the answer.

        Args:
            logits: (K, pixels) of the computed masks, in any order of the pixels.
            scores: (K,).
        """

    def prepare(self, tensors: Tensors, original: Size) -> OnnxImage:
        architecture = self.network.architecture
        contiguous = {spec.name: np.ascontiguousarray(tensors[spec.name]) for spec in architecture.tensors}
        return OnnxImage(self.network, contiguous, architecture.frame.inside(original), self._compute)

    def decode(
        self, image: OnnxImage, prompts: Sequence[Prompt], *, multimask: bool, padding: bool = True
    ) -> Iterator[DecodedMasks]:
        if len(prompts) == 1:
            (prompt,) = prompts
            if self._is_small(prompt) and (tensors := image.first_tensors()) is not None:
                masks = self._decode_first(tensors, image.visible, prompt, multimask, padding)
                self._prepare_soon(image)
                return iter([masks])
            return iter([self._decode(self._prompt_side, image, prompt, multimask, padding)])

        def one_of_many(prompt: Prompt) -> DecodedMasks:
            return self._decode(self._one_of_many, image, prompt, multimask, padding)

        return in_order(self._pool, self._ahead, one_of_many, prompts)

    def decode_points(self, image: OnnxImage, points: Floats, least_score: float) -> Iterator[DecodedMasks]:
        side = image.side()
        own = side.features() | {"norms": side.norms}
        shared: dict[str, NDArray[Any]] = {"upscaled": side.visible_upscaled, **side.details}
        if self.network.padded:
            shared["area"] = np.array(image.visible)
        for start in range(0, len(points), POINTS_AT_ONCE):
            given = np.ascontiguousarray(points[start : start + POINTS_AT_ONCE], np.float32)
            names = ["scores", "hyper", "rows", "columns", "scales"]
            scores, *others = self._points_side.run(names, own | {"points": given})
            for index in range(len(given)):
                mine = dict(zip(names[1:], (part[index] for part in others), strict=True))
                yield self._masks_of_point(scores[index], mine, shared, image.visible, least_score)

    def _masks_of_point(
        self,
        scores: Floats,
        own: dict[str, Floats],
        shared: Mapping[str, NDArray[Any]],
        area: Size,
        least_score: float,
    ) -> DecodedMasks:
        good = scores > np.float32(least_score) if least_score > 0 else np.ones(len(scores), bool)
        if not good.any():
            side = self.network.low_res_side
            return DecodedMasks(np.zeros((0, side, side), np.float32), scores[good], self.network.limit)
        (logits,) = self._mask_of_point.run(["logits"], own | {"hyper": own["hyper"][good]} | dict(shared))
        return DecodedMasks(arranged(self.network, logits, area), scores[good], self.network.limit)

    def _compute(self, tensors: Tensors, visible: Size) -> ImageSide:
        outputs = ["placed", "plain", "mask_products", "norms", "upscaled", *details_shapes(self.network)]
        return image_side_of(self.network, self._image_side.run(outputs, tensors), visible)

    def _prepare_soon(self, image: OnnxImage) -> None:
        """Compute the image side in the background, unless another image is being prepared.

        In that case, the next prompt on this image computes it.
        """
        if not self._may_prepare.acquire(blocking=False):
            return

        def prepare() -> None:
            try:
                time.sleep(_ANSWER_TIME)
                image.side()
            finally:
                self._may_prepare.release()

        self._preparing.submit(prepare)

    def _decode_first(
        self, tensors: Tensors, visible: Size, prompt: Prompt, multimask: bool, padding: bool
    ) -> DecodedMasks:
        area = self._whole if padding else visible
        inputs = self._prompt_inputs(prompt, multimask, area) | self._no_mask
        return self._decoded(self._first_prompt, inputs | dict(tensors), area, multimask)

    def _decode(
        self, session: OnnxSession, image: OnnxImage, prompt: Prompt, multimask: bool, padding: bool
    ) -> DecodedMasks:
        side = image.side()
        area, upscaled = (self._whole, side.upscaled) if padding else (image.visible, side.visible_upscaled)
        inputs = self._prompt_inputs(prompt, multimask, area) | side.features() | dict(side.details)
        inputs |= {"norms": side.norms, "upscaled": upscaled}
        inputs |= self._no_mask if prompt.mask is None else self._mask_inputs(side, prompt.mask)
        return self._decoded(session, inputs, area, multimask)

    @property
    def _whole(self) -> Size:
        return self.network.grid, self.network.grid

    def _mask_inputs(self, side: ImageSide, mask: Floats) -> dict[str, Floats]:
        names = [feature.name.lower() for feature in FIRST_FEATURES]
        first = {name: part for name, part in side.features().items() if name in names}
        rows, updates, *changed = self._mask_side.run(
            ["mask_rows", "mask_updates", *(f"{name}_with_mask" for name in names)],
            {"mask": np.ascontiguousarray(mask)[None, None], **first},
        )
        base, second = side.mask_products
        inputs = {"mask_rows": rows, "base_mask": base, "second_mask": second, "mask_updates": updates}
        return inputs | dict(zip(names, changed, strict=True))

    def _is_small(self, prompt: Prompt) -> bool:
        """Return True if `prompt` has few tokens and no mask, so that decoding it from the embedding costs less."""
        return prompt.mask is None and len(self.sparse_prompt(prompt)[0]) <= _FEW_POINTS

    def _prompt_inputs(self, prompt: Prompt, multimask: bool, area: Size) -> dict[str, NDArray[Any]]:
        points, labels = self.sparse_prompt(prompt)
        inputs: dict[str, NDArray[Any]] = {
            "points": points,
            "labels": labels,
            "wanted": np.array(self.computed(multimask=multimask)),
        }
        if self.network.padded:
            inputs["area"] = np.array(area)
        return inputs

    def _decoded(
        self, session: OnnxSession, inputs: Mapping[str, NDArray[Any]], area: Size, multimask: bool
    ) -> DecodedMasks:
        logits, scores = session.run(["logits", "scores"], inputs)
        first, last = self.answered(logits, scores, multimask=multimask)
        return DecodedMasks(arranged(self.network, logits[first:last], area), scores[first:last], self.network.limit)


def arranged(network: Network, logits: Floats, area: Size) -> Floats:
    """Put logits from the prompt side, (K, 16 rows * columns), into a frame (K, S, S) that is 0 elsewhere.

    Args:
        area: rows and columns of the embedding that were upscaled, from the top left.
    """
    rows, columns = area
    frame = np.zeros((len(logits), network.low_res_side, network.low_res_side), np.float32)
    # The axes are mask, row, column, y and x of the first upscaling, y of the second. The x of the second stays in
    # place: its two floats are copied as one double, which takes a third of the time.
    pairs = logits.view(np.float64).reshape(-1, rows, columns, 2, 2, 2).transpose(0, 1, 3, 5, 2, 4)
    frame.view(np.float64).reshape(-1, network.grid, 2, 2, network.grid, 2)[:, :rows, :, :, :columns] = pairs
    return frame
