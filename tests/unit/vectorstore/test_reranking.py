from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.domain import CatalogueItem, EmbeddedItem, Vectors
from vitrine.errors import LimitExceeded
from vitrine.vectorstore.collection import EMBEDDING
from vitrine.vectorstore.columns import columns_of
from vitrine.vectorstore.index_params import MAX_CANDIDATES
from vitrine.vectorstore.reranking import calls, candidates, reranked


def unit_vectors(count: int, seed: int) -> Vectors:
    vectors = np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def columns(ids: list[str], vectors: Vectors) -> dict[str, object]:
    items = [
        EmbeddedItem(CatalogueItem(item_id, Path("x"), "x.jpg", f"Item {item_id}", "", {}), vector)
        for item_id, vector in zip(ids, vectors, strict=True)
    ]
    return {column.field_name: column for column in columns_of(items, (), 8)}


@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 12), st.integers(0, 1_000))
def test_candidates_come_out_in_the_order_of_their_whole_vectors(
    count: int, limit: int, offset: int, seed: int
) -> None:
    vectors, query = unit_vectors(2 * count, seed), unit_vectors(1, seed + 1)[0]
    ids = [f"{row:03d}" for row in range(2 * count)]
    own = range(count, 2 * count)  # the second query's part of an answer to two
    found = reranked(query, ids, own, columns(ids, vectors), (), limit=limit, offset=offset, with_vectors=False)
    scores = vectors @ query
    best = sorted(own, key=lambda row: -scores[row])[offset : offset + limit]
    assert found.ids == [ids[row] for row in best]
    np.testing.assert_allclose(found.scores, scores[best], atol=1e-6)
    assert [hit.title for hit in found.hits(range(len(found)))] == [f"Item {ids[row]}" for row in best]


def test_equal_candidates_are_ordered_by_id_and_carry_vectors_only_when_wanted() -> None:
    vectors = np.repeat(unit_vectors(1, 0), 3, axis=0)
    for wanted in (True, False):
        found = reranked(
            vectors[0],
            ["c", "a", "b"],
            range(3),
            columns(["c", "a", "b"], vectors),
            (),
            limit=2,
            offset=0,
            with_vectors=wanted,
        )
        assert found.ids == ["a", "b"]
        assert all((hit.vector is not None) is wanted for hit in found.hits([0, 1]))
        assert found.scores[0] == found.scores[1] == pytest.approx(1.0)


def test_a_query_without_candidates_has_no_neighbours() -> None:
    found = reranked(unit_vectors(1, 0)[0], [], [], {EMBEDDING: None}, (), limit=5, offset=0, with_vectors=False)
    assert len(found) == 0


def test_there_are_so_many_candidates_for_each_hit_up_to_a_bound_and_never_fewer_than_hits() -> None:
    assert candidates(10, 20, 512) == 200
    assert candidates(1, 20, 512) == 20
    assert candidates(64, 250, 512) == MAX_CANDIDATES
    assert candidates(10, 5_000, 512) == 5_000
    assert candidates(64, 32, 32_768) == 448
    with pytest.raises(LimitExceeded, match="at most 448 hits of 32768 dimensions"):
        candidates(2, 500, 32_768)


@given(st.integers(1, 40), st.integers(1, 16_384))
def test_queries_are_cut_so_that_vectors_of_their_candidates_fit_one_answer(queries: int, count: int) -> None:
    vectors = np.zeros((queries, 512), np.float32)
    parts = list(calls(vectors, count))
    assert sum(len(part) for part in parts) == queries
    assert all(len(part) == 1 or len(part) * count * 2_048 <= 16 << 20 for part in parts)
