"""Of all products that samples have shown so far, those that are nearest to each query."""

from collections.abc import Mapping, Sequence
from heapq import nlargest

import numpy as np

from vitrine.domain import Vectors


class NearestSeen:
    """Remembers ids and exact scores. What is remembered is bounded: `kept` products for each query.

    Products enter by samples alone, never because an answer contained them: whether one is known must not depend on
    whether searches find it.

    Args:
        queries: float32 [n, dim], unit length.
        kept: products remembered for each.
    """

    def __init__(self, queries: Vectors, kept: int) -> None:
        self.queries = queries
        self._kept = kept
        self._best: list[dict[str, float]] = [{} for _ in queries]

    def of(self, query: int) -> Mapping[str, float]:
        """Cosine similarity by id, of one query."""
        return self._best[query]

    def take(self, ids: Sequence[str], vectors: Vectors) -> None:
        """Takes in a sample: different ids, and float32 [n, dim] beside them. What was known of them is replaced."""
        scores = self.queries @ vectors.T
        position = {item_id: row for row, item_id in enumerate(ids)}
        for best, found in zip(self._best, scores, strict=True):
            for item_id in best.keys() & position.keys():
                best[item_id] = float(found[position[item_id]])
            floor = min(best.values()) if len(best) >= self._kept else -np.inf
            better = np.flatnonzero(found > floor)
            if better.size > self._kept:
                better = better[np.argpartition(-found[better], self._kept - 1)[: self._kept]]
            best.update((ids[row], float(found[row])) for row in better.tolist())
            if len(best) > self._kept:
                self._cut(best)

    def correct(self, query: int, item_id: str, score: float | None) -> None:
        """Sets a remembered product's score for one query, or forgets a product that is gone (None)."""
        if score is None:
            self._best[query].pop(item_id, None)
        elif item_id in self._best[query]:
            self._best[query][item_id] = score

    def _cut(self, best: dict[str, float]) -> None:
        least = nlargest(self._kept, best.values())[-1]
        for item_id in [one for one, score in best.items() if score < least]:
            del best[item_id]
