"""Rasterises a garment's layers: anti-aliased masks, cloth laid along each panel's grain, and its modelling."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from vitrine.demo.drawing.layers import Cloth, Crease, Layer, Panel, Seam
from vitrine.demo.drawing.outline import Outline
from vitrine.demo.drawing.palette import Palette, Rgb

_OVERSAMPLING = 3
_COARSE = 4  # light changes slowly: it is computed on every fourth pixel
NEUTRAL = 170  # grey level of the light map that leaves a colour as it is; 255 is 1.5 times as bright
Box = tuple[int, int, int, int]
Field = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a garment stands: its affine map from garment units to pixels of the garment square."""

    scale: float
    degrees: float
    origin: tuple[float, float]
    mirrored: bool

    def apply(self, outline: Outline) -> Outline:
        """Pixels of an outline."""
        angle = math.radians(self.degrees)
        flip = -1.0 if self.mirrored else 1.0
        turn = np.array([[math.cos(angle) * flip, math.sin(angle) * flip], [-math.sin(angle), math.cos(angle)]])
        return np.asarray(outline @ turn * self.scale + np.array(self.origin), dtype=np.float64)

    def grain(self, degrees: float) -> float:
        """How far a panel's cloth is turned on the picture, in degrees."""
        return self.degrees + (-degrees if self.mirrored else degrees)


class Easel:
    """The garment square while it is being painted: colours, coverage and a light map, all of the same size."""

    def __init__(self, side: int, cloth: Image.Image, palette: Palette, pose: Pose, light: tuple[float, float]) -> None:
        self.colours = Image.new("RGB", (side, side), palette.ground)
        self.coverage = Image.new("L", (side, side))
        self.light = Image.new("L", (side, side), NEUTRAL)
        self._side, self._cloth, self._palette, self._pose, self._sun = side, cloth, palette, pose, light
        self._creases: list[Crease] = []

    def paint(self, layers: Sequence[Layer]) -> None:
        """Paints the layers in order; creases come last, on top of all panels."""
        for layer in layers:
            if isinstance(layer, Panel):
                self._panel(layer)
            elif isinstance(layer, Seam):
                self._seam(layer)
            else:
                self._creases.append(layer)
        self._fold()

    def _panel(self, panel: Panel) -> None:
        points = self._pose.apply(panel.outline)
        box = self._box(points, 0)
        if box is None:
            return
        mask = _polygon_mask(points, box)
        if panel.shadow:
            self._cast(points, panel.shadow)
        if panel.cloth == "print":
            self.colours.paste(self._laid(box, self._pose.grain(panel.grain)), box[:2], mask)
        else:
            self.colours.paste(_tint(_dye(self._palette, panel.cloth), panel.tone), box, mask)
        self.coverage.paste(255, box, mask)
        self.light.paste(self._modelling(mask, panel), box[:2], mask)

    def _laid(self, box: Box, degrees: float) -> Image.Image:
        """The piece of cloth under a box, turned about the box's middle, which lies on the cloth's middle or near."""
        width, height = box[2] - box[0], box[3] - box[1]
        slack = self._cloth.size[0] - self._side
        if abs(degrees) < 0.5:
            x, y = box[0] + slack // 2, box[1] + slack // 2
            return self._cloth.crop((x, y, x + width, y + height))
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        middle = self._cloth.size[0] / 2
        # Turning about the cloth's middle keeps even a long sleeve inside the cloth.
        dx, dy = width / 2, height / 2
        data = (cos, sin, middle - cos * dx - sin * dy, -sin, cos, middle + sin * dx - cos * dy)
        return self._cloth.transform((width, height), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)

    def _modelling(self, mask: Image.Image, panel: Panel) -> Image.Image:
        """Light on a cushion of the panel's shape: dim at its rim, bright on the side that faces the sun."""
        base = NEUTRAL * (panel.tone if panel.cloth == "print" else 1.0)
        if panel.roundness <= 0:
            return Image.new("L", mask.size, round(base))
        coarse = mask.reduce(_COARSE) if min(mask.size) > 4 * _COARSE else mask
        radius = max(1.0, 0.075 * self._side * (mask.size[0] / max(coarse.size[0], 1)) ** -1)
        blurred = coarse.filter(ImageFilter.GaussianBlur(radius))
        height = np.asarray(blurred, dtype=np.float32) / np.float32(255)
        slope_y, slope_x = np.gradient(height) if min(height.shape) > 1 else (height * 0, height * 0)
        facing = (slope_x * self._sun[0] + slope_y * self._sun[1]) * np.float32(radius)
        glow = 1 + panel.roundness * (0.55 * facing - 0.42 * (1 - height) ** 1.3 + 0.05)
        shaded = Image.fromarray(np.clip(glow * base, 0, 255).astype(np.float32))
        resized = shaded.resize(mask.size, Image.Resampling.BICUBIC)
        return Image.fromarray(np.clip(np.asarray(resized), 0, 255).astype(np.uint8))

    def _cast(self, points: Outline, strength: float) -> None:
        """Dims the light around and below a panel that lies on top of others."""
        reach = self._side * 0.02
        shifted = points + np.array(self._sun) * 0.35 * reach
        box = self._box(shifted, round(reach * 2.5))
        if box is None:
            return
        mask = _polygon_mask(shifted, box, oversampling=1).filter(ImageFilter.BoxBlur(reach))
        self.light.paste(round(NEUTRAL * 0.45), box, mask.point(lambda level: int(level * min(1.0, strength))))

    def _seam(self, seam: Seam) -> None:
        points = self._pose.apply(seam.points)
        width = max(0.8, seam.width * self._pose.scale)
        box = self._box(points, math.ceil(width) + 1)
        if box is None:
            return
        mask = _line_mask(points, box, width, dashed=seam.dashed)
        colour = _dye(self._palette, seam.cloth) if seam.cloth else self._palette.ink
        if seam.ink < 1:
            mask = mask.point(lambda level: int(level * seam.ink))
        self.colours.paste(colour, box, mask)
        if seam.cloth:
            self.coverage.paste(255, box, mask)

    def _fold(self) -> None:
        """Adds all creases to the light map, softened together."""
        if not self._creases:
            return
        side = math.ceil(self._side / _COARSE)
        sheet = np.zeros((side, side), dtype=np.float32)
        for crease in self._creases:
            layer = Image.new("L", (side, side))
            points = self._pose.apply(crease.points) / _COARSE
            width = max(1, round(crease.width * self._pose.scale / _COARSE))
            ImageDraw.Draw(layer).line([(float(x), float(y)) for x, y in points], fill=255, width=width, joint="curve")
            sheet += np.asarray(layer, dtype=np.float32) * np.float32(crease.depth / 255)
        # A trough is dark with a light lip on either side: the difference to a wider blur gives the lip.
        relief = _blur(sheet, self._side * 0.011 / _COARSE) - 0.55 * _blur(sheet, self._side * 0.03 / _COARSE)
        grown = Image.fromarray(relief).resize((self._side, self._side), Image.Resampling.BICUBIC)
        lit = np.asarray(self.light, dtype=np.float32) * (1 - 0.42 * np.asarray(grown))
        self.light = Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))

    def _box(self, points: Outline, margin: int) -> Box | None:
        low, high = points.min(axis=0), points.max(axis=0)
        left, top = (max(0, math.floor(value) - 1 - margin) for value in low)
        right, bottom = (min(self._side, math.ceil(value) + 1 + margin) for value in high)
        return (left, top, right, bottom) if right > left and bottom > top else None


def _blur(data: Field, radius: float) -> Field:
    """Gaussian blur of a square float array, which Pillow's filters do not take: two passes of a sampled kernel."""
    reach = max(1, math.ceil(radius * 2.5))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1, dtype=np.float32) / np.float32(max(radius, 0.3))) ** 2)
    kernel /= kernel.sum()
    padded, size = np.pad(data, reach), data.shape[0]
    rows = sum(weight * padded[:, index : index + size] for index, weight in enumerate(kernel))
    both = sum(weight * rows[index : index + size] for index, weight in enumerate(kernel))
    return np.asarray(both, dtype=np.float32)


def _polygon_mask(points: Outline, box: Box, oversampling: int = _OVERSAMPLING) -> Image.Image:
    size = ((box[2] - box[0]) * oversampling, (box[3] - box[1]) * oversampling)
    mask = Image.new("L", size)
    local = (points - np.array(box[:2])) * oversampling
    ImageDraw.Draw(mask).polygon(local.astype(np.float32).ravel().tolist(), fill=255)
    return mask.reduce(oversampling) if oversampling > 1 else mask


def _line_mask(points: Outline, box: Box, width: float, *, dashed: bool) -> Image.Image:
    size = ((box[2] - box[0]) * _OVERSAMPLING, (box[3] - box[1]) * _OVERSAMPLING)
    mask = Image.new("L", size)
    draw = ImageDraw.Draw(mask)
    local = (points - np.array(box[:2])) * _OVERSAMPLING
    thick = max(1, round(width * _OVERSAMPLING))
    for dash in _dashes(local, width * 3.2 * _OVERSAMPLING) if dashed else [local]:
        draw.line(dash.astype(np.float32).ravel().tolist(), fill=255, width=thick, joint="curve")
    return mask.reduce(_OVERSAMPLING)


def _dashes(points: NDArray[np.float64], length: float) -> list[Outline]:
    """Cuts a line into dashes with gaps of three fifths of their length."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    starts = np.arange(0, along[-1], max(length * 1.6, 1.0))
    dashes = []
    for start in starts:
        at = np.array([start, min(start + length, along[-1])])
        dashes.append(np.stack([np.interp(at, along, points[:, axis]) for axis in (0, 1)], axis=1))
    return dashes


def _dye(palette: Palette, cloth: Cloth) -> Rgb:
    """The colour of everything that is not printed cloth."""
    dyes: dict[Cloth, Rgb] = {
        "plain": palette.ground,
        "lining": palette.lining,
        "trim": palette.trim,
        "accent": palette.figure,
        "sole": (238, 234, 226) if palette.lightness < 0.9 else (196, 178, 152),
        "metal": (178, 176, 170),
        "cord": (240, 236, 228) if palette.lightness < 0.8 else (88, 82, 78),
    }
    return dyes[cloth]


def _tint(colour: Rgb, tone: float) -> Rgb:
    red, green, blue = (min(255, round(channel * tone)) for channel in colour)
    return red, green, blue
