"""A catalogue with every defect planted in known numbers, indexed into the real engines and accounted for exactly.

`python -m tests.harness.converge --rows 105542 --kills 0` is the same at H&M's size.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.stack import RunningStack
from tests.harness.accounting import differences_in_rejects
from tests.harness.converge import Convergent, drop_collection
from tests.harness.convergence import Convergence
from tests.harness.planted import PlantedCatalogue, plant

ALIAS = "planted_account"
ROWS = 400
TIME_LIMIT_S = 240.0


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> PlantedCatalogue:
    return plant(tmp_path_factory.mktemp("account") / "catalogue", rows=ROWS, seed=11, pictures=24)


@pytest.fixture(scope="module")
def convergence(
    stack: RunningStack, catalogue: PlantedCatalogue, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Convergence]:
    folder = tmp_path_factory.mktemp("account_run")
    convergent = Convergent(stack, catalogue, folder, ALIAS, 11, time.monotonic() + TIME_LIMIT_S)
    yield convergent.go(0, sample=ROWS)
    drop_collection(stack.settings, ALIAS)


def test_one_run_accounts_for_each_planted_defect_and_stores_exactly_the_rest(convergence: Convergence) -> None:
    assert convergence.differences == ()
    assert convergence.account.read == ROWS
    assert convergence.runs[0].summary["written"] == len(convergence.account.written)


def test_a_dry_run_says_beforehand_what_a_run_will_reject(catalogue: PlantedCatalogue, tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.csv"
    checked = subprocess.run(
        [
            sys.executable,
            "-m",
            "vitrine.indexer",
            "catalogue",
            "check",
            catalogue.folder,
            "--rejects",
            rejects,
            "--json",
        ],
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_S,
        check=True,
    )
    summary = json.loads(checked.stdout)
    account = catalogue.account
    assert (summary["read"], summary["usable"]) == (account.read, len(account.written))
    assert summary["rejected_by_reason"] == account.by_code
    assert list(differences_in_rejects(account, rejects)) == []
    assert summary["ignored"] == {"blank_line": account.blank_lines}
    assert summary["pictures"]["unnamed"] >= account.planted["picture without a row"]


def test_a_second_run_writes_nothing(convergence: Convergence) -> None:
    assert convergence.again.summary["written"] == 0
    assert convergence.again.summary["unchanged"] == len(convergence.account.written)
