"""The bench of repeated queries measures, and obeys its threshold. Its verdict needs a quiet machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.fixtures.serving import RunningGateway
from tests.fixtures.stack import ROOT
from vitrine.local.gateway import environment_of

BENCH = ROOT / "loadtest" / "bench" / "repeated_query.py"


def _run(gateway: RunningGateway, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BENCH), "--url", gateway.url, "--rounds", "40", *arguments],
        env={**os.environ, **environment_of(gateway.settings), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_it_compares_the_same_work_and_writes_what_it_found(gateway: RunningGateway, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    ended = _run(gateway, "--threshold", "1000", "--json", str(figures))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "passed" in ended.stdout
    report = json.loads(figures.read_text())
    assert report["rows"] > 0
    p50 = report["p50"]
    assert set(p50) == {"repeated search", "Milvus, pymilvus", "Milvus, own call", "empty route"}
    assert all(spent > 0 for spent in p50.values())
    for who, name in (("pymilvus", "Milvus, pymilvus"), ("own", "Milvus, own call")):
        whole = p50["repeated search"] / (p50[name] + p50["empty route"])
        assert abs(report["ratios"][who][0] - whole) < 1e-9
        assert len(report["ratios"][who]) == 6


def test_a_ratio_over_the_threshold_is_exit_status_1(gateway: RunningGateway) -> None:
    ended = _run(gateway, "--threshold", "0.01", "--against", "own")
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "FAILED" in ended.stdout


def test_nothing_to_measure_is_exit_status_2(gateway: RunningGateway) -> None:
    for ended in (
        _run(gateway, "--url", "http://127.0.0.1:9"),
        _run(gateway, "--collection", "nothing"),
        _run(gateway, VITRINE_MILVUS__URI="http://127.0.0.1:9"),
    ):
        assert ended.returncode == 2, ended.stdout + ended.stderr
        assert "Traceback" not in ended.stderr
