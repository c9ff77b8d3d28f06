"""Points of recall and latency, and which of them are worth choosing from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from vitrine.vectorstore.index_params import IndexParams

CONFIDENCE: Final = 0.95
_RESAMPLES: Final = 2_000
_NORMAL_QUANTILE: Final = 1.6449  # one-sided, of CONFIDENCE
_FLAT: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Point:
    """One way to search, measured.

    Args:
        index: with the search settings that were measured.
        own: of the collection that is tuned; others are trial builds.
        recall: mean over the tuning queries.
        least_recall: what the mean over all such queries exceeds with 95% confidence; see `least_mean`.
        p50_ms: median latency of one search at a time.
        p99_ms: its 99th percentile.
    """

    index: IndexParams
    own: bool
    recall: float
    least_recall: float
    p50_ms: float
    p99_ms: float

    @property
    def label(self) -> str:
        """Its search settings, and before them the kind and what it was built with where that may be in doubt."""
        searched = ", ".join(f"{name} {value}" for name, value in self.index.search_settings().items())
        if self.own:
            return searched or self.index.index_type
        built = ", ".join(f"{name} {value}" for name, value in self.index.build_params().items())
        return f"{self.index.index_type} ({built}) {searched}".rstrip()

    def meets(self, recall: float, p99_ms: float) -> bool:
        """Whether it reaches a target with confidence."""
        return self.least_recall >= recall and self.p99_ms <= p99_ms


def frontier(points: Iterable[Point]) -> list[Point]:
    """Points that no other dominates, by rising latency: there is none with as good a recall and as short a latency
    that is better in one of both. Of points alike in both the first stays."""
    best = -np.inf
    kept: list[Point] = []
    for point in sorted(points, key=lambda one: (one.p99_ms, -one.recall)):
        if point.recall > best:
            kept.append(point)
            best = point.recall
    return kept


def least_mean(values: npt.NDArray[np.float64], seed: int = 0) -> float:
    """The lower end of a one-sided 95% interval for the mean of which these values are a sample.

    Bootstrap over queries (2,000 resamples, percentile method), as recalls of queries are neither normal nor all of one
    chance. Where every query has the same recall, resampling would claim certainty; there Wilson's bound for so many
    trials stands in: 200 queries that find everything show a recall of 0.987, not of 1.

    Args:
        values: from 0 to 1, one for each query; one at least.
        seed: of the resampling, so that a repetition says the same.
    """
    mean = float(values.mean())
    if np.ptp(values) < _FLAT:
        return _wilson(mean, values.size)
    draw = np.random.default_rng(seed)
    means = np.array([values[draw.integers(values.size, size=values.size)].mean() for _ in range(_RESAMPLES)])
    return float(np.quantile(means, 1 - CONFIDENCE))


def closest(points: Sequence[Point], recall: float, p99_ms: float) -> Point:
    """The point to show when none meets the target: the quickest that reaches the recall, else the best recall."""
    reaching = [point for point in points if point.least_recall >= recall]
    if reaching:
        return min(reaching, key=lambda point: point.p99_ms)
    return max(points, key=lambda point: (point.least_recall, -point.p99_ms))


def _wilson(share: float, trials: int) -> float:
    squared = _NORMAL_QUANTILE**2
    centre = share + squared / (2 * trials)
    spread = _NORMAL_QUANTILE * float(np.sqrt(share * (1 - share) / trials + squared / (4 * trials**2)))
    return max(0.0, (centre - spread) / (1 + squared / trials))
