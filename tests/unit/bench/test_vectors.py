"""The made-up shop is turned onto the model's texts without changing a distance in it."""

from pathlib import Path

import numpy as np

from loadtest.bench.serving.vectors import kept_products, turning
from vitrine.domain import Vectors

DIMENSION = 24


def _texts(seed: int, spread: float = 0.4, count: int = 500) -> Vectors:
    """A cone of unit vectors, float32 [count, DIMENSION], somewhere."""
    draw = np.random.default_rng(seed)
    deviations = spread * np.arange(1, DIMENSION + 1) ** -0.5
    made = draw.normal(size=DIMENSION) / np.sqrt(DIMENSION) + draw.normal(size=(count, DIMENSION)) * deviations
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)


def test_turning_changes_no_distance() -> None:
    turn = turning(_texts(1), _texts(2))
    assert np.allclose(turn @ turn.T, np.eye(DIMENSION), atol=1e-9)


def test_turning_lays_one_cone_upon_the_other() -> None:
    source, target = _texts(1), _texts(2)
    turned = (source @ turning(source, target)).mean(axis=0)
    wanted = target.mean(axis=0)
    assert turned @ wanted / np.linalg.norm(turned) / np.linalg.norm(wanted) > 0.99


def test_turning_lays_the_widest_direction_upon_the_widest() -> None:
    source, target = _texts(1), _texts(2)
    turned = source @ turning(source, target)
    moments = [np.linalg.eigh(cloud.T.astype(np.float64) @ cloud)[1][:, -2] for cloud in (turned, target)]
    assert abs(moments[0] @ moments[1]) > 0.99


def test_products_are_made_once_and_then_read(tmp_path: Path) -> None:
    made = kept_products(tmp_path, 300, _texts(3))
    kept = kept_products(tmp_path, 300, _texts(4))
    assert np.array_equal(made.vectors, kept.vectors)
    assert np.allclose(np.linalg.norm(made.vectors, axis=1), 1, atol=1e-5)


def test_texts_of_a_model_lie_beside_the_products_as_those_of_the_shop_do(tmp_path: Path) -> None:
    model = _texts(5)
    products = kept_products(tmp_path, 2_000, model)
    of_shop = (products.shop_texts @ products.vectors.T).mean()
    of_model = (model @ products.vectors.T).mean()
    assert abs(of_shop - of_model) < 0.1
