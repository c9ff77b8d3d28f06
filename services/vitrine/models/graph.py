"""ONNX graphs written node by node, and what a way of multiplying must offer to be used in them."""

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnx

OPSET = 17
IR_VERSION = 8
"""What belongs to opset 17; newer runtimes read older files, not the other way round."""
LARGEST_FILE = 2**31 - 1
"""Bytes: protobuf writes no more."""

Array: TypeAlias = npt.NDArray[Any]
Dtype: TypeAlias = type[np.float32] | type[np.float16]


class Linear(Protocol):
    """How the product with a constant matrix is computed; `vitrine.models.precision` has the variants."""

    @property
    def dtype(self) -> Dtype:
        """What the rest of the graph computes in."""

    @property
    def label(self) -> str:
        """For people: how the weights are kept."""

    def apply(self, graph: "Graph", x: str, weight: Array, bias: Array | None) -> str:
        """x [..., in] times `weight` [out, in] transposed, plus `bias` [out]: the name of [..., out]."""


class Graph:
    """Collects nodes and constants; every method answers the name of a tensor."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def op(self, kind: str, *inputs: str, output: str | None = None, domain: str = "", **attributes: Any) -> str:
        """Adds a node with one output."""
        return self.ops(kind, *inputs, outputs=[output or self._next(kind)], domain=domain, **attributes)[0]

    def ops(self, kind: str, *inputs: str, outputs: int | list[str], domain: str = "", **attributes: Any) -> list[str]:
        """Adds a node with several outputs, given by number or by names."""
        from onnx import helper

        names = [f"{self._next(kind)}_{index}" for index in range(outputs)] if isinstance(outputs, int) else outputs
        self.nodes.append(helper.make_node(kind, inputs, names, name=self._next(kind), domain=domain, **attributes))
        return names

    def constant(self, value: Array | list[int] | float, dtype: Any = None) -> str:
        """Adds a constant; lists of integers become int64, as shapes and axes must be."""
        from onnx import numpy_helper

        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, dtype=dtype, order="C"), name))
        return name

    def cast(self, x: str, dtype: Any) -> str:
        from onnx import helper

        return self.op("Cast", x, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def model(self, name: str, source: tuple[str, Any, list[str | int]], dimension: int) -> "onnx.ModelProto":
        """The finished model: one input (name, numpy type, shape) and the output `embedding` [batch, dimension]."""
        from onnx import TensorProto, helper

        input_name, dtype, shape = source
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info(input_name, kind, shape)],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", dimension])],
            self.constants,
        )
        domains = sorted({node.domain for node in self.nodes})
        opsets = [helper.make_opsetid(domain, 1 if domain else OPSET) for domain in domains]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="vitrine")

    def _next(self, kind: str) -> str:
        return f"{kind}_{len(self.nodes)}"
