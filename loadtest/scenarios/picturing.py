"""Shoppers who search by a photograph, and the drawings that stand for their photographs."""

import io
import random
from typing import Final

import numpy as np
from PIL import Image

from loadtest.scenarios.journey import Ask, Journey, Shop, form

PICTURE: Final = "search: picture"
PICTURE_AND_TEXT: Final = "search: picture and text"

_LIMIT: Final = 24
_WITH_TEXT: Final = 0.3
_READING_S: Final = (2.0, 8.0)
_WIDTH, _HEIGHT = 600, 800


def search_by_picture(shop: Shop, rng: random.Random) -> Journey:
    """An upload, and at times words beside it ("this, but red")."""
    picture = shop.picture(rng)
    yield _upload(shop, PICTURE, picture)
    if rng.random() < _WITH_TEXT:
        yield _upload(shop, PICTURE_AND_TEXT, picture, query=shop.log.draw(rng), after_s=rng.uniform(*_READING_S))


def _upload(shop: Shop, endpoint: str, picture: bytes, *, after_s: float = 0.0, **fields: str) -> Ask:
    body, content_type = form(picture, limit=str(_LIMIT), **fields)
    path = f"/v1/collections/{shop.collection}/search/image"
    return Ask(endpoint, "POST", path, body, content_type, after_s, finds=True)


def draw_pictures(count: int, seed: int) -> list[bytes]:
    """JPEG files of 600 x 800 pixels, about as heavy as what shops' pages send: a garment-like shape with some grain.

    Their meaning does not matter to the load, their size and their decoding do.
    """
    rng = np.random.default_rng(seed)
    return [_draw(rng) for _ in range(count)]


def _draw(rng: np.random.Generator) -> bytes:
    background, cloth = rng.integers(200, 256, 3), rng.integers(0, 256, 3)
    y, x = np.mgrid[0:_HEIGHT, 0:_WIDTH].astype(np.float32)
    across = np.abs(x / _WIDTH - 0.5) * 2
    waist, hem = rng.uniform(0.2, 0.5), rng.uniform(0.5, 0.9)
    inside = (across < waist + (hem - waist) * (y / _HEIGHT) ** 2) & (y > 0.1 * _HEIGHT) & (y < 0.92 * _HEIGHT)
    folds = 18 * np.sin(x / rng.uniform(8, 40) + y / rng.uniform(60, 400))
    pixels = np.where(inside[..., None], cloth + folds[..., None], background).astype(np.float32)
    pixels += rng.normal(0, 6, (_HEIGHT, _WIDTH, 1)).astype(np.float32)
    file = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=85)
    return file.getvalue()
