"""From a product to its picture."""

import random

import numpy as np
from PIL import Image

from vitrine.demo.design import Product
from vitrine.demo.drawing.easel import Easel, Pose
from vitrine.demo.drawing.fabric import weave
from vitrine.demo.drawing.layers import Cut, Layer, Panel, Seam
from vitrine.demo.drawing.palette import palette_of
from vitrine.demo.drawing.scene import background, set_into
from vitrine.demo.drawing.wardrobe import WARDROBE

_MAX_SIDE = 2048


def draw(product: Product, *, width: int = 384, height: int = 512) -> Image.Image:
    """The product's studio picture, RGB, `width` x `height` pixels; the same pixels for the same product.

    The garment stays inside the middle square, so that a centre crop keeps it whole.
    Raises KeyError for an attribute outside the vocabulary and ValueError for a picture under 32 or over 2048 pixels.
    """
    if not (32 <= width <= _MAX_SIDE and 32 <= height <= _MAX_SIDE):
        raise ValueError(f"a picture is 32 to {_MAX_SIDE} pixels on each side, not {width}x{height}")
    photo = random.Random(f"{product.seed}/{product.colour}/photo")
    sun = (photo.choice((-0.7, 0.7)) * photo.uniform(0.6, 1.2), photo.uniform(0.5, 0.9))
    image = background(width, height, photo, for_white=product.colour == "white")
    easel = painted(product, min(width, height), photo, sun)
    set_into(image, easel, photo, sun)
    return image


def painted(product: Product, side: int, photo: random.Random, sun: tuple[float, float]) -> Easel:
    """The garment alone, painted on a square of `side` pixels."""
    cut_garment, print_scale = WARDROBE[product.garment]
    layers = cut_garment(Cut(random.Random(f"{product.seed}/cut")))
    palette = palette_of(product)
    cloth = weave(product.pattern, palette, random.Random(f"{product.seed}/cloth"), side, print_scale)
    easel = Easel(side, cloth, palette, posed(layers, side, photo), sun)
    easel.paint(layers)
    return easel


def posed(layers: list[Layer], side: int, photo: random.Random) -> Pose:
    """A pose that fills 82 to 94 per cent of the square with the garment, a little turned, a little off the middle."""
    degrees, mirrored = photo.gauss(0, 2.5), photo.random() < 0.5
    degrees = max(-6.0, min(6.0, degrees))
    upright = Pose(1.0, degrees, (0.0, 0.0), mirrored)
    outlines = [layer.outline for layer in layers if isinstance(layer, Panel)]
    outlines += [layer.points for layer in layers if isinstance(layer, Seam) and layer.cloth]
    points = upright.apply(np.concatenate(outlines))
    low, high = points.min(axis=0), points.max(axis=0)
    extent = high - low
    scale = side * photo.uniform(0.82, 0.94) / float(extent.max())
    slack = (side * 0.98 - extent * scale) / 2  # keeps one per cent of the square free on each side
    shift = np.minimum(slack, side * 0.04) * np.array([photo.uniform(-1, 1), photo.uniform(-1, 1)])
    origin = side / 2 + shift - (low + high) / 2 * scale
    return Pose(scale, degrees, (float(origin[0]), float(origin[1])), mirrored)
