"""SAM's blocks with less work give the numbers of the published ones, and each approximation stays within its bound."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from segment_anything.modeling.image_encoder import Block
from torch import Tensor, nn

from encoder_worker.backends.on_torch import float8
from encoder_worker.backends.on_torch.float8 import Float8Linear, require_float8
from encoder_worker.backends.sam1.blocks import FusedBlock, Stage, fuse_blocks
from encoder_worker.backends.sam1.network import Network
from shared.contract.errors import ConfigurationError
from tests.support.small_sam import randomise

CPU = torch.device("cpu")


def block(window: int, side: int, *, width: int = 32) -> Any:
    made = Block(
        width,
        2,
        use_rel_pos=True,
        window_size=window,
        input_size=(side, side),
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
    )
    randomise(made, seed=5)
    return made.eval().requires_grad_(False)


def places(side: int, *, width: int = 32) -> Tensor:
    return torch.randn(2, side, side, width, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("largest_masked", [0, 10_000], ids=["folded", "masked"])
@pytest.mark.parametrize(("window", "side"), [(0, 6), (3, 6), (4, 6), (5, 6), (7, 6)])
def test_a_block_equals_the_published_one(window: int, side: int, largest_masked: int) -> None:
    """With a padding of 0, 2, 4 and 1 places."""
    original = block(window, side)
    fused = FusedBlock(original, side, largest_masked=largest_masked)
    torch.testing.assert_close(fused(places(side)), original(places(side)), atol=1e-5, rtol=1e-4)


def test_the_bias_in_the_padding_matters_to_these_tests() -> None:
    original = block(4, 6)
    fused = FusedBlock(original, 6)
    fused._padding.zero_()
    assert float((fused(places(6)) - original(places(6))).abs().max()) > 1e-3


def test_blocks_come_in_stages_that_end_where_windows_end(small_encoder: Callable[[], Any]) -> None:
    encoder = small_encoder()
    fuse_blocks(encoder)
    (stage,) = encoder.blocks
    assert isinstance(stage, Stage)
    assert [one.attn.grid for one in stage.blocks] == [14, 64]


def test_gelu_with_tanh_is_off_by_less_than_bfloat16_rounds() -> None:
    """What a GPU computes in the product, see `encoder_worker.backends.sam1.blocks`."""
    x = torch.linspace(-6, 6, 100_001, dtype=torch.float64)
    exact, with_tanh = nn.functional.gelu(x), nn.functional.gelu(x, approximate="tanh")
    assert float((exact - with_tanh).abs().max()) < 4.8e-4
    large = x.abs() > 1
    positive = large & (x > 0)
    rounding = exact[positive] * 2**-9
    assert bool(((exact - with_tanh)[positive].abs() < rounding).all())


def test_gelu_with_tanh_hardly_changes_an_embedding(small_encoder: Callable[[], Any]) -> None:
    frames = torch.randn(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(1))
    exact = embedding(small_encoder(), frames)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.functional, "gelu", partial(nn.functional.gelu, approximate="tanh"))
        approximate = embedding(small_encoder(), frames)
    assert 0 < error(approximate, exact) < 1e-3


def test_float8_products_stay_close_to_float32(small_encoder: Callable[[], Any]) -> None:
    """The GPU's arithmetic in float32 on a CPU. bfloat16 is allowed 2 %, float8 what this says."""
    frames = torch.randn(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(1))
    exact = embedding(small_encoder(), frames)
    rounded = embedding(small_encoder(), frames, float8=True)
    assert 0.001 < error(rounded, exact) < 0.08


def test_float8_keeps_the_scale_of_each_row() -> None:
    """Rows a million times apart have the same relative error."""
    linear = nn.Linear(64, 32).requires_grad_(False)
    nn.init.zeros_(linear.bias)
    layer = Float8Linear(linear, torch.float32)
    x = torch.randn(2, 64, generator=torch.Generator().manual_seed(1))
    small = 1e-6 * x
    for rows in (x, small):
        assert error(layer(rows), linear(rows)) < 0.05
    assert bool((layer(torch.zeros(1, 64)) == 0).all())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_float8_never_hides_numbers_that_are_not_finite(bad: float) -> None:
    layer = Float8Linear(nn.Linear(16, 16).requires_grad_(False), torch.float32)
    x = torch.ones(2, 16)
    x[1, 3] = bad
    result = layer(x)
    assert bool(result[0].isfinite().all())
    assert not bool(result[1].isfinite().any())


def test_float8_needs_a_gpu() -> None:
    with pytest.raises(ConfigurationError, match="needs a GPU"):
        require_float8(CPU)


@pytest.mark.parametrize(
    ("capability", "failure", "said"),
    [((8, 0), None, "no tensor cores for float8"), ((9, 0), "no kernel", "cannot multiply float8 here .no kernel")],
)
def test_float8_on_a_gpu_without_it_is_an_error_at_the_start(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], failure: str | None, said: str
) -> None:
    class Broken(Float8Linear):
        def to(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError(failure)

    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(float8, "Float8Linear", Broken)
    with pytest.raises(ConfigurationError, match=said):
        require_float8(torch.device("cuda"))


@torch.inference_mode()
def embedding(encoder: Any, frames: Tensor, *, float8: bool = False) -> Tensor:
    fuse_blocks(encoder)
    return Network(encoder, torch.float32, float8=float8)(frames)["embedding"]


def error(ours: Tensor, exact: Tensor) -> float:
    """The norm of the difference, divided by the norm."""
    return float((ours - exact).norm() / exact.norm())
