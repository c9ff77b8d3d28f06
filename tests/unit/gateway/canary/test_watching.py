import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from vitrine.domain import Deadline
from vitrine.errors import SettingsInvalid, VectorStoreUnavailable
from vitrine.gateway.canary.recall import Figure, RecallCanary
from vitrine.gateway.canary.watching import Watch, known_queries, watched_recall
from vitrine.settings import CanarySettings, Settings
from vitrine.telemetry.canary_metrics import CanaryMetrics
from vitrine.vectorstore.connection import MilvusConnection


class Scripted:
    """Stands in for the canary: each run ends as the next of these, the last of them again and again."""

    def __init__(self, *ends: Figure | Exception | float) -> None:
        self.ends = list(ends)
        self.runs = 0

    async def run(self, deadline: Deadline) -> Figure:
        end = self.ends[min(self.runs, len(self.ends) - 1)]
        self.runs += 1
        if isinstance(end, Exception):
            raise end
        if isinstance(end, float):
            await asyncio.sleep(end)
            return Figure(0, 0, 0.0)
        return end


@asynccontextmanager
async def watched(canary: Scripted, **settings: float) -> AsyncIterator[CollectorRegistry]:
    registry = CollectorRegistry()
    chosen = CanarySettings.model_validate({"interval_s": 0.005, **settings})
    watch = Watch(cast("RecallCanary", canary), chosen, CanaryMetrics(registry), Random(1))
    task = asyncio.create_task(watch.keep_running())
    try:
        yield registry
    finally:
        task.cancel()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - a counter of prometheus-client cannot be waited for
            await asyncio.sleep(0.005)


def runs(registry: CollectorRegistry, outcome: str) -> float:
    return registry.get_sample_value("vitrine_canary_runs_total", {"outcome": outcome}) or 0


async def test_the_last_run_is_told() -> None:
    async with watched(Scripted(Figure(0, 0, 0.0), Figure(45, 50, 0.1))) as registry:
        value = registry.get_sample_value
        assert value("vitrine_canary_recall_ratio") is None
        assert value("vitrine_canary_last_success_timestamp_seconds") is None
        await until(lambda: runs(registry, "ok") == 1)
        assert value("vitrine_canary_recall_ratio") is None, "nothing is known yet"
        await until(lambda: runs(registry, "ok") >= 2)
        assert value("vitrine_canary_recall_ratio") == 0.9
        assert value("vitrine_canary_sampled_neighbours") == 50
        assert value("vitrine_canary_last_success_timestamp_seconds") is not None


async def test_a_failing_dependency_is_counted_told_once_and_leaves_the_last_figure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    down = VectorStoreUnavailable("Milvus does not answer.")
    canary = Scripted(Figure(9, 10, 0.5), down, down, down, Figure(8, 10, 0.5))
    with caplog.at_level(logging.INFO, "vitrine.gateway.canary"):
        async with watched(canary) as registry:
            await until(lambda: runs(registry, "failed") >= 1)
            assert registry.get_sample_value("vitrine_canary_recall_ratio") == 0.9
            await until(lambda: runs(registry, "ok") >= 2)
    assert [record.message for record in caplog.records] == [
        "The recall canary fails.",
        "The recall canary runs again.",
    ]
    assert runs(registry, "failed") == 3
    assert registry.get_sample_value("vitrine_canary_recall_ratio") == 0.8


async def test_a_run_that_hangs_ends_and_the_next_one_comes() -> None:
    canary = Scripted(3600.0)
    async with watched(canary, timeout_s=0.02) as registry:
        await until(lambda: runs(registry, "failed") >= 2)


async def test_what_nobody_foresaw_ends_one_run_and_not_the_canary() -> None:
    canary = Scripted(RuntimeError("a bug"), Figure(1, 1, 1.0))
    async with watched(canary) as registry:
        await until(lambda: runs(registry, "ok") >= 1)
        assert runs(registry, "failed") == 1


async def test_switched_off_it_has_no_task_no_metric_and_asks_nobody() -> None:
    registry = CollectorRegistry()
    before = asyncio.all_tasks()
    async with watched_recall(Settings(), cast("MilvusConnection", None), registry):
        assert asyncio.all_tasks() == before
    assert list(registry.collect()) == []


def test_the_queries_that_ship_are_a_hundred_different_ones() -> None:
    texts = known_queries(CanarySettings())
    assert len(set(texts)) == 100


def test_an_operators_queries_are_taken_and_a_file_without_any_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "queries.txt"
    file.write_text("teapot\n\nblue mug\nteapot\n")
    assert known_queries(CanarySettings(queries_file=file)) == ["teapot", "blue mug"]
    file.write_text("\n")
    with pytest.raises(SettingsInvalid, match="VITRINE_CANARY__QUERIES_FILE"):
        known_queries(CanarySettings(queries_file=file))
