"""Image encoders that come as ONNX graphs: on a GPU if the GPU package of ONNX Runtime is installed, else on the CPU.

The CPU's runtime is OpenVINO if it is installed, else ONNX Runtime.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from encoder_worker.backends.onnx import openvino
from encoder_worker.backends.onnx.preprocess import normalise_and_pad
from shared.contract.errors import ConfigurationError, EncodeFailed, SamCacheError, WeightsError
from shared.contract.models import Model
from shared.tensors.embedding import Tensors

_CUDA = "CUDAExecutionProvider"
_GPU_BATCH = 4

_NO_MEMORY = ("allocate memory", "bad_alloc", "out of memory")
"""Parts of what ONNX Runtime says when it gets too little memory. It has no exception of its own for it."""

_log = logging.getLogger(__name__)

onnxruntime.disable_telemetry_events()  # it would tell its maker what it runs


class OnnxEncoder:
    """An `Encoder` that runs a graph from (B, 3, side, side) float32 to the model's only tensor, float32.

    `side` is that of the model's `encoder_frame`.
    """

    def __init__(
        self,
        model: Model,
        path: Path,
        *,
        threads: int,
        device: str = "cpu",
        batch: int = 0,
        cpu_precision: str = "float32",
    ) -> None:
        """
        Args:
            threads: of the CPU, for one encoding.
            device: `cpu`; `cuda`; `auto` for a GPU if there is one that works.
            batch: the most images that `encode` is to be given at once; 0 for what suits the device. The graph gets
                no more of them at once than it takes.
            cpu_precision: `float32`, or `bfloat16`, which needs OpenVINO. A GPU does not regard it.

        Raises:
            ConfigurationError: there is no usable GPU for `cuda`, or `bfloat16` cannot be had.
            WeightsError: the file is no ONNX graph, or its input or output is not that of the model's encoder.
        """
        self._model = model
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that spin between two operators take the cores from the API on the same host, and from this encoder.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = _session(path, options, _providers(device))
        largest = _require_interface(path, model, session)
        on_gpu = _CUDA in session.get_providers()
        if device == "cuda" and not on_gpu:  # ONNX Runtime falls back without an error
            raise ConfigurationError(
                "SAM_DEVICE=cuda: ONNX Runtime cannot load CUDA; its log above says what is missing"
            )
        # On a CPU a batch saves no time, and costs the memory of each of its images.
        self._batch = batch or (_GPU_BATCH if on_gpu else 1)
        self._largest = min(largest, self._batch)
        if not on_gpu and openvino.is_installed():
            self._run = openvino.compiled(path, model, threads=threads, precision=cpu_precision)
            _log.info("%s in OpenVINO on %d cores, %s", model.name, threads, cpu_precision)
            return
        if not on_gpu and cpu_precision != "float32":
            raise ConfigurationError(
                f"SAM_CPU_PRECISION={cpu_precision} needs OpenVINO, which is not installed: pip install openvino"
            )
        self._run = _on_onnx_runtime(session)
        _log.info("%s in ONNX Runtime on %s", model.name, "a GPU" if on_gpu else f"{threads} cores")

    @property
    def model(self) -> Model:
        return self._model

    @property
    def batch(self) -> int:
        return self._batch

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[Tensors]:
        starts = range(0, len(images), self._largest)
        return [one for start in starts for one in self._encode(images[start : start + self._largest])]

    def _encode(self, images: Sequence[NDArray[np.uint8]]) -> list[Tensors]:
        (spec,) = self._model.architecture.tensors
        frames = np.concatenate([normalise_and_pad(image, self._model) for image in images])
        embeddings = self._run(frames, [image.shape[:2] for image in images])
        if embeddings.shape != (len(images), *spec.shape[1:]) or not np.isfinite(embeddings).all():
            raise EncodeFailed("the image encoder gave a result that is not a finite embedding")
        return [{spec.name: np.asarray(embedding[None], dtype=np.float32)} for embedding in embeddings]


def _session(path: Path, options: onnxruntime.SessionOptions, providers: list[str]) -> onnxruntime.InferenceSession:
    def is_no_graph(error: Exception) -> WeightsError:
        return WeightsError(f"{path} is no ONNX graph that ONNX Runtime can run ({_first_line(error)})")

    with _typed_errors(is_no_graph):
        return onnxruntime.InferenceSession(path, options, providers=providers)


def _on_onnx_runtime(session: onnxruntime.InferenceSession) -> openvino.Run:
    name = session.get_inputs()[0].name

    def run(frames: NDArray[np.float32], _sizes: openvino.Sizes) -> NDArray[np.float32]:
        with _typed_errors(_could_not_run):
            (embeddings,) = session.run(None, {name: frames})
        result: NDArray[np.float32] = embeddings
        return result

    return run


def _could_not_run(error: Exception) -> EncodeFailed:
    return EncodeFailed(f"ONNX Runtime could not run the image encoder ({type(error).__name__})")


@contextmanager
def _typed_errors(failure: Callable[[Exception], SamCacheError]) -> Iterator[None]:
    """Turn an error of ONNX Runtime into a MemoryError if it lacked memory, else into what `failure` makes of it."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions have no common base class
        if any(sign in str(error) for sign in _NO_MEMORY):
            raise MemoryError("ONNX Runtime found too little memory for the image encoder") from error
        raise failure(error) from error


def _require_interface(path: Path, model: Model, session: onnxruntime.InferenceSession) -> int:
    """Return the most images that the graph takes at once.

    Raises:
        WeightsError: the graph takes or gives something else than (N, 3, side, side) and the model's only tensor.
    """
    (spec,) = model.architecture.tensors
    side = model.encoder_frame.side
    sides = (
        ("takes", "input", session.get_inputs(), (3, side, side)),
        ("gives", "output", session.get_outputs(), spec.shape[1:]),
    )
    for verb, kind, found, shape in sides:
        wanted = f"one {kind} float32 (1, {', '.join(map(str, shape))})"
        if len(found) != 1:
            raise WeightsError(f"{path} has {len(found)} {kind}s: expected {wanted}")
        (one,) = found
        told = tuple(one.shape)
        if one.type != "tensor(float)" or len(told) != 1 + len(shape) or not all(map(_fits, told[1:], shape)):
            raise WeightsError(f"{path} {verb} {one.type} {_written(told)}: expected {wanted}")
    # MobileSAM's graph says of its input that it takes any number, and gives one embedding: it fails on two images.
    counts = [one.shape[0] for one in (*session.get_inputs(), *session.get_outputs())]
    return min((count for count in counts if isinstance(count, int) and count > 0), default=sys.maxsize)


def _fits(told: object, wanted: int) -> bool:
    """True if a graph's size of one axis is the wanted one, or open: then it has a name, or none."""
    return not isinstance(told, int) or told == wanted


def _written(shape: tuple[object, ...]) -> str:
    return f"({', '.join('any' if axis is None else str(axis) for axis in shape)})"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _providers(device: str) -> list[str]:
    cpu = ["CPUExecutionProvider"]
    if device == "cpu":
        return cpu
    if _CUDA not in onnxruntime.get_available_providers():
        if device == "cuda":
            raise ConfigurationError(
                "SAM_DEVICE=cuda: the installed ONNX Runtime knows no GPU: install onnxruntime-gpu instead"
            )
        return cpu
    onnxruntime.preload_dlls()  # also finds CUDA's libraries if torch brought them
    return [_CUDA, *cpu]
