import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.fixtures.kept import HEADER, keep, products
from vitrine.indexer.backfill import KeptEmbeddings
from vitrine.indexer.bulk.checking import check_bulk_files
from vitrine.indexer.bulk.manifest import Manifest, file_digest
from vitrine.indexer.bulk.problems import CheckReport
from vitrine.indexer.bulk.writing import WriteRequest, write_bulk_files

ROWS, PER_FILE = 120, 40
FIRST, SECOND = "rows-000001.parquet", "rows-000002.parquet"

Damage = Callable[[pa.Table], pa.Table]


def quiet(_what: str, _share: float) -> None:
    """Nobody watches."""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files of forty rows."""
    folder = tmp_path_factory.mktemp("written")
    kept = KeptEmbeddings(keep(folder / "kept", products(ROWS)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vitrine.indexer.bulk.writing._CHUNK_ROWS", PER_FILE)
        write_bulk_files(kept, WriteRequest(folder / "bulk", file_bytes=1_000), quiet)
    return folder / "bulk"


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy of them, to be damaged."""
    return Path(shutil.copytree(written, tmp_path / "bulk"))


def check(folder: Path) -> CheckReport:
    return check_bulk_files(folder, quiet)


def found(report: CheckReport) -> list[tuple[str, str, int, str]]:
    return [(one.code, one.file, one.row, one.column) for one in report.problems]


def rewrite(folder: Path, name: str, damage: Damage) -> None:
    """Damages a file and lets the manifest agree with its bytes, as a foreign writer would."""
    path = folder / name
    pq.write_table(damage(pq.read_table(path)), path)
    content = json.loads((folder / "manifest.json").read_text())
    for file in content["files"]:
        if file["name"] == name:
            file |= {"bytes": path.stat().st_size, "sha256": file_digest(path), "rows": pq.read_metadata(path).num_rows}
    content["rows"] = sum(file["rows"] for file in content["files"])
    (folder / "manifest.json").write_text(json.dumps(content))


def with_value(column: str, row: int, value: object) -> Damage:
    """Sets one value; `row` counts from 1."""

    def damage(table: pa.Table) -> pa.Table:
        values = table[column].to_pylist()
        values[row - 1] = value
        kind = table.schema.field(column).type
        if pa.types.is_list(kind):
            kind = pa.list_(pa.float32())
        position = table.schema.get_field_index(column)
        return table.set_column(position, pa.field(column, kind), pa.array(values, kind))

    return damage


def as_type(column: str, kind: pa.DataType) -> Damage:
    return lambda table: table.set_column(
        table.schema.get_field_index(column), column, pa.array(table[column].to_pylist(), kind)
    )


def vector(**changes: float) -> list[float]:
    """A unit vector of the right length with some numbers changed."""
    numbers = [1.0] + [0.0] * (HEADER.dimension - 1)
    for position, number in changes.items():
        numbers[int(position[1:])] = number
    return numbers


def test_what_was_written_is_good(folder: Path) -> None:
    report = check(folder)
    assert (report.good, report.rows, report.files) == (True, ROWS, 3)
    assert report.as_json()["good"] is True


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("id", "", "id_empty"),
        ("id", "x" * 129, "text_too_wide"),
        ("id", "é" * 65, "text_too_wide"),
        ("id", "a\0b", "text_nul"),
        ("title", "é" * 257, "text_too_wide"),
        ("title", None, "null_value"),
        ("group_key", "g" * 129, "text_too_wide"),
        ("image_path", "p" * 1_025, "text_too_wide"),
        ("colour", "青" * 6, "text_too_wide"),
        ("price", float("nan"), "number_not_finite"),
        ("price", float("-inf"), "number_not_finite"),
        ("price", None, "null_value"),
        ("stock", -(2**63), "integer_invalid"),
        ("sale", 2, "flag_invalid"),
        ("sale", -2, "flag_invalid"),
        ("embedding", vector()[:-1], "vector_length"),
        ("embedding", [*vector(), 0.0], "vector_length"),
        ("embedding", vector(_3=float("nan")), "vector_not_finite"),
        ("embedding", vector(_0=float("inf")), "vector_not_finite"),
        ("embedding", vector(_0=0.0), "vector_not_unit"),
        ("embedding", vector(_0=1.01), "vector_not_unit"),
        ("embedding", None, "null_value"),
    ],
)
@pytest.mark.parametrize("row", [1, 17, PER_FILE])
def test_a_value_that_the_collection_cannot_hold_is_found_where_it_is(
    folder: Path, column: str, value: object, code: str, row: int
) -> None:
    rewrite(folder, SECOND, with_value(column, row, value))
    assert found(check(folder)) == [(code, SECOND, row, column)]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("id", "é" * 64),
        ("title", ""),
        ("title", "é" * 256),
        ("colour", "青" * 5 + "a"),
        ("stock", -(2**63 - 1)),
        ("stock", 2**63 - 1),
        ("price", -1.7976931348623157e308),
        ("sale", -1),
        ("embedding", vector(_0=1.0004)),
    ],
)
def test_a_value_on_the_edge_is_good(folder: Path, column: str, value: object) -> None:
    rewrite(folder, SECOND, with_value(column, 5, value))
    assert check(folder).good


def test_several_wrong_values_are_one_problem_with_their_count(folder: Path) -> None:
    rewrite(folder, FIRST, lambda table: with_value("sale", 9, 3)(with_value("sale", 4, 2)(table)))
    (problem,) = check(folder).problems
    assert (problem.row, problem.count, problem.place) == (4, 2, f"{FIRST}, row 4, sale")


def test_bytes_that_are_no_utf8_are_found(folder: Path) -> None:
    def damage(table: pa.Table) -> pa.Table:
        values = [value.encode() for value in table["title"].to_pylist()]
        values[2] = b"caf\xe9"
        text = pa.array(values, pa.binary()).view(pa.string())
        return table.set_column(table.schema.get_field_index("title"), "title", text)

    rewrite(folder, FIRST, damage)
    assert found(check(folder)) == [("text_not_utf8", FIRST, 3, "title")]


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("embedding", pa.list_(pa.float32(), HEADER.dimension)),  # Milvus 2.3 refuses a fixed size
        ("embedding", pa.list_(pa.float64())),
        ("stock", pa.duration("s")),
        ("sale", pa.int64()),
        ("price", pa.float32()),
        ("id", pa.large_string()),
        ("title", pa.binary()),
    ],
)
def test_a_column_of_another_type_is_found(folder: Path, column: str, kind: pa.DataType) -> None:
    rewrite(folder, FIRST, as_type(column, kind))
    assert found(check(folder)) == [("column_type", FIRST, 0, column)]


def test_missing_foreign_and_renamed_columns_are_found(folder: Path) -> None:
    rewrite(folder, FIRST, lambda table: table.drop_columns(["price"]))
    rewrite(folder, SECOND, lambda table: table.append_column("margin", pa.array([1.0] * PER_FILE)))
    assert found(check(folder)) == [("column_missing", FIRST, 0, "price"), ("column_unknown", SECOND, 0, "margin")]


def test_a_column_that_is_there_twice_is_found(folder: Path) -> None:
    rewrite(folder, FIRST, lambda table: table.append_column("title", table["title"]))
    assert ("column_repeated", FIRST, 0, "title") in found(check(folder))


def test_an_id_in_two_files_is_found_in_both(folder: Path) -> None:
    rewrite(folder, SECOND, with_value("id", 7, "000002"))
    assert found(check(folder)) == [("id_repeated", FIRST, 3, "id"), ("id_repeated", SECOND, 7, "id")]


def test_many_repeated_ids_are_not_all_listed(folder: Path) -> None:
    first = pq.read_table(folder / FIRST)
    rewrite(folder, SECOND, lambda _table: first)
    problems = check(folder).problems
    assert len(problems) == 21
    assert "40 ids" in problems[-1].message


def test_a_changed_byte_is_found_although_the_values_are_good(folder: Path) -> None:
    path = folder / SECOND
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({"note": "another hand"}), path)
    assert [code for code, *_ in found(check(folder))] == ["file_differs"]


def test_a_file_cut_short_is_found(folder: Path) -> None:
    path = folder / SECOND
    path.write_bytes(path.read_bytes()[:-100])
    assert [code for code, *_ in found(check(folder))] == ["file_differs", "file_unreadable"]


def test_a_file_that_is_gone_and_one_that_nobody_lists_are_found(folder: Path) -> None:
    (folder / FIRST).rename(folder / "rows-000009.parquet")
    assert found(check(folder)) == [
        ("file_unlisted", "rows-000009.parquet", 0, ""),
        ("file_missing", FIRST, 0, ""),
    ]


def test_fewer_rows_than_the_manifest_says_are_found(folder: Path) -> None:
    rewrite(folder, SECOND, lambda table: table.slice(1))
    content = json.loads((folder / "manifest.json").read_text())
    content["files"][1]["rows"] += 1
    content["rows"] += 1
    (folder / "manifest.json").write_text(json.dumps(content))
    assert found(check(folder)) == [("rows_differ", SECOND, 0, "")]


def test_an_oversized_file_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitrine.indexer.bulk.checking.MAX_FILE_BYTES", (folder / FIRST).stat().st_size - 1)
    assert ("file_too_large", FIRST, 0, "") in found(check(folder))


def test_a_folder_without_a_manifest_is_a_problem_and_no_failure_of_the_check(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    assert [code for code, *_ in found(check(folder))] == ["manifest_invalid"]


@pytest.mark.parametrize("seed", range(8))
def test_any_flipped_byte_is_found(folder: Path, seed: int) -> None:
    path = folder / SECOND
    data = bytearray(path.read_bytes())
    random = np.random.default_rng(seed)
    data[int(random.integers(len(data)))] ^= int(random.integers(1, 256))
    path.write_bytes(data)
    assert not check(folder).good


def test_a_report_is_plain_json(folder: Path) -> None:
    rewrite(folder, FIRST, with_value("sale", 4, 2))
    report = json.loads(json.dumps(check(folder).as_json()))
    assert report["problems"] == [
        {"code": "flag_invalid", "file": FIRST, "row": 4, "column": "sale", "count": 1}
        | {"message": asdict(check(folder).problems[0])["message"]}
    ]
    assert Manifest.read_from(folder).rows == report["rows"]
