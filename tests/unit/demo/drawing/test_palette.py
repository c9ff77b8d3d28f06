"""Colours of one product."""

import itertools
from dataclasses import replace

import pytest

from vitrine.demo.design import Product
from vitrine.demo.drawing.palette import Rgb, oklch, palette_of
from vitrine.demo.vocabulary import COLOURS, PATTERNS


def _product(colour: str, pattern: str, seed: int = 5) -> Product:
    return Product("0108775015", "0108775", "Lena blouse", "blouse", colour, pattern, seed, 19.99)


def _luminance(colour: Rgb) -> float:
    red, green, blue = colour
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(
    ("lch", "rgb"),
    [
        ((1.0, 0.0, 0.0), (255, 255, 255)),
        ((0.0, 0.0, 0.0), (0, 0, 0)),
        ((0.62796, 0.25768, 29.234), (255, 0, 0)),
        ((0.86644, 0.29483, 142.495), (0, 255, 0)),
        ((0.45201, 0.31321, 264.052), (0, 0, 255)),
    ],
)
def test_oklch_meets_the_corners_of_srgb(lch: tuple[float, float, float], rgb: Rgb) -> None:
    assert all(abs(one - other) <= 1 for one, other in zip(oklch(lch), rgb, strict=True))


def test_colours_outside_the_gamut_are_clipped() -> None:
    assert all(0 <= channel <= 255 for channel in oklch((0.9, 0.4, 20.0)))


def test_the_print_stands_out_from_the_ground() -> None:
    for colour, pattern, seed in itertools.product(COLOURS, PATTERNS, range(6)):
        palette = palette_of(_product(colour.key, pattern.key, seed))
        difference = sum(abs(a - b) for a, b in zip(palette.ground, palette.figure, strict=True))
        assert difference > 90, (colour.key, pattern.key, seed)


def test_siblings_differ_in_ground_and_repeat_it_exactly() -> None:
    product = _product("red", "floral")
    assert palette_of(product) == palette_of(product)
    assert palette_of(product).ground != palette_of(replace(product, colour="blue")).ground


def test_black_is_dark_and_white_is_light() -> None:
    assert all(_luminance(palette_of(_product("black", "solid", seed)).ground) < 32 for seed in range(20))
    assert all(_luminance(palette_of(_product("white", "solid", seed)).ground) > 235 for seed in range(20))
