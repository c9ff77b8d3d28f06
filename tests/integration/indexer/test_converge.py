"""kill -9 of the indexer, Triton and Milvus at random moments, and still exactly the catalogue in the end.

`python -m tests.harness.converge --rows 10000 --kills 20` is the same with more of it.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.stack import RunningStack
from tests.harness.chaos import VICTIMS
from tests.harness.converge import Convergent, drop_collection
from tests.harness.planted import plant

ALIAS = "planted_converge"
ROWS, KILLS = 600, 4
TIME_LIMIT_S = 240.0


@pytest.fixture(autouse=True)
def engines_run_afterwards(stack: RunningStack) -> Iterator[None]:
    """A failure half way must not leave the session's engines dead, nor the collection behind."""
    yield
    stack.start()
    drop_collection(stack.settings, ALIAS)


def test_kills_at_random_moments_end_in_exactly_the_catalogue(stack: RunningStack, tmp_path: Path) -> None:
    catalogue = plant(tmp_path / "catalogue", rows=ROWS, seed=12, pictures=24)
    convergent = Convergent(stack, catalogue, tmp_path, ALIAS, 12, time.monotonic() + TIME_LIMIT_S)
    convergence = convergent.go(KILLS, sample=ROWS)
    assert {kill.victim for kill in convergence.kills} == set(VICTIMS)
    assert len(convergence.kills) == KILLS
    assert convergence.differences == ()
