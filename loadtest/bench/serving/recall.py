"""The search setting of a run, and what it finds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from loadtest.bench.serving.collections import id_of
from loadtest.bench.serving.sizes import LIMIT, RECALL
from vitrine.domain import Deadline, Vectors
from vitrine.tuning.frontier import least_mean
from vitrine.tuning.least_setting import least_setting
from vitrine.tuning.queries import QueryKind, QuerySet
from vitrine.tuning.truth import ExactNeighbours, ExactSearch
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.searcher import VectorSearcher

SHOP, TIMED, LOGGED = "the shop's own texts", "short texts", "texts of the log"
"""Kinds of text, whose recall is told apart."""
START_EF, MOST_EF = 32, 4_096
_AT_ONCE: Final = 100
_LONGEST_S: Final = 600.0


@dataclass(frozen=True)
class Found:
    """Recall@10 of one kind of text: its mean, and what the mean exceeds with 95 % confidence."""

    mean: float
    least: float


def truth_of(queries: Vectors, products: Vectors) -> ExactNeighbours:
    """Exact neighbours of queries, float32 [n, dim], among products, float32 [rows, dim], by their ids."""
    search = ExactSearch(QuerySet(QueryKind.TEXT, queries, ("",) * len(queries)), LIMIT)
    search.take([id_of(row) for row in range(len(products))], products)
    return search.neighbours()


def recalls(truth: ExactNeighbours, rows: Sequence[int], found: Sequence[Sequence[str]]) -> np.ndarray:
    """Recall@10 of each answer, float64 [n]; `rows` are those of the answers' queries in the truth."""
    return np.array([truth.recall(row, ids, LIMIT) for row, ids in zip(rows, found, strict=True)])


class RecallOf:
    """Searches of one collection with several kinds of text.

    Args:
        connection: to its Milvus.
        info: the collection.
        queries: float32 [n, dim] by kind.
        truths: of these, by kind.
    """

    def __init__(
        self,
        connection: MilvusConnection,
        info: CollectionInfo,
        queries: Mapping[str, Vectors],
        truths: Mapping[str, ExactNeighbours],
    ) -> None:
        self._searcher = VectorSearcher(connection)
        self._info = info
        self._queries = queries
        self._truths = truths

    async def at(self, ef: int) -> dict[str, Found]:
        """By kind of text, with this setting."""
        found = {}
        for kind, vectors in self._queries.items():
            ids = [one for start in range(0, len(vectors), _AT_ONCE) for one in await self._ids(vectors, start, ef)]
            told = recalls(self._truths[kind], range(len(vectors)), ids)
            found[kind] = Found(float(told.mean()), least_mean(told))
        return found

    async def least_ef(self) -> int | None:
        """The least setting with which every kind of text reaches the recall that is asked for, with confidence."""

        async def passes(ef: int) -> bool:
            return all(found.least >= RECALL for found in (await self.at(ef)).values())

        return await least_setting(passes, START_EF, LIMIT, MOST_EF)

    async def _ids(self, vectors: Vectors, start: int, ef: int) -> list[list[str]]:
        answers = await self._searcher.neighbours(
            self._info.name,
            vectors[start : start + _AT_ONCE],
            limit=LIMIT,
            index=self._info.index,
            fields=(),
            described=False,
            params={"ef": ef},
            deadline=Deadline.after(_LONGEST_S),
        )
        return [list(one.ids) for one in answers]
