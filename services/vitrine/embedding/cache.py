"""Embeddings of queries, kept in memory: bounded by bytes, by age, and by nothing else."""

import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from vitrine.domain import Vectors
from vitrine.settings import CacheSettings
from vitrine.telemetry.metrics import EmbeddingCacheMetrics

CacheKey: TypeAlias = tuple[str, str | bytes]
"""A contract's fingerprint, and what was embedded by it: a cleaned text, or the sha256 of a picture's bytes."""

_ENTRY_BYTES: Final = 512
"""What an embedding costs beside its figures and its text: the array, the entry, the key's tuple, the table.
tracemalloc finds 376 to 452, more the emptier the table is; a test compares the two."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """One query's embedding.

    Args:
        vector: float32 [dim], unit length, read-only: it is handed to everyone who asks.
        tokens: ids that the model read, BOS and EOT included; 0 for a picture.
        truncated: the text was longer than the model can read.
    """

    vector: Vectors
    tokens: int = 0
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class _Entry:
    embedded: Embedded
    bytes: int
    expires_at: float


class EmbeddingCache:
    """Keeps what was used last. Not for several threads.

    Args:
        settings: how many bytes, and for how long; with 0 bytes nothing is kept.
        metrics: where size, evictions and ages are told.
        now: seconds of a monotonic clock.
    """

    def __init__(
        self, settings: CacheSettings, metrics: EmbeddingCacheMetrics, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_bytes = settings.max_bytes
        self._ttl_s = settings.ttl_s
        self._metrics = metrics
        self._now = now
        self._entries: OrderedDict[CacheKey, _Entry] = OrderedDict()
        self.bytes = 0
        metrics.bytes.set_function(lambda: self.bytes)
        metrics.entries.set_function(lambda: len(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: CacheKey) -> Embedded | None:
        """What is kept under a key, if it is not too old."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires_at <= self._now():
            self._drop(key)
            self._metrics.expired.inc()
            return None
        self._entries.move_to_end(key)
        return entry.embedded

    def keep(self, key: CacheKey, vector: Vectors, *, tokens: int = 0, truncated: bool = False) -> Embedded:
        """Keeps an embedding, float32 [dim], at the cost of those that were not used for the longest time.

        Returns:
            It, with a vector of its own: a row of a batch would keep the whole batch alive.
        """
        own = np.array(vector, np.float32)
        own.setflags(write=False)
        embedded = Embedded(own, tokens, truncated)
        size = own.nbytes + sys.getsizeof(key[1]) + _ENTRY_BYTES
        self._drop(key)  # first: where the new one finds no room, the one before must not be taken for it
        if size <= self._max_bytes:
            self._entries[key] = _Entry(embedded, size, self._now() + self._ttl_s)
            self.bytes += size
            while self.bytes > self._max_bytes:
                self._drop(next(iter(self._entries)))
                self._metrics.evicted.inc()
        return embedded

    def _drop(self, key: CacheKey) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= entry.bytes
