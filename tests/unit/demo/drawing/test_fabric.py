"""Cloth of every pattern."""

import random

import numpy as np
import pytest

from vitrine.demo.design import Product
from vitrine.demo.drawing.fabric import WEAVES, weave
from vitrine.demo.drawing.palette import palette_of

SIDE = 160


def _cloth(pattern: str, colour: str, seed: int) -> tuple[np.ndarray, tuple[int, int, int]]:
    palette = palette_of(Product("0108775015", "0108775", "Lena blouse", "blouse", colour, pattern, seed, 19.99))
    return np.asarray(weave(pattern, palette, random.Random(seed), SIDE)), palette.ground


def _ground_share(cloth: np.ndarray, ground: tuple[int, int, int]) -> float:
    return float((np.abs(cloth.astype(int) - np.array(ground)).max(axis=2) <= 6).mean())


@pytest.mark.parametrize("pattern", sorted(WEAVES))
def test_cloth_is_larger_than_the_garment_so_that_turned_panels_fit(pattern: str) -> None:
    cloth, _ = _cloth(pattern, "blue", 1)
    assert cloth.shape[0] == cloth.shape[1] >= 1.2 * SIDE


@pytest.mark.parametrize("pattern", sorted(set(WEAVES) - {"solid"}))
def test_the_ground_stays_the_leading_colour_of_a_print(pattern: str) -> None:
    shares = [
        _ground_share(*_cloth(pattern, colour, seed)) for colour in ("red", "black", "beige") for seed in range(6)
    ]
    assert min(shares) > 0.25
    assert np.mean(shares) > 0.38
    assert max(shares) < 0.92, "hardly any print is left"


def test_solid_cloth_has_one_colour() -> None:
    cloth, ground = _cloth("solid", "pink", 1)
    assert _ground_share(cloth, ground) == 1.0


@pytest.mark.parametrize("pattern", sorted(set(WEAVES) - {"solid"}))
def test_siblings_share_the_geometry_of_their_print(pattern: str) -> None:
    red, red_ground = _cloth(pattern, "red", 4)
    blue, blue_ground = _cloth(pattern, "blue", 4)
    red_plain = np.abs(red.astype(int) - np.array(red_ground)).max(axis=2) <= 3
    blue_plain = np.abs(blue.astype(int) - np.array(blue_ground)).max(axis=2) <= 3
    assert (red_plain == blue_plain).mean() > 0.9


@pytest.mark.parametrize("pattern", sorted(set(WEAVES) - {"solid"}))
def test_designs_differ_in_geometry(pattern: str) -> None:
    assert not np.array_equal(_cloth(pattern, "red", 4)[0], _cloth(pattern, "red", 5)[0])
