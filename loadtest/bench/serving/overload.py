"""Three times as many arrivals as can be answered: what is answered, how the rest is refused, what comes after."""

import asyncio
import statistics
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final

from loadtest.bench.serving.open_loop import OK, REFUSALS, Callers, Outcome, arrive, percentile_ms

TIMES: Final = 3.0
CONNECTIONS: Final = 512
PROBES: Final = 20
PROBE_EVERY_S: Final = 0.1
CALM_PROBES: Final = 10
"""So many good answers in a row, and the first of them was the end of it."""
CALM: Final = 2.0
"""An answer is good when it takes at most so many times the median of before, and a few milliseconds."""
SLACK_S: Final = 0.005
LONGEST_S: Final = 30.0


@dataclass(frozen=True)
class Overload:
    """What was seen.

    Args:
        rate: arrivals a second.
        seconds: of them.
        peak_per_s: answers a second without overload.
        goodput_per_s: good answers a second during it.
        answered_ms: p50 and p99 of the good answers, from when they were due.
        refused: how many.
        refused_ms: p50, p99 and the longest of refusals, from when they were due.
        without_retry_after: refusals that did not say when to come again.
        statuses: how many answers of each.
        before_ms: median of single calls before.
        recovered_s: from the last arrival's answer until answers were as before; None: they were not, in half a minute.
    """

    precision: str
    rate: float
    seconds: float
    peak_per_s: float
    goodput_per_s: float
    answered_ms: tuple[float, float]
    refused: int
    refused_ms: tuple[float, float, float]
    without_retry_after: int
    statuses: dict[str, int]
    before_ms: float
    recovered_s: float | None


async def overload(callers: Callers, precision: str, peak_per_s: float, seconds: float) -> Overload:
    """Overloads a gateway for so long, and waits until it answers as before."""
    await callers.connect(CONNECTIONS)
    before = [await _probe(callers) for _ in range(PROBES)]
    usual = statistics.median(spent for _, spent in before)
    rate = TIMES * peak_per_s
    outcomes = await arrive(callers, rate, seconds)
    recovered = await _recovered(callers, CALM * usual + SLACK_S)
    return summary(outcomes, precision, rate, seconds, peak_per_s, usual, recovered)


def summary(
    outcomes: list[Outcome],
    precision: str,
    rate: float,
    seconds: float,
    peak_per_s: float,
    usual_s: float,
    recovered_s: float | None,
) -> Overload:
    """The figures of one overload. What is answered after the last arrival counts for nothing."""
    good = [one for one in outcomes if one.status == OK]
    in_time = [one for one in good if one.due_s + one.seconds <= seconds]
    refused = [one for one in outcomes if one.status in REFUSALS]
    return Overload(
        precision=precision,
        rate=rate,
        seconds=seconds,
        peak_per_s=peak_per_s,
        goodput_per_s=len(in_time) / seconds,
        answered_ms=(percentile_ms(good, 50), percentile_ms(good, 99)),
        refused=len(refused),
        refused_ms=(percentile_ms(refused, 50), percentile_ms(refused, 99), percentile_ms(refused, 100)),
        without_retry_after=sum(not one.retry_after for one in refused),
        statuses={str(status): count for status, count in sorted(Counter(one.status for one in outcomes).items())},
        before_ms=usual_s * 1000,
        recovered_s=recovered_s,
    )


async def _probe(callers: Callers) -> tuple[int, float]:
    began = time.perf_counter()
    status, _ = await callers.ask()
    return status, time.perf_counter() - began


async def _recovered(callers: Callers, good_s: float) -> float | None:
    began = time.perf_counter()
    since, calm = 0.0, 0
    while time.perf_counter() - began < LONGEST_S:
        status, spent = await _probe(callers)
        if status != OK or spent > good_s:
            calm = 0
        else:
            if calm == 0:
                since = time.perf_counter() - began
            calm += 1
            if calm == CALM_PROBES:
                return since
        await asyncio.sleep(PROBE_EVERY_S)
    return None
