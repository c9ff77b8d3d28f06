import os
import shutil
from itertools import islice
from pathlib import Path

import pytest

from vitrine.errors import CatalogueInvalid
from vitrine.indexer.catalogue import Catalogue, CatalogueRow
from vitrine.indexer.formats import opening
from vitrine.indexer.mapping import CatalogueMapping, FileFormat, load_mapping
from vitrine.indexer.rejections import Rejection

GOLDEN = Path(__file__).parents[3] / "data" / "catalogues"
FORMATS = [file_format.value for file_format in FileFormat]


def shoes(file_format: str, folder: Path = GOLDEN) -> Catalogue:
    return Catalogue(folder, load_mapping(str(GOLDEN / f"{file_format}.toml")))


def copy_of(file_format: str, folder: Path) -> Path:
    return Path(shutil.copy(GOLDEN / f"shoes.{file_format}", folder))


def minimal(file: str, **others: object) -> CatalogueMapping:
    columns = {"id": {"column": "id"}, "title": {"column": "title"}}
    return CatalogueMapping.model_validate(
        {"version": 1, "name": "m", "file": file, "image": "{id}.jpg"} | columns | others
    )


@pytest.mark.parametrize("file_format", FORMATS)
def test_one_shop_gives_the_same_products_in_every_format(file_format: str) -> None:
    catalogue = shoes(file_format)
    found = list(catalogue.rows())
    products = [row.item for row in found if isinstance(row, CatalogueRow)]
    assert [(item.id, item.title, item.group, item.image_path) for item in products] == [
        ("0000000000000042", "Löafer, brown", "loafer", "pictures/2026/0042.jpg"),
        ("0000000000000043", 'Boot "Alta" 27"', "boot", "pictures/2026/0043.jpg"),
        ("9007199254740993", "Sandal 夏", "", "pictures/2025/sandal.png"),
    ]
    assert [dict(item.fields) for item in products] == [
        {"colour": "brown", "price": 89.5, "stock": 12, "vegan": True, "since": "2026-01-31"},
        {"colour": "black", "price": 129.0, "vegan": False, "since": "2026-02-01"},
        {"colour": "", "stock": 0, "since": ""},
    ]
    first = {"csv": 2, "tsv": 2}.get(file_format, 1)
    assert [(row.id[-2:], row.code, row.line - first) for row in found if isinstance(row, Rejection)] == [
        ("44", "image_missing", 3),
        ("45", "field_invalid", 4),
        ("42", "id_duplicate", 5),
    ]
    assert catalogue.estimated_rows() == len(found) == 6


def test_text_files_with_all_that_happens_to_them_are_accounted_for_line_by_line() -> None:
    mapping = minimal(
        "surprises.csv",
        id={"column": "article_id", "digits": 10},
        group={"column": "product_code", "digits": 7},
        title={"column": "prod_name"},
    )
    found = list(Catalogue(GOLDEN, mapping).rows())
    assert [
        (row.line, row.item.id, row.item.title) if isinstance(row, CatalogueRow) else (row.line, row.code)
        for row in found
    ] == [
        (2, "0108775015", "Strap top"),
        (3, "0108775044", "Zero lost"),
        (4, "0108775051", "Caf\u00e9 top composed"),
        (5, "0108775052", "Cafe\u0301 top decomposed"),
        (6, "0108775053", "Zero\u200bwidth"),
        (7, "0108775054", "two\r\nlines, and a comma"),
        (9, "row_not_utf8"),
        (10, "row_not_utf8"),
        (11, "id_invalid"),
        (12, "id_invalid"),
        (13, "id_invalid"),
        (15, "row_ragged"),
        (16, "row_ragged"),
        (17, "row_malformed"),
        (18, "row_nul"),
        (19, "id_duplicate"),
        (20, "0108775063", "Plain LF"),
        (21, "0108775064", "No end"),
    ]
    assert {row.item.group for row in found if isinstance(row, CatalogueRow)} == {"0108775"}


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_file_that_changes_in_place_while_it_is_read_is_no_complete_reading(file_format: str, tmp_path: Path) -> None:
    path = copy_of(file_format, tmp_path)
    rows = shoes(file_format, tmp_path).rows()
    next(rows)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    with pytest.raises(CatalogueInvalid, match="changed while it was read"):
        list(rows)


def test_a_file_that_is_replaced_while_it_is_read_is_read_to_its_end(tmp_path: Path) -> None:
    path = copy_of("csv", tmp_path)
    rows = shoes("csv", tmp_path).rows()
    next(rows)
    (tmp_path / "new").write_text("sku;name\n")
    (tmp_path / "new").replace(path)
    assert len(list(rows)) == 5


def test_a_reading_may_end_early(tmp_path: Path) -> None:
    copy_of("csv", tmp_path)
    assert len(list(islice(shoes("csv", tmp_path).rows(), 2))) == 2


def test_a_file_replaced_by_one_with_other_columns_since_it_was_opened_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("id,title,size\n1,One,2\n")
    mapping = minimal("m.csv", fields=[{"name": "size", "type": "number", "optional": True}])
    catalogue = Catalogue(tmp_path, mapping)
    (tmp_path / "m.csv").write_text("id,title\n1,One\n")
    with pytest.raises(CatalogueInvalid, match="other columns"):
        list(catalogue.rows())


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_regular_file_is_not_opened(tmp_path: Path, make: object) -> None:
    make(tmp_path / "m.csv")  # type: ignore[operator]
    with pytest.raises(CatalogueInvalid, match="no regular file"):
        Catalogue(tmp_path, minimal("m.csv"))


@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
def test_columns_that_a_format_lacks_are_named(file_format: str, tmp_path: Path) -> None:
    copy_of(file_format, tmp_path)
    mapping = minimal(f"shoes.{file_format}", id={"column": "sku"}, title={"column": "label"})
    with pytest.raises(CatalogueInvalid, match="lacks the columns label"):
        Catalogue(tmp_path, mapping)


def test_an_optional_member_may_come_up_in_any_object(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"id": 1, "title": "One"}\n{"id": 2, "title": "Two", "size": 38.5}\n')
    mapping = minimal("m.jsonl", fields=[{"name": "size", "type": "number", "optional": True}])
    catalogue = Catalogue(tmp_path, mapping)
    assert [field.name for field in catalogue.fields] == ["size"]
    assert [dict(row.item.fields) for row in catalogue.rows() if isinstance(row, CatalogueRow)] == [{}, {"size": 38.5}]


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ('{"id": ["2"], "title": "Two"}', "id_invalid", "holds a list"),
        ('{"id": null, "title": "Two"}', "id_missing", "empty"),
        ('{"title": "Two"}', "id_missing", "empty"),
        ('{"id": "2", "title": {"en": "Two"}}', "field_invalid", "holds an object"),
        ('{"id": "2", "title": "Two", "size": ["38"]}', "field_invalid", "Column size holds a list"),
        ('{"id": "2", "title": "Two", "size": true}', "field_invalid", "no number"),
    ],
)
def test_several_values_where_one_belongs_reject_the_row(tmp_path: Path, line: str, code: str, message: str) -> None:
    (tmp_path / "m.jsonl").write_text(f'{{"id": "1", "title": "One"}}\n{line}\n{{"id": "3", "title": "Three"}}\n')
    mapping = minimal("m.jsonl", fields=[{"name": "size", "type": "number", "optional": True}])
    first, second, third = Catalogue(tmp_path, mapping).rows()
    assert isinstance(second, Rejection)
    assert (second.code, second.line) == (code, 2)
    assert message in second.message
    assert isinstance(first, CatalogueRow)
    assert isinstance(third, CatalogueRow)


def test_rows_of_a_large_file_are_estimated_from_its_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "COUNTED_BYTES", 1)
    monkeypatch.setattr(opening, "_COUNT_BLOCK", 10_000)
    (tmp_path / "m.csv").write_text("id,title\n" + "".join(f"{number:05d},Title\n" for number in range(20_000)))
    assert Catalogue(tmp_path, minimal("m.csv")).estimated_rows() == pytest.approx(20_000, rel=0.01)
