"""The gate before a text model of reduced precision, on the trained model of the demo. Needs the export extra."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path("loadtest/bench/precision_fidelity.py")
DEMO = Path("model_repository")

pytestmark = pytest.mark.export


def asked(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
    """Exit status and report of the bench."""
    command = [sys.executable, BENCH, *arguments, "--pictures", "120"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_the_demo_texts_find_in_int8_what_they_find_in_fp32() -> None:
    status, report = asked("text", DEMO)
    assert status == 0
    assert report["accepted"]
    for case in ("batch 1", "batch 32"):
        assert report[case]["mean_cosine"] >= 0.999
        assert report[case]["top_10_overlap"] >= 0.98


def test_a_text_model_that_finds_others_is_refused(tmp_path: Path) -> None:
    from vitrine.models.graph import Array, Graph
    from vitrine.models.precision import FloatLinear

    class Coarse(FloatLinear):
        """Weights of three bits."""

        def apply(self, graph: Graph, x: str, weight: Array, bias: Array | None) -> str:
            step = abs(weight).max() / 3
            return FloatLinear().apply(graph, x, (weight / step).round() * step, bias)

    from loadtest.bench.reduced_graph import reduced

    shutil.copytree(DEMO, tmp_path / "coarse")
    graph = Path("clip_text") / "1" / "model.onnx"
    (tmp_path / "coarse" / graph).write_bytes(reduced(DEMO / graph, Coarse()).SerializeToString())
    status, report = asked("text", DEMO, tmp_path / "coarse")
    assert status == 1
    assert not report["accepted"]
    assert report["batch 1"]["top_10_overlap"] < 0.98
