"""Images are decoded in processes of their own: the same pixels, and nothing of one image reaches another."""

from __future__ import annotations

import gc
import hashlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from encoder_worker.backends.fake.encoder import FakeEncoder
from encoder_worker.decoding import processes as module
from encoder_worker.decoding.decoder import Decoded, DecoderInProcess, Order
from encoder_worker.decoding.processes import DecodingProcesses
from encoder_worker.encoding.encode import EncodeImage
from encoder_worker.encoding.pipeline import EncodePipeline
from shared.contract.errors import EncodeFailed, ImageTooLarge, InvalidImage, UnsupportedImage
from shared.contract.frames import Frame
from shared.contract.keys import EmbeddingKey, image_key, record_key
from shared.contract.models import FAKE, SAM1, SAM2
from shared.rq_worker.watchdog import JobTimedOut
from tests.support import sample_images as sample
from tests.support.memory_events import MemoryEvents
from tests.support.memory_store import MemoryStore
from tests.support.poisoned_child import ABORTS, BREAKS, HANGS, KILLED, PROGRAM

SOON = 30.0
ROOT = Path(module.__file__).parents[2]
PIXELS = 1_000_000
HERE = DecoderInProcess()


def order(
    frame: Frame | None = SAM1.frame, *, stretch: bool = False, preview: bool = False, most: int = PIXELS
) -> Order:
    return Order(frame=frame, stretch=stretch, preview=preview, max_pixels=most)


@pytest.fixture(scope="module")
def shared_processes() -> Iterator[DecodingProcesses]:
    with closing(DecodingProcesses(1, patience=SOON)) as processes:
        yield processes


@pytest.fixture(autouse=True)
def poisonous(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processes run a program that some images harm."""
    monkeypatch.setattr(module, "PROGRAM", PROGRAM)


@pytest.fixture
def processes(poisonous: None) -> Iterator[DecodingProcesses]:
    with closing(DecodingProcesses(1, patience=SOON)) as processes:
        yield processes


def assert_same(one: Decoded, other: Decoded) -> None:
    assert one.pixels.dtype == other.pixels.dtype
    np.testing.assert_array_equal(one.pixels, other.pixels)
    assert (one.original, one.preview) == (other.original, other.preview)
    assert (one.resizing is None) == (other.resizing is None)
    assert one.pixels.flags.writeable == other.pixels.flags.writeable


@pytest.mark.parametrize(
    "wanted",
    [
        order(),
        order(stretch=True),
        order(SAM2.frame),
        order(None),
        order(None, preview=True),
        order(preview=True),
    ],
    ids=["frame", "stretched", "float32", "whole", "whole, preview", "preview"],
)
@pytest.mark.parametrize("data", [sample.jpeg(61, 40), sample.png(7, 90)], ids=["jpeg", "png"])
def test_pixels_are_those_of_the_decoder_in_this_process(
    shared_processes: DecodingProcesses, data: bytes, wanted: Order
) -> None:
    assert_same(shared_processes.decode(data, wanted), HERE.decode(data, wanted))


@pytest.mark.parametrize(
    ("data", "most", "error"),
    [
        (b"no image", PIXELS, UnsupportedImage),
        (sample.jpeg(61, 40)[:300], PIXELS, InvalidImage),
        (sample.jpeg(61, 40), 61 * 40 - 1, ImageTooLarge),
    ],
)
@pytest.mark.parametrize("frame", [SAM1.frame, None], ids=["frame", "whole"])
def test_an_image_is_refused_as_in_this_process(
    shared_processes: DecodingProcesses, data: bytes, most: int, error: type[Exception], frame: Frame | None
) -> None:
    (pid,) = shared_processes.pids
    with pytest.raises(error) as there:
        shared_processes.decode(data, order(frame, most=most))
    with pytest.raises(error) as here:
        HERE.decode(data, order(frame, most=most))
    assert str(there.value) == str(here.value)
    assert getattr(there.value, "extra", None) == getattr(here.value, "extra", None)
    assert shared_processes.pids == [pid]  # it goes on


def test_pixels_stay_while_somebody_has_them(processes: DecodingProcesses) -> None:
    files = [sample.jpeg(60 + number, 40) for number in range(4)]
    kept = [processes.decode(data, order()) for data in files]
    for data, one in zip(files, kept, strict=True):
        assert_same(one, HERE.decode(data, order()))
    part = kept[0].pixels[5:9, 3:]
    expected = part.copy()
    del kept, one
    gc.collect()
    for data in files[1:]:
        processes.decode(data, order())
    np.testing.assert_array_equal(part, expected)


def test_a_file_may_be_larger_than_its_pixels(shared_processes: DecodingProcesses) -> None:
    for wanted in (order(None), order()):
        data = sample.jpeg(61, 40) + bytes(5 << 20)  # what stands behind the end of a JPEG is left out
        assert_same(shared_processes.decode(data, wanted), HERE.decode(data, wanted))


@pytest.mark.parametrize("size", [(1025, 683), (3, 60_000), (30_000, 3)])
def test_the_pixels_of_a_whole_picture_of_any_shape_are_the_same(
    shared_processes: DecodingProcesses, size: tuple[int, int]
) -> None:
    data = sample.png(*size, compress_level=1)
    assert_same(shared_processes.decode(data, order(None)), HERE.decode(data, order(None)))


@pytest.mark.skipif(sys.platform != "linux", reason="it counts what Linux lists")
def test_small_pictures_that_are_kept_take_no_descriptors(shared_processes: DecodingProcesses) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    data = sample.jpeg(61, 40)
    shared_processes.decode(data, order(None))
    before = descriptors()
    kept = [shared_processes.decode(data, order(None)) for _ in range(10)]
    assert descriptors() == before
    assert len(kept) == 10


def test_an_image_that_kills_its_process_costs_this_attempt_and_no_other_image(processes: DecodingProcesses) -> None:
    data = sample.jpeg(61, 40)
    (pid,) = processes.pids
    with pytest.raises(EncodeFailed, match="died"):
        processes.decode(ABORTS, order())
    assert_same(processes.decode(data, order()), HERE.decode(data, order()))
    assert pid not in processes.pids
    assert len(processes.pids) == 1


def test_in_the_pipeline_such_an_image_fails_alone(processes: DecodingProcesses) -> None:
    store = MemoryStore()
    files = [sample.jpeg(40 + number, 30) for number in range(6)]
    keys = []
    for data in files:
        image_id = hashlib.sha256(data).hexdigest()
        store.put(image_key(image_id), data, 60)
        store.put(record_key(image_id), b"{}", 60)
        keys.append(EmbeddingKey.of(image_id, FAKE))

    class Deadly:
        at_once = processes.at_once

        def decode(self, data: bytes, wanted: Order) -> Decoded:
            return processes.decode(ABORTS if data == files[2] else data, wanted)

    encode = EncodeImage(
        store=store,
        encoder=FakeEncoder(2),
        events=MemoryEvents(),
        dtype="float16",
        ttl=60,
        max_pixels=PIXELS,
        decoder=Deadly(),
    )
    with closing(EncodePipeline(encode)) as pipeline:
        ends = [done.exception(SOON) for done in [pipeline.submit(key) for key in keys]]
    assert [type(end) for end in ends if end is not None] == [EncodeFailed]
    assert isinstance(ends[2], EncodeFailed)
    assert [store.exists(key.redis_key) for key in keys] == [True, True, False, True, True, True]


def test_a_process_that_the_system_killed_counts_as_too_little_memory(processes: DecodingProcesses) -> None:
    with pytest.raises(MemoryError):
        processes.decode(KILLED, order())


def test_a_process_that_hangs_is_ended_after_the_patience() -> None:
    with closing(DecodingProcesses(1, patience=0.2)) as processes:
        with pytest.raises(EncodeFailed, match=r"could not be decoded within 0\.2 s"):
            processes.decode(HANGS, order())
        assert processes.pids == []


@pytest.mark.parametrize(
    ("data", "patience", "causes"),
    [(KILLED, SOON, ["killed"]), (ABORTS, SOON, ["crashed"]), (HANGS, 0.2, ["too_slow"]), (BREAKS, SOON, [])],
    ids=["killed", "crashed", "too slow", "an error that it survives"],
)
def test_a_death_is_told_once_with_its_cause(data: bytes, patience: float, causes: list[str]) -> None:
    told: list[str] = []
    with closing(DecodingProcesses(1, patience=patience, on_death=told.append)) as processes:
        with pytest.raises((EncodeFailed, MemoryError)):
            processes.decode(data, order())
        assert told == causes
    assert told == causes  # those that are ended at the end did not die


def test_a_process_that_died_between_two_images_is_told_too() -> None:
    told: list[str] = []
    data = sample.jpeg(61, 40)
    with closing(DecodingProcesses(1, patience=SOON, on_death=told.append)) as processes:
        (pid,) = processes.pids
        ended = os.pidfd_open(pid)
        try:
            os.kill(pid, signal.SIGKILL)
            assert select.select([ended], [], [], SOON)[0]
        finally:
            os.close(ended)
        assert_same(processes.decode(data, order()), HERE.decode(data, order()))
        assert told == ["killed"]


def test_an_image_that_its_job_gave_up_counts_as_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(connection: object) -> NoReturn:
        raise JobTimedOut

    told: list[str] = []
    with closing(DecodingProcesses(1, patience=SOON, on_death=told.append)) as processes:
        monkeypatch.setattr(module, "answered", interrupted)
        with pytest.raises(JobTimedOut):
            processes.decode(sample.jpeg(61, 40), order())
    assert told == ["too_slow"]


def test_an_interrupted_caller_leaves_no_answer_for_the_next_image(
    processes: DecodingProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time limit of a job interrupts the thread that waits for the answer."""

    def interrupted(connection: object) -> NoReturn:
        raise JobTimedOut

    with monkeypatch.context() as patch:
        patch.setattr(module, "answered", interrupted)
        with pytest.raises(JobTimedOut):
            processes.decode(sample.jpeg(61, 40), order())
    assert_same(processes.decode(sample.png(7, 90), order()), HERE.decode(sample.png(7, 90), order()))


def test_an_unexpected_error_is_told_and_the_process_goes_on(
    processes: DecodingProcesses, caplog: pytest.LogCaptureFixture
) -> None:
    pids = processes.pids
    with pytest.raises(EncodeFailed, match="AttributeError"):
        processes.decode(BREAKS, order())
    assert "Traceback" in caplog.text
    assert processes.pids == pids


def test_signals_of_a_terminal_do_not_end_a_process(processes: DecodingProcesses) -> None:
    (pid,) = processes.pids
    processes.decode(sample.jpeg(61, 40), order())  # it has started
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
    processes.decode(sample.jpeg(61, 40), order())
    assert processes.pids == [pid]


def test_what_decodes_when_all_is_closed_fails() -> None:
    processes = DecodingProcesses(1, patience=SOON)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(processes.decode, HANGS, order()) for _ in range(2)]
        processes.close()
        assert {type(one.exception(SOON)) for one in waiting} <= {EncodeFailed, MemoryError}
    assert processes.pids == []


def test_an_answer_that_does_not_fit_the_order_is_refused(
    processes: DecodingProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that a damaged image has taken over may say anything."""
    good = {"original": [40, 61], "shape": [672, 1024, 3], "resizing": 0.0}
    for change in (
        {"shape": [2000, 2000, 3]},
        {"shape": [0, 0, 3]},
        {"original": [1, 1]},
        {"resizing": "x"},
        {"shape": 3},
    ):
        monkeypatch.setattr(module, "answered", lambda connection, said=good | change: (said, b""))
        with pytest.raises(EncodeFailed, match="gave no picture"):
            processes.decode(sample.jpeg(61, 40), order())


def test_a_process_ends_with_its_worker_also_in_the_middle_of_an_image() -> None:
    program = """
import threading, time
from encoder_worker.decoding import processes as module
from encoder_worker.decoding.processes import DecodingProcesses
from shared.contract.models import SAM1
from encoder_worker.decoding.decoder import Order
from tests.support.poisoned_child import HANGS, PROGRAM
module.PROGRAM = PROGRAM
order = Order(frame=SAM1.frame, max_pixels=1000)
processes = DecodingProcesses(1, patience=60)
threading.Thread(target=processes.decode, args=(HANGS, order), daemon=True).start()
print(processes.pids[0], flush=True)
time.sleep(1000)
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        ended = os.pidfd_open(int(worker.stdout.readline()))
        worker.kill()
    try:
        assert select.select([ended], [], [], SOON)[0]
    finally:
        os.close(ended)


def test_threads_share_the_processes() -> None:
    files = [sample.jpeg(40 + number, 30) for number in range(12)]
    with closing(DecodingProcesses(2, patience=SOON)) as processes, ThreadPoolExecutor(processes.at_once) as pool:
        for data, made in zip(files, pool.map(lambda data: processes.decode(data, order()), files), strict=True):
            assert_same(made, HERE.decode(data, order()))
        assert len(processes.pids) == 2
