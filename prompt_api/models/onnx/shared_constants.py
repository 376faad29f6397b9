"""Constants that a graph reads from another graph's file, instead of holding a second copy."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

import onnx
from onnx.external_data_helper import set_external_data

_LEAST = 4096
"""The smallest constant, in bytes, that is worth sharing. Shapes and axes are smaller, and must stay in the graph."""


_one_at_a_time = Lock()


def share_constants(model: onnx.ModelProto, content: bytes, name: str) -> None:
    """Make `model` read each large constant that is also in `content` from there.

    It uses ONNX's own external data, which every runtime reads: a file, an offset and a length.

    Args:
        model: changed in place. Its file must lie in the same folder as the other file.
        content: bytes of the other ONNX file.
        name: name of the other file.
    """
    for constant in model.graph.initializer:
        data = constant.raw_data
        if len(data) >= _LEAST and (offset := content.find(data)) >= 0:
            set_external_data(constant, name, offset, len(data))
            constant.ClearField("raw_data")


def joined(path: Path) -> bytes:
    """Return the graph in the file `path` with all its constants, as one file. It needs about three times that memory.

    Calls wait for each other, so that they do not need this memory at the same time.
    """
    with _one_at_a_time:
        return bytes(onnx.load(path).SerializeToString())
