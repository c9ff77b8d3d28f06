"""The exact nearest neighbours of a set of queries: what an index's answers are held against."""

import asyncio
from collections.abc import AsyncIterable, Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vitrine.domain import Vectors
from vitrine.errors import InvalidInput
from vitrine.tuning.queries import QuerySet
from vitrine.vectorstore.reader import VectorPage

TIED = 1e-6
"""Scores closer than this are the same: float32 sums of 512 products in another order differ by 1e-7."""
SPARE = 32
"""Neighbours kept beyond the depth asked for, so that ties with the last one are known."""

_BLOCK_SCORES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ExactNeighbours:
    """The exact neighbours of each query, best first.

    Args:
        ids: of each query; fewer than `depth` where the collection has fewer others.
        scores: cosine similarities beside them.
        depth: how many each query was to have, ties not counted.
    """

    ids: tuple[tuple[str, ...], ...]
    scores: tuple[tuple[float, ...], ...]
    depth: int

    def __len__(self) -> int:
        return len(self.ids)

    def recall(self, row: int, found: Sequence[str], k: int) -> float:
        """Recall@k of one query: of its k nearest neighbours, the share among the first k found.

        As ann-benchmarks counts (Aumueller, Bernhardsson and Faithfull, 2020), whatever is as near as the k-th
        neighbour is as good as that one: of products that share a picture, any may be found. Where the collection has
        fewer than k others, its k is their number.

        Args:
            row: of the query.
            found: ids, best first, without the query's own.
            k: at most `depth`.

        Raises:
            InvalidInput: k is deeper than the truth.
        """
        if not 1 <= k <= self.depth:
            raise InvalidInput(f"Recall@{k} cannot be told from {self.depth} exact neighbours.")
        scores = self.scores[row]
        wanted = min(k, len(scores))
        if wanted == 0:
            return 1.0
        floor = scores[wanted - 1] - TIED
        good = {item_id for item_id, score in zip(self.ids[row], scores, strict=True) if score >= floor}
        return min(len(good.intersection(found[:k])), wanted) / wanted


class ExactSearch:
    """Compares every vector that it is given with every query.

    Memory: the queries, one block of 4 Mi scores (16 MiB) with its order, and for each query `depth` + 32 ids.

    Args:
        queries: vectors equal to the query's own product are left out.
        depth: neighbours wanted of each.
    """

    def __init__(self, queries: QuerySet, depth: int) -> None:
        self._queries = queries
        self._depth = depth
        self._kept = depth + SPARE
        self._scores = np.full((len(queries), self._kept), -np.inf, np.float32)
        self._ids = np.full((len(queries), self._kept), "", dtype=object)

    def take(self, ids: Sequence[str], vectors: Vectors) -> None:
        """Takes in products that were not given before: their ids, and float32 [n, dim] beside them."""
        rows = max(1, _BLOCK_SCORES // max(1, len(self._queries)))
        for start in range(0, len(ids), rows):
            self._take_block(np.array(ids[start : start + rows], dtype=object), vectors[start : start + rows])

    def neighbours(self) -> ExactNeighbours:
        """The exact neighbours among all that was taken in; equal scores in the order of their ids."""
        ids: list[tuple[str, ...]] = []
        scores: list[tuple[float, ...]] = []
        for row_ids, row_scores in zip(self._ids, self._scores, strict=True):
            pairs = [(-float(score), str(one)) for one, score in zip(row_ids, row_scores, strict=True) if one]
            pairs.sort()
            ids.append(tuple(one for _, one in pairs))
            scores.append(tuple(-score for score, _ in pairs))
        return ExactNeighbours(tuple(ids), tuple(scores), self._depth)

    def _take_block(self, ids: npt.NDArray[np.object_], vectors: Vectors) -> None:
        scores = self._queries.vectors @ vectors.T
        position = {item_id: row for row, item_id in enumerate(ids)}
        for row, own in enumerate(self._queries.own_ids):
            if own in position:
                scores[row, position[own]] = -np.inf
        # A product of the block matters only to queries for which it passes the least score kept so far.
        least = self._scores.min(axis=1)
        for concerned in np.flatnonzero(scores.max(axis=1) > least).tolist():
            self._merge(concerned, ids, scores[concerned])

    def _merge(self, row: int, ids: npt.NDArray[np.object_], scores: npt.NDArray[np.float32]) -> None:
        better = np.flatnonzero(scores > self._scores[row].min())
        joined = np.concatenate([self._scores[row], scores[better]])
        names = np.concatenate([self._ids[row], ids[better]])
        best = np.argpartition(-joined, self._kept - 1)[: self._kept]
        self._scores[row], self._ids[row] = joined[best], names[best]


async def exact_neighbours(
    pages: AsyncIterable[VectorPage],
    queries: Sequence[QuerySet],
    depth: int,
    on_rows: Callable[[int], None] | None = None,
) -> list[ExactNeighbours]:
    """The exact neighbours of several sets of queries, in one reading of a collection; works in a thread.

    Args:
        pages: every product once, as `CollectionReader.vectors` reads them.
        queries: the sets.
        depth: neighbours wanted of each query.
        on_rows: told how many products were compared so far.
    """
    searches = [ExactSearch(one, depth) for one in queries]
    seen = 0
    async for ids, vectors in pages:
        for search in searches:
            await asyncio.to_thread(search.take, ids, vectors)
        seen += len(ids)
        if on_rows is not None:
            on_rows(seen)
    return [search.neighbours() for search in searches]
