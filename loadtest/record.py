"""What became of every arrival, by stage and endpoint. Workers send theirs to the master, which adds them up."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from loadtest.histogram import Histogram

Outcome = Literal["good", "failed", "refused", "dropped"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("good", "failed", "refused", "dropped")
"""Answered as wanted; with an error or not at all; 429 or 503 with Retry-After; not sent, because nobody was free."""


@dataclass
class Tally:
    """The arrivals of one endpoint in one stage, or of several together.

    Args:
        outcomes: how many ended how; a stage's arrivals that are still under way are in none.
        latency: of good ones, from when they were due to the answer's last byte.
        service: of good ones, from when they were sent; less than `latency` by what they waited for a free connection.
        refusal: of refused ones, from when they were sent.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    latency: Histogram = field(default_factory=Histogram)
    service: Histogram = field(default_factory=Histogram)
    refusal: Histogram = field(default_factory=Histogram)

    @property
    def offered(self) -> int:
        return self.outcomes.total()

    @property
    def error_rate(self) -> float:
        """Share of what was offered that had no good answer; 0 when nothing was."""
        return (self.offered - self.outcomes["good"]) / self.offered if self.offered else 0.0

    def add(self, outcome: Outcome, latency_ms: float, service_ms: float) -> None:
        """Counts one arrival."""
        self.outcomes[outcome] += 1
        if outcome == "good":
            self.latency.add(latency_ms)
            self.service.add(service_ms)
        elif outcome == "refused":
            self.refusal.add(service_ms)

    def merge(self, other: "Tally") -> None:
        """Counts all of another one too."""
        self.outcomes.update(other.outcomes)
        self.latency.merge(other.latency)
        self.service.merge(other.service)
        self.refusal.merge(other.refusal)


@dataclass
class Record:
    """Everything that a process saw, or all of them together.

    Args:
        tallies: by (number of the stage in which the arrival was due, endpoint).
        completed: good answers by the stage in which they came, which at saturation is a later one.
        lags: by stage, how late the generator itself woke up for arrivals that somebody was free for.
        errors: by what was said about them, in all stages.
    """

    tallies: dict[tuple[int, str], Tally] = field(default_factory=dict)
    completed: Counter[int] = field(default_factory=Counter)
    lags: dict[int, Histogram] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)

    def tally(self, stage: int, endpoint: str) -> Tally:
        """That of a stage's endpoint, a new one at first."""
        return self.tallies.setdefault((stage, endpoint), Tally())

    def lag(self, stage: int) -> Histogram:
        """That of a stage, a new one at first."""
        return self.lags.setdefault(stage, Histogram())

    def sum(self, stages: Iterable[int], of: Callable[[str], bool] = lambda endpoint: True) -> Tally:
        """All endpoints that `of` picks, in all those stages, in one."""
        wanted, total = set(stages), Tally()
        for (stage, endpoint), tally in self.tallies.items():
            if stage in wanted and of(endpoint):
                total.merge(tally)
        return total

    def merge(self, other: "Record") -> None:
        """Counts all of another one too."""
        for (stage, endpoint), tally in other.tallies.items():
            self.tally(stage, endpoint).merge(tally)
        self.completed.update(other.completed)
        for stage, lag in other.lags.items():
            self.lag(stage).merge(lag)
        self.errors.update(other.errors)

    def take_message(self) -> dict[str, Any]:
        """Everything counted so far, as a message; the record is empty afterwards, so that nothing is sent twice."""
        message = {
            "tallies": [
                [stage, name, dict(t.outcomes), dict(t.latency.counts), dict(t.service.counts), dict(t.refusal.counts)]
                for (stage, name), t in self.tallies.items()
            ],
            "completed": dict(self.completed),
            "lags": {stage: dict(lag.counts) for stage, lag in self.lags.items()},
            "errors": dict(self.errors),
        }
        self.tallies, self.completed, self.lags, self.errors = {}, Counter(), {}, Counter()
        return message

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> "Record":
        """What `take_message` gave."""
        tallies = {
            (stage, name): Tally(Counter(outcomes), Histogram(latency), Histogram(service), Histogram(refusal))
            for stage, name, outcomes, latency, service, refusal in message["tallies"]
        }
        lags = {stage: Histogram(counts) for stage, counts in message["lags"].items()}
        return cls(tallies, Counter(message["completed"]), lags, Counter(message["errors"]))
