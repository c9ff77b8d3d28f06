"""The gate before a cheaper way of embedding."""

import numpy as np
import pytest

from vitrine.domain import Vectors
from vitrine.models.fidelity import TEXT_GATE, Fidelity, FidelityGate

GATE = FidelityGate(mean_cosine=0.99, top_10=0.9)


def cloud(count: int, *, spread: float = 1.0, seed: int = 0) -> Vectors:
    """float32 [count, 32] around one direction; with a small spread all lie close together."""
    rng = np.random.default_rng(seed)
    return (np.ones(32) + spread * rng.standard_normal((count, 32))).astype(np.float32)


def test_the_same_vectors_agree_entirely_whatever_their_length() -> None:
    vectors = cloud(40)
    found = Fidelity.between(vectors, vectors * 3)
    assert (found.mean_cosine, found.min_cosine) == (pytest.approx(1), pytest.approx(1))
    assert found.top_10 == 1
    assert GATE.accepts(found)


def test_unrelated_vectors_are_refused() -> None:
    found = Fidelity.between(cloud(200), cloud(200, seed=1))
    assert found.top_10 < 0.3
    assert not GATE.accepts(found)


def test_swapped_neighbours_are_refused_although_every_cosine_is_high() -> None:
    noise = np.random.default_rng(5).standard_normal((200, 32)).astype(np.float32)
    vectors = cloud(200, spread=0.02)
    found = Fidelity.between(vectors, vectors + 0.02 * noise)
    assert found.mean_cosine > 0.999
    assert found.top_10 < 0.9
    assert not GATE.accepts(found)


def test_one_ruined_vector_shows_as_the_worst() -> None:
    vectors = cloud(50)
    candidate = vectors.copy()
    candidate[7] = -candidate[7]
    found = Fidelity.between(vectors, candidate)
    assert found.min_cosine == pytest.approx(-1)
    assert found.compared == 50


def test_too_few_vectors_to_have_ten_neighbours_pass_no_gate() -> None:
    found = Fidelity.between(cloud(10), cloud(10))
    assert np.isnan(found.top_10)
    assert not GATE.accepts(found)


def test_vectors_of_different_things_are_not_compared() -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        Fidelity.between(cloud(20), cloud(21))


def test_what_queries_find_in_a_catalogue_is_compared_there_and_not_among_themselves() -> None:
    queries, catalogue = cloud(30), cloud(500, seed=2)
    candidate = queries + 0.3 * np.random.default_rng(4).standard_normal(queries.shape).astype(np.float32)
    found = Fidelity.between(queries, candidate, catalogue=catalogue)
    exact = [
        len(set(np.argsort(-(unit(catalogue) @ one))[:10]) & set(np.argsort(-(unit(catalogue) @ other))[:10]))
        for one, other in zip(unit(queries), unit(candidate), strict=True)
    ]
    assert found.top_10 == pytest.approx(sum(exact) / 300)
    assert 0.1 < found.top_10 < 0.95
    assert Fidelity.between(queries, queries, catalogue=catalogue).top_10 == 1


def test_a_catalogue_of_ten_is_too_small() -> None:
    found = Fidelity.between(cloud(20), cloud(20), catalogue=cloud(10))
    assert np.isnan(found.top_10)
    assert not GATE.accepts(found)


def test_a_text_model_must_find_what_the_whole_one_finds() -> None:
    assert TEXT_GATE.accepts(Fidelity(mean_cosine=0.999, min_cosine=0.99, top_10=0.98, compared=200))
    assert not TEXT_GATE.accepts(Fidelity(mean_cosine=0.9989, min_cosine=0.99, top_10=1.0, compared=200))
    assert not TEXT_GATE.accepts(Fidelity(mean_cosine=1.0, min_cosine=1.0, top_10=0.979, compared=200))


def unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
