"""Real faults in a real `vitrine up`: the right alerts go pending and then fire, no other does, and all end again.

The stack's own Prometheus has the chart's rules with all their time divided by `FACTOR`: what takes five minutes in
production takes five seconds here. Thresholds are untouched. The tests run in this order, on one stack: each leaves it
well, and waits for silence.
"""

import asyncio
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final, Self

import httpx
import pytest

from tests.fixtures.command_line import CommandLine
from tests.fixtures.indexing import Indexing
from tests.fixtures.prometheus import binary
from tests.fixtures.serving import eventually
from tests.fixtures.shop import Shop, product_ids
from tests.fixtures.stack import settings_on_free_ports
from tests.harness.compressed import write_compressed
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
TIMEOUT_MS: Final = 500

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


class Load:
    """Searches by threads that each ask again and again, for as long as the context lasts.

    Args:
        url: of the gateway.
        threads: at once.
        pause_s: of each between two searches.
    """

    _numbers = count()

    def __init__(self, url: str, threads: int = 1, pause_s: float = 0.06) -> None:
        self.statuses: Counter[int] = Counter()
        self._url = url
        self._pause_s = pause_s
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(threads)]

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=10) as http:
            while not self._over.wait(self._pause_s):
                body = {"query": f"red dress {next(self._numbers)}", "timeout_ms": TIMEOUT_MS}
                try:
                    status = http.post(f"/v1/collections/{ALIAS}/search", json=body).status_code
                except httpx.TransportError:
                    status = 0  # the stack is brought down at the end
                self.statuses[status] += 1

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


@dataclass(frozen=True)
class Watched:
    """The stack under a light load, and its Prometheus."""

    vitrine: CommandLine
    prometheus: Watching
    load: Load

    @property
    def settings(self) -> Settings:
        return self.vitrine.settings

    def wait_silent(self, remembered: frozenset[str] = REMEMBERED) -> None:
        """Until nothing is pending or firing, but for what remembers longer."""
        try:
            eventually("silence", lambda: not self.prometheus.active(but=remembered), SILENCE_S)
        except pytest.fail.Exception:
            pytest.fail(f"still pending or firing: {self.prometheus.active(but=remembered)}")

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
        assert fired - expected.fires - expected.may - REMEMBERED == set(), "fired, and should not have"
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
        with Watching(prometheus) as watching, Load(gateway) as load:
            yield Watched(vitrine, watching, load)
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
    assert prometheus.targets() == {"vitrine-gateway": "up", "vitrine-triton": "up", "milvus": "up"}
    assert set(prometheus.rules().values()) == {"ok"}
    assert names - prometheus.recorded() == set()
    assert prometheus.seen("firing", since) == set()
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
    assert [one for one in objectives["alerts"] if one["state"] == "firing"] == []


def test_overload_is_shedding(watched: Watched) -> None:
    with watched.fault(OVERLOAD) as since, Load(watched.vitrine.service("gateway").address, 4 * PERMITS, 0.02) as burst:
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
