"""The demo world's closed vocabulary."""

import itertools
import math

import numpy as np
import pytest

from vitrine.demo.drawing.fabric import WEAVES
from vitrine.demo.drawing.wardrobe import WARDROBE
from vitrine.demo.vocabulary import COLOURS, GARMENTS, PATTERNS, Colour


def test_the_world_is_as_large_as_promised() -> None:
    assert len(GARMENTS) >= 16
    assert len(COLOURS) == 12
    assert len(PATTERNS) >= 9


@pytest.mark.parametrize("entries", [GARMENTS, COLOURS, PATTERNS])
def test_keys_are_unique_lower_case_words(entries: tuple[object, ...]) -> None:
    keys = [getattr(entry, "key") for entry in entries]  # noqa: B009 - three classes share the attribute, no base
    assert len(set(keys)) == len(keys)
    assert all(key == key.lower().strip() and key for key in keys)


def test_every_garment_and_pattern_can_be_drawn_and_nothing_else() -> None:
    assert set(WARDROBE) == {garment.key for garment in GARMENTS}
    assert set(WEAVES) == {pattern.key for pattern in PATTERNS}


def test_product_type_codes_and_names_identify_the_garment() -> None:
    assert len({garment.product_type_no for garment in GARMENTS}) == len(GARMENTS)
    assert len({garment.product_type_name for garment in GARMENTS}) == len(GARMENTS)


def test_several_light_garments_are_tops() -> None:
    assert {garment.key for garment in GARMENTS if garment.family == "top"} == {"t-shirt", "blouse", "vest top"}


def test_master_colours_identify_the_colour() -> None:
    assert len({colour.master_id for colour in COLOURS}) == len(COLOURS)
    assert len({colour.master_name for colour in COLOURS}) == len(COLOURS)


def _lab_points(colour: Colour) -> np.ndarray:
    """Points on a grid over all shade boxes of a colour, in OKLab, shape (points, 3)."""
    points = []
    for shade in colour.shades:
        axes = [np.linspace(low, high, 5) for low, high in (shade.lightness, shade.chroma, shade.hue)]
        for light, chroma, hue in itertools.product(*axes):
            points.append((light, chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))))
    return np.array(points)


def test_no_two_colours_come_close_to_each_other() -> None:
    points = {colour.key: _lab_points(colour) for colour in COLOURS}
    for one, other in itertools.combinations(points, 2):
        apart = np.linalg.norm(points[one][:, None] - points[other][None], axis=2).min()
        assert apart >= 0.06, f"{one} and {other} are only {apart:.3f} apart"
