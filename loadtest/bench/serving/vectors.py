"""The products of a run: a made-up shop, turned so that the text model's vectors lie where the shop's texts lie.

A model with random weights knows nothing of products: its texts lie anywhere. The shop of `clip_like` has products and
texts that treat an index as CLIP's do, and no model. Both are wanted, since the queries that are timed come from the
model, and the recall that they find must mean something. An orthogonal map changes no distance, so a shop may be turned
as a whole: its texts' principal axes, of which the first is where the cone of all texts points to, are laid upon those
of the model's texts. Products then lie to the model's texts as a shop's products lie to a shop's texts, as far as
directions and spread tell; which of them are nearest is by chance. The search setting must reach its recall with both
kinds of text.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from loadtest.bench.clip_like import Shop
from vitrine.domain import Vectors

SHOP_TEXTS = 1_000
_BLOCK = 65_536


@dataclass(frozen=True)
class Products:
    """What is searched.

    Args:
        vectors: float32 [rows, dim].
        shop_texts: of the shop itself, float32 [n, dim]: what recall is told with.
    """

    vectors: Vectors
    shop_texts: Vectors


def kept_products(folder: Path, rows: int, model_texts: Vectors, seed: int = 7) -> Products:
    """Products of a folder, made when they are not there.

    Args:
        folder: is made; another model, seed or number of products needs another one.
        rows: products.
        model_texts: float32 [n, dim], by the text model.
    """
    vectors, texts = folder / "products.npy", folder / "shop_texts.npy"
    if not (vectors.is_file() and texts.is_file()):
        folder.mkdir(parents=True, exist_ok=True)
        shop = Shop(model_texts.shape[1], seed)
        pictures, shop_texts = shop.pictures(rows), shop.texts(SHOP_TEXTS)
        turn = turning(shop_texts, model_texts)
        for start in range(0, rows, _BLOCK):
            pictures[start : start + _BLOCK] = _turned(pictures[start : start + _BLOCK], turn)
        np.save(vectors, pictures)
        np.save(texts, _turned(shop_texts, turn))
    return Products(np.load(vectors), np.load(texts))


def turning(source: Vectors, target: Vectors) -> npt.NDArray[np.float64]:
    """The orthogonal map, float64 [dim, dim], that lays the principal axes of one cloud upon those of another.

    Axes are of the second moments about the origin, so the first one is the direction in which a narrow cloud lies, and
    both first ones are given the sign with which they point there. To be applied as `vectors @ map`.
    """
    return _axes(source) @ _axes(target).T


def _axes(cloud: Vectors) -> npt.NDArray[np.float64]:
    """Orthonormal columns by falling second moment."""
    moments = cloud.T.astype(np.float64) @ cloud
    axes = np.linalg.eigh(moments)[1][:, ::-1].copy()
    axes *= np.where(cloud.mean(axis=0) @ axes < 0, -1.0, 1.0)
    return np.asarray(axes, np.float64)


def _turned(vectors: Vectors, turn: npt.NDArray[np.float64]) -> Vectors:
    made = vectors @ turn.astype(np.float32)
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)
