"""Pictures of products."""

import random

import numpy as np
import pytest

from vitrine.demo.design import Product, sample_products
from vitrine.demo.drawing import draw
from vitrine.demo.drawing.palette import palette_of
from vitrine.demo.drawing.picture import painted
from vitrine.demo.vocabulary import COLOURS, GARMENTS, PATTERNS

SIDE = 192


def _product(garment: str, colour: str = "red", pattern: str = "solid", seed: int = 3) -> Product:
    return Product("0108775015", "0108775", "Lena", garment, colour, pattern, seed, 19.99)


def _coverage(product: Product, seed: int) -> np.ndarray:
    easel = painted(product, SIDE, random.Random(seed), (0.7, 0.7))
    return np.asarray(easel.coverage)


def test_a_product_is_always_the_same_picture() -> None:
    for product in sample_products(6, 1):
        assert draw(product).tobytes() == draw(product).tobytes()


def test_the_default_picture_is_a_portrait_in_rgb() -> None:
    picture = draw(_product("dress"))
    assert picture.size == (384, 512)
    assert picture.mode == "RGB"


@pytest.mark.parametrize("size", [(224, 224), (96, 128), (300, 200)])
def test_other_sizes_are_drawn_exactly(size: tuple[int, int]) -> None:
    assert draw(_product("coat", pattern="checked"), width=size[0], height=size[1]).size == size


@pytest.mark.parametrize("size", [(31, 512), (384, 2049), (0, 0)])
def test_sizes_out_of_range_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="32 to 2048"):
        draw(_product("coat"), width=size[0], height=size[1])


@pytest.mark.parametrize(
    "product", [_product("umbrella"), _product("coat", colour="teal"), _product("coat", pattern="paisley")]
)
def test_attributes_outside_the_vocabulary_are_refused(product: Product) -> None:
    with pytest.raises(KeyError):
        draw(product)


@pytest.mark.parametrize("garment", [garment.key for garment in GARMENTS])
def test_a_garment_fills_the_centre_square_and_never_touches_its_edge(garment: str) -> None:
    for seed in range(10):
        coverage = _coverage(_product(garment, seed=seed), seed) > 0
        rim = np.concatenate([coverage[0], coverage[-1], coverage[:, 0], coverage[:, -1]])
        assert not rim.any(), seed
        rows, columns = np.flatnonzero(coverage.any(axis=1)), np.flatnonzero(coverage.any(axis=0))
        assert max(np.ptp(rows), np.ptp(columns)) > 0.78 * SIDE, seed
        assert coverage.mean() > 0.12, seed


@pytest.mark.parametrize("garment", [garment.key for garment in GARMENTS])
def test_cuts_of_a_garment_vary(garment: str) -> None:
    shapes = {_coverage(_product(garment, seed=seed), 0).tobytes() for seed in range(5)}
    assert len(shapes) == 5


def test_siblings_are_photographed_in_another_pose() -> None:
    red, blue = (np.asarray(draw(_product("hoodie", colour))) for colour in ("red", "blue"))
    assert not np.array_equal(red[:40], blue[:40])


@pytest.mark.parametrize("colour", [colour.key for colour in COLOURS])
def test_the_named_colour_leads_whatever_is_printed_on_it(colour: str) -> None:
    grounds = []
    for index, garment in enumerate(GARMENTS):
        product = _product(garment.key, colour, PATTERNS[index % len(PATTERNS)].key, seed=index)
        easel = painted(product, SIDE, random.Random(1), (0.7, 0.7))
        inside = np.asarray(easel.coverage) > 200
        pixels = np.asarray(easel.colours).astype(int)[inside]
        ground = np.array(palette_of(product).ground)
        grounds.append((np.abs(pixels - ground).max(axis=1) <= 24).mean())
    assert min(grounds) > 0.22
    assert np.mean(grounds) > 0.45


def test_backgrounds_are_pale_and_nearly_grey() -> None:
    for product in sample_products(40, 2):
        corner = np.asarray(draw(product, width=96, height=128)).astype(int)[:6].reshape(-1, 3)
        assert corner.mean() > 165
        assert np.ptp(corner.mean(axis=0)) < 20
