"""The processes that decode for a worker are seen in its metrics: how many run, what they take, how they died."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from encoder_worker.backends.fake.encoder import FakeEncoder
from encoder_worker.decoding import processes as module
from encoder_worker.decoding.decoder import Order
from encoder_worker.decoding.processes import DecodingProcesses
from encoder_worker.metrics.counting import WorkerMetrics
from encoder_worker.wiring import decoder_for
from shared.contract.models import SAM1
from shared.contract.settings import Settings
from shared.host.process_memory import resident_bytes
from tests.support import sample_images as sample
from tests.support.poisoned_child import KILLED, PROGRAM

CAUSES = ("killed", "crashed", "too_slow")
ORDER = Order(frame=SAM1.frame, max_pixels=1_000_000)


def value(metrics: WorkerMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def deaths(metrics: WorkerMetrics) -> list[float | None]:
    return [value(metrics, "sam_worker_decoder_deaths_total", cause=cause) for cause in CAUSES]


def test_a_death_shows_from_its_cause_to_the_process_that_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROGRAM", PROGRAM)
    metrics = WorkerMetrics()
    with decoder_for(FakeEncoder(2), Settings(worker_decoders=2), metrics) as decoder:
        assert value(metrics, "sam_worker_decoders") == 2
        assert deaths(metrics) == [0, 0, 0]
        with pytest.raises(MemoryError):
            decoder.decode(KILLED, ORDER)
        assert value(metrics, "sam_worker_decoders") == 1
        assert deaths(metrics) == [1, 0, 0]
        decoder.decode(sample.jpeg(61, 40), ORDER)
        assert value(metrics, "sam_worker_decoders") == 2
    assert value(metrics, "sam_worker_decoders") == 0
    assert deaths(metrics) == [1, 0, 0]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system does not tell the memory of a process")
def test_their_memory_is_that_of_all_of_them_together() -> None:
    metrics = WorkerMetrics()
    with decoder_for(FakeEncoder(2), Settings(worker_decoders=2), metrics) as decoder:
        assert isinstance(decoder, DecodingProcesses)
        decoder.decode(sample.jpeg(61, 40), ORDER)
        of_both = value(metrics, "sam_worker_decoder_memory_bytes")
        assert of_both is not None
        assert of_both > 10_000_000  # an interpreter with numpy and Pillow
    assert value(metrics, "sam_worker_decoder_memory_bytes") == 0
    own = resident_bytes(os.getpid())
    assert own is not None
    metrics.decoders_are(lambda: [os.getpid()] * 3)
    assert value(metrics, "sam_worker_decoder_memory_bytes") == pytest.approx(3 * own, rel=0.2)


def test_a_worker_that_decodes_by_itself_has_none() -> None:
    metrics = WorkerMetrics()
    with decoder_for(FakeEncoder(1), Settings(), metrics) as decoder:
        decoder.decode(sample.jpeg(61, 40), ORDER)
        assert value(metrics, "sam_worker_decoders") == 0
        assert deaths(metrics) == [0, 0, 0]
    if sys.platform == "linux":
        assert value(metrics, "sam_worker_decoder_memory_bytes") == 0
