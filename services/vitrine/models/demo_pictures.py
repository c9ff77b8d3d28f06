"""The pictures that the demo model learns from: balanced over the shop's vocabulary, drawn once, kept on disk.

They pass through JPEG and the serving path's own preprocessing, so training sees what the indexer and queries see.
"""

import hashlib
import io
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product as combinations
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from vitrine.demo.design import Product
from vitrine.demo.drawing import draw
from vitrine.demo.vocabulary import COLOURS, GARMENTS, PATTERNS
from vitrine.domain import Pixels
from vitrine.embedding.contract import ImagePolicy
from vitrine.embedding.preprocess import prepare
from vitrine.settings import ImageSettings

SIDE = 224
JPEG_QUALITY = 90
_BLOCK = 32  # pictures a worker draws before it reports: what an interruption costs


def training_products(count: int, seed: int, *, taboo: Sequence[Product] = ()) -> list[Product]:
    """Products to learn from: every (garment, colour, pattern) equally often, each with a design of its own.

    Args:
        count: how many.
        seed: same seed, same products.
        taboo: products whose designs must not occur, because something is measured on them.
    """
    rng = random.Random(f"training/{seed}")
    forbidden = {product.seed for product in taboo}
    triples = [(g.key, c.key, p.key) for g, c, p in combinations(GARMENTS, COLOURS, PATTERNS)]
    products: list[Product] = []
    while len(products) < count:
        rng.shuffle(triples)
        for garment, colour, pattern in triples[: count - len(products)]:
            design = rng.getrandbits(48)
            while design in forbidden:
                design = rng.getrandbits(48)
            number = f"{len(products):07d}"
            products.append(Product(f"{number}000", number, f"{garment}", garment, colour, pattern, design, 0.0))
    return products


def as_served(product: Product) -> Pixels:
    """A product's picture as the image tower gets it: uint8 [224, 224, 3]."""
    file = io.BytesIO()
    draw(product).save(file, format="JPEG", quality=JPEG_QUALITY)
    return prepare(file.getvalue(), ImagePolicy(size=SIDE), ImageSettings())


def draw_pictures(
    products: Sequence[Product], folder: Path, *, workers: int, on_progress: Callable[[int, int], None]
) -> Pixels:
    """Draws every product, or takes up what an earlier call with the same products and the same look left in `folder`.

    Args:
        products: what to draw.
        folder: created if missing; holds one file of pixels and one of finished blocks for each set of products.
        workers: processes that draw.
        on_progress: called with (drawn, total) after each block.

    Returns:
        A memory map, uint8 [n, 224, 224, 3]; read it, do not write it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = _digest(products)
    shape = (len(products), SIDE, SIDE, 3)
    path, ledger = folder / f"{name}.pixels", folder / f"{name}.done"
    if not path.exists():
        ledger.unlink(missing_ok=True)
        np.memmap(path, dtype=np.uint8, mode="w+", shape=shape).flush()
    pixels = np.memmap(path, dtype=np.uint8, mode="r+", shape=shape)
    done = {int(line) for line in ledger.read_text().split()} if ledger.exists() else set()
    todo = [start for start in range(0, len(products), _BLOCK) if start not in done]
    blocks = [products[start : start + _BLOCK] for start in todo]
    # Spawned, not forked: the caller has torch's threads, which do not survive a fork.
    with ledger.open("a") as finished, ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for start, block in zip(todo, pool.map(_draw_block, blocks), strict=True):
            pixels[start : start + len(block)] = block
            pixels.flush()
            finished.write(f"{start}\n")
            finished.flush()
            done.add(start)
            on_progress(min(len(done) * _BLOCK, len(products)), len(products))
    return np.memmap(path, dtype=np.uint8, mode="r", shape=shape)


def _draw_block(products: Sequence[Product]) -> Pixels:
    return np.stack([as_served(product) for product in products])


def _digest(products: Sequence[Product]) -> str:
    """Names a set of pictures by what is drawn and by how drawings look now, shown by a sample."""
    digest = hashlib.sha256(repr(list(products)).encode())
    for product in products[:: max(1, len(products) // 16)]:
        digest.update(as_served(product).tobytes())
    return digest.hexdigest()[:16]
