"""When requests are due. The schedule is drawn from the rate alone: no answer, and no lack of one, changes it.

That is what makes the load open-loop. A closed loop, in which each caller waits for an answer before it asks again,
sends least while the server stalls and so measures the stall once instead of once for everybody who met it.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from loadtest.shapes import Stage

Process = Literal["poisson", "constant"]
PROCESSES: Final[tuple[Process, ...]] = ("poisson", "constant")


@dataclass(frozen=True, slots=True)
class Share:
    """Which of how many processes this is; each brings an equal part of the arrivals."""

    index: int = 0
    count: int = 1


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request that is due, in seconds from the beginning, in the stage of that number."""

    due_s: float
    stage: int


def arrivals(stages: Sequence[Stage], process: Process, share: Share, seed: int) -> Iterator[Arrival]:
    """This process's arrivals in their order; equal arguments, equal schedules.

    Poisson: independent callers. Shares of it are drawn independently of each other, because Poisson streams add up to
    one of the summed rate. Constant: evenly spaced; the shares interlock.
    """
    rng = random.Random(f"arrivals/{seed}/{share.index}/{share.count}")
    begin = 0.0
    for number, stage in enumerate(stages):
        interval, end = share.count / stage.rate, begin + stage.seconds
        due = begin + (rng.expovariate(1 / interval) if process == "poisson" else (share.index + 0.5) / stage.rate)
        while due < end:
            yield Arrival(due, number)
            due += rng.expovariate(1 / interval) if process == "poisson" else interval
        begin = end


def stage_at(stages: Sequence[Stage], second: float) -> int | None:
    """The number of the stage at that second from the beginning; None when all are over."""
    end = 0.0
    for number, stage in enumerate(stages):
        end += stage.seconds
        if second < end:
            return number
    return None
