"""The load test's Jobs: one pod, or a master with its workers, load the gateway's pod and leave a report."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.helm.rendering import LOAD_ALONE, Pod, Rendered
from tests.pods.conftest import Start, rendered_here
from tests.pods.provided import Provided
from tests.pods.running import PodRunning

pytestmark = pytest.mark.pods

_WORKERS = 2
_TIMEOUT_S = 120.0


def _rendered(*more: str) -> Rendered:
    """A smoke test in a quarter of its time."""
    values = ("--set=loadtest.duration=6", "--set=loadtest.report.existingClaim=reports")
    return rendered_here("dev", *LOAD_ALONE, *values, *more)


def _of(role: str, rendered: Rendered) -> Pod:
    (pod,) = [pod for pod in rendered.pods_of("loadtest") if pod.metadata["labels"]["role"] == role]
    return pod


def _with_reports(provided: Provided, folder: Path) -> Provided:
    return replace(provided, claims={**provided.claims, "reports": folder})


def _summary(folder: Path, pod: Pod) -> dict[str, Any]:
    """Of the run that this pod judged; beside it lie the page, the picture and the tables."""
    report = folder / pod.owner["metadata"]["name"]
    names = {path.name for path in report.iterdir()}
    assert names >= {"report.html", "throughput-latency.png", "statistics_stats.csv"}
    return dict(json.loads((report / "summary.json").read_text(encoding="utf-8")))


def test_one_pod_loads_the_gateway_and_leaves_its_report(
    start: Start, gateway: PodRunning, provided: Provided, tmp_path: Path
) -> None:
    del gateway  # ready
    rendered = _rendered()
    pod = _of("alone", rendered)
    running = start(rendered, pod, _with_reports(provided, tmp_path))
    assert running.wait_ended(_TIMEOUT_S) == 0, running.log()
    assert "All thresholds held" in running.log()
    summary = _summary(tmp_path, pod)
    assert summary["workers"] == 1
    assert summary["whole"]["good"] == summary["whole"]["offered"] > 0


def test_workers_share_the_load_of_a_master_that_judges_it(
    start: Start, gateway: PodRunning, provided: Provided, tmp_path: Path
) -> None:
    del gateway
    rendered = _rendered(f"--set=loadtest.workers={_WORKERS}")
    master, worker = _of("master", rendered), _of("worker", rendered)
    assert worker.owner["spec"]["completions"] == _WORKERS
    # The workers first: in a cluster nobody says who starts when.
    workers = [start(rendered, worker) for _ in range(_WORKERS)]
    running = start(rendered, master, _with_reports(provided, tmp_path))
    assert running.wait_ended(_TIMEOUT_S) == 0, running.log()
    assert [one.wait_ended(30) for one in workers] == [0] * _WORKERS
    summary = _summary(tmp_path, master)
    assert summary["workers"] == _WORKERS
    assert summary["whole"]["good"] == summary["whole"]["offered"] > 0


def test_a_collection_that_is_not_there_ends_with_a_sentence_and_no_load(
    start: Start, gateway: PodRunning, provided: Provided, tmp_path: Path
) -> None:
    del gateway
    rendered = _rendered("--set=collection=nothing")
    running = start(rendered, _of("alone", rendered), _with_reports(provided, tmp_path))
    assert running.wait_ended(60) == 2
    assert "A search of nothing is answered 404" in running.log()
