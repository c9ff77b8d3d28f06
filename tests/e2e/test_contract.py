"""The service against its own OpenAPI document: schemathesis, all its checks, on the real engines.

A short run here; `make contract CASES=40` gives each operation more.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import COLOURS, PRODUCTS, OpenGateway
from tests.fixtures.indexing import Indexing
from tests.fixtures.shop import Shop
from tests.fixtures.stack import ROOT, RunningStack

CASES = int(os.environ.get("CONTRACT_CASES", "4"))
FOLDER = ROOT / "tests" / "e2e"
LEAST_CASES = 1_000
"""The phase that goes over every boundary of every member makes more than this by itself."""
TIMEOUT_S = 120 + CASES * 60


@pytest.fixture(scope="module")
def collections(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a shop behind the alias `contract`, which the test may write into, and one that it may release."""
    indexing = Indexing(stack.settings, tmp_path_factory.mktemp("indexing"))
    shop = Shop(tmp_path_factory.mktemp("contract"))
    for n, product in enumerate(PRODUCTS):
        shop.add(product, colour_group_name=COLOURS[n % 3])
    folder = shop.write()
    indexing.index(folder, "contract")
    indexing.index(folder, "spare")
    return folder


def test_every_answer_is_documented_and_nothing_breaks(
    open_gateway: OpenGateway, collections: Path, tmp_path: Path
) -> None:
    gateway = open_gateway(media_root=collections, default_collection="contract")
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(FOLDER / "schemathesis.toml"), "run"),
        *("--checks", "all", "--max-examples", str(CASES), "--seed", "20261122", "--no-color"),
        f"{gateway.url}/openapi.json",
    ]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": str(FOLDER / "contract_hooks.py")}
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    summary = run.stdout[run.stdout.find("= SUMMARY =") :]
    print(summary)
    assert run.returncode == 0, run.stdout[-30_000:] + run.stderr[-4_000:]
    generated = re.search(r"(\d+) generated", summary)
    assert generated is not None
    assert int(generated[1]) >= LEAST_CASES
    assert gateway.process.poll() is None
    assert gateway.ids("red dress", alias="contract", limit=5)
