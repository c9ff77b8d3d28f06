"""The whole way as an operator walks it: index, index a candidate beside it, promote, roll back, retire."""

import json
import logging
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.fixtures.indexing import Ended, Indexing
from tests.fixtures.shop import Shop, product_ids
from tests.fixtures.stack import RunningStack
from tests.integration.promotion.conftest import drop_all, in_a_loop
from vitrine.cli.app import build_app
from vitrine.errors import VitrineError
from vitrine.local.gateway import environment_of
from vitrine.settings import Settings

PRODUCTS = 8


@dataclass(frozen=True)
class Operator:
    """Somebody at a terminal of a machine that reaches the stack."""

    settings: Settings
    indexing: Indexing
    alias: str

    def types(self, *arguments: str) -> Any:
        """`vitrine ARGUMENTS --json`: what it printed."""
        ended = CliRunner().invoke(build_app(), [*arguments, "--json"], env=environment_of(self.settings))
        assert ended.exception is None, (ended.exception, ended.output)
        return json.loads(ended.stdout)

    def is_refused(self, *arguments: str) -> str:
        """The same where it fails: the code."""
        error = CliRunner().invoke(build_app(), [*arguments, "--json"], env=environment_of(self.settings)).exception
        assert isinstance(error, VitrineError), error
        return error.code

    def index(self, catalogue: Path, *arguments: str) -> Ended:
        return self.indexing.run("--catalogue", catalogue, "--collection", self.alias, *arguments)

    def states(self) -> dict[str, str]:
        """By version."""
        rows = [row for row in self.types("collections") if row["alias"] == self.alias]
        return {row["collection"].removeprefix(f"{self.alias}_"): row["state"] for row in rows}


@pytest.fixture
def operator(stack: RunningStack, tmp_path: Path) -> Iterator[Operator]:
    logger = logging.getLogger("vitrine.indexer")
    kept = logger.handlers, logger.level, logger.propagate
    alias, indexing = f"candidates_{secrets.token_hex(4)}", Indexing(stack.settings, tmp_path / "state")
    yield Operator(stack.settings, indexing, alias)
    indexing.close()
    logger.handlers, logger.level, logger.propagate = kept
    in_a_loop(stack.settings, lambda connection: drop_all(connection, alias))


def catalogue(folder: Path, *, pictures: int = PRODUCTS) -> Path:
    shop = Shop(folder)
    for number, product_id in enumerate(product_ids(PRODUCTS)):
        if number < pictures:
            shop.add(product_id)
        else:
            shop.add_row(product_id)
    return shop.write()


def test_from_the_first_collection_to_the_next(operator: Operator, tmp_path: Path) -> None:
    whole, broken = catalogue(tmp_path / "whole"), catalogue(tmp_path / "broken", pictures=3)
    assert operator.index(whole).summary["collection"] == f"{operator.alias}_v1"
    assert operator.states() == {"v1": "live"}

    # A run that fails leaves an unfinished collection; the next one goes on with it.
    assert operator.index(broken, "--new", "--index", "flat", "--max-rejects", "0").status == 2
    assert operator.states() == {"v1": "live", "v2": "unfinished"}
    assert operator.is_refused("promote", operator.alias) == "invalid_input"
    run = operator.index(whole, "--new", "--index", "flat")
    assert (run.status, run.summary["collection"]) == (0, f"{operator.alias}_v2"), run.stderr
    assert operator.states() == {"v1": "live", "v2": "candidate"}

    easy = ("--sample", "10", "--warm-up", "5", "--max-p99-ms", "10000")
    done = operator.types("promote", operator.alias, *easy)
    assert (done["promoted"], done["forced"], done["live"]) == (True, False, f"{operator.alias}_v1")
    assert operator.states() == {"v2": "live", "v1": "previous"}
    assert operator.types("retire", operator.alias)["dropped"] == []

    back = operator.types("rollback", operator.alias)
    assert (back["before"], back["after"]) == (f"{operator.alias}_v2", f"{operator.alias}_v1")
    assert operator.states() == {"v1": "live", "v2": "rolled back"}
    assert operator.is_refused("rollback", operator.alias) == "rollback_impossible"
    assert operator.is_refused("promote", operator.alias, *easy) == "invalid_input"  # not by itself a second time

    operator.types("promote", operator.alias, "--to", f"{operator.alias}_v2", *easy)
    assert (
        operator.is_refused("retire", operator.alias, "--all") == "invalid_input"
    )  # nobody is asked, nobody said --yes
    assert operator.types("retire", operator.alias, "--all", "--yes")["dropped"] == [f"{operator.alias}_v1"]
    assert operator.states() == {"v2": "live"}
