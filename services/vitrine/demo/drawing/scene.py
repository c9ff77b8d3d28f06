"""The studio: a pale background, a soft shadow, and the garment set into it."""

import random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from vitrine.demo.drawing.easel import NEUTRAL, Easel
from vitrine.demo.drawing.palette import Rgb, oklch

_SHRINK = 4


def background(width: int, height: int, rng: random.Random, *, for_white: bool) -> Image.Image:
    """A studio wall, pale and nearly without colour, so that it is never taken for the product's.

    White garments get a darker wall than others, else their edge is lost.
    """
    top = rng.uniform(0.83, 0.89) if for_white else rng.uniform(0.90, 0.975)
    hue, chroma = rng.uniform(0, 360), rng.choice((0.0, 0.002, 0.005, 0.009))
    wall = np.array(oklch((top, chroma, hue)), dtype=np.float32)
    x, y = np.linspace(-1, 1, 24, dtype=np.float32)[None, :], np.linspace(-1, 1, 32, dtype=np.float32)[:, None]
    kind = rng.choice(("plain", "fall", "glow", "floor", "floor"))
    if kind == "glow":
        shade = 1.02 - rng.uniform(0.04, 0.09) * (x**2 + y**2)
    elif kind == "fall":
        shade = 1 + rng.uniform(-0.05, 0.05) * y + rng.uniform(-0.03, 0.03) * x
    else:
        shade = 1 - 0.02 * (x**2 + y**2)
    wall_image = _lit_wall(wall, shade, width, height)
    if kind == "floor":
        _lay_floor(wall_image, wall, rng)
    return wall_image


def _lay_floor(image: Image.Image, wall: NDArray[np.float32], rng: random.Random) -> None:
    """A floor in a slightly darker tone with a soft edge, in the lower third."""
    width, height = image.size
    horizon, softness = height * rng.uniform(0.70, 0.82), rng.choice((1.5, 14.0)) * height / 512
    rows = np.arange(height, dtype=np.float32)
    cover = np.clip((rows - horizon) / softness + 0.5, 0, 1) * (1 - 0.35 * np.clip((rows - horizon) / height * 3, 0, 1))
    column = Image.fromarray((cover * 255).astype(np.uint8)[:, None])
    red, green, blue = (int(channel) for channel in wall * rng.uniform(0.92, 0.96))
    floor: Rgb = (red, green, blue)
    image.paste(floor, (0, 0), column.resize((width, height), Image.Resampling.NEAREST))


def _lit_wall(wall: NDArray[np.float32], shade: NDArray[np.float32], width: int, height: int) -> Image.Image:
    """Spreads a coarse map of light over the wall; scaled before it is rounded, else the steps show as blocks."""
    grid = np.broadcast_to(shade, (32, 24)).astype(np.float32)
    light = np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))
    return _merged([light * tone for tone in wall])


def set_into(image: Image.Image, easel: Easel, rng: random.Random, sun: tuple[float, float]) -> None:
    """Sets a painted garment into the middle of the picture, with its shadow."""
    side = easel.coverage.size[0]
    left, top = (image.size[0] - side) // 2, (image.size[1] - side) // 2
    _drop_shadow(image, easel.coverage, (left, top), rng, sun)
    light = np.asarray(easel.light, dtype=np.float32) * np.float32(1 / NEUTRAL)
    # Dark cloth shows its folds by reflected light, not by what it absorbs: a small additive sheen.
    sheen = (light - np.float32(0.8)) * np.float32(20)
    shown = _merged([np.asarray(band, dtype=np.float32) * light + sheen for band in easel.colours.split()])
    image.paste(shown, (left, top), easel.coverage)


def _merged(bands: list[NDArray[np.float32]]) -> Image.Image:
    """One RGB image of three float bands; band by band is three times as fast as on (height, width, 3)."""
    return Image.merge("RGB", [Image.fromarray(np.clip(band, 0, 255).astype(np.uint8)) for band in bands])


def _drop_shadow(
    image: Image.Image, coverage: Image.Image, corner: tuple[int, int], rng: random.Random, sun: tuple[float, float]
) -> None:
    side = coverage.size[0]
    strength, blur, throw = rng.uniform(0.18, 0.42), rng.uniform(0.012, 0.035), rng.uniform(0.012, 0.03)
    small = Image.new("L", (image.size[0] // _SHRINK, image.size[1] // _SHRINK))
    figure = coverage.reduce(_SHRINK)
    x = round((corner[0] + sun[0] * throw * side) / _SHRINK)
    y = round((corner[1] + abs(sun[1]) * throw * side) / _SHRINK)
    small.paste(figure, (x, y))
    soft = small.filter(ImageFilter.GaussianBlur(blur * side / _SHRINK)).resize(image.size, Image.Resampling.BICUBIC)
    image.paste((58, 52, 60), (0, 0), soft.point(lambda level: int(level * strength)))
