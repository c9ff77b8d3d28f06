"""Smooth outlines: Catmull-Rom curves through a few knots, in garment units (x right, y down, about -1..1)."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Outline = NDArray[np.float64]  # shape (points, 2)

_STEPS = 8
_T = np.linspace(0.0, 1.0, _STEPS, endpoint=False)
# Rows: parameter values; columns: weights of the four knots around a span (uniform Catmull-Rom, tension 0.5).
_BASIS = 0.5 * np.stack(
    [
        -_T + 2 * _T**2 - _T**3,
        2 - 5 * _T**2 + 3 * _T**3,
        _T + 4 * _T**2 - 3 * _T**3,
        -(_T**2) + _T**3,
    ],
    axis=1,
)


class Knot(NamedTuple):
    """A point that a curve passes through; a sharp one ends one smooth run and starts the next."""

    x: float
    y: float
    sharp: bool = False


def soft(x: float, y: float) -> Knot:
    """A knot that the curve passes smoothly."""
    return Knot(x, y)


def sharp(x: float, y: float) -> Knot:
    """A knot that makes a corner."""
    return Knot(x, y, sharp=True)


def _run(points: Outline, *, loop: bool) -> Outline:
    """Interpolates one smooth run; open runs leave out their last point, which begins the next run."""
    if loop:
        padded = np.concatenate([points[-1:], points, points[:2]])
    else:
        padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    spans = np.stack([padded[:-3], padded[1:-2], padded[2:-1], padded[3:]], axis=1)
    return np.asarray((_BASIS @ spans).reshape(-1, 2), dtype=np.float64)


def curve(*knots: Knot) -> Outline:
    """An open curve through the knots, shape (points, 2)."""
    corners = [index for index, knot in enumerate(knots) if knot.sharp or index in (0, len(knots) - 1)]
    points = np.array([(knot.x, knot.y) for knot in knots], dtype=np.float64)
    runs = [_run(points[start : end + 1], loop=False) for start, end in pairwise(corners)]
    return np.concatenate([*runs, points[-1:]])


def closed(*knots: Knot) -> Outline:
    """A closed curve through the knots, shape (points, 2); the first point is not repeated."""
    first = next((index for index, knot in enumerate(knots) if knot.sharp), None)
    if first is None:
        return _run(np.array([(knot.x, knot.y) for knot in knots], dtype=np.float64), loop=True)
    turned = (*knots[first:], *knots[: first + 1])
    return curve(*turned)[:-1]


def symmetric(*right_half: Knot) -> Outline:
    """A closed curve from its right half, listed from the top centre down the right side to the bottom centre.

    Knots on the axis (x = 0) are shared, all others are repeated on the left.
    """
    left = [Knot(-knot.x, knot.y, knot.sharp) for knot in reversed(right_half) if abs(knot.x) > 1e-9]
    return closed(*right_half, *left)


def flipped(outline: Outline) -> Outline:
    """The outline mirrored at the vertical axis."""
    return np.asarray(outline * np.array([-1.0, 1.0]), dtype=np.float64)


def moved(outline: Outline, dx: float, dy: float, scale: float = 1.0, degrees: float = 0.0) -> Outline:
    """The outline scaled and turned about the origin, then shifted."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.asarray(outline @ turn * scale + np.array([dx, dy]), dtype=np.float64)


def ellipse(x: float, y: float, rx: float, ry: float, points: int = 28) -> Outline:
    """An ellipse about (x, y)."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)


def band(line: Outline, width: float, end_width: float | None = None) -> Outline:
    """The closed strip of the given width along a line; it widens or narrows to `end_width`."""
    direction = np.gradient(line, axis=0)
    direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-9)
    normal = np.stack([-direction[:, 1], direction[:, 0]], axis=1)
    half = np.linspace(width, width if end_width is None else end_width, len(line))[:, None] / 2
    return np.concatenate([line + normal * half, (line - normal * half)[::-1]])
