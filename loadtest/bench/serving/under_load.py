"""Load of a fixed number of callers, each of whom asks again as soon as there is an answer."""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from loadtest.bench.serving.in_turns import without_collector
from loadtest.bench.serving.processes import Processes, Spent
from loadtest.bench.serving.systems import Call, System

WARM_SHARE: Final = 0.2
"""Of a slice's length, asked before it and not counted: batches find their size."""
PATIENCE_S: Final = 30.0


@dataclass(frozen=True)
class Slice:
    """A stretch of load on one system.

    Args:
        callers: at once.
        latencies_s: of the calls that began and ended in it, float64 [n].
        seconds: that it took; of a system with a clock of its own, that all its answers took.
        spent: by process, and how long it was.
    """

    callers: int
    latencies_s: npt.NDArray[np.float64]
    seconds: float
    spent: Spent

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return len(self.latencies_s) / self.seconds


Asked = dict[str, Iterator[int]]
"""By system, the rows to ask from here on: a log is gone through once, over all slices."""


def rows_of(systems: Sequence[System]) -> Asked:
    """Every system at the start of its rows."""
    return {system.name: itertools.cycle(system.rows.tolist()) for system in systems}


async def load_in_turns(
    levels: Sequence[tuple[int, Sequence[System]]],
    slices: int,
    slice_s: float,
    processes: Processes,
    asked: Asked,
    tell: Callable[[str], None],
) -> dict[str, list[Slice]]:
    """Slices of every system at every number of callers that it takes.

    Who begins changes from turn to turn, and so does the direction in which numbers of callers follow each other: a
    cache fills up over the whole run, which shall favour none of them.

    Args:
        levels: callers at once, and the systems that get so many.
    """
    found: dict[str, list[Slice]] = {system.name: [] for _, systems in levels for system in systems}
    for number in range(slices):
        for callers, systems in levels if number % 2 == 0 else reversed(levels):
            loaded = [system for system in systems if callers <= system.most_callers]
            for step in range(len(loaded)):
                system = loaded[(number + step) % len(loaded)]
                found[system.name].append(await _slice(system, callers, slice_s, processes, asked[system.name]))
            rates = ", ".join(f"{system.name} {found[system.name][-1].per_s:.0f}/s" for system in loaded)
            tell(f"slice {number + 1} of {slices}, {callers} callers: {rates}")
    return found


async def _slice(system: System, callers: int, seconds: float, processes: Processes, rows: Iterator[int]) -> Slice:
    async with AsyncExitStack() as stack:
        calls = [await stack.enter_async_context(system.caller()) for _ in range(callers)]
        await _run(calls, rows, seconds * WARM_SHARE, system)
        with without_collector(), processes.counting() as spent:
            latencies = await _run(calls, rows, seconds, system)
    seconds = spent.elapsed_s if system.seconds_in is None else float(latencies.sum())
    return Slice(callers, latencies, seconds, spent)


async def _run(calls: Sequence[Call], rows: Iterator[int], seconds: float, system: System) -> npt.NDArray[np.float64]:
    """Seconds of every call; the last ones end a little after the time is up."""
    latencies: list[float] = []
    until = time.perf_counter() + seconds

    async def caller(call: Call) -> None:
        while (began := time.perf_counter()) < until:
            answer = await call(next(rows))
            spent = time.perf_counter() - began
            latencies.append(spent if system.seconds_in is None else system.seconds_in(answer))

    async with asyncio.timeout(seconds + PATIENCE_S), asyncio.TaskGroup() as group:
        for call in calls:
            group.create_task(caller(call))
    return np.array(latencies)
