import csv
import io
import os
import signal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from tests.fixtures.shop import Shop, jpeg, product_ids
from tests.harness.planted import LEAST_ROWS, plant
from vitrine.errors import CatalogueInvalid
from vitrine.indexer.catalogue import MAX_GROUP_BYTES
from vitrine.indexer.checking.check import CHUNK, CheckRequest, check_catalogue
from vitrine.indexer.checking.profile import MAX_TITLE_BYTES
from vitrine.indexer.checking.report import CheckReport
from vitrine.indexer.display import LineDisplay
from vitrine.indexer.report import Tally
from vitrine.settings import ImageSettings
from vitrine.vectorstore.collection import GROUP_BYTES, TITLE_BYTES


async def check(folder: Path, mapping: str = "hm", *, decode: bool = True) -> CheckReport:
    return await check_catalogue(CheckRequest(folder, mapping, decode), ImageSettings(), LineDisplay())


def page(report: CheckReport) -> str:
    stream = io.StringIO()
    report.print(Console(file=stream, width=120))
    return stream.getvalue()


async def test_pictures_that_no_row_names_are_counted(shop: Shop) -> None:
    for product_id in product_ids(300):
        shop.add(product_id, picture=jpeg(1))
    for number in range(7):
        shop.add_picture(f"077700000{number}")
    (shop.folder / "images" / "readme.txt").write_text("no picture")
    (shop.folder / "beside.jpg").write_bytes(b"not where the mapping looks")
    report = await check(shop.write(), decode=False)
    assert report.unnamed is not None
    assert report.unnamed.count == 7
    assert len(report.unnamed.examples) == 5
    assert all(name.startswith("images/077/07770000") for name in report.unnamed.examples)


async def test_rows_that_are_rejected_still_name_their_pictures(shop: Shop) -> None:
    good, other = product_ids(2)
    shop.add(good)
    shop.add_row(good)
    shop.add_picture(other)
    shop.add_line(f"{int(other)},too,few\n")
    report = await check(shop.write())
    assert report.rejected == {"id_duplicate": 1, "row_ragged": 1}
    assert report.unnamed is not None
    assert report.unnamed.count == 0


async def test_a_picture_behind_a_link_is_named_by_the_row_that_names_the_link(shop: Shop) -> None:
    product_id = product_ids(1)[0]
    shop.add_row(product_id)
    path = shop.path_of(product_id)
    path.parent.mkdir(parents=True)
    path.with_name("original.jpg").write_bytes(jpeg(1))
    path.symlink_to("original.jpg")
    report = await check(shop.write())
    assert report.unnamed is not None
    assert (report.usable, report.unnamed.count) == (1, 0)


async def test_pictures_behind_a_link_that_leads_out_are_not_searched(shop: Shop, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.jpg").write_bytes(jpeg(1))
    shop.add_row(product_ids(1)[0])
    (shop.folder / "images").symlink_to(outside)
    report = await check(shop.write())
    assert report.unnamed is not None
    assert report.unnamed.count == 0


async def test_every_planted_defect_is_accounted_for_by_its_line(tmp_path: Path) -> None:
    planted = plant(tmp_path / "shop", rows=LEAST_ROWS, pictures=4)
    account = planted.account
    request = CheckRequest(planted.folder, rejects=tmp_path / "rejects.csv")
    report = await check_catalogue(request, ImageSettings(), LineDisplay())
    assert (report.read, report.usable, report.blank_lines) == (account.read, len(account.written), account.blank_lines)
    assert report.rejected == account.by_code
    with (tmp_path / "rejects.csv").open(encoding="utf-8", newline="") as file:
        assert {int(row["line"]): row["code"] for row in csv.DictReader(file)} == account.rejected
    assert report.unnamed is not None
    # Beside the pictures that were planted without a row: those of rows whose id is lost, and one in each folder that
    # stands where a picture should be.
    lost = report.rejected["id_invalid"] + report.rejected["id_missing"]
    assert (
        report.unnamed.count == account.planted["picture without a row"] + lost + account.planted["picture is a folder"]
    )


async def test_fields_are_described(shop: Shop) -> None:
    shop.columns += ["price"]
    for number, product_id in enumerate(product_ids(20)):
        shop.add(
            product_id,
            price=str(number) if number % 2 else "",
            section_name="",
            detail_desc="é" * 1100,
            colour_group_name=f"Colour {number % 3}",
        )
    report = await check(shop.write(), decode=False)
    fields = {profile.spec.name: profile for profile in report.fields}
    assert (fields["price"].filled, fields["price"].least, fields["price"].most) == (10, 1.0, 19.0)
    assert fields["colour_group_name"].distinct.count == 3
    assert fields["colour_group_name"].examples == ["Colour 0", "Colour 1", "Colour 2"]
    assert fields["detail_desc"].cut == 20
    assert fields["title"].distinct.count == 20
    assert fields["group"].filled == 20
    text = page(report)
    assert "section_name is empty in every row; is column section_name the right one?" in text
    assert "detail_desc: 20 texts are longer than 2048 bytes and will be cut." in text
    assert "1 to 19" in text
    assert "50.0%" in text


def test_the_title_is_cut_where_the_collection_cuts_it() -> None:
    assert (MAX_TITLE_BYTES, MAX_GROUP_BYTES) == (TITLE_BYTES, GROUP_BYTES)


async def test_a_field_in_which_products_differ_too_much_is_no_facet(shop: Shop) -> None:
    for number, product_id in enumerate(product_ids(250)):
        shop.add_row(product_id, section_name=f"Section {number}")
    report = await check(shop.write(), decode=False)
    assert [note for note in report.notes if "no facet" in note] == [
        "section_name: about every second product has a value of its own; that is no facet."
    ]


async def test_what_a_terminal_would_obey_is_shown_escaped(shop: Shop) -> None:
    shop.add(product_ids(1)[0], product_type_name="red\x1b[2J\u202e[bold]")
    shop.add_line(b"bad\x1b]0;\xff" + b"," * 24 + b"\n")
    report = await check(shop.write())
    text = page(report)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "red\\x1b[2J\\u202e[bold]" in text
    assert "bad\\x1b]0;\\udcff" in text
    json_text = str(report.as_json())
    assert "\udcff" not in json_text
    assert "\x1b" not in json_text


async def test_a_missing_picture_whose_name_differs_in_unicode_form_is_told(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(
        'version = 1\nname = "m"\nfile = "m.csv"\nimage = "{id}.jpg"\n[id]\ncolumn = "id"\n[title]\ncolumn = "id"\n'
    )
    (tmp_path / "m.csv").write_text("id\nkle\u0301\nb\n", encoding="utf-8")
    (tmp_path / "kl\u00e9.jpg").write_bytes(jpeg(1))
    (tmp_path / "b.jpg").write_bytes(jpeg(2))
    report = await check(tmp_path, str(tmp_path / "m.toml"))
    (example,) = report.examples["image_missing"]
    assert "NFC" in example.message


async def test_a_damaged_file_is_reported_with_what_came_before_the_damage(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(
        'version = 1\nname = "m"\nfile = "m.parquet"\nimage = "{id}.jpg"\n'
        '[id]\ncolumn = "id"\n[title]\ncolumn = "title"\n'
    )
    ids = [str(number) for number in range(2_000)]
    table = pa.table({"id": ids, "title": [os.urandom(64).hex() for _ in ids]})
    pq.write_table(table, tmp_path / "m.parquet", row_group_size=500, write_page_checksum=True, compression="none")
    data = bytearray((tmp_path / "m.parquet").read_bytes())
    start = data.rindex(table["title"][1_800].as_py().encode())
    data[start : start + 8] = b"\xff" * 8
    (tmp_path / "m.parquet").write_bytes(data)
    report = await check(tmp_path, str(tmp_path / "m.toml"), decode=False)
    assert isinstance(report.failure, CatalogueInvalid)
    assert "cannot be read beyond row 1024" in report.failure.message
    assert (report.read, report.rejected.total()) == (1_024, 1_024)


async def test_a_mapping_that_does_not_fit_is_told_before_anything_is_read(shop: Shop) -> None:
    shop.columns = ["article_id", "prod_name"]
    with pytest.raises(CatalogueInvalid, match="product_code"):
        await check(shop.write())


class Impatient(LineDisplay):
    """Interrupts the check that it shows."""

    async def follow(self, tally: Tally, total: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await super().follow(tally, total)


async def test_an_interrupted_check_reports_what_it_saw(shop: Shop) -> None:
    for product_id in product_ids(20 * CHUNK):
        shop.add_row(product_id)
    report = await check_catalogue(CheckRequest(shop.write()), ImageSettings(), Impatient())
    assert report.interrupted == "SIGINT"
    assert report.failure is None
    assert report.unnamed is None
    assert "Stopped by SIGINT" in page(report)
    assert 0 < report.read == report.rejected.total() < 20 * CHUNK


async def test_a_rejects_file_that_cannot_be_finished_fails_the_check_after_its_report(
    shop: Shop, tmp_path: Path
) -> None:
    shop.add(product_ids(1)[0])
    shop.add_row("0999000001")
    full = tmp_path / "rejects.csv"
    # Every write to this device fails as on a disk without room.
    (tmp_path / "rejects.csv.partial").symlink_to("/dev/full")
    request = CheckRequest(shop.write(), rejects=full)
    report = await check_catalogue(request, ImageSettings(), LineDisplay())
    assert (report.usable, report.rejected.total()) == (1, 1)
    assert report.failure is not None
    assert "No space left" in report.failure.message
