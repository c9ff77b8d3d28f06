import os
from pathlib import Path

import pytest

from tests.fixtures.shop import Shop, jpeg
from vitrine.embedding.contract import ImagePolicy
from vitrine.indexer.catalogue import Catalogue, CatalogueRow
from vitrine.indexer.loading import Loader
from vitrine.indexer.mapping import load_mapping
from vitrine.indexer.rejections import Rejection
from vitrine.indexer.report import IndexStage, StageTimes
from vitrine.indexer.states import NO_FILE, Mark, Prepared, Unchanged
from vitrine.settings import ImageSettings

ID = "0108775015"
HOUR_AGO = 1_700_000_000


def loader(
    shop: Shop, *, fingerprint: str = "model", compare_contents: bool = False, max_bytes: int = 100_000
) -> Loader:
    return Loader(
        shop.folder,
        fingerprint=fingerprint,
        policy=ImagePolicy(size=32),
        limits=ImageSettings(max_bytes=max_bytes),
        times=StageTimes(dict.fromkeys(IndexStage, 1)),
        compare_contents=compare_contents,
    )


def row_of(shop: Shop) -> CatalogueRow:
    (row,) = Catalogue(shop.write(), load_mapping("hm")).rows()
    assert isinstance(row, CatalogueRow)
    return row


def settle(path: Path) -> None:
    """Gives the picture a time that lies well in the past."""
    os.utime(path, (HOUR_AGO, HOUR_AGO))


def mark_of(shop: Shop) -> Mark:
    loaded = loader(shop).load(row_of(shop), None)
    assert isinstance(loaded, Prepared)
    return loaded.mark


def code_of(loaded: object) -> str:
    assert isinstance(loaded, Rejection)
    assert loaded.owns_id
    return loaded.code


def test_a_picture_becomes_pixels_of_the_policy(shop: Shop) -> None:
    shop.add(ID)
    loaded = loader(shop).load(row_of(shop), None)
    assert isinstance(loaded, Prepared)
    assert loaded.pixels.shape == (32, 32, 3)
    assert loaded.mark.line == 2


def test_the_same_content_is_unchanged_with_or_without_reading(shop: Shop) -> None:
    shop.add(ID)
    settle(shop.path_of(ID))
    known = mark_of(shop)
    assert loader(shop).skip(row_of(shop), known) == Unchanged(known, touched=False)
    assert loader(shop, compare_contents=True).skip(row_of(shop), known) is None
    assert loader(shop, compare_contents=True).load(row_of(shop), known) == Unchanged(known, touched=True)


def test_a_fresh_file_is_compared_by_content_next_time(shop: Shop) -> None:
    shop.add(ID)
    known = mark_of(shop)
    assert known.image_mtime_ns == NO_FILE
    assert loader(shop).skip(row_of(shop), known) is None


def test_a_touched_file_is_unchanged_by_its_content(shop: Shop) -> None:
    path = shop.path_of(shop.add(ID))
    settle(path)
    known = mark_of(shop)
    os.utime(path, (HOUR_AGO + 60, HOUR_AGO + 60))
    assert loader(shop).skip(row_of(shop), known) is None
    loaded = loader(shop).load(row_of(shop), known)
    assert isinstance(loaded, Unchanged)
    assert loaded.touched
    assert loaded.mark.image_mtime_ns != known.image_mtime_ns


@pytest.mark.parametrize("change", ["picture", "title", "field", "model"])
def test_any_change_is_a_new_content(shop: Shop, change: str) -> None:
    path = shop.path_of(shop.add(ID))
    settle(path)
    known = mark_of(shop)
    fingerprint = "model"
    if change == "picture":
        path.write_bytes(jpeg(99))
    elif change == "model":
        fingerprint = "other"
    else:
        shop.lines.clear()
        shop.add_row(ID, **{"title": {"prod_name": "New"}, "field": {"section_name": "New"}}[change])
    assert loader(shop, fingerprint=fingerprint).skip(row_of(shop), known) is None
    assert isinstance(loader(shop, fingerprint=fingerprint).load(row_of(shop), known), Prepared)


def test_a_missing_picture_is_rejected(shop: Shop) -> None:
    shop.add_row(ID)
    assert loader(shop).skip(row_of(shop), None) is None
    assert code_of(loader(shop).load(row_of(shop), None)) == "image_missing"


def test_a_folder_of_pictures_that_is_a_file_is_a_missing_picture(shop: Shop) -> None:
    shop.add_row(ID)
    (shop.folder / "images").write_bytes(b"")
    assert code_of(loader(shop).load(row_of(shop), None)) == "image_missing"


def test_what_is_no_regular_file_is_not_opened(shop: Shop) -> None:
    path = shop.path_of(ID)
    shop.add_row(ID)
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    assert code_of(loader(shop).load(row_of(shop), None)) == "image_unreadable"
    path.unlink()
    path.mkdir()
    assert code_of(loader(shop).load(row_of(shop), None)) == "image_unreadable"


def test_a_link_out_of_the_catalogue_is_not_followed(shop: Shop, tmp_path: Path) -> None:
    shop.add_row(ID)
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(jpeg(1))
    shop.path_of(ID).parent.mkdir(parents=True)
    shop.path_of(ID).symlink_to(outside)
    assert code_of(loader(shop).load(row_of(shop), None)) == "image_outside_catalogue"


def test_links_that_form_a_circle_are_rejected(shop: Shop) -> None:
    shop.add_row(ID)
    path = shop.path_of(ID)
    path.parent.mkdir(parents=True)
    path.symlink_to(path.name)
    assert code_of(loader(shop).load(row_of(shop), None)) in ("image_unreadable", "image_missing")


def test_a_huge_file_is_not_read_to_its_end(shop: Shop) -> None:
    shop.add(ID)
    with shop.path_of(ID).open("r+b") as file:
        file.truncate(1 << 40)
    assert code_of(loader(shop).load(row_of(shop), None)) == "image_too_large"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "image_unrecognised"),
        (b"<html>not found</html>", "image_unrecognised"),
        (jpeg(1)[:400], "image_corrupt"),
    ],
)
def test_files_that_are_no_pictures_are_rejected(shop: Shop, data: bytes, code: str) -> None:
    shop.add(ID, picture=data)
    assert code_of(loader(shop).load(row_of(shop), None)) == code


def test_a_picture_can_be_looked_for_without_being_opened(shop: Shop) -> None:
    path = shop.path_of(shop.add(ID, picture=b"<html>not found</html>"))
    row = row_of(shop)
    assert loader(shop).probe(row) is None
    path.write_bytes(bytes(2_000))
    assert code_of(loader(shop, max_bytes=1_024).probe(row)) == "image_too_large"
    path.unlink()
    assert code_of(loader(shop).probe(row)) == "image_missing"
    os.mkfifo(path)
    assert code_of(loader(shop).probe(row)) == "image_unreadable"
