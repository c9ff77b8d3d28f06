"""Pixels equal the reference's, for every way a picture can be stored."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from vitrine.embedding.contract import ImagePolicy
from vitrine.embedding.preprocess import prepare
from vitrine.settings import ImageSettings

DATA = Path(__file__).parents[2] / "data"
STORED = json.loads((DATA / "golden_pixels.json").read_text(encoding="utf-8"))
GOLDENS = STORED["images"]
BEYOND_EXACT = {"long_240x4160.png", "long_4160x240.png"}
"""More than 16 times as long as wide and made smaller: the one case that is promised within two levels only."""


def pixels_of(name: str) -> np.ndarray:
    return prepare((DATA / "images" / name).read_bytes(), ImagePolicy(), ImageSettings())


def probe_difference(golden: dict[str, str], pixels: np.ndarray) -> int:
    """Largest difference over the stored grid of probe pixels, in levels."""
    grid = STORED["probe_grid"]
    step = 224 // grid
    expected = np.frombuffer(bytes.fromhex(golden["probes"]), np.uint8).reshape(grid, grid, 3)
    return int(np.abs(pixels[step // 2 :: step, step // 2 :: step].astype(int) - expected).max())


def is_lossy(name: str) -> bool:
    return name.endswith(".jpg") or name in {"rgb_lossy.webp", "ycbcr_jpeg.tif"}


@pytest.mark.parametrize("golden", GOLDENS, ids=[golden["file"] for golden in GOLDENS])
def test_pixels_equal_the_golden(golden):
    pixels = pixels_of(golden["file"])
    assert pixels.shape == (224, 224, 3)
    assert pixels.dtype == np.uint8
    if is_lossy(golden["file"]) or golden["file"] in BEYOND_EXACT:
        # Builds of libjpeg and libwebp may round differently; the drawing itself must be the same.
        assert probe_difference(golden, pixels) <= 2
        assert float(pixels.mean()) == pytest.approx(golden["mean"], abs=0.2)
    else:
        assert hashlib.sha256(pixels.tobytes()).hexdigest() == golden["sha256"]


def test_every_picture_has_a_golden():
    assert sorted(path.name for path in (DATA / "images").iterdir()) == [golden["file"] for golden in GOLDENS]
    assert len(GOLDENS) >= 60


def test_probes_tell_pictures_apart():
    """A tolerance means something only if another picture, or the same one turned, falls outside it."""
    turned = {golden["file"]: golden for golden in GOLDENS}
    assert probe_difference(turned["turned_6.jpg"], pixels_of("turned_8.jpg")) > 50
    assert probe_difference(turned["cmyk_adobe_inverted.jpg"], 255 - pixels_of("cmyk_adobe_inverted.jpg")) > 50


def test_all_orientations_of_one_scene_differ():
    assert len({pixels_of(f"turned_{value}.jpg").tobytes() for value in range(1, 9)}) == 8


def test_threads_give_the_same_pixels():
    names = [golden["file"] for golden in GOLDENS if not golden["file"].startswith("long_")]
    alone = [pixels_of(name).tobytes() for name in names]
    with ThreadPoolExecutor(4) as pool:
        assert [pixels.tobytes() for pixels in pool.map(pixels_of, names)] == alone
