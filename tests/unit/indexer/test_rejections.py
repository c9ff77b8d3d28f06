import csv
from pathlib import Path

from vitrine.errors import ImageCorrupt
from vitrine.indexer.rejections import MAX_MESSAGE_CHARACTERS, IdMissing, Rejection, RejectsFile


def listed(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_rejections_can_be_followed_and_appear_under_their_name_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "rejects.csv"
    file = RejectsFile(path)
    file.add(Rejection.of(ImageCorrupt("cut, short"), product_id="a", line=3, image="images/a.jpg"))
    assert not path.exists()
    assert len(listed(path.with_name("rejects.csv.partial"))) == 1
    file.close()
    file.close()
    assert listed(path) == [
        {"id": "a", "line": "3", "image": "images/a.jpg", "code": "image_corrupt", "message": "cut, short"}
    ]
    assert list(path.parent.iterdir()) == [path]


def test_a_killed_run_leaves_the_file_of_the_run_before(tmp_path: Path) -> None:
    path = tmp_path / "rejects.csv"
    with RejectsFile(path) as file:
        file.add(Rejection.of(IdMissing("no id"), line=2))
    path.with_name("rejects.csv.partial").write_text("id,line,image,code,message\n,9,,id_missing,no id\n")
    assert [row["line"] for row in listed(path)] == ["2"]
    with RejectsFile(path):
        pass
    assert listed(path) == []


def test_anything_a_broken_row_holds_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "rejects.csv"
    broken = b'caf\xe9\n\0"'.decode("utf-8", "surrogateescape")
    with RejectsFile(path) as file:
        file.add(Rejection.of(IdMissing("x" * 5000), product_id=broken, image=broken))
    (row,) = listed(path)
    assert row["id"] == 'caf\\udce9\n\\0"'
    assert len(row["message"]) == MAX_MESSAGE_CHARACTERS
