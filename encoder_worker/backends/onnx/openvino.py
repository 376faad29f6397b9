"""Runs an ONNX image encoder on the CPU with OpenVINO, which is faster there than ONNX Runtime. It is optional."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.contract.errors import ConfigurationError, EncodeFailed, WeightsError
from shared.contract.models import Model

Sizes = Sequence[tuple[int, int]]
"""Height and width of each image in its frame; the rest of the frame is zero."""

Run = Callable[[NDArray[np.float32], Sizes], NDArray[np.float32]]
"""From frames (B, 3, side, side) to what the graph makes of them."""

_Encode = Callable[[NDArray[np.float32], int, int], NDArray[np.float32]]
"""From one frame (1, 3, side, side), and the height and width of its image, to what the graph makes of it."""

_PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}
_CAPABILITY = "BF16"
"""What OpenVINO calls the instructions without which bfloat16 would be slower than float32."""


def is_installed() -> bool:
    return find_spec("openvino") is not None


def compiled(path: Path, model: Model, *, threads: int, precision: str) -> Run:
    """Return a function that runs the graph on one image at a time.

    Args:
        path: a graph that ONNX Runtime has read, with the interface of the model's encoder.
        threads: of the CPU, for one encoding.
        precision: of the products, `float32` or `bfloat16`.

    Raises:
        ConfigurationError: bfloat16 is asked for, and this CPU has no instructions for it.
        WeightsError: OpenVINO cannot run the graph.
    """
    import openvino  # noqa: PLC0415  # it is optional, and takes a second

    core: Any = openvino.Core()
    if precision == "bfloat16" and _CAPABILITY not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise ConfigurationError("SAM_CPU_PRECISION=bfloat16: this processor has no instructions for bfloat16")
    side = model.encoder_frame.side
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,  # or the threads of two workers would share the same cores
        "INFERENCE_PRECISION_HINT": _PRECISIONS[precision],
    }

    def request(graph: Any) -> Any:
        return core.compile_model(graph, "CPU", options).create_infer_request()

    try:
        graph = core.read_model(path)
        graph.reshape([1, 3, side, side])
        encode = _encoder_of(graph, request, side=side, precision=precision)
    except RuntimeError as error:
        raise WeightsError(f"{path} is no ONNX graph that OpenVINO can run ({_first_line(error)})") from error

    def run(frames: NDArray[np.float32], sizes: Sizes) -> NDArray[np.float32]:
        try:
            # A copy, because OpenVINO writes the next result into the same memory.
            results = [
                np.array(encode(frame[None], *size), dtype=np.float32)
                for frame, size in zip(frames, sizes, strict=True)
            ]
        except RuntimeError as error:
            raise EncodeFailed(f"OpenVINO could not run the image encoder ({_first_line(error)})") from error
        return np.concatenate(results)

    return run


def _encoder_of(graph: Any, request: Callable[[Any], Any], *, side: int, precision: str) -> _Encode:
    """Run the graph of MobileSAM without the padding of the frame, and any other graph as it is."""
    from encoder_worker.backends.onnx.cut_frame import FRAME  # noqa: PLC0415  # these need OpenVINO
    from encoder_worker.backends.onnx.tiny_vit import TinyVit  # noqa: PLC0415
    from encoder_worker.backends.onnx.unpadded import UnpaddedEncoder  # noqa: PLC0415

    if side == FRAME and precision == "float32":
        graphs = TinyVit(graph)
        if graphs.is_known:
            return UnpaddedEncoder(graphs, request).encode
    compiled_graph = request(graph)

    def encode(frame: NDArray[np.float32], _height: int, _width: int) -> NDArray[np.float32]:
        result: NDArray[np.float32] = compiled_graph.infer([frame])[0]
        return result

    return encode


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
