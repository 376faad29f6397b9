"""How busy a GPU was during a measurement, and the most it could have done."""

from __future__ import annotations

import subprocess
import threading
from types import TracebackType
from typing import Self

import torch

PEAK_TFLOPS = {
    "B200": 2250.0,
    "H200": 989.0,
    "H100 PCIe": 756.0,
    "H100": 989.0,
    "GH200": 989.0,
    "A100": 312.0,
    "L40S": 362.0,
    "L4": 121.0,
    "A10G": 70.0,
    "A10": 125.0,
    "RTX 4090": 165.0,
    "RTX 3090": 71.0,
}
"""Tensor cores' peak rates, by a part of the device's name: dense bfloat16, float32 sums; from the data sheets."""

_SAMPLE = 0.2


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def peak_tflops(device: torch.device) -> float | None:
    """The device's peak rate; None if it is not known."""
    name = device_name(device)
    return next((peak for part, peak in PEAK_TFLOPS.items() if part in name), None)


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Utilisation:
    """Samples the GPU's utilisation with `nvidia-smi` during the block. `mean` is in percent; None without a GPU."""

    def __init__(self, device: torch.device) -> None:
        self._on = device.type == "cuda"
        self._samples: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        if self._on:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._on:
            self._thread.join()

    @property
    def mean(self) -> float | None:
        return sum(self._samples) / len(self._samples) if self._samples else None

    def _run(self) -> None:
        command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        while not self._stop.wait(_SAMPLE):
            try:
                said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout
                self._samples.append(float(said.splitlines()[0]))
            except (OSError, subprocess.SubprocessError, ValueError, IndexError):
                return
