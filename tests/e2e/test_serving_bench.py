"""`make bench` in its quick size: everything is built, measured and written. Its bounds need the full size."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.stack import ROOT, engines_dir

pytestmark = pytest.mark.bench


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    options = ("--size", "quick", "--folder", str(folder), "--python", sys.executable, "--engines", str(engines_dir()))
    ended = subprocess.run(
        [sys.executable, "-m", "loadtest.bench.serving", *options],
        cwd=ROOT,
        env={**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "0"},
        capture_output=True,
        text=True,
        timeout=1_200,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder / "quick" / "results"


@pytest.fixture(scope="module")
def figures(results: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((results / "figures.json").read_text(encoding="utf-8"))
    return read


def test_every_system_is_measured_one_call_at_a_time_and_under_load(figures: dict[str, Any]) -> None:
    gateways = {f"gateway {cache}, {model}" for cache in ("uncached", "cached") for model in ("fp32", "int8")}
    alone = {"Milvus alone", "Triton alone, fp32", "Triton alone, int8"}
    turned = {one["system"] for one in figures["single"]}
    assert turned == gateways | alone | {"recipe", "Milvus alone, the gateway's call"}
    loaded = {(one["system"], one["callers"]) for one in figures["loaded"]}
    assert loaded >= {(system, callers) for system in gateways | alone for callers in (1, 8, 32, 64)}
    assert ("recipe", 1) in loaded
    assert ("recipe", 8) not in loaded


def test_answers_that_were_timed_reach_the_recall_and_the_recipe_does_not(figures: dict[str, Any]) -> None:
    recalls = {one["system"]: one["recall"] for one in figures["single"]}
    assert min(recalls["gateway uncached, fp32"], recalls["gateway cached, int8"], recalls["Milvus alone"]) >= 0.9
    assert recalls["recipe"] < 0.9
    assert recalls["Triton alone, fp32"] is None
    for kinds in figures["recall"].values():
        assert all(found["mean"] >= 0.95 for found in kinds.values())


def test_processor_time_is_told_of_the_processes_that_worked(figures: dict[str, Any]) -> None:
    for one in figures["loaded"]:
        if one["callers"] == 64 and one["system"] == "gateway uncached, fp32":
            assert one["cpu_ms"]["gateway fp32 uncached"] > 10 * one["cpu_ms"]["gateway int8 cached"]
            assert one["cpu_ms"]["milvus"] > 0
            assert one["cpu_ms"]["machine"] > one["cpu_ms"]["gateway fp32 uncached"]


def test_the_cache_answers_a_part_of_the_log(figures: dict[str, Any]) -> None:
    assert all(0.05 < share < 1 for share in figures["hit_share"].values())


def test_the_report_and_the_pictures_are_written(results: Path) -> None:
    text = (results / "report.md").read_text(encoding="utf-8")
    for heading in ("Verdicts", "One call at a time", "Under load", "Memory", "What a cluster needs"):
        assert f"## {heading}" in text
    for name in ("latency.png", "throughput.png", "cost.png"):
        assert (results / name).read_bytes().startswith(b"\x89PNG")
