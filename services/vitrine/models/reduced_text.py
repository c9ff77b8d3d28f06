"""The text model in int8: prepared by its own calibration before it is rounded (docs/precision.md)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vitrine.models.balancing import balanced
from vitrine.models.calibration import text_inputs
from vitrine.models.checkpoint import Checkpoint
from vitrine.models.graph import Array, Dtype, Graph, Linear
from vitrine.models.precision import FloatLinear, name_of, with_inputs
from vitrine.models.towers import text_graph

if TYPE_CHECKING:
    import onnx

WHOLE = ("encoder.layers.0.mlp.fc1", "encoder.layers.0.mlp.fc2")
"""Products of the text tower that stay in float32, beside the projection at the end.

Every layer after the first takes over what the first one loses, and what the projection loses is made up for nowhere.
Measured on ViT-B/32 with random weights, these three of 51 products caused over a third of what rounding of inputs
lost; in float32 they cost 7 MB, and less time than is saved by a begin of text that is not computed.
"""


@dataclass(frozen=True, slots=True)
class _Mixed:
    """Multiplies by `most`, but in float32 with the weights of those names (`precision.name_of`)."""

    most: Linear
    whole: frozenset[str]

    @property
    def dtype(self) -> Dtype:
        return self.most.dtype

    @property
    def label(self) -> str:
        return self.most.label

    def apply(self, graph: Graph, x: str, weight: Array, bias: Array | None) -> str:
        linear = FloatLinear() if name_of(weight) in self.whole else self.most
        return linear.apply(graph, x, weight, bias)


def reduced_text_graph(checkpoint: Checkpoint) -> Callable[[Linear], "onnx.ModelProto"]:
    """Calibrates once; answers what builds the graph with any way of multiplying in float32 outside of products.

    Raises:
        ModelInvalid: see `calibration.text_inputs`, and when building, `rounding.compensated`.
    """
    even, inputs = balanced(checkpoint, text_inputs(checkpoint))
    names = [*(f"text_model.{product}" for product in WHOLE), "text_projection"]
    whole = frozenset(name_of(even.weights[name + ".weight"]) for name in names)
    return lambda linear: text_graph(even, _Mixed(with_inputs(linear, inputs), whole))
