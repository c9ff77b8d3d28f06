import pytest
import typer
from typer.testing import CliRunner

from vitrine.errors import InvalidInput
from vitrine.indexer.commands import register


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
