"""What an answer costs each process is told from slices of load, and what a cluster needs from that."""

import numpy as np
import pytest

from loadtest.bench.serving.cost_model import STAGES, Costs, cluster_need, costs_of
from loadtest.bench.serving.processes import Spent
from loadtest.bench.serving.under_load import Slice
from vitrine.tuning.plan import CPU_SHARE

PROCESS_OF = {"gateway": "gateway fp32 uncached", "triton": "triton fp32", "milvus": "milvus", "generator": "generator"}
TRUE_MS = {"gateway": 1.0, "triton": 8.0, "milvus": 2.0, "generator": 0.2}
IDLE = {"gateway": 0.0, "triton": 0.0, "milvus": 0.05, "generator": 0.0}


def _slice(answers: int, elapsed_s: float) -> Slice:
    cpu = {PROCESS_OF[stage]: IDLE[stage] * elapsed_s + TRUE_MS[stage] / 1000 * answers for stage in STAGES}
    return Slice(8, np.full(answers, 0.05), elapsed_s, Spent(cpu, elapsed_s))


@pytest.fixture
def costs() -> Costs:
    idle = {PROCESS_OF[stage]: IDLE[stage] for stage in STAGES}
    return costs_of("gateway uncached, fp32", [_slice(500, 3.0), _slice(800, 5.0)], PROCESS_OF, idle)


def test_costs_are_found_beneath_what_is_spent_idle(costs: Costs) -> None:
    assert {stage: costs.cpu_s[stage] * 1000 for stage in STAGES} == pytest.approx(TRUE_MS)


def test_busy_cores_at_the_saturating_rate_are_all_cores(costs: Costs) -> None:
    rate = costs.saturating_rate(2)
    assert sum(costs.busy_cores(rate).values()) == pytest.approx(2)


def test_what_the_cache_answers_needs_no_triton(costs: Costs) -> None:
    without, with_cache = cluster_need(costs, 1_000, 0.0), cluster_need(costs, 1_000, 0.75)
    assert without.cores["triton"] == pytest.approx(8.0 / CPU_SHARE, abs=0.05)
    assert with_cache.cores["triton"] == pytest.approx(without.cores["triton"] / 4, abs=0.1)
    assert with_cache.cores["milvus"] == without.cores["milvus"]


def test_a_gateway_is_one_core_at_most(costs: Costs) -> None:
    assert cluster_need(costs, 1_000, 0.0).gateway_pods == 2
    assert cluster_need(costs, 5_000, 0.0).gateway_pods == 9
    assert cluster_need(costs, 1, 0.0).gateway_pods == 1
