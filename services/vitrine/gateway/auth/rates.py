"""How many requests a caller may send: token buckets in the memory of this process."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from vitrine.gateway.auth.errors import RateLimited
from vitrine.gateway.auth.principal import Principal, Rate

MAX_BUCKETS: Final = 16_384
"""Callers remembered at once. One that is forgotten starts with a full bucket, which only a long silence or more
callers than this within seconds can bring about."""


class TokenBucket:
    """Fills at a steady rate up to a burst; every request takes from it.

    Args:
        rate: tokens a second, and the most it holds.
        clock: seconds that never go back.
    """

    __slots__ = ("_at", "_clock", "_tokens", "rate")

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self._clock = clock
        self._tokens = float(rate.burst)
        self._at = clock()

    def take(self, cost: int) -> None:
        """Takes tokens, or none at all.

        What costs more than the bucket ever holds passes when the bucket is full, and leaves a debt that the following
        requests wait for. Otherwise it could never pass, and the average is kept all the same.

        Args:
            cost: tokens, at least 1.

        Raises:
            RateLimited: with the seconds after which the same cost is let through.
        """
        self._take(cost, min(cost, self.rate.burst))

    def take_more(self, cost: int) -> None:
        """The same for a request that has paid one token already, so that a full bucket now holds one less.

        Raises:
            RateLimited: likewise.
        """
        self._take(cost, min(cost, self.rate.burst - 1))

    def _take(self, cost: int, needed: int) -> None:
        now = self._clock()
        self._tokens = min(float(self.rate.burst), self._tokens + (now - self._at) * self.rate.per_second)
        self._at = now
        # Less than a whole one by a rounding is a whole one.
        if self._tokens < needed - 1e-9:
            wait_s = max(1, math.ceil((needed - self._tokens) / self.rate.per_second))
            raise RateLimited(
                f"This caller may send {self.rate.per_second:g} requests a second.",
                retry_after_s=wait_s,
                per_second=self.rate.per_second,
                burst=self.rate.burst,
            )
        self._tokens -= cost


class RateLimits:
    """One bucket for each caller with a rate; the longest unused one is forgotten first.

    Args:
        clock: seconds that never go back.
        max_buckets: bound of the memory, about 200 bytes each.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, max_buckets: int = MAX_BUCKETS) -> None:
        self._clock = clock
        self._max_buckets = max_buckets
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def bucket_of(self, principal: Principal) -> TokenBucket | None:
        """The caller's bucket; None when nothing limits it. A changed rate starts a new bucket."""
        if principal.rate is None:
            return None
        bucket = self._buckets.get(principal.id)
        if bucket is None or bucket.rate != principal.rate:
            bucket = self._buckets[principal.id] = TokenBucket(principal.rate, self._clock)
            if len(self._buckets) > self._max_buckets:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(principal.id)
        return bucket
