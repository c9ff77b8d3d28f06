"""Weights as int8 codes: to the nearest, or such that the errors of a row's codes make up for each other.

The second way is GPTQ (Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
Transformers", arXiv 2210.17323). Inputs of a product go up and down together, so the error of one code can be undone by
its neighbours: columns are rounded one after the other, and what one lost is added to those that are still to come, as
far as the inputs' second moments say that they can stand in for it.
"""

from dataclasses import dataclass

import numpy as np

from vitrine.errors import ModelInvalid
from vitrine.models.graph import Array

LARGEST = 127
PAIR = 128
"""What the codes of two neighbours of one sign may add up to: 255 x 128 is the last multiple that fits 16 bits."""
DAMPING = 0.01
"""Of the mean second moment, added to each: keeps directions that calibration hardly saw from being trusted."""

_BLOCK = 64
_HARDEST_DAMPING = 10.0


@dataclass(frozen=True, slots=True)
class Inputs:
    """What goes into a product, as seen in calibration.

    Args:
        mean: float64 [in].
        moments: float32 [in, in], mean of (x - mean) (x - mean)^T over the inputs x; its diagonal holds variances.
    """

    mean: Array
    moments: Array


def scales(weight: Array) -> Array:
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
    return np.asarray(np.where(largest == 0, 1, largest) / LARGEST, np.float32)


def nearest(weight: Array, scale: Array) -> Array:
    """int8 [out, in]: each weight of `weight` [out, in] to the nearest multiple of its row's `scale` [out]."""
    return np.rint(weight / scale[:, None]).astype(np.int8)


def compensated(weight: Array, scale: Array, inputs: Inputs) -> Array:
    """int8 [out, in]: codes whose product with the inputs differs least from that of `weight` [out, in].

    Args:
        scale: [out], of each row, see `scales`.
        inputs: their mean does not count here: what it loses is known and belongs into the bias.

    Raises:
        ModelInvalid: weights or moments are not finite, or no damping makes the moments invertible.
    """
    if not (np.isfinite(weight).all() and np.isfinite(inputs.moments).all()):
        raise ModelInvalid("Weights, or the inputs they were calibrated with, hold numbers that are not finite.")
    columns = weight.shape[1]
    spread = _spread(inputs.moments)
    # Inputs are rows from here on, so that each is one stretch of memory; in units of the scale.
    left = np.array((weight / scale[:, None]).T, np.float32, order="C")
    codes = np.empty_like(left)
    for start in range(0, columns, _BLOCK):
        block = slice(start, min(start + _BLOCK, columns))
        lost = np.empty((block.stop - start, left.shape[1]), np.float32)
        for column in range(start, block.stop):
            former = codes[column - 1] if column % 2 else None
            codes[column] = _rounded(left[column], former)
            lost[column - start] = (left[column] - codes[column]) / spread[column, column]
            left[column + 1 : block.stop] -= np.outer(spread[column, column + 1 : block.stop], lost[column - start])
        left[block.stop :] -= spread[block, block.stop :].T @ lost
    return codes.T.astype(np.int8)


def _rounded(column: Array, former: Array | None) -> Array:
    """Codes of one column, within what the `former` column's, its neighbour in a pair, leave of the bound."""
    if former is None:
        return np.clip(np.rint(column), -LARGEST, LARGEST)
    lower = np.maximum(-LARGEST, -PAIR - np.minimum(former, 0))
    upper = np.minimum(LARGEST, PAIR - np.maximum(former, 0))
    return np.clip(np.rint(column), lower, upper)


def _spread(moments: Array) -> Array:
    """float32 [in, in], upper triangle U with U^T U the inverse of the moments.

    Row i tells how an error in input i is best made up for by the inputs after it.
    """
    mean = float(np.diagonal(moments).mean()) or 1.0
    damping = DAMPING
    while damping <= _HARDEST_DAMPING:
        damped = moments.astype(np.float64) + damping * mean * np.eye(len(moments))
        try:
            # With rows and columns in reverse order, so that the factor comes out as an upper triangle.
            lower = np.linalg.cholesky(damped[::-1, ::-1])
        except np.linalg.LinAlgError:
            damping *= 10
        else:
            return np.ascontiguousarray(_inverse(lower)[::-1, ::-1], np.float32)
    raise ModelInvalid("The inputs that weights were calibrated with have no usable second moments.")


def _inverse(lower: Array) -> Array:
    """Of a lower triangle, by halves: a third of the work of a general inverse."""
    size = len(lower)
    if size <= _BLOCK:
        return np.asarray(np.linalg.inv(lower))
    half = size // 2
    first, last = _inverse(lower[:half, :half]), _inverse(lower[half:, half:])
    return np.block([[first, np.zeros((half, size - half))], [-last @ lower[half:, :half] @ first, last]])
