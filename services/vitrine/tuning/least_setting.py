"""The least whole number that passes a test which every greater one passes too."""

from collections.abc import Awaitable, Callable
from typing import Final

RESOLUTION: Final = 0.05
"""Share of a setting that is not worth a further trial."""

Passes = Callable[[int], Awaitable[bool]]


async def least_setting(passes: Passes, start: int, least: int, most: int) -> int | None:
    """Doubles or halves from `start` until the answer changes, then bisects between the last two.

    Recall rises with `ef` and `nprobe`, and so does the cost of a trial: beginning where the collection stands, most
    trials are cheap ones, and the dearest setting is tried only when all others failed.

    Args:
        passes: the test; asked once for each setting.
        start: where to begin, moved within the bounds.
        least: the least setting allowed.
        most: the greatest.

    Returns:
        A setting that passed; none that is 5% smaller, or smaller by one, does. None when `most` fails.
    """
    start = min(max(start, least), most)
    if await passes(start):
        low, high = await _down(passes, start, least)
    else:
        risen = await _up(passes, start, most)
        if risen is None:
            return None
        low, high = risen
    while high - low > max(1, int(high * RESOLUTION)):
        middle = (low + high) // 2
        if await passes(middle):
            high = middle
        else:
            low = middle
    return high


async def _down(passes: Passes, passed: int, least: int) -> tuple[int, int]:
    """The greatest setting found to fail, below the least found to pass; the former is no setting where all pass."""
    while passed > least:
        lower = max(least, passed // 2)
        if not await passes(lower):
            return lower, passed
        passed = lower
    return least - 1, least


async def _up(passes: Passes, failed: int, most: int) -> tuple[int, int] | None:
    while failed < most:
        higher = min(most, failed * 2)
        if await passes(higher):
            return failed, higher
        failed = higher
    return None
