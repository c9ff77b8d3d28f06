"""Latency of one call at a time: the systems take turns at every text, so that a disturbance hits all alike."""

import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from loadtest.bench.serving.systems import Call, Rows, System

WARM: Final = 10


@dataclass
class Calls:
    """Of one system.

    Args:
        seconds: of each call.
        answers: as they came.
    """

    seconds: list[float] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)


@contextmanager
def without_collector() -> Iterator[None]:
    """Python's garbage is collected before the block and not in it."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def call_in_turns(systems: Sequence[System], rows: Rows) -> dict[str, Calls]:
    """Asks every system for each of the texts once, in another order by chance each time: what a call leaves behind, in
    the processor's caches for one, does not fall upon the same one always.

    All are asked for all of them before, so that what is loaded on first use is there, and a cache remembers.
    """
    async with AsyncExitStack() as stack:
        calls = {system.name: await stack.enter_async_context(system.caller()) for system in systems}
        await _warm(systems, calls, rows)
        measured = {system.name: Calls() for system in systems}
        draw = np.random.default_rng(7)
        with without_collector():
            for row in rows.tolist():
                for system in (systems[place] for place in draw.permutation(len(systems))):
                    began = time.perf_counter()
                    answer = await calls[system.name](row)
                    spent = time.perf_counter() - began
                    told = spent if system.seconds_in is None else system.seconds_in(answer)
                    measured[system.name].seconds.append(told)
                    measured[system.name].answers.append(answer)
    return measured


async def _warm(systems: Sequence[System], calls: Mapping[str, Call], rows: Rows) -> None:
    """A few calls of each; of what has a cache, every text."""
    for system in systems:
        cached = " cached" in system.name
        for row in rows.tolist() if cached else rows[:WARM].tolist():
            await calls[system.name](row)
