import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.fixtures.kept import keep, products
from vitrine.errors import VitrineError
from vitrine.indexer.bulk import commands


@pytest.fixture
def run() -> CliRunner:
    return CliRunner()


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.callback()(lambda: None)
    commands.register(app)
    return app


def test_files_are_written_and_checked_by_verbs(run: CliRunner, app: typer.Typer, tmp_path: Path) -> None:
    kept, output = str(keep(tmp_path / "kept", products(30))), str(tmp_path / "bulk")
    written = run.invoke(app, ["bulk", "write", "--from-embeddings", kept, "--output", output, "--json"])
    assert written.exit_code == 0, written.output
    told = json.loads(written.stdout)
    assert (told["read"], told["written"], told["superseded"], told["rejected"], told["files"]) == (30, 30, 0, 0, 1)
    assert run.invoke(app, ["bulk", "check", output]).exit_code == 0


def test_several_folders_become_one_set_of_files(run: CliRunner, app: typer.Typer, tmp_path: Path) -> None:
    one, two = keep(tmp_path / "one", products(20)), keep(tmp_path / "two", products(20, first=15))
    folders = ["--from-embeddings", str(one), "--from-embeddings", str(two)]
    written = run.invoke(app, ["bulk", "write", *folders, "--output", str(tmp_path / "bulk"), "--json"])
    told = json.loads(written.stdout)
    assert (told["read"], told["written"], told["superseded"]) == (40, 35, 5)


def test_a_check_that_finds_something_ends_with_status_1(run: CliRunner, app: typer.Typer, tmp_path: Path) -> None:
    kept, output = str(keep(tmp_path / "kept", products(5))), tmp_path / "bulk"
    run.invoke(app, ["bulk", "write", "--from-embeddings", kept, "--output", str(output)])
    (output / "rows-000001.parquet").write_bytes(b"PAR1")
    checked = run.invoke(app, ["bulk", "check", str(output), "--json"])
    assert checked.exit_code == 1
    problems = json.loads(checked.stdout)["problems"]
    assert [problem["code"] for problem in problems] == ["file_differs", "file_unreadable"]
    shown = run.invoke(app, ["bulk", "check", str(output)])
    assert "file_unreadable" in shown.stdout


def test_an_empty_folder_is_named(run: CliRunner, app: typer.Typer, tmp_path: Path) -> None:
    full = keep(tmp_path / "full", products(5))
    folders = ["--from-embeddings", str(full), "--from-embeddings", str(tmp_path / "none")]
    failed = run.invoke(app, ["bulk", "write", *folders, "--output", str(tmp_path / "bulk")])
    assert isinstance(failed.exception, VitrineError)
    assert failed.exception.code == "kept_embeddings_invalid"
    assert str(tmp_path / "none") in failed.exception.message


@pytest.mark.parametrize("verb", ["embed", "write", "check", "import"])
def test_every_verb_explains_itself(run: CliRunner, app: typer.Typer, verb: str) -> None:
    assert run.invoke(app, ["bulk", verb, "--help"]).exit_code == 0
