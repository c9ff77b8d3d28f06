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
            candidate. NaN with no more than ten things.
        compared: things compared.
    """

    mean_cosine: float
    min_cosine: float
    top_10: float
    compared: int

    @classmethod
    def between(cls, reference: Vectors, candidate: Vectors) -> Self:
        """Compares vectors of the same things, float32 [n, dim] each, of any length but zero.

        Raises:
            ValueError: different shapes.
        """
        if reference.shape != candidate.shape:
            raise ValueError(f"{reference.shape} cannot be compared with {candidate.shape}")
        first, second = _unit(reference), _unit(candidate)
        cosines = (first * second).sum(axis=1)
        return cls(float(cosines.mean()), float(cosines.min()), _overlap(first, second), len(cosines))

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


def _unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def _overlap(first: Vectors, second: Vectors) -> float:
    if len(first) <= NEIGHBOURS:
        return float("nan")
    shared = [np.intersect1d(a, b).size for a, b in zip(_nearest(first), _nearest(second), strict=True)]
    return float(np.mean(shared)) / NEIGHBOURS


def _nearest(unit: Vectors) -> np.ndarray[tuple[int, int], np.dtype[np.intp]]:
    """Indices of the ten nearest others of each row, [n, 10] in no order."""
    scores = unit @ unit.T
    np.fill_diagonal(scores, -np.inf)
    return np.argpartition(-scores, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
