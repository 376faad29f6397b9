"""ONNX encoders on OpenVINO: equal to ONNX Runtime, and refused where they cannot run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from encoder_worker.backends.onnx import openvino
from encoder_worker.backends.onnx.encoder import OnnxEncoder
from shared.contract.errors import ConfigurationError, WeightsError
from shared.contract.models import MOBILE_SAM
from tests.support.small_encoders import patch_kernel, write_patch_encoder

SIDE = MOBILE_SAM.encoder_frame.side


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    return write_patch_encoder(tmp_path / "encoder.onnx", patch_kernel(SIDE), SIDE)


def photo(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (SIDE // 2, SIDE, 3), dtype=np.uint8)


def encoder(path: Path, precision: str = "float32") -> OnnxEncoder:
    return OnnxEncoder(MOBILE_SAM, path, threads=1, batch=2, cpu_precision=precision)


def on_onnx_runtime(path: Path, monkeypatch: pytest.MonkeyPatch) -> OnnxEncoder:
    with monkeypatch.context() as patch:
        patch.setattr(openvino, "is_installed", lambda: False)
        return encoder(path)


def test_the_embeddings_are_those_of_onnx_runtime(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert openvino.is_installed()
    photos = [photo(seed) for seed in range(3)]
    ours, theirs = encoder(graph).encode(photos), on_onnx_runtime(graph, monkeypatch).encode(photos)
    for one, other in zip(ours, theirs, strict=True):
        assert one["embedding"].dtype == np.float32
        np.testing.assert_allclose(one["embedding"], other["embedding"], atol=1e-4)


def test_a_result_stays_as_it_is_when_the_next_image_is_encoded(graph: Path) -> None:
    one = encoder(graph)
    (first,) = one.encode([photo(0)])
    kept = first["embedding"].copy()
    one.encode([photo(1)])
    np.testing.assert_array_equal(first["embedding"], kept)


def test_bfloat16_is_close_or_refused(graph: Path) -> None:
    """Whether a processor has the instructions, only the processor knows: each of the two ends is right on some."""
    exact = encoder(graph).encode([photo(0)])[0]["embedding"]
    try:
        rounded = encoder(graph, "bfloat16").encode([photo(0)])[0]["embedding"]
    except ConfigurationError as error:
        assert "no instructions for bfloat16" in error.detail  # noqa: PT017
        return
    assert 0 < np.linalg.norm(rounded - exact) < 0.02 * np.linalg.norm(exact)


def test_bfloat16_needs_instructions_for_it(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class OldProcessor:
        def get_property(self, _device: str, _name: str) -> list[str]:
            return ["FP32", "INT8"]

    import openvino as runtime

    monkeypatch.setattr(runtime, "Core", OldProcessor)
    with pytest.raises(ConfigurationError, match="SAM_CPU_PRECISION=bfloat16: this processor has no instructions"):
        encoder(graph, "bfloat16")


def test_bfloat16_needs_openvino(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "is_installed", lambda: False)
    with pytest.raises(ConfigurationError, match="needs OpenVINO, which is not installed"):
        encoder(graph, "bfloat16")


def test_a_graph_that_openvino_cannot_run_is_refused(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino as runtime

    def fail(*_: Any) -> Any:
        raise RuntimeError("Check failed\nsomewhere in C++")

    monkeypatch.setattr(runtime.Core, "compile_model", fail)
    with pytest.raises(WeightsError, match=r"encoder\.onnx is no ONNX graph that OpenVINO can run \(Check failed\)"):
        encoder(graph)
