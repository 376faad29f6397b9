"""Many points at once, compared with one prompt after the other, for SAM and for SAM 2."""

from __future__ import annotations

from functools import partial
from typing import cast

import numpy as np
import pytest

from prompt_api.models.fake.decoder import FakeDecoder
from prompt_api.models.interface import POINTS_AT_ONCE, DecodedMasks, Prompt
from prompt_api.models.sam1.decoder import Sam1Decoder
from prompt_api.models.sam2.decoder import Sam2Decoder
from prompt_api.models.two_way.graph_cache import cached_graphs
from prompt_api.models.two_way.onnx_decoder import OnnxDecoder
from shared.contract.models import FAKE
from tests.unit.decoder_material import random_tensors, random_weights

ALL = 0.0
POINTS = np.random.default_rng(0).uniform(0, 1024, (POINTS_AT_ONCE + 2, 2)).astype(np.float32)
"""More than one run takes, and not a multiple of it."""


@pytest.fixture(scope="module", params=[Sam1Decoder, Sam2Decoder], ids=["sam1", "sam2"])
def decoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OnnxDecoder:
    kind = cast(type[OnnxDecoder], request.param)
    weights = partial(random_weights, network=kind.network)
    graphs = cached_graphs(kind.network, weights, "a" * 64, tmp_path_factory.mktemp("decoders"))
    return kind(graphs, weights_digest="a" * 64, threads=1, cores=1)


@pytest.mark.parametrize("size", [(1024, 1024), (683, 1024), (1024, 500)])
def test_many_points_are_answered_like_each_alone(size: tuple[int, int], decoder: OnnxDecoder) -> None:
    image = decoder.prepare(random_tensors(decoder.network), size)
    image.side()
    together = list(decoder.decode_points(image, POINTS, ALL))
    assert len(together) == len(POINTS)
    for point, masks in zip(POINTS, together, strict=True):
        prompt = Prompt(point[None], np.array([1]))
        (alone,) = decoder.decode(image, [prompt], multimask=True, padding=False)
        np.testing.assert_allclose(masks.logits, alone.logits, atol=2e-5 * np.abs(alone.logits).max())
        np.testing.assert_allclose(masks.scores, alone.scores, atol=1e-5)
        assert masks.limit == alone.limit


def test_only_masks_above_the_least_score_are_returned(decoder: OnnxDecoder) -> None:
    image = decoder.prepare(random_tensors(decoder.network), (683, 1024))
    every = list(decoder.decode_points(image, POINTS, ALL))
    least = float(np.median([masks.scores for masks in every]))
    chosen = list(decoder.decode_points(image, POINTS, least))
    assert {len(masks.scores) for masks in chosen} != {3}
    _assert_above(every, chosen, least)
    none = list(decoder.decode_points(image, POINTS, 1e6))
    assert [masks.logits.shape for masks in none] == [(0, 256, 256)] * len(POINTS)


def test_the_fake_decoder_takes_points_too() -> None:
    decoder = FakeDecoder()
    image = decoder.prepare(random_tensors_of_the_fake(), (683, 1024))
    every = list(decoder.decode_points(image, POINTS, ALL))
    for point, masks in zip(POINTS, every, strict=True):
        (alone,) = decoder.decode(image, [Prompt(point[None], np.array([1]))], multimask=True)
        np.testing.assert_array_equal(masks.logits, alone.logits)
    _assert_above(every, list(decoder.decode_points(image, POINTS, 0.8)), 0.8)


def random_tensors_of_the_fake() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {spec.name: rng.uniform(0, 1, spec.shape).astype(np.float32) for spec in FAKE.architecture.tensors}


def _assert_above(every: list[DecodedMasks], chosen: list[DecodedMasks], least: float) -> None:
    for before, after in zip(every, chosen, strict=True):
        good = before.scores > np.float32(least)
        np.testing.assert_array_equal(after.scores, before.scores[good])
        np.testing.assert_allclose(after.logits, before.logits[good], atol=1e-5 * max(1, np.abs(before.logits).max()))
