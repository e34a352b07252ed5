"""An ONNX graph under construction."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

INPUT, OUTPUT = "x", "s"
# The oldest that hold what we write: TreeEnsemble in double needs ai.onnx.ml 5.
OPSETS = (("", 21), ("ai.onnx.ml", 5))
IR_VERSION = 10


class Graph:
    """Collects nodes and constants. Names are counted, so that equal pipelines give equal bytes."""

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Append a node with one output and return the output's name."""
        output = f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [output], domain=domain, **attributes))
        return output

    def constant(self, values: NDArray[Any]) -> str:
        """Add a constant and return its name."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def cast_double(self, tensor: str) -> str:
        return self.add("Cast", tensor, to=TensorProto.DOUBLE)

    def round_to_float32(self, tensor: str) -> str:
        """Round each value to the nearest float32, and go on in double."""
        return self.cast_double(self.add("Cast", tensor, to=TensorProto.FLOAT))

    def join(self, tensors: list[str]) -> str:
        """Put matrices side by side."""
        return tensors[0] if len(tensors) == 1 else self.add("Concat", *tensors, axis=1)

    def serialize(self, result: str, *, inputs: int, outputs: int) -> bytes:
        """Return the model that maps `x`, shape (N, inputs), to `s`, shape (N, outputs), which is `result`."""
        named = helper.make_node("Identity", [result], [OUTPUT])
        graph = helper.make_graph(
            [*self._nodes, named],
            "model",
            [helper.make_tensor_value_info(INPUT, TensorProto.DOUBLE, [None, inputs])],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.DOUBLE, [None, outputs])],
            self._constants,
        )
        opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS]
        model: ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        encoded: bytes = model.SerializeToString(deterministic=True)
        return encoded
