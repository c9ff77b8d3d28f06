"""Weighted parts become one vector."""

import numpy as np

from vitrine.domain import Vectors
from vitrine.errors import QueryCancelsOut

# Below this length a weighted sum of unit vectors is rounding noise: its direction means nothing.
_SHORTEST_SUM = 1e-3


def weighted_sum(vectors: Vectors, weights: list[float]) -> Vectors:
    """Adds float32 [n, dim] up by weight and scales the sum to unit length: float32 [dim].

    Raises:
        QueryCancelsOut: the parts are as good as opposite, nothing is left to search for.
    """
    total = np.asarray(weights, np.float32) @ vectors
    length = float(np.linalg.norm(total))
    if length < _SHORTEST_SUM * max(map(abs, weights)) or length == 0.0:
        raise QueryCancelsOut("The weighted parts cancel each other out; nothing is left to search for.")
    return np.asarray(total / length, np.float32)
