"""Real faults in a real `vitrine up`: the right alerts go pending and then fire, no other does, and all end again.

The stack's own Prometheus has the chart's rules with all their time divided by `FACTOR`: what takes five minutes in
production takes five seconds here. Thresholds are untouched. The tests run in this order, on one stack: each leaves it
well, and waits for silence.

On a busy machine searches may really be slow, and the alerts of latency are right then. They may be there exactly where
the callers' own clocks say so (tests/monitoring/callers.py), and nowhere else.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.fixtures.command_line import CommandLine
from tests.fixtures.indexing import Indexing
from tests.fixtures.prometheus import binary
from tests.fixtures.serving import eventually
from tests.fixtures.shop import Shop, product_ids
from tests.fixtures.stack import settings_on_free_ports
from tests.harness.compressed import write_compressed
from tests.monitoring.callers import Load, Waits
from tests.monitoring.rules_folder import MONITORING, RECORDING_FILES, rules_of
from tests.monitoring.watching import Watching
from vitrine.embedding.contract import ModelContract
from vitrine.local.ports import is_free
from vitrine.local.state import processes_of
from vitrine.settings import CanarySettings, Settings
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionSpec
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.index_params import parse_index

FACTOR: Final = 60
ALIAS: Final = "watched"
PERMITS: Final = 2
SILENCE_S: Final = 90.0
FIRING_S: Final = 60.0
CALM_S: Final = 10.0
RECENT_S: Final = 10.0

OBJECTIVES: Final = ("SearchErrorBudgetBurn", "SearchLatency250BudgetBurn", "SearchLatency50BudgetBurn")
REMEMBERED: Final = frozenset(f"{name} {burn}" for name in OBJECTIVES for burn in ("6", "3", "1"))
"""Their short windows, 30 minutes and more, still hold a fault when the next one comes: they are right to go on."""


@dataclass(frozen=True)
class Expected:
    """What a fault is to do.

    Args:
        fires: these fire, each after it was pending.
        may: these may fire too, and why is said beside them; every other alert must not.
    """

    fires: frozenset[str]
    may: frozenset[str] = frozenset()


NOT_READY: Final = frozenset({"GatewayNotReady all", "SearchErrorBudgetBurn 14.4"})
OVERLOAD: Final = Expected(frozenset({"GatewayShedding", "SearchErrorBudgetBurn 14.4"}))
FROZEN_TRITON: Final = Expected(
    NOT_READY | {"DependencyDown all triton", "TritonMetricsAbsent all", "TritonMetricsAbsent some"}
)
KILLED_MILVUS: Final = Expected(
    NOT_READY | {"DependencyDown all milvus"},
    # How long it takes to come back is the machine's affair; after ten seconds these are right.
    frozenset({"MilvusMetricsAbsent all", "MilvusMetricsAbsent some", "MilvusNodeLost"}),
)
OTHER_MODEL: Final = Expected(NOT_READY | {"ContractMismatch"})


@dataclass(frozen=True)
class Watched:
    """The stack under a light load, and its Prometheus."""

    vitrine: CommandLine
    prometheus: Watching
    load: Load
    waits: Waits

    @property
    def settings(self) -> Settings:
        return self.vitrine.settings

    def wait_silent(self, remembered: frozenset[str] = REMEMBERED) -> None:
        """Until nothing is pending or firing, but for what remembers longer."""

        def active() -> set[str]:
            return self.prometheus.active(but=remembered | self.waits.slow(time.time() - RECENT_S))

        try:
            eventually("silence", lambda: not active(), SILENCE_S)
        except pytest.fail.Exception:
            pytest.fail(f"still pending or firing: {active()}")

    def wait_fired(self, since: float, names: frozenset[str]) -> None:
        """Until all of these fired."""
        try:
            eventually("the alerts fire", lambda: names <= self.prometheus.seen("firing", since), FIRING_S)
        except pytest.fail.Exception:
            missing = names - self.prometheus.seen("firing", since)
            pytest.fail(f"did not fire: {missing}; pending or firing now: {self.prometheus.active()}")

    def judge(self, since: float, expected: Expected) -> None:
        """What there was from then until now is what is expected, and nothing else."""
        pending, fired = self.prometheus.seen("pending", since), self.prometheus.seen("firing", since)
        assert expected.fires - fired == set(), "did not fire"
        others = fired - expected.fires - expected.may - REMEMBERED
        assert others - self.waits.slow(since) == set(), "fired, and should not have"
        assert expected.fires - pending == set(), "fired without having been pending"

    @contextmanager
    def fault(self, expected: Expected) -> Iterator[float]:
        """Gives when it begins (Unix s); after it waits for silence, and judges what there was."""
        self.wait_silent()
        since = time.time()
        yield since
        self.wait_silent()
        self.judge(since, expected)


def _settings(folder: Path, repository: Path) -> Settings:
    """A stack of its own, with everything about time in it as short as the rules' time is."""
    free = settings_on_free_ports(folder / "state", repository)
    write_compressed(MONITORING / "recording", folder / "monitoring" / "recording", FACTOR)
    write_compressed(MONITORING / "alerts", folder / "monitoring" / "alerts", FACTOR)
    local = {"prometheus": binary(), "scrape_interval_s": 1.0, "monitoring_dir": folder / "monitoring"}
    gateway = {
        "default_collection": ALIAS,
        "max_in_flight": PERMITS,
        "readiness_timeout_s": 0.5,  # /metrics asks too, and must be done before its scrape is given up
        "readiness_cache_s": 0.2,
    }
    return free.model_copy(
        update={
            "local": free.local.model_copy(update=local),
            "gateway": free.gateway.model_copy(update=gateway),
            "canary": CanarySettings(interval_s=2, sample=256),
        }
    )


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, model_repository: Path) -> Iterator[Watched]:
    """`vitrine up` with Prometheus, a catalogue indexed, under load."""
    folder = tmp_path_factory.mktemp("faults")
    vitrine = CommandLine(_settings(folder, model_repository))
    indexing = Indexing(vitrine.settings, folder / "indexing")
    shop = Shop(folder / "shop")
    for product_id in product_ids(60):
        shop.add(product_id)
    try:
        vitrine.up()
        indexing.index(shop.write(), ALIAS)
        gateway, prometheus = vitrine.service("gateway").address, vitrine.service("prometheus").address
        waits = Waits(FACTOR)
        with Watching(prometheus) as watching, Load(gateway, ALIAS, waits) as load:
            yield Watched(vitrine, watching, load, waits)
    finally:
        indexing.close()
        vitrine("down")


def test_a_stack_that_is_well_has_every_figure_and_no_alert(watched: Watched) -> None:
    prometheus = watched.prometheus
    names = {rule.name for rule in rules_of(*RECORDING_FILES)}
    eventually("every recording rule has a value", lambda: not names - prometheus.recorded())
    watched.wait_silent(remembered=frozenset())
    since = time.time()
    time.sleep(CALM_S)
    jobs = {"vitrine-gateway", "vitrine-triton", "milvus"}
    # One scrape may come too late on a busy machine.
    eventually("all three are scraped", lambda: prometheus.targets() == dict.fromkeys(jobs, "up"), CALM_S)
    eventually("every recording rule still has a value", lambda: not names - prometheus.recorded(), CALM_S)
    assert set(prometheus.rules().values()) == {"ok"}
    assert prometheus.seen("firing", since) - watched.waits.slow(since) == set()
    assert watched.load.statuses[200] > CALM_S


def test_status_shows_the_objectives(watched: Watched) -> None:
    code, output = watched.vitrine("status", "--json")
    assert code == 0, output
    objectives = json.loads(output)["objectives"]
    standings = {one["name"]: one for one in objectives["standings"]}
    assert standings["availability"]["good"]["5m"] == 1.0
    assert 0 <= standings["latency250"]["good"]["1h"] <= 1
    assert objectives["searches_per_s"] > 0
    assert objectives["recall"] == pytest.approx(1, abs=0.1)
    slow = {identity.partition(" ")[0] for identity in watched.waits.slow(time.time() - RECENT_S)}
    assert {one["name"] for one in objectives["alerts"] if one["state"] == "firing"} - slow == set()


def test_overload_is_shedding(watched: Watched) -> None:
    gateway = watched.vitrine.service("gateway").address
    burst = Load(gateway, ALIAS, watched.waits, threads=4 * PERMITS, pause_s=0.02)
    with watched.fault(OVERLOAD) as since, burst:
        watched.wait_fired(since, OVERLOAD.fires)
        assert burst.statuses[503]
        assert burst.statuses[200]


def test_a_frozen_triton_is_a_dependency_that_is_down(watched: Watched) -> None:
    pid = watched.vitrine.pid("triton")
    with watched.fault(FROZEN_TRITON) as since:
        os.kill(pid, signal.SIGSTOP)
        try:
            watched.wait_fired(since, FROZEN_TRITON.fires)
            code, output = watched.vitrine("status")
            assert code == 1
            assert "firing GatewayNotReady (page)" in output
        finally:
            os.kill(pid, signal.SIGCONT)


def test_a_killed_milvus_is_a_dependency_that_is_down_until_it_is_back(watched: Watched) -> None:
    with watched.fault(KILLED_MILVUS) as since:
        os.kill(watched.vitrine.pid("milvus"), signal.SIGKILL)
        watched.wait_fired(since, KILLED_MILVUS.fires)
    assert watched.vitrine.service("milvus").restarts == 1


def test_a_collection_of_another_model_is_a_mismatch(watched: Watched) -> None:
    with watched.fault(OTHER_MODEL) as since:
        ours = asyncio.run(_point_elsewhere(watched.settings))
        try:
            watched.wait_fired(since, OTHER_MODEL.fires)
        finally:
            asyncio.run(_point_back(watched.settings, ours))


async def _point_elsewhere(settings: Settings) -> str:
    """Moves the alias to an empty collection of another model; gives the name of the one it had."""
    dimension = ModelContract.load(settings.model.repository).dimension
    foreign = CollectionSpec("foreign_v1", dimension, (), parse_index("flat", {}), "e" * 64, "another")
    async with await MilvusConnection.open(settings.milvus) as connection:
        admin = CollectionAdmin(connection)
        ours = (await admin.describe(ALIAS)).name
        await admin.create(foreign)
        await admin.point_alias(ALIAS, foreign.name)
    return ours


async def _point_back(settings: Settings, ours: str) -> None:
    async with await MilvusConnection.open(settings.milvus) as connection:
        await CollectionAdmin(connection).point_alias(ALIAS, ours)


def test_down_ends_prometheus_too(watched: Watched) -> None:
    run = watched.vitrine.status().run
    assert watched.vitrine("down")[0] == 0
    assert processes_of(run) == []
    assert is_free(watched.settings.local.prometheus_port)
