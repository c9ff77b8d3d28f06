"""What an answer costs each process, and what a cluster needs from that.

A process's cost of an answer is its processor time under load, less what it takes idle for as long, by the number of
answers. A rate then keeps `idle + rate * cost` cores busy; the rate at which all cores are busy is the most there is.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from loadtest.bench.serving.under_load import Slice
from vitrine.tuning.plan import CPU_SHARE

STAGES: Final = ("gateway", "triton", "milvus", "generator")
SERVING_STAGES: Final = STAGES[:3]
"""What a cluster has; the generator of load is the shop."""


@dataclass(frozen=True)
class Costs:
    """Of the answers of one gateway.

    Args:
        system: whose answers.
        callers: at whose load it was measured.
        cpu_s: processor seconds of an answer, by stage.
        idle_cores: busy without any load, by stage.
    """

    system: str
    callers: int
    cpu_s: Mapping[str, float]
    idle_cores: Mapping[str, float]

    def busy_cores(self, rate: float) -> dict[str, float]:
        """Cores that a rate of answers keeps busy, by stage."""
        return {stage: self.idle_cores[stage] + rate * self.cpu_s[stage] for stage in STAGES}

    def saturating_rate(self, cores: int) -> float:
        """Answers a second at which all cores are busy."""
        return (cores - sum(self.idle_cores.values())) / sum(self.cpu_s.values())


@dataclass(frozen=True)
class ClusterNeed:
    """What a rate needs, with each core busy for at most the share that `vitrine plan` allows.

    Args:
        qps: answers a second.
        hit_share: of queries that the cache answers without Triton.
        cores: by stage, rounded to tenths.
        gateway_pods: each one process, which is one core at most.
    """

    qps: int
    hit_share: float
    cores: Mapping[str, float]
    gateway_pods: int


@dataclass(frozen=True)
class Step:
    """A step of load that the model is checked on: cores busy by stage, foretold and seen."""

    rate: float
    answered_per_s: float
    foretold: Mapping[str, float]
    seen: Mapping[str, float]
    p50_ms: float
    p99_ms: float
    failed: int


def costs_of(
    system: str, slices: Sequence[Slice], process_of: Mapping[str, str], idle_cores: Mapping[str, float]
) -> Costs:
    """Fitted from slices at one number of callers.

    Args:
        system: its name.
        slices: one at least.
        process_of: the process of each stage.
        idle_cores: busy without any load, by process.
    """
    answered = sum(len(one.latencies_s) for one in slices)
    elapsed = sum(one.spent.elapsed_s for one in slices)
    cpu = {}
    for stage in STAGES:
        process = process_of[stage]
        spent = sum(one.spent.cpu_s[process] for one in slices)
        cpu[stage] = max(0.0, spent - idle_cores[process] * elapsed) / answered
    return Costs(system, slices[0].callers, cpu, {stage: idle_cores[process_of[stage]] for stage in STAGES})


def cluster_need(costs: Costs, qps: int, hit_share: float) -> ClusterNeed:
    """Cores and gateways for a rate, on machines like the one measured."""
    asked = {"gateway": 1.0, "triton": 1.0 - hit_share, "milvus": 1.0}
    cores = {stage: qps * asked[stage] * costs.cpu_s[stage] / CPU_SHARE for stage in SERVING_STAGES}
    return ClusterNeed(
        qps=qps,
        hit_share=hit_share,
        cores={stage: round(busy, 1) for stage, busy in cores.items()},
        gateway_pods=max(1, math.ceil(cores["gateway"])),
    )
