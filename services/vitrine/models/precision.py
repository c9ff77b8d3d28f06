"""How the weight matrices are stored and multiplied: float32, float16, or two kinds of int8."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vitrine.models.graph import Array, Dtype, Graph, Linear


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

    The fastest on every CPU, and exact integer arithmetic on every CPU (see `_scales`). One scale a call means that a
    text's vector depends a little on the texts it was batched with.
    """

    dtype: ClassVar[Dtype] = np.float32
    label: ClassVar[str] = "int8, activations with one scale a call"

    def apply(self, graph: Graph, x: str, weight: Array, bias: Array | None) -> str:
        scale = _scales(weight)
        codes = np.rint(weight / scale[:, None]).astype(np.int8)
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


def _scales(weight: Array) -> Array:
    """float32 [out] for `weight` [out, in], such that int8 codes never overflow where two products are summed.

    CPUs without VNNI instructions multiply bytes by vpmaddubsw: the products of two neighbouring inputs are added in 16
    bits and cut off at 32,767. 255 x (127 + 127) does not fit, 255 x 128 does. So not the largest weight of a row
    becomes 127, but the largest sum of two neighbours of one sign; rounding adds at most 1. Weights of only 7 bits, the
    usual remedy, would double the rounding error; this adds about a third to it.
    """
    rows, columns = weight.shape
    pairs = np.zeros((rows, -(-columns // 2), 2), np.float32)
    pairs.reshape(rows, -1)[:, :columns] = weight
    sums = np.maximum(np.maximum(pairs, 0).sum(axis=2), np.maximum(-pairs, 0).sum(axis=2))
    largest = sums.max(axis=1)
    return np.asarray(np.where(largest == 0, 1, largest) / 127, np.float32)


CANDIDATES: dict[str, tuple[Linear, ...]] = {
    "fp32": (FloatLinear(),),
    "fp16": (FloatLinear(np.float16),),
    "int8": (DynamicInt8Linear(), BlockInt8Linear()),
}
"""By precision, fastest first: the exporter takes the first that agrees with the reference closely enough."""
