"""Photographs of garments that never were, in the size and the weight of a catalogue's: for benchmarks of decoding.

What makes a JPEG slow to decode and hard to scale is fine detail: weave, print, folds, noise of the sensor. Each
picture has its own of each. A file has about 0.17 bytes a pixel at quality 90, as a studio photograph's has.
"""

import csv
import io
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from vitrine.demo.articles import COLUMNS

WIDTH, HEIGHT = 1166, 1750
QUALITY = 90
FIRST_ARTICLE = 108_775_015

Plane = npt.NDArray[np.float32]
_Rng = np.random.Generator


def photograph(seed: int, width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """One garment on a backdrop, RGB; the same seed gives the same picture."""
    rng = np.random.default_rng(seed)
    backdrop = _backdrop(rng, width, height)
    cloth = _cloth(rng, width, height)
    mask = np.asarray(_outline(rng, width, height), np.float32)[..., None] / 255
    picture = backdrop * (1 - mask) + cloth * mask
    # A shadow on the right of the garment, and noise that grows with the light, as a sensor's does.
    shadow = np.roll(mask, (14, 18), (0, 1)) * (1 - mask)
    picture *= 1 - 0.25 * shadow
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    picture += noise * (1.5 + 2.0 * np.sqrt(np.clip(picture, 0, 255) / 255))
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8), "RGB")


def jpeg(picture: Image.Image, quality: int = QUALITY) -> bytes:
    """As a file."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()


def files_of(folder: Path | None, count: int) -> list[bytes]:
    """So many JPEGs: the first of a folder by path, or drawn ones."""
    if folder is None:
        return [jpeg(photograph(seed)) for seed in range(count)]
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    return [path.read_bytes() for path in found[:count]]


def write_photographs(folder: Path, count: int, *, different: int = 60, workers: int = 2) -> Path:
    """A catalogue in H&M's layout.

    Args:
        count: articles.
        different: pictures drawn (0.4 s each); the rest are these again, each file with a comment of its own, so that
            no two have equal contents.

    Returns:
        `folder`.
    """
    paths = [folder / "images" / f"{article:010d}"[:3] / f"{article:010d}.jpg" for article in _articles(count)]
    for parent in {path.parent for path in paths}:
        parent.mkdir(parents=True, exist_ok=True)
    distinct = min(count, different)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as drawing:
        files = list(drawing.map(_drawn, range(distinct), chunksize=4))
    for index, path in enumerate(paths):
        path.write_bytes(_commented(files[index % distinct], f"{index}"))
    with (folder / "articles.csv").open("w", newline="", encoding="utf-8") as table:
        writer = csv.DictWriter(table, COLUMNS)
        writer.writeheader()
        for index, article in enumerate(_articles(count)):
            filled = dict.fromkeys(COLUMNS, "1")
            writer.writerow({**filled, "article_id": f"{article:010d}", "prod_name": f"Garment {index}"})
    return folder


def _articles(count: int) -> range:
    return range(FIRST_ARTICLE, FIRST_ARTICLE + count)


def _drawn(seed: int) -> bytes:
    return jpeg(photograph(seed))


def _commented(file: bytes, comment: str) -> bytes:
    """The same JPEG with a comment segment behind its first two bytes."""
    text = comment.encode()
    return file[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + file[2:]


def _clouds(rng: _Rng, width: int, height: int, cells: int) -> Plane:
    """Smooth noise in [-1, 1] [height, width] with about `cells` bumps along the short side, and finer ones in them."""
    total = np.zeros((height, width), np.float32)
    for octave in range(3):
        across = cells * 2**octave
        coarse = rng.standard_normal((across * height // width + 2, across + 2)).astype(np.float32)
        grown = Image.fromarray(coarse, "F").resize((width, height), Image.Resampling.BICUBIC)
        total += np.asarray(grown, np.float32) / 2**octave
    return total / np.abs(total).max()


def _backdrop(rng: _Rng, width: int, height: int) -> Plane:
    light = rng.uniform(205, 245) + 18 * _clouds(rng, width, height, 2)[..., None]
    tint = 1 + rng.uniform(-0.03, 0.03, 3).astype(np.float32)
    return (light * tint).astype(np.float32)


def _cloth(rng: _Rng, width: int, height: int) -> Plane:
    """Colour, print, weave and folds [height, width, 3]."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    bend = 12 * _clouds(rng, width, height, 3)
    ground, figure = rng.uniform(30, 220, (2, 3)).astype(np.float32)
    share = _print(rng, rows + bend, columns + bend, width, height)[..., None]
    colour = ground * (1 - share) + figure * share
    thread = rng.uniform(3.0, 9.0)
    weave = np.sin(2 * np.pi * (rows + bend) / thread) * np.sin(2 * np.pi * (columns + bend) / (thread * 1.1))
    folds = _clouds(rng, width, height, 5)
    shade = 1 + 0.22 * folds + rng.uniform(0.03, 0.15) * weave
    return np.asarray(colour * shade[..., None], np.float32)


def _print(rng: _Rng, rows: Plane, columns: Plane, width: int, height: int) -> Plane:
    """How much of the second colour is where, [height, width] in [0, 1]."""
    period = rng.uniform(18, 160)
    kind = rng.integers(5)
    if kind == 0:
        return np.zeros_like(rows)
    if kind == 1:
        wave = np.sin(2 * np.pi * rows / period)
    elif kind == 2:
        wave = np.maximum(np.sin(2 * np.pi * rows / period), np.sin(2 * np.pi * columns / period)) - 0.4
    elif kind == 3:
        wave = np.cos(2 * np.pi * rows / period) + np.cos(2 * np.pi * columns / period) - 0.8
    else:
        wave = _clouds(rng, width, height, int(width / period) + 1)
    return np.clip(wave * 6 + 0.5, 0, 1).astype(np.float32)


def _outline(rng: _Rng, width: int, height: int) -> Image.Image:
    """Where the garment is: a body with shoulders and sleeves or legs, L of 0 and 255 with soft edges."""
    mask = Image.new("L", (width, height))
    draw = ImageDraw.Draw(mask)
    middle, top, bottom = (
        width / 2 + rng.uniform(-30, 30),
        height * rng.uniform(0.1, 0.2),
        height * rng.uniform(0.7, 0.93),
    )
    shoulder, waist, hem = (width * rng.uniform(*span) for span in ((0.2, 0.3), (0.14, 0.24), (0.2, 0.4)))
    between = top + (bottom - top) * 0.45
    right = [(shoulder * 0.35, top), (shoulder, top + 70), (waist, between), (hem, bottom)]
    draw.polygon(
        [(middle + x, y) for x, y in right] + [(middle - x, y) for x, y in reversed(right)],
        fill=255,
    )
    if rng.random() < 0.6:
        reach = top + (bottom - top) * rng.uniform(0.2, 0.75)
        for side in (-1, 1):
            sleeve = [
                (shoulder * 0.8, top + 30),
                (shoulder + 20, top + 60),
                (width * 0.42, reach),
                (width * 0.34, reach + 40),
            ]
            draw.polygon([(middle + side * x, y) for x, y in sleeve], fill=255)
    return mask.filter(ImageFilter.GaussianBlur(1.2))
