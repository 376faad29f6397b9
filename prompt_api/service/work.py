"""A stage of a request that may take long, and gives way to other requests in between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.runs import ColumnRuns
from prompt_api.models.interface import DecodedMasks, Decoder, Prompt
from prompt_api.service.turns import Turn, Turns
from shared.contract.geometry import Size
from shared.observe.stages import Stages

AT_ONCE = 2
"""Points between two looks for others who wait. More of them cost less each, and keep a click waiting longer."""


class Work:
    """The work of a request that holds a turn.

    Attributes:
        turn: the turn of the request.
    """

    def __init__(self, turn: Turn, turns: Turns, timings: Stages) -> None:
        self.turn = turn
        self._turns = turns
        self._timings = timings
        self._stage = ExitStack()
        self._name = ""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the block as the stage `name`, without the time in which it gives way."""
        self._name = name
        with self._stage:
            self._stage.enter_context(self._timings.stage(name))
            yield

    def give_way(self) -> None:
        """Let another request go first if one waits. Call this inside the stage."""
        if self._turns.wanted:
            self._stage.close()
            self.turn.give_way()
            self._stage.enter_context(self._timings.stage(self._name))


class DecodesInTurn:
    """A `Decoder` that gives way before each run of `decode_points`. It belongs to one request."""

    def __init__(self, decoder: Decoder[Any], work: Work) -> None:
        self._decoder = decoder
        self._work = work

    def prepare(self, tensors: Mapping[str, NDArray[np.float32]], original: Size) -> Any:
        return self._decoder.prepare(tensors, original)

    def decode(
        self, image: Any, prompts: Sequence[Prompt], *, multimask: bool, padding: bool = True
    ) -> Iterator[DecodedMasks]:
        return self._decoder.decode(image, prompts, multimask=multimask, padding=padding)

    def decode_points(self, image: Any, points: NDArray[np.float32], least_score: float) -> Iterator[DecodedMasks]:
        for start in range(0, len(points), AT_ONCE):
            self._work.give_way()
            yield from self._decoder.decode_points(image, points[start : start + AT_ONCE], least_score)

    def mask_runs(self, logits: NDArray[np.float32], original: Size) -> ColumnRuns:
        return self._decoder.mask_runs(logits, original)

    def areas_above(
        self, logits: NDArray[np.float32], thresholds: NDArray[np.float32], original: Size
    ) -> NDArray[np.int64]:
        return self._decoder.areas_above(logits, thresholds, original)
