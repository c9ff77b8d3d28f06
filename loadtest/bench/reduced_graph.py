"""An exported fp32 graph with its products replaced by another way of multiplying.

For repositories whose checkpoint is not at hand, as the demo model's: the weights are what the exporter would write.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitrine.models.graph import Graph, Linear

if TYPE_CHECKING:
    import onnx


class _Within(Graph):
    """Collects nodes beside those of another graph: every name is new."""

    def _next(self, kind: str) -> str:
        return f"reduced_{super()._next(kind)}"

    def constant(self, value: Any, dtype: Any = None) -> str:
        super().constant(value, dtype)
        self.constants[-1].name = f"reduced_{self.constants[-1].name}"
        return self.constants[-1].name


def reduced(path: Path, linear: Linear) -> "onnx.ModelProto":
    """The graph at `path`, each product with a constant matrix [in, out] computed by `linear`; biases stay."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(path)
    constants = {constant.name: constant for constant in model.graph.initializer}
    within, replaced = _Within(), set()
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.input[1] in constants:
            weight = numpy_helper.to_array(constants[node.input[1]])
            product = linear.apply(within, node.input[0], np.ascontiguousarray(weight.T), None)
            replaced.add(node.input[1])
            within.nodes.append(helper.make_node("Identity", [product], node.output))
        else:
            within.nodes.append(node)
    kept = [constant for constant in model.graph.initializer if constant.name not in replaced]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(within.nodes)
    model.graph.initializer.extend([*kept, *within.constants])
    if not any(opset.domain == "com.microsoft" for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return model
