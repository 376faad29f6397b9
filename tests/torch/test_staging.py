"""Batches overlap: nothing waits for the device before their results are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoder_worker.backends.on_torch.encoder import TorchEncoder
from encoder_worker.encoding.encoder import OverlappingEncoder
from shared.contract.errors import EncodeFailed
from shared.contract.models import VIT_B

CPU = torch.device("cpu")
WHITE = np.full((1024, 1024, 3), 255, dtype=np.uint8)
BLACK = np.zeros((1024, 1024, 3), dtype=np.uint8)


class Mark:
    def __init__(self, device: FakeDevice, landing: list[tuple[Tensor, Tensor]]) -> None:
        self._device = device
        self._landing = landing

    @torch.inference_mode()
    def synchronize(self) -> None:
        self._device.said.append("waited")
        for here, there in self._landing:
            here.copy_(there)


class FakeDevice:
    """Lanes whose downloads arrive only when somebody waits for them. Before that they hold nonsense."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def upload(self, images: Sequence[Tensor], largest: int) -> list[Tensor]:
        assert max(image.numel() for image in images) <= largest
        self.said.append("up")
        return [image.clone() for image in images]

    def beside(self, rgb: NDArray[np.uint8], work: Callable[[Tensor], Tensor], largest: int) -> Tensor:
        assert rgb.size <= largest
        self.said.append("beside")
        return work(torch.tensor(rgb))

    def download(self, tensors: Sequence[Tensor]) -> tuple[list[Tensor], Any]:
        self.said.append("down")
        here = [torch.zeros_like(tensor) for tensor in tensors]
        return here, Mark(self, list(zip(here, tensors, strict=True)))

    def try_out(self) -> None:
        """It works."""


def brightness(frames: Tensor) -> dict[str, Tensor]:
    """A network whose embedding is the mean of the image."""
    return {"embedding": frames.mean((1, 2, 3)).view(-1, 1, 1, 1).expand(-1, 256, 64, 64).contiguous()}


def encoder(device: FakeDevice, network: Any = brightness) -> TorchEncoder:
    return TorchEncoder(VIT_B, network, CPU, batch=2, lanes=device)


def mean(images: Sequence[NDArray[np.uint8]], made: TorchEncoder) -> list[float]:
    return [float(tensors["embedding"].mean()) for tensors in made.encode(images)]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """With two threads torch adds up one image in another order than one of two. Then the last bits may differ."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_a_batch_is_begun_before_the_one_before_is_waited_for() -> None:
    device = FakeDevice()
    made = encoder(device)
    assert isinstance(made, OverlappingEncoder)
    first, second = made.begin([WHITE, BLACK]), made.begin([BLACK])
    assert device.said == ["up", "down", "up", "down"]
    (black,) = second.result()
    white, also_black = first.result()
    assert device.said[4:] == ["waited", "waited"]
    assert float(white["embedding"].mean()) > 1 > float(black["embedding"].mean())
    np.testing.assert_array_equal(black["embedding"], also_black["embedding"])


def test_images_are_not_read_after_the_batch_is_begun() -> None:
    device = FakeDevice()
    made = encoder(device)
    image = WHITE.copy()
    expected = mean([WHITE], made)
    begun = made.begin([image])
    image[:] = 0
    assert [float(tensors["embedding"].mean()) for tensors in begun.result()] == expected


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e6])
def test_what_is_not_finite_is_found_when_the_results_are_read(bad: float) -> None:
    """1e6 is finite, but not in float16, in which it is brought back."""

    def broken(frames: Tensor) -> dict[str, Tensor]:
        embedding = torch.zeros(len(frames), 256, 64, 64)
        embedding[-1, 3, 2, 1] = bad
        return {"embedding": embedding}

    device = FakeDevice()
    made = TorchEncoder(VIT_B, broken, CPU, batch=2, half=["embedding"], lanes=device)
    begun = made.begin([WHITE, BLACK])
    assert "waited" not in device.said
    with pytest.raises(EncodeFailed, match="not a finite embedding"):
        begun.result()


def test_a_device_that_fails_later_is_an_error_of_this_project() -> None:
    class Lost(FakeDevice):
        def download(self, tensors: Sequence[Tensor]) -> tuple[list[Tensor], Any]:
            return list(tensors), Failing()

    class Failing:
        def synchronize(self) -> None:
            raise RuntimeError("CUDA error: unspecified launch failure\nand a page more")

    begun = encoder(Lost()).begin([WHITE])
    with pytest.raises(EncodeFailed, match=r"unspecified launch failure$"):
        begun.result()


def test_an_embedding_of_a_wrong_shape_is_an_error() -> None:
    def narrow(frames: Tensor) -> dict[str, Tensor]:
        return {"embedding": torch.zeros(len(frames), 3, 64, 64)}

    with pytest.raises(EncodeFailed, match="wrong shape"):
        encoder(FakeDevice(), narrow).begin([WHITE])
