"""A cap on how many products a run takes up per second, so that it leaves room for searches."""

import asyncio
import time


class Pace:
    """Hands out moments to begin a product, evenly spaced. No burst is saved up: after a pause the pace is the same.

    Made and used inside the event loop of the run.

    Args:
        per_s: products a second; 0: no cap.
        stop: when set, nobody waits any more.
    """

    def __init__(self, per_s: float, stop: asyncio.Event) -> None:
        self._spacing_s = 1.0 / per_s if per_s > 0 else 0.0
        self._stop = stop
        self._next = 0.0

    async def turn(self) -> None:
        """Returns when the caller may begin one product, or at once when the run is to end."""
        if not self._spacing_s:
            return
        now = time.monotonic()
        mine = max(now, self._next)
        self._next = mine + self._spacing_s
        if mine <= now or self._stop.is_set():
            return
        try:
            async with asyncio.timeout(mine - now):
                await self._stop.wait()
        except TimeoutError:
            return
