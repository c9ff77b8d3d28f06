import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.fixtures.shop import Shop, product_ids
from vitrine.errors import CatalogueInvalid, InvalidInput
from vitrine.indexer.commands import register


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    register(app)
    return app


def failure(app: typer.Typer, *arguments: str) -> BaseException | None:
    return CliRunner().invoke(app, list(arguments)).exception


def defective(shop: Shop) -> Path:
    for product_id in product_ids(3):
        shop.add(product_id)
    shop.add_row("0999000001")
    shop.add("0999000002", picture=b"nothing")
    shop.add_line("\n")
    return shop.write()


def test_a_dry_run_says_what_would_be_rejected_and_writes_nothing(app: typer.Typer, shop: Shop) -> None:
    folder = defective(shop)
    before = sorted(path for path in folder.rglob("*"))
    result = CliRunner().invoke(app, ["catalogue", "check", str(folder), "--json"])
    assert result.exit_code == 0
    content = json.loads(result.stdout)
    assert (content["read"], content["written"], content["rejected"]) == (5, 3, 2)
    assert content["rejected_by_reason"] == {"image_missing": 1, "image_unrecognised": 1}
    assert content["ignored"] == {"blank_line": 1}
    assert sorted(path for path in folder.rglob("*")) == before


def test_a_dry_run_lists_rejections_where_it_is_told_to(app: typer.Typer, shop: Shop, tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.csv"
    result = CliRunner().invoke(app, ["catalogue", "check", str(defective(shop)), "--rejects", str(rejects)])
    assert result.exit_code == 0
    assert "good" in result.stdout
    assert len(rejects.read_text(encoding="utf-8").splitlines()) == 3


def test_a_dry_run_can_be_limited(app: typer.Typer, shop: Shop) -> None:
    result = CliRunner().invoke(app, ["catalogue", "check", str(defective(shop)), "--json", "--limit", "2"])
    assert json.loads(result.stdout)["read"] == 2


def test_a_dry_run_of_nothing_is_an_error(app: typer.Typer, tmp_path: Path) -> None:
    assert isinstance(failure(app, "catalogue", "check", str(tmp_path / "none")), CatalogueInvalid)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--catalogue FOLDER or --from-embeddings"),
        (["--catalogue", "a", "--from-embeddings", "b"], "--catalogue FOLDER or --from-embeddings"),
        (["--from-embeddings", "b", "--keep-embeddings", "c"], "exclude each other"),
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
