"""Small printed figures (flowers, stars, hearts, rosettes) and how they are scattered over cloth."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from vitrine.demo.drawing.palette import Palette, Rgb

_OVERSAMPLING = 4
Points = list[tuple[float, float]]
Stroke = tuple[Points, Rgb]  # a filled polygon in motif units (-1..1) and its colour
Figure = Callable[[random.Random, Palette], list[Stroke]]


@dataclass(frozen=True, slots=True)
class Stamp:
    """A rendered figure: colours and coverage, both square and of the same side."""

    ink: Image.Image
    mask: Image.Image


def render(strokes: Sequence[Stroke], radius: float, degrees: float) -> Stamp:
    """Draws a figure of the given radius in pixels, turned about its centre."""
    side = max(2, math.ceil(radius * 2.1))
    large = side * _OVERSAMPLING
    ink, mask = Image.new("RGB", (large, large), strokes[0][1]), Image.new("L", (large, large))
    draw_ink, draw_mask = ImageDraw.Draw(ink), ImageDraw.Draw(mask)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    zoom, middle = radius * _OVERSAMPLING, large / 2
    for points, colour in strokes:
        turned = [(middle + zoom * (x * cos - y * sin), middle + zoom * (x * sin + y * cos)) for x, y in points]
        draw_ink.polygon(turned, fill=colour)
        draw_mask.polygon(turned, fill=255)
    return Stamp(ink.reduce(_OVERSAMPLING), mask.reduce(_OVERSAMPLING))


def _blob(x: float, y: float, rx: float, ry: float, degrees: float = 0.0, points: int = 14) -> Points:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    result = []
    for index in range(points):
        angle = 2 * math.pi * index / points
        px, py = rx * math.cos(angle), ry * math.sin(angle)
        result.append((x + px * cos - py * sin, y + px * sin + py * cos))
    return result


def _leaves(rng: random.Random, colour: Rgb, reach: float) -> list[Stroke]:
    start = rng.uniform(0, 360)
    strokes: list[Stroke] = []
    for turn in (0.0, rng.uniform(120, 200)):
        angle = math.radians(start + turn)
        x, y = reach * math.cos(angle), reach * math.sin(angle)
        strokes.append((_blob(x, y, 0.30, 0.13, start + turn), colour))
    return strokes


def daisy(rng: random.Random, palette: Palette) -> list[Stroke]:
    """A flower of five to eight long petals round a bright eye, with two leaves."""
    petals, start = rng.choice((5, 6, 8)), rng.uniform(0, 360)
    width = {5: 0.25, 6: 0.21, 8: 0.16}[petals]
    strokes = _leaves(rng, palette.leaf, 0.70)
    for index in range(petals):
        degrees = start + 360 * index / petals
        x, y = 0.40 * math.cos(math.radians(degrees)), 0.40 * math.sin(math.radians(degrees))
        strokes.append((_blob(x, y, 0.32, width, degrees), palette.figure))
    strokes.append((_blob(0, 0, 0.18, 0.18), palette.eye))
    return strokes


def blossom(rng: random.Random, palette: Palette) -> list[Stroke]:
    """A flower of five round overlapping petals, shaded towards the middle."""
    start = rng.uniform(0, 360)
    strokes = _leaves(rng, palette.leaf, 0.72)
    for size, distance, colour in ((0.31, 0.37, palette.figure), (0.11, 0.22, palette.eye)):
        for index in range(5):
            angle = math.radians(start + 72 * index)
            strokes.append((_blob(distance * math.cos(angle), distance * math.sin(angle), size, size), colour))
    strokes.append((_blob(0, 0, 0.13, 0.13), palette.eye))
    return strokes


def bud(rng: random.Random, palette: Palette) -> list[Stroke]:
    """A small closed flower on a stem with a leaf."""
    lean = rng.uniform(-12, 12)
    return [
        ([(-0.035, 0.0), (0.035, 0.0), (0.05, 0.85), (-0.02, 0.85)], palette.leaf),
        (_blob(0.24, 0.45, 0.28, 0.11, -35 + lean), palette.leaf),
        (_blob(-0.18, -0.25, 0.19, 0.36, 14), palette.figure),
        (_blob(0.18, -0.25, 0.19, 0.36, -14), palette.figure),
        (_blob(0.0, -0.22, 0.10, 0.30, lean), palette.eye),
    ]


def star(_: random.Random, palette: Palette) -> list[Stroke]:
    """A five-pointed star."""
    points = []
    for index in range(10):
        radius = 0.95 if index % 2 == 0 else 0.42
        angle = math.pi * index / 5 - math.pi / 2
        points.append((radius * math.cos(angle), radius * math.sin(angle)))
    return [(points, palette.figure)]


def heart(_: random.Random, palette: Palette) -> list[Stroke]:
    """A heart, upright."""
    points = []
    for index in range(36):
        t = 2 * math.pi * index / 36
        x = 16 * math.sin(t) ** 3
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((x / 18, -(y + 2) / 18))
    return [(points, palette.figure)]


def dot(_: random.Random, palette: Palette) -> list[Stroke]:
    """A disc."""
    return [(_blob(0, 0, 0.95, 0.95, points=28), palette.figure)]


def rosette(rng: random.Random, palette: Palette) -> list[Stroke]:
    """A leopard's spot: a soft middle inside a broken dark ring."""
    strokes: list[Stroke] = [(_wobbly(rng, 0.62, 0.52), palette.soft)]
    gap = rng.uniform(0, 360)
    for start, end in ((gap + 25, gap + 135), (gap + 165, gap + 250), (gap + 275, gap + 350)):
        strokes.append((_arc(rng, start, end), palette.deep))
    return strokes


def speck(rng: random.Random, palette: Palette) -> list[Stroke]:
    """A small dark spot between rosettes."""
    return [(_wobbly(rng, 0.75, 0.5), palette.deep)]


def _wobbly(rng: random.Random, rx: float, ry: float) -> Points:
    a, b = rng.uniform(0, 6.3), rng.uniform(0, 6.3)
    points = []
    for index in range(18):
        t = 2 * math.pi * index / 18
        swell = 1 + 0.12 * math.sin(2 * t + a) + 0.08 * math.sin(3 * t + b)
        points.append((rx * swell * math.cos(t), ry * swell * math.sin(t)))
    return points


def _arc(rng: random.Random, start: float, end: float) -> Points:
    """A thick curved dash with tapered ends."""
    outer, inner = [], []
    for index in range(9):
        share = index / 8
        angle = math.radians(start + (end - start) * share)
        thick = 0.05 + 0.15 * math.sin(math.pi * share) ** 0.5 * rng.uniform(0.85, 1.15)
        outer.append(((0.72 + thick) * math.cos(angle), (0.60 + thick) * math.sin(angle)))
        inner.append(((0.72 - thick) * math.cos(angle), (0.60 - thick) * math.sin(angle)))
    return outer + inner[::-1]


def scatter(
    cloth: Image.Image, stamps: Sequence[Stamp], step: float, rng: random.Random, *, jitter: float, degrees: float
) -> None:
    """Stamps the cloth on a turned, staggered grid of the given step in pixels; `jitter` is a share of the step."""
    side = cloth.size[0]
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    reach = int(side * 0.75 / step) + 1
    rows = np.arange(-reach, reach + 1)
    for row in rows:
        for column in rows:
            u = (column + (0.5 if row % 2 else 0.0) + rng.uniform(-jitter, jitter)) * step
            v = (row * 0.88 + rng.uniform(-jitter, jitter)) * step
            x, y = side / 2 + u * cos - v * sin, side / 2 + u * sin + v * cos
            stamp = stamps[rng.randrange(len(stamps))]
            half = stamp.mask.size[0] / 2
            if -half < x < side + half and -half < y < side + half:
                cloth.paste(stamp.ink, (round(x - half), round(y - half)), stamp.mask)
