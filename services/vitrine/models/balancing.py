"""The same text model with other numbers inside, which lose less when they are rounded to bytes.

Bytes are shared out over the range of all inputs of a product. What is alike in every text (the mean of a channel) and
channels that are wider than others take up range and leave the rest fewer steps. Both can be moved into weights that
are there already, without another node and without changing any text's vector: the layer norm before a product, or the
projection of the values before attention's output, gives inputs around zero and of one width, and the product's own
weights and bias take back what that changed. The widths are SmoothQuant's (Xiao et al., arXiv 2211.10438), moved to the
weights altogether, because weights are rounded with far less loss (`rounding.compensated`).

The inputs of fc2 come out of a curve, which no such factor passes through; they stay as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from vitrine.models.checkpoint import Checkpoint
from vitrine.models.graph import Array
from vitrine.models.precision import name_of
from vitrine.models.rounding import Inputs
from vitrine.models.towers import projections

_PREFIX = "text_model."
_NARROWEST = 1e-2
"""Of the mean width: a channel that hardly moves in calibration is widened to no more than its hundredfold."""


def balanced(checkpoint: Checkpoint, inputs: Mapping[str, Inputs]) -> tuple[Checkpoint, Mapping[str, Inputs]]:
    """The checkpoint with other weights, whose vectors are the same, and what goes into its products then.

    Args:
        inputs: of the checkpoint's own weights, from `calibration.text_inputs`.
    """
    balancing = _Balancing(checkpoint, inputs)
    for index in range(checkpoint.text.layers):
        balancing.layer(index)
    return replace(checkpoint, weights=balancing.weights), balancing.inputs


class _Shift(NamedTuple):
    """Inputs x [..., in] become (x - mean) / width."""

    mean: Array
    width: Array

    @classmethod
    def of(cls, inputs: Inputs) -> "_Shift":
        spread = np.sqrt(np.maximum(np.diagonal(inputs.moments).astype(np.float64), 0))
        if not spread.any():
            return cls(inputs.mean, np.ones(len(spread)))
        spread = np.maximum(spread, _NARROWEST * spread.mean())
        # Around one, so that the numbers stay about as large as they were.
        return cls(inputs.mean, spread / np.exp(np.log(spread).mean()))

    def inputs(self, before: Inputs) -> Inputs:
        moments = before.moments / np.outer(self.width, self.width)
        return Inputs((before.mean - self.mean) / self.width, moments.astype(np.float32))


class _Balancing:
    """Changes a copy of the weights layer by layer, and keeps up with what then goes into each product."""

    def __init__(self, checkpoint: Checkpoint, inputs: Mapping[str, Inputs]) -> None:
        self._tower = checkpoint.text
        self._before = inputs
        self.weights = dict(checkpoint.weights)
        self.inputs = dict(inputs)

    def layer(self, index: int) -> None:
        layer = f"{_PREFIX}encoder.layers.{index}."
        attention, out, fc1 = layer + "self_attn.", layer + "self_attn.out_proj", layer + "mlp.fc1"
        # In the last layer the query is a product of its own, of the pooled token alone.
        merged = ("q", "k", "v") if index == self._tower.layers - 1 else ("qkv",)
        before = [self._merged(layer, which) for which in merged]
        shift = _Shift.of(before[-1])
        self._norm_gives(layer + "layer_norm1", shift)
        self._products_take([f"{attention}{letter}_proj" for letter in "qkv"], shift)

        seen = self._before[name_of(self.weights[out + ".weight"])]
        mixed = _Shift.of(seen)
        # Attention's weights sum to one, so it passes on what all values have in common.
        self._product_gives(attention + "v_proj", mixed)
        self._products_take([out], mixed)
        for which, inputs in zip(merged, before, strict=True):
            self.inputs[name_of(projections(self.weights, layer, self._tower, which)[0])] = shift.inputs(inputs)
        self.inputs[name_of(self.weights[out + ".weight"])] = mixed.inputs(seen)

        seen = self._before[name_of(self.weights[fc1 + ".weight"])]
        shift = _Shift.of(seen)
        self._norm_gives(layer + "layer_norm2", shift)
        self._products_take([fc1], shift)
        self.inputs[name_of(self.weights[fc1 + ".weight"])] = shift.inputs(seen)

    def _merged(self, layer: str, which: str) -> Inputs:
        return self._before[name_of(projections(self.weights, layer, self._tower, which)[0])]

    def _norm_gives(self, norm: str, shift: _Shift) -> None:
        """Its scale and bias, [in], are each channel's last two steps."""
        self._set(norm + ".bias", (self.weights[norm + ".bias"] - shift.mean) / shift.width)
        self._set(norm + ".weight", self.weights[norm + ".weight"] / shift.width)

    def _product_gives(self, product: str, shift: _Shift) -> None:
        self._set(product + ".bias", (self.weights[product + ".bias"] - shift.mean) / shift.width)
        self._set(product + ".weight", self.weights[product + ".weight"] / shift.width[:, None])

    def _products_take(self, products: Sequence[str], shift: _Shift) -> None:
        for product in products:
            weight = self.weights[product + ".weight"]
            self._set(product + ".bias", self.weights[product + ".bias"] + weight @ shift.mean)
            self._set(product + ".weight", weight * shift.width)

    def _set(self, name: str, value: Array) -> None:
        self.weights[name] = value.astype(np.float32)
