"""How far the decoder works ahead of what is written of a batch."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pytest

from prompt_api.models.interface import DecodedMasks, Prompt
from prompt_api.models.sam1.decoder import Sam1Decoder
from prompt_api.models.two_way.graph_cache import DecoderGraphs

CORES = 2


@pytest.fixture
def decoder() -> Sam1Decoder:
    nowhere = DecoderGraphs(*[Path("nowhere.onnx")] * len(DecoderGraphs.__dataclass_fields__))
    return Sam1Decoder(nowhere, weights_digest="", threads=1, cores=CORES)


def prompts(count: int) -> list[Prompt]:
    return [Prompt(np.full((1, 2), number, np.float32), np.ones(1, np.int64)) for number in range(count)]


def test_a_batch_is_decoded_in_order_and_only_a_little_ahead(
    decoder: Sam1Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, lock = [], Lock()

    def decode(_session: Any, _image: Any, prompt: Prompt, *_: bool) -> DecodedMasks:
        number = prompt.points[0, 0]
        with lock:
            begun.append(number)
        return DecodedMasks(np.full((1, 1, 1), number, np.float32), np.ones(1, np.float32))

    monkeypatch.setattr(decoder, "_decode", decode)
    answers = decoder.decode(None, prompts(20), multimask=True)  # type: ignore[arg-type]  # the image is not looked at
    for number, answer in enumerate(answers):
        assert answer.logits[0, 0, 0] == number
        assert len(begun) <= number + 1 + CORES
    assert sorted(begun) == list(range(20))


def test_a_batch_that_is_given_up_is_not_decoded_to_its_end(
    decoder: Sam1Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Prompt] = []

    def decode(_session: Any, _image: Any, prompt: Prompt, *_: bool) -> DecodedMasks:
        begun.append(prompt)
        raise ValueError

    monkeypatch.setattr(decoder, "_decode", decode)
    with pytest.raises(ValueError):  # noqa: PT011 - raised above
        next(decoder.decode(None, prompts(20), multimask=True))  # type: ignore[arg-type]
    assert len(begun) <= 1 + CORES
