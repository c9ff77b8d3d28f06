"""Printed and woven cloth: one function for each pattern, all returning a square RGB image larger than the garment."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrine.demo.drawing import motifs
from vitrine.demo.drawing.palette import Palette, Rgb

Field = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Loom:
    """What a pattern is made with: the cloth's side in pixels, the length of one repeat in pixels, and its colours.

    `rng` belongs to the design, so siblings share the geometry and differ in colour alone.
    """

    side: int
    repeat: float
    palette: Palette
    rng: random.Random

    def plain(self) -> Image.Image:
        """Cloth in the ground colour."""
        return Image.new("RGB", (self.side, self.side), self.palette.ground)

    def axes(self, degrees: float) -> tuple[Field, Field]:
        """Coordinates along and across the turned cloth, in pixels, broadcastable to (side, side)."""
        line = np.arange(self.side, dtype=np.float32) - self.side / 2
        angle = np.float32(np.deg2rad(degrees))
        x, y = line[None, :], line[:, None]
        return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def _bar(position: Field, period: float, share: float, offset: float = 0.0) -> Field:
    """Coverage 0..1 of bars that take `share` of each period, with edges one pixel soft."""
    phase = np.abs(np.mod(position / np.float32(period) + np.float32(offset), 1) - np.float32(0.5))
    covered = (np.float32(share / 2) - phase) * np.float32(period) + np.float32(0.5)
    return np.asarray(np.clip(covered, 0, 1), dtype=np.float32)


def _mix(base: Image.Image, colour: Rgb, coverage: Field) -> Image.Image:
    mask = Image.fromarray((coverage * 255).astype(np.uint8))
    base.paste(colour, (0, 0), mask)
    return base


def solid(loom: Loom) -> Image.Image:
    """Plain cloth."""
    return loom.plain()


def striped(loom: Loom) -> Image.Image:
    """Stripes: even, thin, or a broad one with a thin companion; level, upright or, seldom, slanted."""
    rng = loom.rng
    angle = rng.choice((0, 0, 0, 90, 90, 45)) + rng.uniform(-2, 2)
    _, across = loom.axes(angle)
    across = np.broadcast_to(across, (loom.side, loom.side))
    style = rng.choice(("even", "thin", "double"))
    share = {"even": rng.uniform(0.33, 0.41), "thin": rng.uniform(0.22, 0.30), "double": 0.27}[style]
    cloth = _mix(loom.plain(), loom.palette.figure, _bar(across, loom.repeat, share))
    if style == "double":
        cloth = _mix(cloth, loom.palette.figure, _bar(across, loom.repeat, 0.09, 0.36))
    return cloth


def checked(loom: Loom) -> Image.Image:
    """Gingham, tartan with thin overlines, or a window-pane check."""
    rng = loom.rng
    along, across = loom.axes(rng.choice((0, 0, 0, 45)) + rng.uniform(-2, 2))
    full = (loom.side, loom.side)
    style = rng.choice(("gingham", "tartan", "tartan", "window"))
    period = loom.repeat * {"gingham": 1.0, "tartan": 1.5, "window": 1.25}[style]
    share = {"gingham": 0.40, "tartan": 0.36, "window": 0.15}[style]
    upright = np.broadcast_to(_bar(along, period, share), full)
    level = np.broadcast_to(_bar(across, period, share), full)
    single = 0.9 if style == "window" else 0.5
    weft = np.clip((upright + level) * np.float32(single), 0, np.float32(0.95))
    cloth = _mix(loom.plain(), loom.palette.figure, weft)
    if style == "tartan":
        thin = np.maximum(_bar(along, period, 0.07, 0.5), _bar(across, period, 0.07, 0.5))
        cloth = _mix(cloth, loom.palette.figure2, np.broadcast_to(thin * np.float32(0.9), full))
    return cloth


def zigzag(loom: Loom) -> Image.Image:
    """Rows of chevrons."""
    rng = loom.rng
    along, across = loom.axes(rng.choice((0, 0, 90)) + rng.uniform(-3, 3))
    wave = loom.repeat * rng.uniform(0.9, 1.3)
    tooth = np.abs(np.mod(along / np.float32(wave), 1) - np.float32(0.5)) * np.float32(wave * rng.uniform(0.9, 1.2))
    return _mix(loom.plain(), loom.palette.figure, _bar(across + tooth, loom.repeat * 0.9, rng.uniform(0.33, 0.41)))


def camouflage(loom: Loom) -> Image.Image:
    """Patches of lighter, darker and deep tones of the ground, which keeps about half of the cloth."""
    rng = np.random.default_rng(loom.rng.getrandbits(32))
    cloth = loom.plain()
    cells = max(6, round(loom.side / (loom.repeat * 0.72)))
    for colour, level in ((loom.palette.pale, 0.60), (loom.palette.soft, 0.55), (loom.palette.deep, 0.85)):
        grid = rng.normal(0, 1, (cells, round(cells * 0.75))).astype(np.float32)
        noise = np.asarray(Image.fromarray(grid).resize((loom.side, loom.side), Image.Resampling.BICUBIC))
        edge = np.float32(loom.repeat * 0.35)  # noise changes by about one over this many pixels: soft for one pixel
        cloth = _mix(cloth, colour, np.clip((noise - np.float32(level)) * edge + np.float32(0.5), 0, 1))
    return cloth


def _stamped(
    loom: Loom, figures: tuple[motifs.Figure, ...], radii: tuple[float, ...], jitter: float, wobble: float
) -> Image.Image:
    """Cloth with figures on a staggered grid; `radii` are shares of the repeat, `wobble` turns figures (degrees)."""
    rng, cloth = loom.rng, loom.plain()
    stamps = [
        motifs.render(figure(rng, loom.palette), radius * loom.repeat, rng.uniform(-wobble, wobble))
        for figure in figures
        for radius in radii
    ]
    degrees = rng.choice((0.0, 0.0, 30.0, 45.0)) if wobble < 90 and jitter == 0 else rng.uniform(-20, 20)
    motifs.scatter(cloth, stamps, loom.repeat, rng, jitter=jitter, degrees=degrees if wobble else 0.0)
    return cloth


def floral(loom: Loom) -> Image.Image:
    """Scattered flowers with petals, eyes and leaves; one of three bouquets."""
    bouquet = loom.rng.choice(
        (
            (motifs.daisy, motifs.daisy, motifs.daisy, motifs.bud),
            (motifs.blossom, motifs.blossom, motifs.blossom, motifs.bud),
            (motifs.daisy, motifs.blossom, motifs.daisy, motifs.blossom, motifs.bud),
        )
    )
    return _stamped(loom, bouquet, (0.56, 0.44), jitter=0.12, wobble=180)


def dotted(loom: Loom) -> Image.Image:
    """Polka dots on a staggered grid."""
    return _stamped(loom, (motifs.dot,), (loom.rng.uniform(0.23, 0.33),), jitter=0.0, wobble=1)


def star(loom: Loom) -> Image.Image:
    """Stars, nearly upright or tumbling."""
    tumble = loom.rng.choice((8.0, 36.0))
    return _stamped(loom, (motifs.star,) * 3, (loom.rng.uniform(0.38, 0.46),), jitter=0.06, wobble=tumble)


def heart(loom: Loom) -> Image.Image:
    """Little hearts."""
    tilt = loom.rng.choice((4.0, 25.0))
    return _stamped(loom, (motifs.heart,) * 3, (loom.rng.uniform(0.38, 0.46),), jitter=0.05, wobble=tilt)


def leopard(loom: Loom) -> Image.Image:
    """Rosettes of broken rings, with small spots between them."""
    rng, cloth = loom.rng, loom.plain()
    rosettes = [
        motifs.render(motifs.rosette(rng, loom.palette), loom.repeat * rng.uniform(0.42, 0.5), rng.uniform(-180, 180))
        for _ in range(6)
    ]
    specks = [
        motifs.render(motifs.speck(rng, loom.palette), loom.repeat * rng.uniform(0.12, 0.18), rng.uniform(-180, 180))
        for _ in range(2)
    ]
    motifs.scatter(cloth, specks, loom.repeat * 0.8, rng, jitter=0.2, degrees=12)
    motifs.scatter(cloth, rosettes, loom.repeat * 0.95, rng, jitter=0.12, degrees=-8)
    return cloth


# repeat: range of the pattern's repeat as a share of the garment square.
WEAVES: dict[str, tuple[Callable[[Loom], Image.Image], tuple[float, float]]] = {
    "solid": (solid, (0.1, 0.1)),
    "floral": (floral, (0.115, 0.165)),
    "striped": (striped, (0.065, 0.125)),
    "dotted": (dotted, (0.075, 0.125)),
    "checked": (checked, (0.085, 0.135)),
    "zigzag": (zigzag, (0.085, 0.125)),
    "leopard": (leopard, (0.095, 0.14)),
    "camouflage": (camouflage, (0.11, 0.16)),
    "star": (star, (0.10, 0.15)),
    "heart": (heart, (0.10, 0.15)),
}


def weave(pattern: str, palette: Palette, rng: random.Random, side: int, scale: float = 1.0) -> Image.Image:
    """The cloth of a pattern for a garment square of `side` pixels; `scale` shrinks it for small garments.

    The result is square and larger than the garment, so that turned panels stay inside it.
    """
    function, (low, high) = WEAVES[pattern]
    return function(Loom(round(side * 1.25), side * scale * rng.uniform(low, high), palette, rng))
