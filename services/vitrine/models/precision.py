"""How the weight matrices are stored and multiplied: float32, float16, or two kinds of int8."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from vitrine.models.graph import Array, Dtype, Graph, Linear
from vitrine.models.rounding import Inputs, compensated, nearest, scales


@dataclass(frozen=True, slots=True)
class FloatLinear:
    """A plain MatMul; with float16 the whole trunk is float16 (for GPUs: on a CPU it is slower than float32)."""

    dtype: Dtype = np.float32

    @property
    def label(self) -> str:
        return np.dtype(self.dtype).name

    def apply(self, graph: Graph, x: str, weight: Array, bias: Array | None) -> str:
        product = graph.op("MatMul", x, graph.constant(weight.T, self.dtype))
        return product if bias is None else graph.op("Add", product, graph.constant(bias, self.dtype))


@dataclass(frozen=True, slots=True)
class DynamicInt8Linear:
    """int8 weights, one scale a column; activations become uint8 on the fly, one scale a call. Standard operators.

    The fastest on every CPU, and exact integer arithmetic on every CPU (see `rounding.scales`). One scale a call means
    that a text's vector depends a little on the texts it was batched with.

    Args:
        inputs: what goes into products, by `name_of` their weights. Codes of these make up for each other's errors, and
            what is still lost on average is added to the bias. Weights without are rounded to the nearest.
    """

    dtype: ClassVar[Dtype] = np.float32
    label: ClassVar[str] = "int8, activations with one scale a call"
    inputs: Mapping[str, Inputs] = field(default_factory=dict)

    def apply(self, graph: Graph, x: str, weight: Array, bias: Array | None) -> str:
        scale = scales(weight)
        seen = self.inputs.get(name_of(weight))
        if seen is None:
            codes = nearest(weight, scale)
        else:
            codes = compensated(weight, scale, seen)
            lost = (weight - codes * scale[:, None]) @ seen.mean
            bias = lost if bias is None else bias + lost
        quantised, x_scale, x_zero = graph.ops("DynamicQuantizeLinear", x, outputs=3)
        # The zero point of the weights is given although it is zero: onnxruntime fuses the five nodes only then.
        zero = graph.constant(np.zeros(len(scale)), np.int8)
        product = graph.op("MatMulInteger", quantised, graph.constant(codes.T), x_zero, zero)
        factor = graph.op("Mul", x_scale, graph.constant(scale))
        product = graph.op("Mul", graph.cast(product, np.float32), factor)
        return product if bias is None else graph.op("Add", product, graph.constant(bias, np.float32))


@dataclass(frozen=True, slots=True)
class BlockInt8Linear:
    """int8 weights with a scale for every `block` numbers of a row, activations likewise: outliers stay local.

    Slower than `DynamicInt8Linear`, without VNNI even slower than float32 from a batch of eight on; but truer, and the
    vector of a text does not depend on its batch. An operator of onnxruntime's own (8-bit MatMulNBits, from 1.22 on),
    so Triton must be of mid-2025 or newer.
    """

    dtype: ClassVar[Dtype] = np.float32
    block: int = 128

    @property
    def label(self) -> str:
        return f"int8, weights and activations in blocks of {self.block}"

    def apply(self, graph: Graph, x: str, weight: Array, bias: Array | None) -> str:
        rows, columns = weight.shape
        blocks = -(-columns // self.block)
        padded = np.zeros((rows, blocks * self.block), np.float32)
        padded[:, :columns] = weight
        padded = padded.reshape(rows, blocks, self.block)
        largest = np.abs(padded).max(axis=2)
        scale = (np.where(largest == 0, 1, largest) / 127).astype(np.float32)
        codes = (np.rint(padded / scale[:, :, None]) + 128).astype(np.uint8)
        product = graph.op(
            "MatMulNBits",
            x,
            graph.constant(codes),
            graph.constant(scale.reshape(-1)),
            domain="com.microsoft",
            K=columns,
            N=rows,
            bits=8,
            block_size=self.block,
            accuracy_level=4,  # int8 arithmetic; the default first unpacks weights to float32: ten times slower
        )
        return product if bias is None else graph.op("Add", product, graph.constant(bias, np.float32))


def name_of(weight: Array) -> str:
    """Of a weight matrix, by its float32 numbers: one that graphs build anew has the same name again."""
    return hashlib.sha256(np.ascontiguousarray(weight, np.float32).tobytes()).hexdigest()


def with_inputs(linear: Linear, inputs: Mapping[str, Inputs]) -> Linear:
    """The same, which knows what goes into its products, where it makes any use of that."""
    return replace(linear, inputs=inputs) if isinstance(linear, DynamicInt8Linear) else linear


CANDIDATES: dict[str, tuple[Linear, ...]] = {
    "fp32": (FloatLinear(),),
    "fp16": (FloatLinear(np.float16),),
    "int8": (DynamicInt8Linear(), BlockInt8Linear()),
}
"""By precision, fastest first: the exporter takes the first that agrees with the reference closely enough."""
