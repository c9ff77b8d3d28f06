import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.unit.indexer.shards.test_report import report as shard_report
from vitrine.errors import InvalidInput
from vitrine.indexer.commands import register
from vitrine.indexer.ledger_files import LedgerFolder
from vitrine.indexer.shards.sharding import Shard


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    register(app)
    return app


def failure(app: typer.Typer, *arguments: str) -> BaseException | None:
    return CliRunner().invoke(app, list(arguments)).exception


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--catalogue FOLDER or --from-embeddings"),
        (["--catalogue", "a", "--from-embeddings", "b"], "--catalogue FOLDER or --from-embeddings"),
        (["--from-embeddings", "b", "--keep-embeddings", "c"], "exclude each other"),
        (["--catalogue", "a", "--new", "--into", "b"], "exclude each other"),
        (["--catalogue", "a", "--into", "b-c"], "no name for a collection"),
        (["--catalogue", "a", "--prune", "--limit", "5"], "what was not read is not gone"),
        (["--catalogue", "a", "--shard", "1/2", "--shards", "2"], "exclude each other"),
        (["--catalogue", "a", "--shard", "3/2"], "no shard 3 of 2"),
        (["--catalogue", "a", "--shards", "2"], "JOB_COMPLETION_INDEX"),
        (["--catalogue", "a", "--shard", "1/2", "--new"], "--into instead of --new"),
        (["--catalogue", "a", "--index-param", "M=16"], "needs --index"),
        (["--catalogue", "a", "--index", "hnsw", "--index-param", "M16"], "NAME=VALUE"),
        (["--catalogue", "a", "--index", "hnsw", "--index-param", "M="], "NAME=VALUE"),
        (["--catalogue", "a", "--index", "best"], "best"),
        (["--catalogue", "a", "--index", "hnsw", "--index-param", "nlist=4"], "nlist"),
    ],
)
def test_requests_that_make_no_sense_are_refused(app: typer.Typer, arguments: list[str], message: str) -> None:
    error = failure(app, "index", "--collection", "products", *arguments)
    assert isinstance(error, InvalidInput)
    assert message in error.message


@pytest.mark.parametrize("name", ["", "../x", "1st", "a-b", "x" * 201])
def test_names_that_cannot_be_an_alias_are_refused(app: typer.Typer, name: str) -> None:
    error = failure(app, "index", "--collection", name, "--catalogue", "a")
    assert isinstance(error, InvalidInput)
    assert "no name for a collection" in error.message


def test_a_run_without_a_collection_is_refused(app: typer.Typer) -> None:
    error = failure(app, "index", "--catalogue", "a")
    assert isinstance(error, InvalidInput)
    assert "--collection" in error.message


def test_options_of_a_run_before_a_sub_verb_are_refused(app: typer.Typer) -> None:
    error = failure(app, "index", "--reindex", "report", "--collection", "products")
    assert isinstance(error, InvalidInput)
    assert "--reindex belongs to a run" in error.message


@pytest.mark.parametrize("verb", [["report"], ["finish", "--shards", "2"]])
def test_shards_of_names_that_cannot_be_an_alias_are_refused(app: typer.Typer, verb: list[str]) -> None:
    error = failure(app, "index", *verb, "--collection", "../x")
    assert isinstance(error, InvalidInput)
    assert "no name for a collection" in error.message


def test_a_report_prints_each_shard_and_names_what_is_missing(app: typer.Typer, tmp_path: Path) -> None:
    error = failure(app, "index", "report", "--collection", "shop", "--ledger", str(tmp_path))
    assert isinstance(error, InvalidInput)
    shard_report(1, own=6).write(LedgerFolder(tmp_path).report("shop", Shard(1, 2)))
    arguments = ["index", "report", "--collection", "shop", "--ledger", str(tmp_path)]
    told = CliRunner().invoke(app, arguments, catch_exceptions=False).stdout
    assert "Shard 2/2 left no report." in told
    assert "image_missing: 1" in told
    merged = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert (merged["total"]["written"], merged["shards"][1]) == (5, None)
