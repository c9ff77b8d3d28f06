from pathlib import Path

import pytest

from tests.fixtures.shop import Shop, product_ids
from vitrine.errors import CatalogueInvalid
from vitrine.indexer.catalogue import Catalogue, CatalogueRow, inside
from vitrine.indexer.mapping import CatalogueMapping, load_mapping
from vitrine.indexer.rejections import Rejection


def rows(folder: Path, mapping: CatalogueMapping | None = None) -> list[CatalogueRow | Rejection]:
    return list(Catalogue(folder, mapping or load_mapping("hm")).rows())


def only_rejection(folder: Path, mapping: CatalogueMapping | None = None) -> Rejection:
    rejections = [row for row in rows(folder, mapping) if isinstance(row, Rejection)]
    assert len(rejections) == 1
    return rejections[0]


def mapping_with(image: str = "{picture}", digits: int | None = None, **fields: str) -> CatalogueMapping:
    return CatalogueMapping.model_validate(
        {
            "version": 1,
            "name": "mine",
            "file": "articles.csv",
            "image": image,
            "id": {"column": "article_id", "digits": digits},
            "title": {"column": "prod_name"},
            "fields": [{"name": name, "type": kind} for name, kind in fields.items()],
        }
    )


def test_a_row_becomes_a_product(shop: Shop) -> None:
    shop.add("0108775015", prod_name=" Strap top ", colour_group_name="Black")
    (row,) = rows(shop.write())
    assert isinstance(row, CatalogueRow)
    item = row.item
    assert (item.id, item.title, item.group, row.line) == ("0108775015", "Strap top", "0108775", 2)
    assert item.image_path == "images/010/0108775015.jpg"
    assert item.image == shop.folder / item.image_path
    assert item.fields["colour_group_name"] == "Black"
    assert "price" not in item.fields


def test_a_leading_zero_that_a_spreadsheet_dropped_comes_back(shop: Shop) -> None:
    shop.add_row("108775015", product_code="108775")
    (row,) = rows(shop.write(bom=True))
    assert isinstance(row, CatalogueRow)
    assert (row.item.id, row.item.group) == ("0108775015", "0108775")
    assert row.item.image_path == "images/010/0108775015.jpg"


@pytest.mark.parametrize("written", ["10877501500", "1.08775E+08", "108775015.0", "01087750a5", "٠١٠٨٧٧٥٠١٥"])
def test_an_id_that_is_not_ten_digits_is_rejected(shop: Shop, written: str) -> None:
    shop.add_row(written)
    rejection = only_rejection(shop.write())
    assert (rejection.code, rejection.id, rejection.line) == ("id_invalid", written, 2)


@pytest.mark.parametrize(
    ("written", "code"), [("", "id_missing"), ("a\u200bb", "id_invalid"), ("x" * 129, "id_invalid")]
)
def test_ids_of_other_catalogues_are_checked_too(shop: Shop, written: str, code: str) -> None:
    shop.add_row(written)
    assert only_rejection(shop.write(), mapping_with("images/{id}.jpg")).code == code


def test_of_two_rows_with_one_id_the_first_wins(shop: Shop) -> None:
    shop.add_row("0108775015", prod_name="first")
    shop.add_row("108775015", prod_name="second")
    first, second = rows(shop.write())
    assert isinstance(first, CatalogueRow)
    assert first.item.title == "first"
    assert isinstance(second, Rejection)
    assert (second.code, second.line, second.owns_id) == ("id_duplicate", 3, False)


def test_doubles_of_ids_that_need_not_be_remembered_pass(shop: Shop) -> None:
    for product_id in ("0108775015", "0108775044") * 2:
        shop.add_row(product_id)
    found = Catalogue(shop.write(), load_mapping("hm")).rows(remember="0108775015".__eq__)
    assert [row.code if isinstance(row, Rejection) else row.item.id for row in found] == [
        "0108775015",
        "0108775044",
        "id_duplicate",
        "0108775044",
    ]


@pytest.mark.parametrize("picture", ["/etc/passwd", "../secret.jpg", "images/../../secret.jpg"])
def test_a_picture_path_cannot_leave_the_catalogue(shop: Shop, picture: str) -> None:
    shop.columns.append("picture")
    shop.add_row("a", picture=picture)
    rejection = only_rejection(shop.write(), mapping_with())
    assert (rejection.code, rejection.id) == ("image_outside_catalogue", "a")


def test_a_row_without_a_picture_path_is_missing_its_image(shop: Shop) -> None:
    shop.columns.append("picture")
    shop.add_row("a", picture=" ")
    assert only_rejection(shop.write(), mapping_with()).code == "image_missing"


def test_links_inside_count_and_links_outside_do_not(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "secret.jpg").write_bytes(b"x")
    (tmp_path / "shop" / "in.jpg").write_bytes(b"x")
    (tmp_path / "shop" / "good").symlink_to("in.jpg")
    (tmp_path / "shop" / "bad").symlink_to("../secret.jpg")
    (tmp_path / "alias").symlink_to("shop")
    for folder in ("shop", "alias"):
        assert inside(tmp_path / folder, tmp_path / folder / "good")
        assert not inside(tmp_path / folder, tmp_path / folder / "bad")
    assert not inside(tmp_path / "shop", tmp_path / "shop2" / "in.jpg")


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("integer", "12", 12),
        ("integer", "12.0", 12),
        ("integer", "-9223372036854775806", -(2**63) + 2),
        ("integer", "-9223372036854775807", None),
        ("number", "12,5", None),
        ("number", "12.5", 12.5),
        ("number", "1e3", 1000.0),
        ("number", "nan", None),
        ("number", "1e999", None),
        ("integer", "9223372036854775808", None),
        ("integer", "12.5", None),
        ("flag", "Yes", True),
        ("flag", "0", False),
        ("flag", "maybe", None),
    ],
)
def test_typed_values_are_read_or_the_row_is_rejected(shop: Shop, kind: str, text: str, value: object) -> None:
    shop.columns.append("extra")
    shop.add_row("a", extra=text)
    (row,) = rows(shop.write(), mapping_with("{id}.jpg", extra=kind))
    if value is None:
        assert isinstance(row, Rejection)
        assert (row.code, row.owns_id) == ("field_invalid", True)
    else:
        assert isinstance(row, CatalogueRow)
        assert row.item.fields["extra"] == value
        assert type(row.item.fields["extra"]) is type(value)


def test_an_empty_number_is_absent_and_an_empty_text_is_empty(shop: Shop) -> None:
    shop.columns += ["extra", "words"]
    shop.add_row("a", extra="", words="")
    (row,) = rows(shop.write(), mapping_with("{id}.jpg", extra="number", words="text"))
    assert isinstance(row, CatalogueRow)
    assert dict(row.item.fields) == {"words": ""}


def test_an_optional_column_makes_a_field_only_where_it_exists(shop: Shop) -> None:
    without = Catalogue(shop.write(), load_mapping("hm"))
    shop.columns.append("price")
    with_price = Catalogue(shop.write(), load_mapping("hm"))
    assert "price" not in [field.name for field in without.fields]
    assert with_price.fields[-1].name == "price"


def test_every_line_is_accounted_for(shop: Shop) -> None:
    good = product_ids(4)
    shop.add_row(good[0])
    shop.add_line("\n")
    shop.add_line('0108775999,"never closes\n')
    shop.add_row(good[1], detail_desc="two\nlines")
    shop.add_line("0108775998,too,few\n")
    shop.add_row(good[0])
    shop.add_line(b"0108775997,\xff\xfe" + b",x" * 23 + b"\n")
    shop.add_row(good[2])
    shop.add_line(",".join(shop.cells("0108775996", detail_desc="nul\0")) + "\n")
    shop.add_row(good[3])
    catalogue = Catalogue(shop.write(), load_mapping("hm"))
    found = list(catalogue.rows())
    assert [row.item.id for row in found if isinstance(row, CatalogueRow)] == good
    assert [(row.code, row.line, row.id) for row in found if isinstance(row, Rejection)] == [
        ("row_malformed", 4, "0108775999"),
        ("row_ragged", 7, "0108775998"),
        ("id_duplicate", 8, good[0]),
        ("row_not_utf8", 9, "0108775997"),
        ("row_nul", 11, "0108775996"),
    ]
    assert catalogue.blank_lines == 1
    assert catalogue.estimated_rows() == 11


def test_a_catalogue_can_be_read_twice(shop: Shop) -> None:
    shop.add_row("0108775015")
    catalogue = Catalogue(shop.write(), load_mapping("hm"))
    assert list(catalogue.rows()) == list(catalogue.rows())


def test_missing_columns_are_named(shop: Shop) -> None:
    shop.columns = ["article_id", "prod_name"]
    with pytest.raises(CatalogueInvalid, match="product_code"):
        Catalogue(shop.write(), load_mapping("hm"))


def test_a_column_that_stands_twice_is_ambiguous(shop: Shop) -> None:
    shop.columns.append("prod_name")
    with pytest.raises(CatalogueInvalid, match="several columns called prod_name"):
        Catalogue(shop.write(), load_mapping("hm"))


def test_no_folder_and_no_file_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(CatalogueInvalid, match="no catalogue folder"):
        Catalogue(tmp_path / "none", load_mapping("hm"))
    with pytest.raises(CatalogueInvalid, match=r"articles\.csv cannot be read"):
        Catalogue(tmp_path, load_mapping("hm"))
