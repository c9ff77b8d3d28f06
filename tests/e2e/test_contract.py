"""The service against its own OpenAPI document: schemathesis, all its checks, on the real engines.

A short run here; `make contract CASES=400` gives each operation more (see docs/testing.md).
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.e2e.conftest import OpenGateway
from tests.fixtures.stack import ROOT

CASES = int(os.environ.get("CONTRACT_CASES", "25"))
LEAST_CASES = CASES * 12
TIMEOUT_S = 60 + CASES * 30


def test_every_answer_is_documented_and_nothing_breaks(open_gateway: OpenGateway, shop: Path, tmp_path: Path) -> None:
    gateway = open_gateway(media_root=shop)
    report = tmp_path / "report.json"
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(ROOT / "tests/e2e/schemathesis.toml"), "run"),
        *("--checks", "all", "--max-examples", str(CASES), "--no-color", "--seed", "20261122"),
        *("--report", "json", "--report-json-path", str(report), f"{gateway.url}/openapi.json"),
    ]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    print(run.stdout[-20_000:])
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-4_000:]
    told = json.loads(report.read_text())
    print(told)
    assert gateway.process.poll() is None
    assert gateway.ids("red dress", limit=5)
