"""Counts of durations in buckets 1% wide: small enough to send, fine enough for thresholds."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Final

_WIDTH: Final = math.log(1.01)
_LEAST_MS: Final = 0.01


class Histogram:
    """Durations in milliseconds. Percentiles and shares are exact to 1%."""

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self.counts: Counter[int] = Counter(counts or {})

    def __len__(self) -> int:
        """How many durations were added."""
        return self.counts.total()

    def add(self, ms: float) -> None:
        """Counts one."""
        self.counts[math.ceil(math.log(max(ms, _LEAST_MS)) / _WIDTH)] += 1

    def merge(self, other: "Histogram") -> None:
        """Counts all of another one too."""
        self.counts.update(other.counts)

    def percentile(self, percent: float) -> float | None:
        """Milliseconds within which so many percent of the durations lie; None when there are none."""
        wanted, seen = math.ceil(len(self) * percent / 100), 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= max(wanted, 1):
                return math.exp(bucket * _WIDTH)
        return None

    def mean(self) -> float | None:
        """Milliseconds; None when there are no durations. Exact to 1%, as each counts as the middle of its bucket."""
        total = sum(count * math.exp((bucket - 0.5) * _WIDTH) for bucket, count in self.counts.items())
        return total / len(self) if self.counts else None

    def within(self, ms: float) -> int:
        """How many lie within so many milliseconds."""
        last = math.floor(math.log(max(ms, _LEAST_MS)) / _WIDTH + 1e-9)
        return sum(count for bucket, count in self.counts.items() if bucket <= last)
