"""Load tests on the real stack: what they leave behind, what their exit status says, and that they hide nothing."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.e2e.conftest import PRODUCTS, OpenGateway
from tests.e2e.writable import Writable
from tests.fixtures.serving import RunningGateway, eventually
from tests.fixtures.stack import ROOT, RunningStack

TIMEOUT_S = 90
STALL_S = 1.0


@dataclass(frozen=True)
class Ended:
    """A load test that is over."""

    status: int
    output: str
    report: Path

    @property
    def summary(self) -> dict[str, Any]:
        return dict(json.loads((self.report / "summary.json").read_text(encoding="utf-8")))

    def statistics(self) -> dict[str, str]:
        """The last row of Locust's own table, which is that of all requests."""
        with (self.report / "statistics_stats.csv").open(encoding="utf-8") as file:
            return list(csv.DictReader(file))[-1]


def _start(url: str, report: Path, *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "loadtest", "--host", url, "--output", str(report), *options]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _end(process: "subprocess.Popen[str]", report: Path) -> Ended:
    try:
        output, _ = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.terminate()
        output, _ = process.communicate(timeout=TIMEOUT_S)
        pytest.fail(f"the load test does not end:\n{output}")
    return Ended(process.returncode, output, report)


def _run(url: str, report: Path, *options: str) -> Ended:
    return _end(_start(url, report, *options), report)


@pytest.fixture(scope="module")
def scratch(stack: RunningStack) -> Writable:
    return Writable(stack.settings, "scratch")


@pytest.fixture(scope="module")
def smoke(gateway: RunningGateway, scratch: Writable, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """The smoke test in less than half of its time, writes included."""
    report = tmp_path_factory.mktemp("smoke") / "report"
    return _run(gateway.url, report, "--duration", "9", "--write-collection", scratch.alias)


def test_the_smoke_test_passes_and_tells_what_it_did(smoke: Ended) -> None:
    assert smoke.status == 0, smoke.output
    assert "All thresholds held" in smoke.output
    summary = smoke.summary
    assert summary["held"]
    assert [stage["name"] for stage in summary["stages"]] == ["x0.25", "x0.5", "x1"]
    assert [stage["rate"] for stage in summary["stages"]] == [3, 6, 12]
    whole = summary["whole"]
    assert whole["offered"] == sum(stage["offered"] for stage in summary["stages"])
    assert whole["good"] >= 0.98 * whole["offered"]
    assert whole["offered"] == pytest.approx(3 * (3 + 6 + 12), rel=0.45)
    assert all(0 < figures["latency_ms"]["p50"] < 2_000 for figures in summary["endpoints"].values())
    assert {name.partition(":")[0] for name in summary["endpoints"]} == {"search", "item"}


def test_locusts_pages_and_tables_are_of_the_same_requests(smoke: Ended) -> None:
    statistics, summary = smoke.statistics(), smoke.summary
    assert statistics["Name"] == "Aggregated"
    # The warm-up is in Locust's tables and nowhere else.
    assert int(statistics["Request Count"]) > summary["whole"]["offered"]
    assert int(statistics["Failure Count"]) == sum(summary["errors"].values())
    assert float(statistics["50%"]) == pytest.approx(summary["whole"]["latency_ms"]["p50"], rel=0.5)
    page = (smoke.report / "report.html").read_text(encoding="utf-8")
    assert all(name in page for name in summary["endpoints"])
    with (smoke.report / "statistics_stats_history.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) > 5
    with Image.open(smoke.report / "throughput-latency.png") as picture:
        picture.load()
        assert picture.width > 1_000


def test_nothing_is_written_but_items_of_its_own_into_the_scratch_collection(
    smoke: Ended, gateway: RunningGateway, scratch: Writable
) -> None:
    assert smoke.summary["writes"]
    assert all(item.startswith("loadtest-") for item in scratch.ids())
    assert sorted(gateway.ids("dress", limit=250)) == sorted(PRODUCTS)


def test_an_overloaded_gateway_breaks_thresholds_and_the_exit_status_says_so(
    open_gateway: OpenGateway, shop: Path, tmp_path: Path
) -> None:
    gateway = open_gateway(max_in_flight=1, media_root=shop)
    ended = _run(gateway.url, tmp_path, "--rate", "80", "--duration", "4")
    assert ended.status == 1, ended.output
    assert "Thresholds are broken" in ended.output
    broken = {(one["where"], one["what"]) for one in ended.summary["thresholds"] if not one["held"]}
    assert ("whole", "error_rate") in broken
    whole = ended.summary["whole"]
    assert whole["refused"] > 0.05 * whole["offered"]
    assert whole["refusal_ms"]["p50"] is not None
    assert any("503 overloaded" in error for error in ended.summary["errors"])


@pytest.fixture
def stalled(open_gateway: OpenGateway, shop: Path, tmp_path: Path) -> Ended:
    """Two workers load a gateway that stands still for a second."""
    gateway = open_gateway(media_root=shop)
    options = ("--shape", "average", "--arrivals", "constant", "--rate", "20", "--duration", "5", "--workers", "2")
    process = _start(gateway.url, tmp_path / "report", *options)
    served = 'vitrine_http_requests_total{method="POST"'
    try:
        # Past the warm-up of 60 requests: within the stages that are measured.
        eventually("the load has begun", lambda: _sum(gateway, served) > 75, within_s=60)
        os.kill(gateway.process.pid, signal.SIGSTOP)
        time.sleep(STALL_S)
    finally:
        os.kill(gateway.process.pid, signal.SIGCONT)
    return _end(process, tmp_path / "report")


def _sum(gateway: RunningGateway, prefix: str) -> float:
    lines = gateway.http.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(prefix))


def test_a_server_that_stands_still_is_seen_by_everybody_who_came_meanwhile(stalled: Ended) -> None:
    summary = stalled.summary
    # A fifth of the arrivals were due in that second, and waited for what was left of it: half a second on average.
    assert summary["whole"]["latency_ms"]["p95"] > 1_000 * STALL_S / 2
    assert summary["whole"]["latency_ms"]["p99"] > 1_000 * STALL_S * 0.8
    assert float(stalled.statistics()["99%"]) > 1_000 * STALL_S * 0.8
    # The load did not wait with it, and the workers brought half of it each.
    assert summary["workers"] == 2
    assert summary["whole"]["offered"] == 5 * 20
    assert summary["whole"]["good"] > 0.9 * 5 * 20


def test_another_machine_is_not_loaded_by_mistake(tmp_path: Path) -> None:
    ended = _run("http://192.0.2.1:8080", tmp_path)
    assert ended.status == 2
    assert "192.0.2.1 is not this machine" in ended.output
    assert not (tmp_path / "summary.json").exists()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--write-collection", "products_v1"), "are the same collection"),
        (("--collection", "nothing_here"), "is answered 404"),
    ],
)
def test_a_collection_that_is_not_fit_for_it_is_refused_before_any_load(
    gateway: RunningGateway, tmp_path: Path, options: tuple[str, ...], complaint: str
) -> None:
    ended = _run(gateway.url, tmp_path, *options)
    assert ended.status == 2
    assert complaint in ended.output
    assert not (tmp_path / "summary.json").exists()


def test_a_collection_with_items_of_others_is_not_written_to(
    gateway: RunningGateway, stack: RunningStack, tmp_path: Path
) -> None:
    others = Writable(stack.settings, "others")
    assert others.put(gateway, "somebodys-item").status_code == 201
    eventually("the item is found", lambda: gateway.ids("dress", alias="others") == ["somebodys-item"])
    ended = _run(gateway.url, tmp_path, "--write-collection", "others")
    assert ended.status == 2
    assert "holds items that no load test wrote, such as 'somebodys-item'" in ended.output
    assert others.ids() == ["somebodys-item"]
