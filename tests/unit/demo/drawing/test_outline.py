"""Curves through knots."""

import numpy as np
import pytest

from vitrine.demo.drawing.outline import band, closed, curve, ellipse, flipped, moved, sharp, soft, symmetric


def _touches(outline: np.ndarray, x: float, y: float) -> bool:
    return bool(np.min(np.linalg.norm(outline - np.array([x, y]), axis=1)) < 1e-9)


def test_a_curve_passes_through_all_its_knots() -> None:
    line = curve(soft(0, 0), soft(1, 1), sharp(2, 0), soft(3, -1))
    assert all(_touches(line, x, y) for x, y in ((0, 0), (1, 1), (2, 0), (3, -1)))


def test_between_sharp_knots_the_curve_is_straight() -> None:
    square = closed(sharp(0, 0), sharp(1, 0), sharp(1, 1), sharp(0, 1))
    assert square.min() == 0
    assert square.max() == 1
    on_edge = np.isclose(square, 0) | np.isclose(square, 1)
    assert on_edge.any(axis=1).all()


def test_soft_knots_bend_the_curve() -> None:
    line = curve(soft(0, 0), soft(1, 1), soft(2, 0))
    directions = np.diff(line, axis=0)
    turns = np.abs(np.diff(np.unwrap(np.arctan2(directions[:, 1], directions[:, 0]))))
    assert turns.max() < 0.5
    assert turns.sum() > 1.2


def test_a_closed_curve_does_not_repeat_its_first_point() -> None:
    for outline in (closed(soft(0, 0), soft(1, 0), soft(1, 1)), closed(sharp(0, 0), soft(1, 0), soft(1, 1))):
        assert not np.allclose(outline[0], outline[-1])
        assert len(np.unique(outline.round(9), axis=0)) == len(outline)


def test_a_symmetric_outline_is_its_own_mirror_image() -> None:
    outline = symmetric(soft(0, -1), sharp(0.5, -0.8), soft(0.7, 0.3), sharp(0.4, 1), soft(0, 1.1))
    mirror = flipped(outline)
    gaps = np.linalg.norm(outline[:, None] - mirror[None], axis=2).min(axis=1)
    assert gaps.max() < 1e-9


def test_moving_turns_scales_and_shifts() -> None:
    outline = moved(np.array([[1.0, 0.0]]), 2, 3, scale=2, degrees=90)
    assert outline == pytest.approx(np.array([[2.0, 5.0]]))


def test_a_band_keeps_its_width() -> None:
    strip = band(np.stack([np.linspace(0, 1, 9), np.zeros(9)], axis=1), 0.2)
    assert np.ptp(strip[:, 1]) == pytest.approx(0.2)


def test_an_ellipse_reaches_its_radii() -> None:
    outline = ellipse(1, 2, 3, 4)
    assert np.ptp(outline[:, 0]) == pytest.approx(6)
    assert outline[:, 1].max() == pytest.approx(6)
