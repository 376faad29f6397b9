"""The metrics of a GPU's memory, without a GPU."""

from __future__ import annotations

import pytest
import torch

from encoder_worker.metrics.counting import WorkerMetrics
from encoder_worker.metrics.gpu_memory import gpu_memory


def test_a_gpu_that_torch_does_not_use_has_none() -> None:
    assert gpu_memory() == {}


def test_a_gpu_tells_what_torch_and_all_programs_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (30, 100))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 10)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 20)
    assert gpu_memory() == {"allocated": 10, "reserved": 20, "used": 70, "total": 100}


def test_a_gpu_that_stopped_working_hides_no_other_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lost)
    assert gpu_memory() == {}
    assert WorkerMetrics().registry.get_sample_value("sam_worker_decoders") == 0
