"""A device that has stopped working ends its worker, which costs no image a retry but the one that breaks devices."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from encoder_worker.backends.on_torch.device_check import still_works
from encoder_worker.backends.on_torch.encoder import TorchEncoder
from encoder_worker.backends.on_torch.resizing import Resizer
from encoder_worker.encoding.device_lost import DeviceLost
from shared.contract.errors import EncodeFailed
from shared.contract.models import FAKE
from shared.contract.settings import Settings
from shared.queue.interface import ABSENT, JobStatus
from shared.queue.rq_queue import RqEncodeQueue
from tests.integration.test_worker_process import ENDED, ROOT, SOON, Stack
from tests.support.breakable_device import (
    BREAKS,
    BREAKS_LATER,
    ERROR,
    BreakableDevice,
    breakable_encoder,
    image_of,
)

GOOD = (10, 20, 30)
STOPPED = "has stopped working: CUDA error: an illegal memory access was encountered"


@pytest.mark.parametrize("colour", [BREAKS, BREAKS_LATER], ids=["at once", "later"])
def test_an_error_after_which_the_device_fails_at_everything_is_a_lost_device(colour: tuple[int, int, int]) -> None:
    device = BreakableDevice()
    encoder = breakable_encoder(device)
    (whole,) = encoder.encode([image_of(GOOD)])
    assert whole["embedding"].shape == (1, 256, 64, 64)
    for image in (colour, GOOD):
        with pytest.raises(DeviceLost, match=f"{STOPPED}$"):
            encoder.encode([image_of(image)])


def test_a_device_that_breaks_while_it_resizes_is_lost_too() -> None:
    class BreakingBeside(BreakableDevice):
        def beside(
            self, rgb: NDArray[np.uint8], work: Callable[[torch.Tensor], torch.Tensor], largest: int
        ) -> torch.Tensor:
            self.broken = True
            self.require_whole()
            return super().beside(rgb, work, largest)

    device = BreakingBeside()
    resizer = Resizer(FAKE.encoder_frame, torch.device("cpu"))
    encoder = TorchEncoder(FAKE, device.network, torch.device("cpu"), resizer=resizer, lanes=device)
    with pytest.raises(DeviceLost, match=f"{STOPPED}$"):
        encoder.resized(image_of(GOOD))


def test_an_error_after_which_the_device_works_is_that_of_the_images() -> None:
    device = BreakableDevice()

    def network(frames: torch.Tensor) -> dict[str, torch.Tensor]:
        raise RuntimeError(ERROR)

    encoder = TorchEncoder(FAKE, network, torch.device("cpu"), batch=2, lanes=device)
    with pytest.raises(EncodeFailed, match="could not run the image encoder") as failed:
        encoder.encode([image_of(GOOD)])
    assert not isinstance(failed.value, DeviceLost)


def test_a_device_that_hangs_is_lost_after_the_patience_and_one_without_memory_works() -> None:
    def full() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    never = threading.Event()
    try:
        assert not still_works(never.wait, patience=0.05)
    finally:
        never.set()
    assert still_works(full)
    assert still_works(lambda: None)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_real_gpu_works_until_an_assertion_fails_on_it() -> None:
    """In a process of its own, which cannot use the GPU afterwards."""
    program = """
import os
import torch
from encoder_worker.backends.on_torch.device_check import still_works
from encoder_worker.backends.on_torch.lanes import CudaLanes

device = torch.device("cuda", 0)
lanes = CudaLanes(device)
assert still_works(lanes.try_out)
try:
    torch.zeros(1, device=device)[torch.tensor([7], device=device)].tolist()
except RuntimeError as error:
    print(error)
else:
    raise SystemExit("the GPU noticed nothing")
assert not still_works(lanes.try_out)
print("seen", flush=True)
os._exit(0)  # with a broken GPU the end of an interpreter may fail
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=SOON, cwd=ROOT)


@pytest.fixture
def stack(valkey_url: str, tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path, valkey_url + "/13", valkey_url + "/13")
    stack.client.flushdb()
    yield stack
    stack.close()


def start_worker(stack: Stack) -> subprocess.Popen[bytes]:
    return stack.start_worker("-m", "tests.support.breakable_device", SAM_WORKER_DECODERS="1", SAM_ENCODER_THREADS="1")


def test_a_worker_that_lost_its_device_ends_and_only_the_image_that_breaks_devices_fails(stack: Stack) -> None:
    """The test starts the worker again, as a supervisor does."""
    stack.queue = RqEncodeQueue(stack.client, Settings(job_retries=0))
    colours = [(10, 20, shade) for shade in range(5)]
    good = [stack.upload(png(colour)) for colour in colours]
    poison = stack.upload(png(BREAKS_LATER))
    for key in (*good[:3], poison, *good[3:]):
        stack.queue.submit(key)
    for _ in range(2):  # with others around it the image breaks the device for nothing, alone it pays
        assert stack.queue.state(poison).status is JobStatus.QUEUED
        assert start_worker(stack).wait(timeout=SOON) == 1
    failed = stack.queue.state(poison)
    assert (failed.status, failed.error_code) == (JobStatus.FAILED, "encode-failed")
    assert stack.log.count(f"{STOPPED}; this worker takes no more jobs and ends") == 2
    assert stack.log.count(f"encoder_worker: the device that runs the image encoder {STOPPED}\n") == 2
    assert "Traceback" not in stack.log
    worker = start_worker(stack)
    stack.wait_for_log("ready:", times=3)
    for key in good:
        stack.wait_for(key, *ENDED, ABSENT.status)  # what was done is forgotten after some seconds
        assert stack.store.exists(key.redis_key)
    assert not stack.store.exists(poison.redis_key)
    worker.terminate()
    assert worker.wait(timeout=SOON) == 0


def png(colour: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((30, 40, 3), colour, dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()
