"""The demo catalogue on disk."""

import csv
import multiprocessing
from pathlib import Path

import pytest
from PIL import Image

from vitrine.demo import catalogue
from vitrine.demo.articles import COLUMNS, article_row, describe
from vitrine.demo.catalogue import MARKER, CatalogueSummary, image_path, write_catalogue
from vitrine.demo.design import Product, sample_products
from vitrine.demo.drawing import draw
from vitrine.errors import CatalogueInvalid, StackError

COUNT, SEED = 6, 11


def _write(folder: Path, count: int = COUNT, seed: int = SEED, workers: int = 1) -> CatalogueSummary:
    return write_catalogue(folder, count=count, seed=seed, workers=workers, on_progress=lambda done, total: None)


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "articles.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_layout_is_the_hm_catalogues(tmp_path: Path) -> None:
    summary = _write(tmp_path / "shop")
    rows = _rows(tmp_path / "shop")
    ids = [row["article_id"] for row in rows]
    assert ids[0] == "0108775015"
    assert image_path("0108775015") == Path("images/010/0108775015.jpg")
    assert _files(tmp_path / "shop") == {
        "articles.csv",
        MARKER,
        *(f"images/{article_id[:3]}/{article_id}.jpg" for article_id in ids),
    }
    assert summary.articles == summary.drawn == COUNT == len(rows)
    assert summary.image_bytes == sum(path.stat().st_size for path in (tmp_path / "shop" / "images").rglob("*.jpg"))


def test_the_pictures_are_portrait_jpegs(tmp_path: Path) -> None:
    _write(tmp_path)
    for row in _rows(tmp_path):
        with Image.open(tmp_path / image_path(row["article_id"])) as picture:
            assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (384, 512))


def test_the_table_has_25_columns_without_gaps(tmp_path: Path) -> None:
    _write(tmp_path)
    header = (tmp_path / "articles.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header.split(",") == list(COLUMNS)
    assert len(COLUMNS) == 25
    assert all(value for row in _rows(tmp_path) for value in row.values())


def test_columns_tell_what_the_product_is() -> None:
    product = Product("0123456017", "0123456", "Lena floral blouse", "blouse", "blue", "floral", 4, 24.99)
    row = article_row(product)
    assert (row["article_id"], row["product_code"], row["prod_name"]) == ("0123456017", "0123456", product.name)
    assert (row["product_type_no"], row["product_type_name"]) == ("258", "Blouse")
    assert row["product_group_name"] == "Garment Upper body"
    assert row["graphical_appearance_name"] == "All over pattern"
    assert row["perceived_colour_master_name"] == "Blue"
    assert row["colour_group_name"] in {"Blue", "Dark Blue", "Light Blue"}
    assert "flowers" in row["detail_desc"]


def test_descriptions_are_shared_by_siblings_and_name_no_colour() -> None:
    for product in sample_products(300, 5):
        text = describe(product)
        assert text[0].isupper()
        assert text.endswith(".")
        assert product.colour not in text.lower().split()


def test_a_complete_catalogue_is_not_drawn_again(tmp_path: Path) -> None:
    _write(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    again = _write(tmp_path)
    assert again.drawn == 0
    assert again.articles == COUNT
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_missing_picture_is_drawn_again(tmp_path: Path) -> None:
    _write(tmp_path)
    lost = tmp_path / image_path(_rows(tmp_path)[2]["article_id"])
    whole = lost.read_bytes()
    lost.unlink()
    assert _write(tmp_path).drawn == 1
    assert lost.read_bytes() == whole


@pytest.mark.parametrize("change", [{"seed": SEED + 1}, {"count": COUNT - 2}])
def test_another_shop_replaces_the_old_one(tmp_path: Path, change: dict[str, int]) -> None:
    _write(tmp_path)
    summary = _write(tmp_path, **change)
    assert summary.drawn == summary.articles == change.get("count", COUNT)
    assert len(list(tmp_path.rglob("*.jpg"))) == summary.articles == len(_rows(tmp_path))


def test_a_new_drawing_version_replaces_the_old_pictures(tmp_path: Path) -> None:
    _write(tmp_path)
    (tmp_path / MARKER).write_text(f'{{"count": {COUNT}, "seed": {SEED}, "version": 0}}', encoding="utf-8")
    assert _write(tmp_path).drawn == COUNT


def test_an_interrupted_run_leaves_only_whole_files_and_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Product] = []

    class Torn:
        """A picture whose file is cut short by the interruption."""

        def save(self, file: object, *_: object, **__: object) -> None:
            file.write(b"\xff\xd8half a picture")  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    def draw_four(product: Product) -> object:
        drawn.append(product)
        return Torn() if len(drawn) == 4 else draw(product)

    monkeypatch.setattr(catalogue, "draw", draw_four)
    with pytest.raises(KeyboardInterrupt):
        _write(tmp_path)
    assert len([name for name in _files(tmp_path) if name.endswith(".jpg")]) == 3
    assert not (tmp_path / "articles.csv").exists()
    assert not [name for name in _files(tmp_path) if name.endswith(".part")]

    monkeypatch.setattr(catalogue, "draw", draw)
    assert _write(tmp_path).drawn == COUNT - 3
    assert len(_rows(tmp_path)) == COUNT


def test_leftovers_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    _write(tmp_path)
    (tmp_path / "images" / ".0108775015.jpg.4711.part").write_bytes(b"half")
    _write(tmp_path)
    assert not [name for name in _files(tmp_path) if name.endswith(".part")]


def test_a_folder_with_other_files_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "articles.csv").write_text("mine", encoding="utf-8")
    with pytest.raises(CatalogueInvalid, match="no demo catalogue"):
        _write(tmp_path)
    assert _files(tmp_path) == {"articles.csv"}
    assert (tmp_path / "articles.csv").read_text(encoding="utf-8") == "mine"


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(CatalogueInvalid, match="cannot be written"):
        _write(tmp_path / "file")


@pytest.mark.parametrize("workers", [0, 65])
def test_worker_counts_out_of_range_are_refused(tmp_path: Path, workers: int) -> None:
    with pytest.raises(ValueError, match="between 1 and 64"):
        _write(tmp_path, workers=workers)


def test_two_processes_write_the_same_catalogue_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "_BATCH", 3)
    seen: list[tuple[int, int]] = []
    write_catalogue(
        tmp_path / "two", count=COUNT, seed=SEED, workers=2, on_progress=lambda done, total: seen.append((done, total))
    )
    _write(tmp_path / "one")
    assert seen == [(0, 6), (3, 6), (6, 6)]
    assert _files(tmp_path / "one") == _files(tmp_path / "two")
    for name in _files(tmp_path / "one"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_killed_drawing_process_is_reported_and_the_run_can_be_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "_BATCH", 2)

    def kill_workers(done: int, total: int) -> None:
        if done:
            for child in multiprocessing.active_children():
                child.kill()

    with pytest.raises(StackError, match="drawing process ended"):
        write_catalogue(tmp_path, count=40, seed=SEED, workers=2, on_progress=kill_workers)
    assert not (tmp_path / "articles.csv").exists()
    assert 0 < _write(tmp_path, count=40).drawn < 40
