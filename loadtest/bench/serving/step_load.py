"""Steps of load at a rate, to hold the model of cost against."""

from collections.abc import Mapping, Sequence
from typing import Final

from loadtest.bench.serving.cost_model import STAGES, Costs, Step
from loadtest.bench.serving.open_loop import OK, Callers, arrive, percentile_ms
from loadtest.bench.serving.processes import Processes

SHARES: Final = (0.25, 0.5, 0.75, 0.9)
"""Of the rate that the model says is the most."""


async def steps_of_load(
    callers: Callers,
    costs: Costs,
    process_of: Mapping[str, str],
    processes: Processes,
    cores: int,
    seconds: float,
) -> Sequence[Step]:
    """One step after the other, each beside what the model foretells."""
    steps = []
    for share in SHARES:
        rate = share * costs.saturating_rate(cores)
        with processes.counting() as spent:
            outcomes = await arrive(callers, rate, seconds)
        answered = len(outcomes) / spent.elapsed_s
        steps.append(
            Step(
                rate=rate,
                answered_per_s=answered,
                foretold=costs.busy_cores(answered),
                seen={stage: spent.cpu_s[process_of[stage]] / spent.elapsed_s for stage in STAGES},
                p50_ms=percentile_ms(outcomes, 50),
                p99_ms=percentile_ms(outcomes, 99),
                failed=sum(outcome.status != OK for outcome in outcomes),
            )
        )
    return steps
