"""Processes that decode for a worker are found, and harmed in the middle of an image."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import pytest

from bench.cores import forget_peak, memory
from encoder_worker.decoding.decoder import Decoded, Order
from encoder_worker.decoding.processes import DecodingProcesses
from shared.contract.errors import EncodeFailed
from shared.contract.models import SAM1
from tests.chaos import decoders
from tests.chaos.ledger import End, Upload
from tests.chaos.material import HEIGHT, LARGE, WIDTH, Material

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc, which is Linux's")

SOON = 60.0
MATERIAL = Material(1, 1)
ORDER = Order(frame=SAM1.frame, max_pixels=LARGE[0] * LARGE[1])


@pytest.fixture(scope="module")
def processes() -> Iterator[DecodingProcesses]:
    with closing(DecodingProcesses(1, patience=SOON)) as processes:
        yield processes


def stopped(processes: DecodingProcesses, pool: ThreadPoolExecutor) -> tuple[int, Future[Decoded]]:
    """Have large photos decoded until the process is stopped in the middle of one: it may be faster than this test."""
    while True:
        photo = Upload("large", time.monotonic())
        decoding = pool.submit(processes.decode, MATERIAL.fresh_large(), ORDER)
        decoding.add_done_callback(lambda _, photo=photo: setattr(photo, "end", End.READY))
        pid = decoders.stopped_in_mid_image(lambda: decoders.decoders_of(os.getpid()), photo, time.monotonic() + SOON)
        if pid is not None:
            return pid, decoding
        decoding.result()


def test_a_process_is_stopped_in_the_middle_of_a_large_photo_and_goes_on(processes: DecodingProcesses) -> None:
    with ThreadPoolExecutor(1) as pool:
        pid, decoding = stopped(processes, pool)
        assert processes.pids == [pid]
        assert not decoding.done()
        assert not decoders.has_ended(pid)
        decoders.go_on(pid)
        assert decoding.result().original == LARGE[::-1]
    assert processes.pids == [pid]


def test_a_scene_takes_too_little_memory_to_be_taken_for_a_large_photo(processes: DecodingProcesses) -> None:
    processes.decode(MATERIAL.scenes[0].jpeg, ORDER)  # it has started
    (pid,) = processes.pids
    forget_peak(pid)
    assert processes.decode(MATERIAL.scenes[0].jpeg, ORDER).original == (HEIGHT, WIDTH)
    assert 0 < memory(pid).peak < decoders.BUSY


def test_a_process_crashes_in_the_middle_of_a_photo(processes: DecodingProcesses) -> None:
    with ThreadPoolExecutor(1) as pool:
        pid, decoding = stopped(processes, pool)
        decoders.crash(pid)
        with pytest.raises(EncodeFailed, match="died"):
            decoding.result()
    assert decoders.has_ended(pid)


def test_without_memory_a_scene_is_decoded_and_a_large_photo_is_not(processes: DecodingProcesses) -> None:
    scene, large = MATERIAL.fresh(MATERIAL.scenes[0]), MATERIAL.fresh_large()
    processes.decode(scene, ORDER)  # it has started
    pids = processes.pids
    with decoders.short_of_memory(pids, 60_000_000):
        processes.decode(scene, ORDER)
        with pytest.raises(MemoryError):
            processes.decode(large, ORDER)
    assert processes.decode(large, ORDER).original == LARGE[::-1]
    assert processes.pids == pids


def test_a_process_whose_worker_has_ended_is_an_orphan(processes: DecodingProcesses) -> None:
    processes.decode(MATERIAL.scenes[0].jpeg, ORDER)  # it has started
    mine, group = processes.pids, os.getpgrp()
    assert set(mine).isdisjoint(decoders.orphans(group, {os.getpid()}))
    assert set(mine) <= set(decoders.orphans(group, set()))
    assert decoders.orphans(0, set()) == []
