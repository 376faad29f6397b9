"""The page-locked memory of a GPU's queues stays small. A CPU takes the place of the GPU."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from encoder_worker.backends.on_torch.lanes import CudaLanes

LARGEST = 3 * 40 * 40


class _Event:
    def __init__(self, *, blocking: bool) -> None:
        assert blocking

    def record(self, stream: object) -> None:
        """The CPU has done its work already."""

    def synchronize(self) -> None:
        """There is nothing to wait for."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of each piece of page-locked memory that torch was asked for."""
    sizes: list[int] = []
    empty = torch.empty

    def counted(size: Any, *, pin_memory: bool = False, **options: Any) -> Tensor:
        made = empty(size, **options)
        if pin_memory:
            sizes.append(made.numel())
        return made

    monkeypatch.setattr(torch, "empty", counted)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: object())
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "Event", _Event)
    return sizes


def picture(height: int, width: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)


def beside(lanes: CudaLanes, rgb: Any, work: Callable[[Tensor], Tensor] = torch.clone) -> Any:
    return lanes.beside(rgb, work, LARGEST).numpy()


def test_pictures_of_all_sizes_go_through_the_same_page_locked_memory(asked: list[int]) -> None:
    lanes = CudaLanes(torch.device("cpu"))
    for side in range(1, 41):
        rgb = picture(side, 41 - side)
        np.testing.assert_array_equal(beside(lanes, rgb), rgb)
    np.testing.assert_array_equal(beside(lanes, picture(40, 40)[3:9, ::2]), picture(40, 40)[3:9, ::2])
    assert asked == [LARGEST]


def test_pictures_at_the_same_time_have_memory_of_their_own(asked: list[int]) -> None:
    lanes = CudaLanes(torch.device("cpu"))
    all_copied = threading.Barrier(3)
    right: list[int] = []

    def made(side: int) -> None:
        def work(there: Tensor) -> Tensor:
            all_copied.wait(30)
            return there.clone()

        rgb = picture(side, 40)
        if np.array_equal(beside(lanes, rgb, work), rgb):
            right.append(side)

    for _ in range(2):
        threads = [threading.Thread(target=made, args=(side,)) for side in (10, 20, 30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert sorted(right) == [10, 10, 20, 20, 30, 30]
    assert asked == [LARGEST] * 3


def test_memory_that_the_device_may_still_read_is_not_used_again(asked: list[int]) -> None:
    lanes = CudaLanes(torch.device("cpu"))

    def fails(there: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        beside(lanes, picture(5, 5), fails)
    beside(lanes, picture(6, 6))
    beside(lanes, picture(7, 7))
    assert asked == [LARGEST] * 2
