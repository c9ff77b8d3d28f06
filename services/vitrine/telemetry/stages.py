"""Times of the stages of one request: measured once, then read by the answer, the metrics, the log and the trace."""

import time
from contextlib import AbstractContextManager
from enum import StrEnum
from types import TracebackType
from typing import Final

from vitrine.domain import Deadline
from vitrine.telemetry.spans import span

BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Edges of every histogram of seconds. The latency objectives (50 ms, 250 ms) are edges, so their shares are exact."""


class Stage(StrEnum):
    """The closed set of stages; also the values of the metrics' `stage` label."""

    DECODE = "decode"
    TOKENIZE = "tokenize"
    EMBED = "embed"
    SEARCH = "search"
    HYDRATE = "hydrate"
    WRITE = "write"


class Hop(StrEnum):
    """Where it is noted how much of a search's time is left; also the values of the metrics' `hop` label."""

    ACCEPTED = "accepted"
    """The request is read and checked, pictures named by address are fetched."""
    EMBED = "embed"
    """Before the model is asked."""
    SEARCH = "search"
    """Before neighbours are asked for."""
    ANSWERED = "answered"
    """The result is there, or the failure."""


class StageClock:
    """Adds up wall seconds by stage. One per request; not shared between tasks that run at the same time.

    Where the request is traced, each stage is a span of it too.
    """

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self.seconds: dict[Stage, float] = {}
        self.left: dict[Hop, float] = {}

    def stage(self, stage: Stage) -> AbstractContextManager[None]:
        """Adds the time of the block to `stage`, also when the block raises."""
        return _Timed(self.seconds, stage)

    def note_left(self, hop: Hop, deadline: Deadline) -> None:
        """Notes in `left` the seconds that remain, 0 when none do. Of a search that is run twice, the second counts."""
        self.left[hop] = max(0.0, deadline.at - time.monotonic())

    def restart(self) -> None:
        """Lets `total` count from now: a request's own work starts when its body is complete."""
        self._started = time.perf_counter()

    def total(self) -> float:
        """Seconds since the clock was made or started anew."""
        return time.perf_counter() - self._started


class _Timed(AbstractContextManager[None]):
    """One block of a stage. A class, since a generator in its place would take longer than what it measures."""

    __slots__ = ("_began", "_seconds", "_span", "_stage")
    _began: float
    _span: AbstractContextManager[None]

    def __init__(self, seconds: dict[Stage, float], stage: Stage) -> None:
        self._seconds = seconds
        self._stage = stage

    def __enter__(self) -> None:
        self._began = time.perf_counter()
        self._span = span(self._stage)
        self._span.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._span.__exit__(kind, error, trace)
        finally:
            took = time.perf_counter() - self._began
            self._seconds[self._stage] = self._seconds.get(self._stage, 0.0) + took
