from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest

from vitrine.domain import Deadline, Vectors
from vitrine.errors import InvalidInput
from vitrine.tuning.measure import Measurement, Trial, measure, percentile_of
from vitrine.tuning.queries import QueryKind, QuerySet
from vitrine.tuning.truth import ExactNeighbours, ExactSearch
from vitrine.vectorstore.index_params import Hnsw
from vitrine.vectorstore.neighbours import Neighbours
from vitrine.vectorstore.searcher import VectorSearcher

STORED = np.asarray(np.eye(64, dtype=np.float32) + 0.01 * np.arange(64)[:, None], np.float32)
STORED /= np.linalg.norm(STORED, axis=1, keepdims=True)
NAMES = [f"{row:02d}" for row in range(64)]


@dataclass
class Store:
    """Finds the exact neighbours, but every second one only for the label "half"."""

    calls: list[tuple[str, int]] = field(default_factory=list)

    async def neighbours(self, collection: str, vectors: Vectors, *, limit: int, **more: Any) -> list[Neighbours]:
        self.calls.append((collection, limit))
        scores = STORED @ vectors[0]
        order = np.argsort(-scores, kind="stable")
        if collection == "half":
            order = order[::2]
        best = order[:limit].tolist()
        return [
            Neighbours([NAMES[row] for row in best], [float(scores[row]) for row in best], range(len(best)), {}, ())
        ]


def truth_of(queries: QuerySet, depth: int) -> ExactNeighbours:
    search = ExactSearch(queries, depth)
    search.take(NAMES, STORED)
    return search.neighbours()


async def run(store: Store, queries: QuerySet, trials: list[str], **more: Any) -> list[Measurement]:
    return await measure(
        cast("VectorSearcher", store),
        [Trial(name, name, Hnsw()) for name in trials],
        queries,
        truth_of(queries, 20),
        deadline=Deadline.after(30),
        **more,
    )


async def test_recall_is_told_at_every_depth_and_a_product_passes_over_itself() -> None:
    queries = QuerySet(QueryKind.IMAGE, STORED[:5], tuple(NAMES[:5]))
    store = Store()
    whole, half = await run(store, queries, ["whole", "half"], ks=(4, 20), warm_up=1)
    assert (whole.recall(4), whole.recall(20)) == (1.0, 1.0)
    # Of the order without the query itself, every second one: 2 of the first 4, 10 of the first 20.
    assert half.recall(4) == pytest.approx(0.5)
    assert half.recall(20) == pytest.approx(0.5)
    assert {limit for _, limit in store.calls} == {5, 21}


async def test_trials_take_turns_at_each_query_after_the_warm_up() -> None:
    queries = QuerySet(QueryKind.TEXT, STORED[:3], ("",) * 3)
    store, told = Store(), list[float]()
    await run(store, queries, ["a", "b", "c"], ks=(10,), warm_up=2, on_progress=told.append)
    in_turn = [name for name, _ in store.calls]
    assert in_turn[:6] == ["a", "b", "c"] * 2
    assert in_turn[6:] == ["a", "b", "c", "b", "c", "a", "c", "a", "b"]
    assert told == pytest.approx([1 / 3, 2 / 3, 1])


async def test_each_query_is_timed_as_often_as_there_are_rounds_and_deep_searches_are_not() -> None:
    queries = QuerySet(QueryKind.TEXT, STORED[:3], ("",) * 3)
    (measured,) = await run(Store(), queries, ["a"], ks=(10, 20), rounds=4, warm_up=0)
    assert measured.latencies_ms.size == 12
    assert measured.recalls[10].size == measured.recalls[20].size == 3
    assert 0 < measured.latency_ms(50) <= measured.latency_ms(99)


async def test_a_truth_of_other_queries_is_refused() -> None:
    queries = QuerySet(QueryKind.TEXT, STORED[:3], ("",) * 3)
    with pytest.raises(InvalidInput, match="2 exact answers do not belong to 3 queries"):
        await measure(
            cast("VectorSearcher", Store()),
            [Trial("a", "a", Hnsw())],
            queries,
            truth_of(queries.rows([0, 1]), 100),
            deadline=Deadline.after(1),
        )


@pytest.mark.parametrize(("percentile", "expected"), [(50, 5.0), (90, 9.0), (99, 10.0), (100, 10.0), (1, 1.0)])
def test_a_percentile_is_the_least_sample_that_so_many_do_not_exceed(percentile: float, expected: float) -> None:
    assert percentile_of(np.arange(10.0, 0.0, -1.0), percentile) == expected


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(InvalidInput):
        percentile_of(np.array([]), 50)
    with pytest.raises(InvalidInput):
        percentile_of(np.ones(3), 0)
