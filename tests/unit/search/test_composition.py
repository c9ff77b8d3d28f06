import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.errors import QueryCancelsOut
from vitrine.search.composition import weighted_sum

X, Y = np.eye(2, dtype=np.float32)
weights = st.floats(-10, 10).filter(lambda weight: abs(weight) > 0.01)


def test_one_part_is_the_query() -> None:
    np.testing.assert_array_equal(weighted_sum(np.stack([X]), [0.3]), X)


def test_weights_shift_the_direction() -> None:
    np.testing.assert_allclose(weighted_sum(np.stack([X, Y]), [3.0, 4.0]), [0.6, 0.8], rtol=1e-6)


def test_a_negative_weight_points_away() -> None:
    assert weighted_sum(np.stack([X, Y]), [1.0, -0.5])[1] < 0


@given(st.lists(weights, min_size=2, max_size=2), st.floats(0.01, 100))
def test_only_the_proportions_of_the_weights_count(pair: list[float], factor: float) -> None:
    parts = np.stack([X, Y])
    scaled = weighted_sum(parts, [weight * factor for weight in pair])
    np.testing.assert_allclose(scaled, weighted_sum(parts, pair), atol=1e-6)


def test_the_order_of_the_parts_does_not_count() -> None:
    parts, pair = np.stack([X, Y, (X + Y) / np.sqrt(2)]).astype(np.float32), [1.0, -0.25, 0.5]
    np.testing.assert_allclose(weighted_sum(parts[::-1], pair[::-1]), weighted_sum(parts, pair), atol=1e-6)


def test_a_part_without_weight_changes_nothing() -> None:
    np.testing.assert_array_equal(weighted_sum(np.stack([X, Y]), [1.0, 0.0]), X)


def test_a_product_that_has_what_is_subtracted_falls_behind_one_that_has_not() -> None:
    dress, floral, plain = np.eye(3, dtype=np.float32)
    shop = np.stack([dress + floral, dress + plain]) / np.sqrt(2)
    alone, composed = shop @ dress, shop @ weighted_sum(np.stack([dress, floral]), [1.0, -0.25])
    assert alone[0] == pytest.approx(alone[1])
    assert composed[0] < composed[1]


@given(st.lists(weights, min_size=2, max_size=2))
def test_a_query_has_unit_length(pair: list[float]) -> None:
    assert np.linalg.norm(weighted_sum(np.stack([X, Y]), pair)) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("pair", [[1.0, -1.0], [0.0, 0.0], [5.0, -4.9999]])
def test_parts_that_cancel_out_are_refused(pair: list[float]) -> None:
    with pytest.raises(QueryCancelsOut):
        weighted_sum(np.stack([X, X]), pair)
