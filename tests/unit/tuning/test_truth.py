from collections.abc import AsyncIterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.domain import Vectors
from vitrine.errors import InvalidInput
from vitrine.tuning.queries import QueryKind, QuerySet
from vitrine.tuning.truth import ExactNeighbours, ExactSearch, exact_neighbours


def unit_vectors(count: int, dimension: int = 8, seed: int = 0) -> Vectors:
    vectors = np.random.default_rng(seed).normal(size=(count, dimension))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def texts(vectors: Vectors) -> QuerySet:
    return QuerySet(QueryKind.TEXT, vectors, ("",) * len(vectors))


def names(count: int) -> list[str]:
    return [f"{row:05d}" for row in range(count)]


@given(st.integers(1, 120), st.integers(1, 12), st.integers(1, 60), st.integers(0, 10_000))
def test_neighbours_taken_in_by_pages_are_those_of_a_full_sort(rows: int, depth: int, page: int, seed: int) -> None:
    stored, queries = unit_vectors(rows, seed=seed), unit_vectors(3, seed=seed + 1)
    search = ExactSearch(texts(queries), depth)
    for start in range(0, rows, page):
        search.take(names(rows)[start : start + page], stored[start : start + page])
    found = search.neighbours()
    for row, scores in enumerate(queries @ stored.T):
        best = np.argsort(-scores, kind="stable")[:depth]
        assert list(found.ids[row][:depth]) == [names(rows)[one] for one in best]
        np.testing.assert_allclose(found.scores[row][:depth], scores[best], atol=1e-6)


def test_a_product_is_no_neighbour_of_itself_but_its_twin_is() -> None:
    stored = unit_vectors(50)
    stored[7] = stored[3]
    queries = QuerySet(QueryKind.IMAGE, stored[[3, 9]], ("00003", "00009"))
    search = ExactSearch(queries, 5)
    search.take(names(50), stored)
    found = search.neighbours()
    assert found.ids[0][0] == "00007"
    assert "00003" not in found.ids[0]
    assert "00009" not in found.ids[1]


async def test_several_sets_are_compared_in_one_reading() -> None:
    stored = unit_vectors(40)

    async def pages() -> AsyncIterator[tuple[list[str], Vectors]]:
        for start in (0, 20):
            yield names(40)[start : start + 20], stored[start : start + 20]

    told: list[int] = []
    first, second = await exact_neighbours(pages(), [texts(stored[:2]), texts(stored[5:6])], 1, told.append)
    assert [ids[0] for ids in first.ids] == ["00000", "00001"]
    assert second.ids[0][0] == "00005"
    assert told == [20, 40]


TRUTH = ExactNeighbours(ids=(("a", "b", "c", "d", "e"),), scores=((0.9, 0.8, 0.7, 0.7, 0.1),), depth=3)


@pytest.mark.parametrize(
    ("found", "k", "recall"),
    [
        (["a", "b", "c"], 3, 1.0),
        (["c", "b", "a"], 3, 1.0),  # their order does not count
        (["a", "b", "d"], 3, 1.0),  # as near as the third
        (["a", "c", "d"], 3, 1.0),  # two for the third place and nothing for the second: three as near as the third
        (["a", "b", "e"], 3, 2 / 3),
        (["x", "y", "a"], 3, 1 / 3),
        (["x", "y", "z", "a"], 3, 0.0),  # beyond the third hit
        (["a"], 2, 0.5),
        ([], 1, 0.0),
    ],
)
def test_recall_is_the_share_of_the_nearest_found_where_equals_stand_for_each_other(
    found: list[str], k: int, recall: float
) -> None:
    assert TRUTH.recall(0, found, k) == pytest.approx(recall)


def test_recall_in_a_collection_with_fewer_others_than_k_is_of_those_there_are() -> None:
    truth = ExactNeighbours(ids=(("a", "b"), ()), scores=((0.5, 0.4), ()), depth=10)
    assert truth.recall(0, ["b"], 10) == 0.5
    assert truth.recall(1, [], 10) == 1.0


def test_a_recall_deeper_than_the_truth_is_refused() -> None:
    with pytest.raises(InvalidInput, match="Recall@4 cannot be told from 3 exact neighbours"):
        TRUTH.recall(0, ["a"], 4)
