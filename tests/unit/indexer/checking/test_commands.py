import json
import sys
from pathlib import Path
from subprocess import run

import pytest
import typer
from typer.testing import CliRunner, Result

from tests.fixtures.shop import Shop, product_ids
from vitrine.errors import CatalogueInvalid, InvalidInput, LimitExceeded
from vitrine.indexer.checking.check import CatalogueUnusable
from vitrine.indexer.checking.commands import register


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    register(app)
    return app


def check(app: typer.Typer, *arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "120"}).invoke(app, ["catalogue", "check", *map(str, arguments)])


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
    result = check(app, folder, "--json")
    assert result.exit_code == 0
    content = json.loads(result.stdout)
    assert (content["read"], content["usable"], content["rejected"]) == (5, 3, 2)
    assert content["rejected_by_reason"] == {"image_missing": 1, "image_unrecognised": 1}
    (example,) = content["examples"]["image_missing"]
    assert (example["id"], example["line"]) == ("0999000001", 5)
    assert content["ignored"] == {"blank_line": 1}
    assert content["error"] is None
    assert sorted(path for path in folder.rglob("*")) == before


def test_the_page_names_reasons_pictures_and_fields(app: typer.Typer, shop: Shop) -> None:
    folder = defective(shop)
    shop.add_picture("0777000001")
    page = check(app, folder).stdout
    for words in (
        "5 records",
        "3 usable, 2 to be rejected, 1 blank lines",
        "image_unrecognised",
        "5, 0999000001: There is no file images/099/0999000001.jpg.",
        "1 rows have none, and 1 pictures are named by no row (images/077/0777000001.jpg).",
        "product_type_name",
        "Dress",
        "not in the file: price",
    ):
        assert words in page


def test_a_dry_run_lists_rejections_where_it_is_told_to(app: typer.Typer, shop: Shop, tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.csv"
    result = check(app, defective(shop), "--rejects", rejects)
    assert result.exit_code == 0
    assert str(rejects) in result.stdout
    assert len(rejects.read_text(encoding="utf-8").splitlines()) == 3


def test_a_rejects_file_that_cannot_be_written_is_refused_at_once(app: typer.Typer, shop: Shop) -> None:
    folder = defective(shop)
    error = check(app, folder, "--rejects", folder / "articles.csv" / "rejects.csv").exception
    assert isinstance(error, InvalidInput)
    assert "cannot be written" in error.message


def test_a_dry_run_can_be_limited(app: typer.Typer, shop: Shop) -> None:
    content = json.loads(check(app, defective(shop), "--json", "--limit", 2).stdout)
    assert content["read"] == 2
    assert content["pictures"]["unnamed"] is None


def test_pictures_need_not_be_decoded(app: typer.Typer, shop: Shop) -> None:
    content = json.loads(check(app, defective(shop), "--json", "--no-pictures").stdout)
    assert content["rejected_by_reason"] == {"image_missing": 1}
    assert (content["usable"], content["pictures"]["decoded"]) == (4, False)


@pytest.mark.parametrize(("limit", "failure"), [(2, None), (1, LimitExceeded)])
def test_more_rejections_than_allowed_are_a_failure_after_the_report(
    app: typer.Typer, shop: Shop, limit: int, failure: type[Exception] | None
) -> None:
    result = check(app, defective(shop), "--json", "--max-rejects", limit)
    content = json.loads(result.stdout)
    assert content["rejected"] == 2
    if failure is None:
        assert result.exit_code == 0
    else:
        assert isinstance(result.exception, failure)
        assert content["error"]["code"] == "limit_exceeded"


def test_a_catalogue_with_nothing_usable_is_a_failure_after_the_report(app: typer.Typer, shop: Shop) -> None:
    shop.add_row("0999000001")
    result = check(app, shop.write(), "--json")
    assert isinstance(result.exception, CatalogueUnusable)
    content = json.loads(result.stdout)
    assert content["rejected_by_reason"] == {"image_missing": 1}
    assert content["error"]["code"] == "catalogue_unusable"


def test_a_dry_run_of_nothing_is_an_error(app: typer.Typer, tmp_path: Path) -> None:
    assert isinstance(check(app, tmp_path / "none").exception, CatalogueInvalid)


@pytest.mark.parametrize(("good", "status"), [(True, 0), (False, 2)])
def test_the_exit_status_of_the_process_says_whether_it_is_usable(shop: Shop, good: bool, status: int) -> None:
    shop.add_row("0999000001")
    if good:
        shop.add(product_ids(1)[0])
    ended = run(
        [sys.executable, "-m", "vitrine.indexer", "catalogue", "check", str(shop.write())],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == status
    assert "image_missing" in ended.stdout
    assert ("catalogue_unusable" in ended.stderr) is not good
