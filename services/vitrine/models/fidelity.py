"""How far two ways of embedding the same things differ where it counts: in the vectors, and in the neighbours found.

A cosine alone says little: vectors of one catalogue may lie so close together that 0.999 swaps half of the neighbours.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from vitrine.domain import Vectors

NEIGHBOURS = 10


@dataclass(frozen=True, slots=True)
class Fidelity:
    """What became of the reference's vectors.

    Args:
        mean_cosine: between both vectors of the same thing; `min_cosine` is the worst.
        top_10: share of each thing's ten nearest others, by the reference, that are among its ten nearest by the
            candidate; or of its ten nearest in a catalogue. NaN where there are no more than ten to be near to.
        compared: things compared.
    """

    mean_cosine: float
    min_cosine: float
    top_10: float
    compared: int

    @classmethod
    def between(cls, reference: Vectors, candidate: Vectors, *, catalogue: Vectors | None = None) -> Self:
        """Compares vectors of the same things, float32 [n, dim] each, of any length but zero.

        Args:
            catalogue: float32 [m, dim]: what both are queries for. None: the things are each other's neighbours, which
                is the question to ask of a model that embeds the catalogue itself.

        Raises:
            ValueError: different shapes.
        """
        if reference.shape != candidate.shape:
            raise ValueError(f"{reference.shape} cannot be compared with {candidate.shape}")
        first, second = _unit(reference), _unit(candidate)
        cosines = (first * second).sum(axis=1)
        if catalogue is None:
            overlap = _overlap(_others(first), _others(second))
        else:
            products = _unit(catalogue).T
            overlap = _overlap(first @ products, second @ products)
        return cls(float(cosines.mean()), float(cosines.min()), overlap, len(cosines))

    def __str__(self) -> str:
        return (
            f"cosine mean {self.mean_cosine:.6f} and worst {self.min_cosine:.6f}, "
            f"top-10 overlap {self.top_10:.3f}, over {self.compared} vectors"
        )


@dataclass(frozen=True, slots=True)
class FidelityGate:
    """The least that may be served."""

    mean_cosine: float
    top_10: float

    def accepts(self, found: Fidelity) -> bool:
        # Written so that NaN, which compares false with everything, is refused.
        return found.mean_cosine >= self.mean_cosine and found.top_10 >= self.top_10

    def __str__(self) -> str:
        return f"cosine mean >= {self.mean_cosine:g} and top-10 overlap >= {self.top_10:g}"


INT8_GATE = FidelityGate(mean_cosine=0.999, top_10=0.95)
"""For an image model of reduced precision against fp32, over pictures that look like a catalogue's."""

TEXT_GATE = FidelityGate(mean_cosine=0.999, top_10=0.98)
"""For a text model of reduced precision against fp32: what texts find among pictures that stay as they are."""


def _unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def _others(unit: Vectors) -> Vectors:
    """Scores of each with each, [n, n]; nothing is a neighbour of itself."""
    scores = unit @ unit.T
    np.fill_diagonal(scores, -np.inf)
    return scores


def _overlap(first: Vectors, second: Vectors) -> float:
    """Of the ten best columns of each row of scores, the mean share that both have."""
    if first.shape[1] <= NEIGHBOURS:
        return float("nan")
    shared = [np.intersect1d(a, b).size for a, b in zip(_best(first), _best(second), strict=True)]
    return float(np.mean(shared)) / NEIGHBOURS


def _best(scores: Vectors) -> np.ndarray[tuple[int, int], np.dtype[np.intp]]:
    """Columns of the ten highest scores of each row, [n, 10] in no order."""
    return np.argpartition(-scores, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
