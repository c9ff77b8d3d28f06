"""The figures of a run, from its record: by stage, by endpoint, and in all."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from loadtest.histogram import Histogram
from loadtest.record import OUTCOMES, Record, Tally
from loadtest.shapes import Stage

PERCENTILES: Final = (50.0, 95.0, 99.0)
KEPT_UP: Final = 0.95
"""Share of the offered rate that must be answered well, in time, for a server to count as following."""
LAG_WARNING_MS: Final = 50.0
_UNDER_WAY: Final = 2
"""Requests that are under way when a stage ends, however quick the server; of a short stage, several percent."""


@dataclass(frozen=True)
class StageFigures:
    """A measured stage.

    `throughput` counts the good answers that came while the stage lasted, whenever they were due; everything else
    counts the arrivals that were due in it. Rates are in requests a second, latencies in milliseconds from due to
    answered.
    """

    stage: Stage
    tally: Tally
    throughput: float
    goodput_ms: float

    @property
    def offered_rate(self) -> float:
        return self.tally.offered / self.stage.seconds

    @property
    def goodput(self) -> float:
        """Good answers a second within `goodput_ms`."""
        return self.tally.latency.within(self.goodput_ms) / self.stage.seconds

    @property
    def kept_up(self) -> bool:
        """The server followed: nearly everything was answered well, while the stage lasted."""
        good, in_time = self.tally.outcomes["good"], self.throughput * self.stage.seconds + _UNDER_WAY
        return min(good, in_time) >= KEPT_UP * self.tally.offered


class Summary:
    """What a run was and what it found.

    Args:
        stages: all that were planned.
        record: of all processes.
        goodput_ms: within which an answer counts towards goodput.
        second: from the beginning, at which the run ended; a stage that was not over by then is left out.
    """

    def __init__(self, stages: Sequence[Stage], record: Record, goodput_ms: float, second: float = math.inf) -> None:
        self.record = record
        self.goodput_ms = goodput_ms
        tallies = [record.sum([number]) for number in range(len(stages))]
        ends = itertools.accumulate(stage.seconds for stage in stages)
        self._measured = [
            number
            for number, (stage, end) in enumerate(zip(stages, ends, strict=True))
            if stage.measured and end <= second and tallies[number].offered
        ]
        self.stages = [
            StageFigures(stages[n], tallies[n], record.completed[n] / stages[n].seconds, goodput_ms)
            for n in self._measured
        ]
        self._numbers = {stages[n].name: n for n in self._measured}

    def tally(self, stage: str | None = None, endpoint: str | None = None) -> Tally:
        """Of one stage or of all that were measured, of one endpoint or of all."""
        wanted = self._measured if stage is None else [self._numbers[stage]] if stage in self._numbers else []
        return self.record.sum(wanted, lambda name: endpoint in (None, name))

    def endpoints(self) -> list[str]:
        """The names of all that was asked in a measured stage."""
        return sorted({name for number, name in self.record.tallies if number in self._measured})

    def planned(self) -> float:
        """How many arrivals the schedule has on average in the stages that were measured."""
        return sum(figures.stage.rate * figures.stage.seconds for figures in self.stages)

    def knee(self) -> StageFigures | None:
        """Where throughput over latency is greatest: beyond it more load buys more waiting than answers.

        That ratio is Kleinrock's power, with the mean: where a twentieth of what is asked is slow by its nature, the
        95th percentile leaps from one stage to the next without any waiting. Only a run whose last stage the server
        could not follow has gone far enough to tell; else None.
        """
        if not self.stages or self.stages[-1].kept_up:
            return None
        ahead = [figures for figures in self.stages if figures.kept_up]
        return max(ahead, key=lambda figures: figures.throughput / (figures.tally.latency.mean() or 1), default=None)

    def peak(self) -> float:
        """Highest goodput of a stage, requests a second."""
        return max((figures.goodput for figures in self.stages), default=0.0)

    def lag_ms(self) -> float | None:
        """99th percentile of how late the generator woke up by its own fault."""
        measured = Histogram()
        for number in self._measured:
            measured.merge(self.record.lag(number))
        return measured.percentile(99)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        knee = self.knee()
        return {
            "goodput_ms": self.goodput_ms,
            "planned": round(self.planned(), 1),
            "whole": figures_of(self.tally()),
            "endpoints": {name: figures_of(self.tally(endpoint=name)) for name in self.endpoints()},
            "stages": [
                {
                    "name": figures.stage.name,
                    "seconds": figures.stage.seconds,
                    "rate": round(figures.stage.rate, 3),
                    "offered_rate": round(figures.offered_rate, 3),
                    "throughput": round(figures.throughput, 3),
                    "goodput": round(figures.goodput, 3),
                    "kept_up": figures.kept_up,
                    **figures_of(figures.tally),
                }
                for figures in self.stages
            ],
            "knee": None if knee is None else {"stage": knee.stage.name, "throughput": round(knee.throughput, 3)},
            "peak_goodput": round(self.peak(), 3),
            "generator_lag_p99_ms": _rounded(self.lag_ms()),
            "errors": dict(self.record.errors.most_common()),
        }


def figures_of(tally: Tally) -> dict[str, Any]:
    """A tally for machines; None where nothing was measured."""
    return {
        "offered": tally.offered,
        **{outcome: tally.outcomes[outcome] for outcome in OUTCOMES},
        "error_rate": round(tally.error_rate, 5),
        "latency_ms": _percentiles(tally.latency),
        "service_ms": _percentiles(tally.service),
        "refusal_ms": _percentiles(tally.refusal),
    }


def _percentiles(histogram: Histogram) -> dict[str, float | None]:
    return {f"p{percent:g}": _rounded(histogram.percentile(percent)) for percent in PERCENTILES}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
