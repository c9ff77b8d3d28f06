"""Vectors that behave towards an index as CLIP's do: pictures of a shop's products, and texts from beside them.

Nothing here is a picture. What is copied is what makes an index's life hard or easy:

- All pictures lie in a narrow cone and all texts in another (the modality gap): the mean vector of each is far from 0.
- Pictures gather: by kind of product, by style within a kind, and as variants of one design that differ little.
- Directions matter unequally: their variances fall as a power of their rank, so that the effective dimension is far
  below 512.
- A text points at a kind and often at a style, never at one product, and lies outside the cloud of pictures.

The strengths below are chosen by hand and give these mean cosines: two pictures of the shop 0.52, of one kind 0.65, of
one style 0.76, of one design 0.97; a text and pictures of its style 0.28, of its kind 0.21, all others 0.15. A real
catalogue's differ: measure with its own kept embeddings before relying on a figure.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vitrine.domain import Vectors

KINDS, STYLES_PER_KIND = 60, 40
PER_DESIGN = 2.2  # articles of one design, as H&M has
DECAY = 0.6  # variance of the i-th direction: (i + 10) ** -2 * DECAY
_BLOCK = 65_536

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Mixture:
    """Strengths of what a vector is the sum of, before it is scaled to unit length."""

    cone: float
    kind: float
    style: float
    design: float
    own: float


PICTURE = Mixture(cone=0.71, kind=0.36, style=0.33, design=0.46, own=0.16)
TEXT = Mixture(cone=0.80, kind=0.16, style=0.14, design=0.0, own=0.55)


class Shop:
    """The directions of one made-up shop.

    Args:
        dimension: of its vectors.
        seed: the same gives the same shop.
    """

    def __init__(self, dimension: int = 512, seed: int = 7) -> None:
        self._random = np.random.default_rng(seed)
        self._dimension = dimension
        self._deviations = (np.arange(dimension) + 10.0) ** -DECAY
        self._deviations /= np.linalg.norm(self._deviations)
        self._rotation = np.linalg.qr(self._random.normal(size=(dimension, dimension)))[0].astype(np.float32)
        pictures, texts = self._unit(2)
        self._cones = {"picture": pictures, "text": _scaled(texts + 0.35 * pictures)}
        self._kinds = self._unit(KINDS)
        self._styles = self._unit(KINDS * STYLES_PER_KIND)
        # Few kinds hold most products, as in any catalogue.
        shares = 1.0 / (np.arange(KINDS * STYLES_PER_KIND) + 20.0)
        self._shares = self._random.permutation(shares / shares.sum())

    def pictures(self, count: int) -> Vectors:
        """Vectors of products, float32 [count, dim]; those of one design stand anywhere among them."""
        designs = max(1, round(count / PER_DESIGN))
        style_of = self._random.choice(self._shares.size, size=designs, p=self._shares)
        design_of = np.concatenate([np.arange(designs), self._random.integers(designs, size=max(0, count - designs))])
        design_of = self._random.permutation(design_of[:count])
        looks = self._unit(designs)
        made = np.empty((count, self._dimension), np.float32)
        for start in range(0, count, _BLOCK):
            rows = design_of[start : start + _BLOCK]
            own = self._unit(len(rows))
            styles = style_of[rows]
            made[start : start + len(rows)] = self._sum(PICTURE, "picture", styles, own) + PICTURE.design * looks[rows]
        return np.asarray(_scaled(made), np.float32)

    def texts(self, count: int) -> Vectors:
        """Vectors of queries, float32 [count, dim]; a third of them name a kind without a style."""
        styles = self._random.choice(self._shares.size, size=count, p=self._shares)
        made = self._sum(TEXT, "text", styles, self._unit(count))
        vague = self._random.random(count) < 1 / 3
        made[vague] -= TEXT.style * self._styles[styles[vague]]
        return np.asarray(_scaled(made), np.float32)

    def _sum(self, mixture: Mixture, cone: str, styles: npt.NDArray[np.int64], own: Vectors) -> Vectors:
        made = mixture.cone * self._cones[cone] + mixture.kind * self._kinds[styles // STYLES_PER_KIND]
        return np.asarray(made + mixture.style * self._styles[styles] + mixture.own * own, np.float32)

    def _unit(self, count: int) -> Vectors:
        """Random directions with the spectrum of the shop, float32 [count, dim], unit length."""
        drawn = self._random.standard_normal((count, self._dimension), np.float32) * self._deviations.astype(np.float32)
        return np.asarray(_scaled(drawn) @ self._rotation, np.float32)


def _scaled(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)
