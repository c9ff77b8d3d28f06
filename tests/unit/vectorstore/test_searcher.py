import numpy as np
import pytest

from vitrine.domain import Hit
from vitrine.errors import InvalidInput, LimitExceeded
from vitrine.vectorstore.searcher import check_window, _placeholders, _ranked


@pytest.mark.parametrize(("limit", "offset"), [(0, 0), (-1, 0), (10, -1)])
def test_a_window_before_the_first_hit_is_refused(limit: int, offset: int) -> None:
    with pytest.raises(InvalidInput):
        check_window(limit, offset, 1)


@pytest.mark.parametrize(("limit", "offset", "vectors"), [(16_385, 0, 1), (1, 16_384, 1), (1, 0, 0), (1, 0, 1_025)])
def test_windows_and_batches_are_limited(limit: int, offset: int, vectors: int) -> None:
    check_window(16_000, 384, 1_024)
    with pytest.raises(LimitExceeded):
        check_window(limit, offset, vectors)


def test_equal_scores_are_ordered_by_id_within_each_vectors_hits() -> None:
    def hit(item_id: str, score: float) -> Hit:
        return Hit(item_id, score, "", "", "")

    flat = [hit("c", 0.9), hit("b", 0.5), hit("a", 0.5), hit("z", 0.7), hit("y", 0.7)]
    ranked = [[found.id for found in hits] for hits in _ranked(flat, [3, 2], 2)]
    assert ranked == [["c", "a", "b"], ["y", "z"]]


def test_an_empty_collection_gives_every_vector_an_empty_list() -> None:
    assert list(_ranked([], [], 3)) == [[], [], []]


def test_vectors_of_any_memory_layout_are_sent_row_by_row() -> None:
    vectors = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert _placeholders(vectors) == _placeholders(np.asfortranarray(vectors))
    assert _placeholders(vectors[::2]) == _placeholders(vectors[::2].copy())
    assert vectors[1].tobytes() in _placeholders(vectors)
