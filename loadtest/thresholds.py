"""What a run must keep to, read from a TOML file, and whether it did.

goodput_ms = 500             # an answer later than that does not count towards goodput
generator_lag_ms = 100       # p99 of how late the generator itself was; above it the run measured itself
knee = 30                    # least throughput of the knee, requests/s
peak_goodput = 40            # least goodput of the best stage, requests/s

[whole]                      # all measured stages together
error_rate = 0.01            # at most: failed, refused and dropped of what was offered
achieved = 0.98              # at least: good answers of what was offered, given while it was offered
goodput = 0.95               # at least: good answers within goodput_ms of what was offered
refusal_ms = 50              # at most: p99 of how long a refusal takes
latency_ms.all = {p50 = 100, p95 = 300, p99 = 500}
latency_ms."search: prefix" = {p95 = 200}

[stages.after]               # one stage, by its name
latency_ms.all = {p99 = 500}
"""

import math
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from loadtest.scenarios.floor import ENDPOINTS
from loadtest.shapes import LoadRefused
from loadtest.summary import Summary

FOLDER: Final = Path(__file__).with_name("thresholds")
ALL: Final = "all"
_RUN_LIMITS: Final = ("generator_lag_ms", "knee", "peak_goodput")
_LIMITS: Final = ("error_rate", "achieved", "goodput", "refusal_ms")
_PERCENTILES: Final = {"p50": 50.0, "p95": 95.0, "p99": 99.0}
OFFERED: Final = "offered"
_AT_LEAST: Final = frozenset({"achieved", "goodput", "knee", "peak_goodput", OFFERED})
_DEVIATIONS: Final = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """For one stage, or for all together: values by name, and percentiles by endpoint, in milliseconds."""

    values: dict[str, float] = field(default_factory=dict)
    latency_ms: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """A file of thresholds; `stages` by name of the stage."""

    goodput_ms: float
    run: dict[str, float]
    whole: Limits
    stages: dict[str, Limits]


@dataclass(frozen=True, slots=True)
class Check:
    """One threshold, and what was measured: None where nothing was, which breaks it."""

    where: str
    what: str
    limit: float
    measured: float | None

    @property
    def held(self) -> bool:
        if self.measured is None:
            return False
        return self.measured >= self.limit if self.what in _AT_LEAST else self.measured <= self.limit


def read_thresholds(path: Path, stages: tuple[str, ...]) -> Thresholds:
    """The thresholds of a file for a shape with these stages.

    Raises:
        LoadRefused: it cannot be read, names what there is not, or a limit is no number.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LoadRefused(f"The thresholds {path} cannot be read: {error}.") from error
    try:
        _known(raw, ("goodput_ms", "whole", "stages", *_RUN_LIMITS))
        _known(raw.get("stages", {}), stages)
        return Thresholds(
            goodput_ms=_number(raw, "goodput_ms"),
            run={name: _number(raw, name) for name in _RUN_LIMITS if name in raw},
            whole=_limits(raw.get("whole", {})),
            stages={name: _limits(table) for name, table in raw.get("stages", {}).items()},
        )
    except ValueError as error:
        raise LoadRefused(f"The thresholds {path} cannot be used: {error}.") from error


def _limits(table: dict[str, Any]) -> Limits:
    _known(table, (*_LIMITS, "latency_ms"))
    latency = table.get("latency_ms", {})
    _known(latency, (ALL, *ENDPOINTS))
    for percentiles in latency.values():
        _known(percentiles, tuple(_PERCENTILES))
    return Limits(
        {name: _number(table, name) for name in _LIMITS if name in table},
        {name: {p: _number(percentiles, p) for p in percentiles} for name, percentiles in latency.items()},
    )


def _known(table: Any, names: tuple[str, ...]) -> None:
    if not isinstance(table, dict):
        raise ValueError(f"{table!r} stands where a table of {', '.join(names)} is wanted")  # noqa: TRY004 - one kind
    if unknown := sorted(table.keys() - set(names)):
        raise ValueError(f"there is no {', '.join(map(repr, unknown))}, only {', '.join(names)}")


def _number(table: dict[str, Any], name: str) -> float:
    value = table.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise ValueError(f"{name} must be a number from 0 on, not {value!r}")
    return float(value)


def check(thresholds: Thresholds, summary: Summary) -> list[Check]:
    """Every threshold against the run, and whether there was a run of the planned size to begin with.

    Endpoints that were never asked have none to keep.
    """
    knee = summary.knee()
    run = {
        "generator_lag_ms": summary.lag_ms(),
        "knee": None if knee is None else knee.throughput,
        "peak_goodput": summary.peak(),
    }
    checks = [_came(summary)]
    checks += [Check("run", name, limit, run[name]) for name, limit in thresholds.run.items()]
    checks += _checks(summary, "whole", None, thresholds.whole)
    for name, limits in thresholds.stages.items():
        checks += _checks(summary, name, name, limits)
    return checks


def _came(summary: Summary) -> Check:
    """Whether the generator offered what was planned, up to the chance of a Poisson process: a worker that dies takes
    its share of the load with it, and must not make a better run of it."""
    planned = summary.planned()
    if not planned:
        return Check("run", OFFERED, 1.0, None)
    deviation = 1 / math.sqrt(planned)
    return Check("run", OFFERED, max(0.0, 1 - _DEVIATIONS * deviation), summary.tally().offered / planned)


def _checks(summary: Summary, where: str, stage: str | None, limits: Limits) -> Iterator[Check]:
    tally = summary.tally(stage)
    seen = [figures for figures in summary.stages if stage in (None, figures.stage.name)]
    in_time = sum(figures.throughput * figures.stage.seconds for figures in seen)
    good = tally.latency.within(summary.goodput_ms)
    measured = {
        "error_rate": tally.error_rate,
        "achieved": min(in_time, tally.outcomes["good"]) / max(tally.offered, 1),
        "goodput": good / max(tally.offered, 1),
        # No refusal is none that took too long.
        "refusal_ms": tally.refusal.percentile(99) or 0.0,
    }
    for name, limit in limits.values.items():
        yield Check(where, name, limit, measured[name] if tally.offered else None)
    for endpoint, percentiles in limits.latency_ms.items():
        of_endpoint = summary.tally(stage, None if endpoint == ALL else endpoint)
        if endpoint != ALL and not of_endpoint.offered:
            continue
        for name, limit in percentiles.items():
            ms = of_endpoint.latency.percentile(_PERCENTILES[name])
            yield Check(where, f"{endpoint} {name}, ms", limit, ms)
