"""Slices of load become rates, percentiles and processor time of an answer."""

import numpy as np
import pytest

from loadtest.bench.serving.caching import share_of_hits
from loadtest.bench.serving.figures import loaded_of, other_cores
from loadtest.bench.serving.processes import MACHINE, Spent
from loadtest.bench.serving.under_load import Slice


def _slice(callers: int, answers: int, latency_s: float) -> Slice:
    return Slice(callers, np.full(answers, latency_s), 2.0, Spent({"milvus": 0.002 * answers}, 2.0))


def test_rates_are_medians_of_slices_and_latencies_are_pooled() -> None:
    few, many = loaded_of("x", [_slice(8, 100, 0.01), _slice(8, 300, 0.03), _slice(8, 200, 0.02), _slice(64, 400, 0.1)])
    assert few.callers == 8
    assert few.per_s == pytest.approx(100)
    assert few.per_s_of_slices == pytest.approx((50, 150, 100))
    assert few.calls == 600
    assert few.ms.p50 == pytest.approx(25)
    assert few.cpu_ms["milvus"] == pytest.approx(2)
    assert many.callers == 64


def test_what_the_machine_did_for_none_of_the_processes_is_told() -> None:
    slices = [Slice(8, np.array([0.1]), 2.0, Spent({"milvus": 1.0, "triton fp32": 2.0, MACHINE: 3.5}, 2.0))] * 2
    assert other_cores(slices) == pytest.approx(0.25)


def test_the_share_of_hits_is_of_the_texts_asked_meanwhile() -> None:
    before = {"hit": 100.0, "miss": 50.0, "coalesced": 0.0}
    assert share_of_hits(before, {"hit": 130.0, "miss": 58.0, "coalesced": 2.0}) == pytest.approx(0.75)
    assert share_of_hits(before, before) == 0
