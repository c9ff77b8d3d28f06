"""Times of the stages of one request: measured once, then read by the answer, the metrics, the log and the trace."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from vitrine.telemetry.spans import span


class Stage(StrEnum):
    """The closed set of stages; also the values of the metrics' `stage` label."""

    DECODE = "decode"
    TOKENIZE = "tokenize"
    EMBED = "embed"
    SEARCH = "search"
    HYDRATE = "hydrate"
    WRITE = "write"


class StageClock:
    """Adds up wall seconds by stage. One per request; not shared between tasks that run at the same time.

    Where the request is traced, each stage is a span of it too.
    """

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self.seconds: dict[Stage, float] = {}

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Adds the time of the block to `stage`, also when the block raises."""
        began = time.perf_counter()
        try:
            with span(stage):
                yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - began

    def restart(self) -> None:
        """Lets `total` count from now: a request's own work starts when its body is complete."""
        self._started = time.perf_counter()

    def total(self) -> float:
        """Seconds since the clock was made or started anew."""
        return time.perf_counter() - self._started
