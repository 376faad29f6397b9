"""The torch encoder gives segment_anything's numbers in every batch size and precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from segment_anything.modeling import Sam

from encoder_worker.backends.on_torch.batches import FittingBatches
from encoder_worker.backends.on_torch.encoder import TorchEncoder
from encoder_worker.backends.sam1.attention import FusedAttention
from encoder_worker.backends.sam1.blocks import fuse_blocks
from encoder_worker.backends.sam1.network import Network
from shared.contract.errors import EncodeFailed
from shared.contract.models import SAM1, VIT_B

CPU = torch.device("cpu")


def network(encoder: Any, dtype: torch.dtype = torch.float32) -> TorchEncoder:
    fuse_blocks(encoder)
    return TorchEncoder(VIT_B, Network(encoder, dtype), CPU, batch=4)


def embeddings(encoder: TorchEncoder, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.floating]]:
    return [tensors["embedding"] for tensors in encoder.encode(images)]


@pytest.mark.parametrize("largest_masked", [0, 10_000], ids=["folded", "masked"])
@pytest.mark.parametrize("block", [0, 1], ids=["windows", "global"])
def test_fused_attention_equals_the_original(small_encoder: Callable[[], Any], block: int, largest_masked: int) -> None:
    original = small_encoder().blocks[block].attn
    grid = (original.rel_pos_h.shape[0] + 1) // 2
    fused = FusedAttention(original, grid, largest_masked=largest_masked)
    x = torch.randn(2, grid, grid, 64, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(fused(x), original(x), atol=1e-5, rtol=1e-4)


def test_the_whole_network_equals_the_original(small_encoder: Callable[[], Any], photo: NDArray[np.uint8]) -> None:
    image = SAM1.frame.resize(photo)
    sam = Sam(small_encoder(), torch.nn.Identity(), torch.nn.Identity())
    expected = sam.image_encoder(sam.preprocess(torch.tensor(image).permute(2, 0, 1)[None])).numpy()
    (embedding,) = embeddings(network(small_encoder()), [image])
    assert embedding.dtype == np.float32
    np.testing.assert_allclose(embedding, expected, atol=1e-4)


def test_relative_positions_matter_to_these_tests(small_encoder: Callable[[], Any]) -> None:
    original = small_encoder().blocks[1].attn
    x = torch.randn(1, 64, 64, 64, generator=torch.Generator().manual_seed(3))
    with_positions = original(x)
    original.use_rel_pos = False
    assert float((original(x) - with_positions).abs().max()) > 1e-3


def test_images_of_several_sizes_share_a_batch(small_encoder: Callable[[], Any], photo: NDArray[np.uint8]) -> None:
    images = [SAM1.frame.resize(image) for image in (photo, photo.transpose(1, 0, 2), photo[:50], photo[:, :50])]
    together = embeddings(network(small_encoder()), images)
    for image, embedding in zip(images, together, strict=True):
        (alone,) = embeddings(network(small_encoder()), [image])
        assert embedding.shape == (1, 256, 64, 64)
        np.testing.assert_allclose(embedding, alone, atol=1e-4)


def test_an_embedding_is_not_overwritten_by_the_next(
    small_encoder: Callable[[], Any], photo: NDArray[np.uint8]
) -> None:
    encoder = network(small_encoder())
    (first,) = embeddings(encoder, [SAM1.frame.resize(photo)])
    kept = first.copy()
    encoder.encode([np.zeros((1024, 1024, 3), dtype=np.uint8)])
    np.testing.assert_array_equal(first, kept)


def test_bfloat16_stays_close_to_float32(small_encoder: Callable[[], Any], photo: NDArray[np.uint8]) -> None:
    image = SAM1.frame.resize(photo)
    (exact,) = embeddings(network(small_encoder()), [image])
    (rounded,) = embeddings(network(small_encoder(), torch.bfloat16), [image])
    assert float(np.abs(rounded - exact).mean()) < 0.01 * float(np.abs(exact).mean())


def test_a_network_that_gives_no_finite_numbers_is_an_error(photo: NDArray[np.uint8]) -> None:
    def broken(frames: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"embedding": torch.full((len(frames), 256, 64, 64), torch.nan)}

    with pytest.raises(EncodeFailed, match="not a finite embedding"):
        TorchEncoder(VIT_B, broken, CPU, batch=1).encode([SAM1.frame.resize(photo)])


def test_a_network_that_fails_is_an_error_of_this_project(photo: NDArray[np.uint8]) -> None:
    def broken(frames: torch.Tensor) -> dict[str, torch.Tensor]:
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nand a page more")

    with pytest.raises(EncodeFailed, match=r"illegal memory access was encountered$"):
        TorchEncoder(VIT_B, broken, CPU, batch=1).encode([SAM1.frame.resize(photo)])


class SmallDevice:
    """A fake device with room for `room` images. It records the sizes of its batches."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.seen: list[int] = []

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.seen.append(len(items))
        if len(items) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return list(items)


def test_running_out_of_memory_halves_the_batch_and_goes_on() -> None:
    batches, device = FittingBatches(8), SmallDevice(room=2)
    assert batches.run(list(range(9)), device) == [[0, 1], [2, 3], [4, 5], [6, 7], [8]]
    assert device.seen == [8, 4, 2, 2, 2, 2, 1]
    device.seen.clear()
    batches.run([1, 2, 3], device)
    assert device.seen == [2, 1]


def test_one_image_that_does_not_fit_is_an_error(photo: NDArray[np.uint8]) -> None:
    def full(frames: torch.Tensor) -> dict[str, torch.Tensor]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(MemoryError, match="no memory left"):
        TorchEncoder(VIT_B, full, CPU, batch=2).encode([SAM1.frame.resize(photo)] * 2)
