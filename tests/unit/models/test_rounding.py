"""int8 codes of weights: what they lose, and the bound on neighbours."""

import numpy as np
import pytest

from vitrine.errors import ModelInvalid
from vitrine.models.graph import Array
from vitrine.models.rounding import Inputs, compensated, nearest, scales


def correlated(columns: int, rows: int = 4_000) -> Array:
    """float32 [rows, columns]: inputs that a third as many causes bring about, and a little noise."""
    rng = np.random.default_rng(columns)
    causes = rng.normal(size=(rows, max(1, columns // 3)))
    x = causes @ rng.normal(size=(causes.shape[1], columns)) + 0.3 * rng.normal(size=(rows, columns))
    return x.astype(np.float32)


def inputs_of(x: Array) -> Inputs:
    mean = x.mean(axis=0, dtype=np.float64)
    return Inputs(mean, ((x - mean).T @ (x - mean) / len(x)).astype(np.float32))


def normal(rows: int, columns: int) -> Array:
    return np.random.default_rng(rows).normal(0, 0.1, (rows, columns)).astype(np.float32)


def alike(columns: int) -> Array:
    """float32 [40, columns]: all neighbours nearly as large as the largest, in one row of one sign, in another not."""
    rng = np.random.default_rng(columns)
    weight = rng.uniform(0.97, 1, (40, columns)) * rng.choice([-1, 1], (40, 1))
    weight[20:, ::2] *= -1
    return weight.astype(np.float32)


@pytest.mark.parametrize("columns", [7, 64, 130, 300])
def test_codes_that_make_up_for_each_other_lose_less_of_the_product(columns: int) -> None:
    x, weight = correlated(columns), normal(48, columns)
    scale = scales(weight)
    unseen = correlated(columns)[::-1] + np.float32(0.01)

    def lost(codes: Array) -> float:
        error = unseen @ (codes * scale[:, None] - weight).T
        return float(np.square(error - error.mean(axis=0)).mean())

    assert lost(compensated(weight, scale, inputs_of(x))) < 0.7 * lost(nearest(weight, scale))


def test_inputs_that_have_nothing_in_common_give_the_nearest_codes() -> None:
    weight = normal(16, 200)
    scale = scales(weight)
    inputs = Inputs(np.zeros(200), np.eye(200, dtype=np.float32))
    np.testing.assert_array_equal(compensated(weight, scale, inputs), nearest(weight, scale))


@pytest.mark.parametrize("columns", [2, 7, 64, 65, 131, 512])
@pytest.mark.parametrize("weight_of", [alike, lambda columns: normal(40, columns)], ids=["alike", "normal"])
def test_neighbours_of_one_sign_never_exceed_128_together(columns: int, weight_of: object) -> None:
    weight = weight_of(columns)  # type: ignore[operator]
    codes = compensated(weight, scales(weight), inputs_of(correlated(columns))).astype(int)
    pairs = np.zeros((len(codes), -(-columns // 2), 2), int)
    pairs.reshape(len(codes), -1)[:, :columns] = codes
    assert np.maximum(pairs, 0).sum(axis=2).max() <= 128
    assert np.minimum(pairs, 0).sum(axis=2).min() >= -128
    assert np.abs(codes).max() <= 127


def test_moments_without_an_inverse_are_damped() -> None:
    weight = normal(8, 96)
    one = np.random.default_rng(0).normal(size=96)
    for moments in (np.outer(one, one), np.zeros((96, 96)), -1e-3 * np.eye(96) + np.outer(one, one)):
        codes = compensated(weight, scales(weight), Inputs(np.zeros(96), moments.astype(np.float32)))
        assert np.abs(codes * scales(weight)[:, None] - weight).max() < 10 * scales(weight).max()


def test_a_row_of_zeros_stays_one() -> None:
    weight = normal(8, 64)
    weight[3] = 0
    assert not compensated(weight, scales(weight), inputs_of(correlated(64)))[3].any()


def test_what_is_not_finite_is_refused() -> None:
    weight, inputs = normal(8, 64), inputs_of(correlated(64))
    with pytest.raises(ModelInvalid, match="not finite"):
        compensated(np.where(weight > 0.1, np.nan, weight), scales(weight), inputs)
    inputs.moments[0, 0] = np.inf
    with pytest.raises(ModelInvalid, match="not finite"):
        compensated(weight, scales(weight), inputs)


def test_moments_that_no_damping_helps_are_refused() -> None:
    moments = -np.eye(8, dtype=np.float32)
    with pytest.raises(ModelInvalid, match="second moments"):
        compensated(normal(8, 8), scales(normal(8, 8)), Inputs(np.zeros(8), moments))
