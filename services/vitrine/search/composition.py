"""Weighted parts become one vector.

Nothing but their sum: a part weighs what its weight says, whatever it is, so a caller can work out what a query means.
Rules that treat pictures and texts differently were measured and gained nothing over a fitting weight; the figures, and
which weights fit, are in docs/composed-queries.md.
"""

from collections.abc import Sequence

import numpy as np

from vitrine.domain import Vectors
from vitrine.errors import QueryCancelsOut

# Below this length a weighted sum of unit vectors is rounding noise: its direction means nothing.
_SHORTEST_SUM = 1e-3


def weighted_sum(vectors: Sequence[Vectors], weights: Sequence[float]) -> Vectors:
    """Adds parts up by weight and scales the sum to unit length, so that scores stay cosines.

    Args:
        vectors: n of float32 [dim], each of unit length.
        weights: n finite numbers; below zero leads away from its part. Only their proportions count.

    Returns:
        float32 [dim].

    Raises:
        QueryCancelsOut: the parts are as good as opposite, nothing is left to search for.
    """
    if len(weights) == 1 and weights[0] != 0:
        return np.asarray(vectors[0] if weights[0] > 0 else -vectors[0], np.float32)
    total = np.asarray(weights, np.float32) @ np.stack(vectors)
    length = float(np.linalg.norm(total))
    if length < _SHORTEST_SUM * max(map(abs, weights)) or length == 0.0:
        raise QueryCancelsOut("The weighted parts cancel each other out; nothing is left to search for.")
    return np.asarray(total / length, np.float32)
