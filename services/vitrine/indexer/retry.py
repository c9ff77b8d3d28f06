"""Trying again, a bounded number of times, while a dependency is away."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from vitrine.errors import DeadlineExceeded, Unavailable
from vitrine.telemetry.spans import add_event

T = TypeVar("T")

_log = logging.getLogger(__name__)
_TRANSIENT = (Unavailable, DeadlineExceeded)


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often, and how long to wait in between.

    Args:
        attempts: tries in all.
        first_s: wait after the first failure; doubles with each further one.
        longest_s: most a single wait takes.
    """

    attempts: int
    first_s: float = 1.0
    longest_s: float = 15.0

    async def run(self, what: str, call: Callable[[], Awaitable[T]], stop: asyncio.Event) -> T:
        """Calls until it succeeds.

        Args:
            what: names the call in the log, such as "Embedding a batch".
            call: must be safe to repeat.
            stop: when set, no further try is made and a wait in between ends.

        Raises:
            Unavailable, DeadlineExceeded: the last try's error. Other errors are not retried.
        """
        for attempt in range(1, self.attempts + 1):
            try:
                return await call()
            except _TRANSIENT as error:
                if attempt == self.attempts or stop.is_set():
                    raise
                # Jitter, so that the calls in flight do not come back all at once.
                wait = min(self.first_s * 2 ** (attempt - 1), self.longest_s) * random.uniform(0.75, 1.25)
                add_event("retry", {"failed_try": attempt, "code": error.code, "wait_s": wait})
                _log.warning(
                    "%s failed (try %d of %d), again in %.1f s: %s", what, attempt, self.attempts, wait, error.message
                )
                await _pause(wait, stop)
        raise AssertionError("unreachable: the last attempt returns or raises")


async def _pause(seconds: float, stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
