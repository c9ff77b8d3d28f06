"""One process's part of the load: hands out the arrivals of the schedule, and notes what became of each."""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from gevent.event import Event

from loadtest.arrivals import Arrival, Process, Share, arrivals, stage_at
from loadtest.record import Outcome, Record
from loadtest.scenarios.floor import Floor, Visitor
from loadtest.scenarios.journey import Content, Shop
from loadtest.scenarios.writing import item_ids
from loadtest.shapes import Stage

LEAD_S: Final = 0.2
"""From the word to begin to the first moment of the schedule, so that all workers have heard it."""


@dataclass(slots=True)
class Due:
    """An arrival that somebody has taken on.

    `at` is when it is due, by time.perf_counter(); `in_time` says that it was taken on before then.
    """

    arrival: Arrival
    at: float
    in_time: bool

    def late_s(self) -> float:
        """Seconds since it was due."""
        return time.perf_counter() - self.at


class OpenLoop:
    """The schedule of this process and those who serve it.

    Args:
        stages: the rates.
        process: how arrivals come.
        seed: of everything random.
        run: names this run's items.
    """

    def __init__(self, stages: Sequence[Stage], process: Process, seed: int, run: str) -> None:
        self.stages = tuple(stages)
        self.record = Record()
        self._process: Process = process
        self._seed = seed
        self._run = run
        self._begun = Event()
        self._origin = 0.0
        self._schedule: Iterator[Arrival] = iter(())
        self._floor: Floor | None = None

    def begin(self, shop: Shop, share: Share) -> None:
        """Starts the clock; everybody who waits in `take` gets an arrival."""
        rng = random.Random(f"floor/{self._seed}/{share.index}")
        self._floor = Floor(shop, rng, item_ids(self._run, share.index))
        self._schedule = arrivals(self.stages, self._process, share, self._seed)
        self._origin = time.perf_counter() + LEAD_S
        self._begun.set()

    @property
    def second(self) -> float | None:
        """Seconds since the schedule began; None before."""
        return time.perf_counter() - self._origin if self._begun.is_set() else None

    def take(self) -> Due | None:
        """The next arrival, for the caller alone; None after the last. Waits for the beginning."""
        self._begun.wait()
        arrival = next(self._schedule, None)
        if arrival is None:
            return None
        at = self._origin + arrival.due_s
        return Due(arrival, at, in_time=time.perf_counter() <= at)

    def visitor(self, due: Due) -> Visitor:
        """Who asks at this arrival, whose time has come."""
        if due.in_time:
            self.record.lag(due.arrival.stage).add(due.late_s() * 1000)
        assert self._floor is not None, "nothing is taken before the beginning"  # noqa: S101
        return self._floor.next(due.arrival.due_s)

    def note(self, due: Due, endpoint: str, outcome: Outcome, *, service_s: float = 0.0, error: str = "") -> None:
        """Counts what became of an arrival; `service_s` is the time since it was sent."""
        self.record.tally(due.arrival.stage, endpoint).add(outcome, due.late_s() * 1000, service_s * 1000)
        if outcome != "good":
            self.record.errors[f"{endpoint}: {error}"] += 1
            return
        stage = stage_at(self.stages, due.arrival.due_s + due.late_s())
        if stage is not None:
            self.record.completed[stage] += 1

    def goes_on(self, visitor: Visitor, content: Content, due: Due) -> None:
        """Their visitor got a good answer."""
        assert self._floor is not None, "nothing is taken before the beginning"  # noqa: S101
        self._floor.answered(visitor, content, due.arrival.due_s + due.late_s())
