"""A small writer of ONNX graphs: constants, operators, inputs and outputs by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

FUSED = "com.microsoft"
"""The domain of ONNX Runtime's own operators. Graphs for other runtimes must not use them."""

_OPSET = 17
_IR_VERSION = 8


class Graph:
    """One ONNX graph under construction. Values are the names of tensors."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, shape: Sequence[int | str], kind: int = TensorProto.FLOAT) -> str:
        """Declare an input; a string in `shape` names a free dimension."""
        self._inputs.append(helper.make_tensor_value_info(name, kind, list(shape)))
        return name

    def output(self, name: str, value: str, shape: Sequence[int | str]) -> None:
        """Declare the float32 output `name` with the given value."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))

    def floats(self, value: ArrayLike) -> str:
        """Add a float32 constant."""
        return self._constant(np.ascontiguousarray(value, dtype=np.float32))

    def integers(self, *values: int) -> str:
        """Add a one-dimensional int64 constant, as operators take shapes and axes."""
        return self._constant(np.array(values, dtype=np.int64))

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add an operator of `kind`, and return its single result."""
        (result,) = self.ops(kind, 1, *inputs, domain=domain, **attributes)
        return result

    def ops(self, kind: str, results: int, *inputs: str, domain: str = "", **attributes: Any) -> list[str]:
        """Add an operator that has several results, and return them."""
        outputs = [f"{kind}_{len(self._nodes)}_{index}" for index in range(results)]
        self._nodes.append(helper.make_node(kind, list(inputs), outputs, domain=domain, **attributes))
        return outputs

    def reshape(self, value: str, *shape: int) -> str:
        return self.op("Reshape", value, self.integers(*shape))

    def split(self, value: str, sizes: Sequence[int], axis: int) -> list[str]:
        return self.ops("Split", len(sizes), value, self.integers(*sizes), axis=axis)

    def model(self) -> onnx.ModelProto:
        """Return the finished model, checked."""
        graph = helper.make_graph(self._nodes, self._name, self._inputs, self._outputs, self._constants)
        domains = {node.domain for node in self._nodes}
        opsets = [helper.make_opsetid("", _OPSET)]
        if FUSED in domains:
            opsets.append(helper.make_opsetid(FUSED, 1))
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="sam-embedding-cache"
        )
        onnx.checker.check_model(model)
        return model

    def _constant(self, array: NDArray[Any]) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(array, name))
        return name
