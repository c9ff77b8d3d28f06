import json
import sys
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fixtures.kept import FIELDS, HEADER, keep, product, products, unit
from vitrine.domain import FieldSpec, FieldType
from vitrine.errors import LimitExceeded
from vitrine.indexer.backfill import KeptEmbeddings
from vitrine.indexer.bulk.checking import check_bulk_files
from vitrine.indexer.bulk.layout import arrow_schema, schema_digest
from vitrine.indexer.bulk.manifest import BulkFilesInvalid, Manifest
from vitrine.indexer.bulk.marks import record_in_ledger
from vitrine.indexer.bulk.writing import WriteRequest, write_bulk_files
from vitrine.indexer.ledger import Ledger
from vitrine.settings import MIB, LocalSettings, Settings
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.index_params import Flat


def quiet(_what: str, _share: float) -> None:
    """Nobody watches."""


def write(kept: Path, output: Path, *, file_bytes: int = MIB, **options: object) -> Manifest:
    return write_bulk_files(KeptEmbeddings(kept), replace(WriteRequest(output, file_bytes), **options), quiet)  # type: ignore[arg-type]


def rows_of(folder: Path) -> list[dict[str, object]]:
    return [row for path in sorted(folder.glob("rows-*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_the_schema_is_the_one_that_milvus_takes() -> None:
    assert str(arrow_schema(FIELDS)) == (
        "id: string not null\n"
        "embedding: list<element: float not null> not null\n"
        "  child 0, element: float not null\n"
        "title: string not null\n"
        "group_key: string not null\n"
        "image_path: string not null\n"
        "colour: string not null\n"
        "price: double not null\n"
        "stock: int64 not null\n"
        "sale: int8 not null"
    )


def test_a_digest_tells_schemas_apart() -> None:
    wider = (replace(FIELDS[0], max_bytes=17), *FIELDS[1:])
    digests = [
        schema_digest(FIELDS, 8),
        schema_digest(FIELDS, 9),
        schema_digest(wider, 8),
        schema_digest(FIELDS[:1], 8),
    ]
    assert len(set(digests)) == len(digests)
    assert schema_digest(FIELDS, 8) == schema_digest(tuple(FIELDS), 8)


def test_values_are_written_as_an_upsert_would_store_them(tmp_path: Path) -> None:
    full = product("a", 1, colour="grün", price=9.5, stock=-3, sale=True)
    cut = product("b", 2, colour="é" * 9, price=-0.0)
    write(keep(tmp_path / "kept", [full, cut, product("c", 3)]), tmp_path / "bulk")
    first, second, third = rows_of(tmp_path / "bulk")
    assert first == {
        "id": "a",
        "embedding": unit(1).tolist(),
        "title": "Title a é",
        "group_key": "group",
        "image_path": "images/a.jpg",
        "colour": "grün",
        "price": 9.5,
        "stock": -3,
        "sale": 1,
    }
    assert second["colour"] == "é" * 8  # 16 bytes, and no half character
    assert str(second["price"]) == "0.0"
    assert (third["colour"], third["price"], third["stock"], third["sale"]) == (
        "",
        -sys.float_info.max,
        -(2**63 - 1),
        -1,
    )


def test_the_latest_state_of_an_id_is_written_and_the_others_are_counted(tmp_path: Path) -> None:
    kept = keep(tmp_path / "kept", [product("a", 1), product("b", 2)])
    keep(kept, [product("a", 3)])
    manifest = write(kept, tmp_path / "bulk")
    assert (manifest.read, manifest.superseded, manifest.rejected, manifest.rows) == (3, 1, 0, 2)
    vectors = {row["id"]: row["embedding"] for row in rows_of(tmp_path / "bulk")}
    assert vectors == {"a": unit(3).tolist(), "b": unit(2).tolist()}


def test_files_are_bounded_and_their_rows_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitrine.indexer.bulk.writing._CHUNK_ROWS", 64)
    kept = keep(tmp_path / "kept", products(1_000))
    manifest = write(kept, tmp_path / "bulk", file_bytes=40_000)
    assert len(manifest.files) > 4
    assert [file.name for file in manifest.files] == [path.name for path in sorted((tmp_path / "bulk").glob("rows-*"))]
    assert manifest.rows == 1_000 == sum(file.rows for file in manifest.files)
    assert max(file.rows for file in manifest.files) <= 40_000 / (4 * HEADER.dimension) + 64
    assert [row["id"] for row in rows_of(tmp_path / "bulk")] == [f"{number:06d}" for number in range(1_000)]


def test_the_same_parts_give_the_same_bytes(tmp_path: Path) -> None:
    kept = keep(tmp_path / "kept", products(300))
    one, other = write(kept, tmp_path / "one"), write(kept, tmp_path / "other")
    assert one == other
    assert one.digest == other.digest
    for file in (*one.files, *one.marks):
        assert (tmp_path / "one" / file.name).read_bytes() == (tmp_path / "other" / file.name).read_bytes()


def test_a_manifest_comes_back_as_it_was_written(tmp_path: Path) -> None:
    manifest = write(keep(tmp_path / "kept", products(10)), tmp_path / "bulk")
    assert Manifest.read_from(tmp_path / "bulk") == manifest
    assert (manifest.fingerprint, manifest.dimension, manifest.fields, manifest.group_name) == (
        HEADER.fingerprint,
        8,
        FIELDS,
        "design",
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [("version", 2), ("rows", 9), ("schema_digest", "0" * 64), ("dimension", 9), ("files", [{"name": "../etc"}])],
)
def test_a_manifest_that_was_edited_is_refused(tmp_path: Path, key: str, value: object) -> None:
    write(keep(tmp_path / "kept", products(10)), tmp_path / "bulk")
    path = tmp_path / "bulk" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(BulkFilesInvalid):
        Manifest.read_from(tmp_path / "bulk")


def test_a_manifest_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    write(keep(tmp_path / "kept", products(10)), tmp_path / "bulk")
    path = tmp_path / "bulk" / "manifest.json"
    content = json.loads(path.read_text())
    content["files"][0]["name"] = "../rows-000001.parquet"
    path.write_text(json.dumps(content))
    with pytest.raises(BulkFilesInvalid, match="none of ours"):
        Manifest.read_from(tmp_path / "bulk")


def test_a_finished_folder_is_only_replaced_when_told(tmp_path: Path) -> None:
    kept = keep(tmp_path / "kept", products(10))
    before = write(kept, tmp_path / "bulk")
    keep(kept, products(5, first=10))
    with pytest.raises(BulkFilesInvalid, match="--replace"):
        write(kept, tmp_path / "bulk")
    assert Manifest.read_from(tmp_path / "bulk") == before
    assert write(kept, tmp_path / "bulk", replace=True).rows == 15


def test_an_interrupted_writing_leaves_no_manifest_and_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, output = keep(tmp_path / "kept", products(1_000)), tmp_path / "bulk"
    monkeypatch.setattr("vitrine.indexer.bulk.writing._CHUNK_ROWS", 64)
    calls = Counter[str]()

    def dies(what: str, _share: float) -> None:
        calls[what] += 1
        if calls[what] == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_bulk_files(KeptEmbeddings(kept), WriteRequest(output, 20_000), dies)
    complete = sorted(output.glob("rows-*.parquet"))
    assert complete
    assert all(pq.read_metadata(path).num_rows for path in complete)
    with pytest.raises(BulkFilesInvalid, match="interrupted"):
        Manifest.read_from(output)
    (output / "rows-000099.parquet").write_bytes(b"of a longer attempt")
    assert write(kept, output).rows == 1_000
    assert check_bulk_files(output, quiet).good
    assert sorted(path.name for path in output.iterdir()) == [
        "manifest.json",
        "marks-000001.parquet",
        "rows-000001.parquet",
    ]


def test_rows_that_cannot_be_stored_are_rejected_by_name_and_the_others_written(tmp_path: Path) -> None:
    wrong = [product("x" * 129, 2), product("short", 4, unit(4) * np.float32(0.5))]
    kept = keep(tmp_path / "kept", [product("a", 1), *wrong, product("b", 5)])
    manifest = write(kept, tmp_path / "bulk", rejects=tmp_path / "rejects.csv")
    assert (manifest.read, manifest.rejected, manifest.rows) == (4, 2, 2)
    assert [row["id"] for row in rows_of(tmp_path / "bulk")] == ["a", "b"]
    listed = (tmp_path / "rejects.csv").read_text()
    assert "field_invalid" in listed
    assert "embedding_invalid" in listed
    assert check_bulk_files(tmp_path / "bulk", quiet).good


def test_too_many_rejections_leave_nothing_finished(tmp_path: Path) -> None:
    kept = keep(tmp_path / "kept", [product("x" * 129), product("a")])
    with pytest.raises(LimitExceeded):
        write(kept, tmp_path / "bulk", max_rejects=0)
    with pytest.raises(BulkFilesInvalid):
        Manifest.read_from(tmp_path / "bulk")


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30),
            st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_characters="\0"))),
            st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
            st.one_of(st.none(), st.integers(-(2**63 - 2), 2**63 - 1)),
            st.one_of(st.none(), st.booleans()),
        ),
        min_size=1,
        max_size=20,
        unique_by=lambda row: row[0],
    )
)
@settings(max_examples=40, deadline=None)
def test_whatever_is_kept_is_written_and_passes_the_check(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, float, int, bool]]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    names = ("colour", "price", "stock", "sale")
    kept = []
    for number, (name, *values) in enumerate(rows):
        fields = {key: value for key, value in zip(names, values, strict=True) if value is not None}
        kept.append(product(name, number + 1, **fields))
    manifest = write(keep(folder / "kept", kept), folder / "bulk")
    report = check_bulk_files(folder / "bulk", quiet)
    assert report.good, report.problems
    assert report.rows == manifest.rows == len(rows) - manifest.rejected
    storable = [one.item.item.id for one in kept if len(one.item.item.id.encode()) <= 128]
    assert [row["id"] for row in rows_of(folder / "bulk")] == storable


def test_wide_vectors_make_small_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitrine.indexer.bulk.writing.GROUP_BYTES_MOST", 32 * 4 * HEADER.dimension)
    write(keep(tmp_path / "kept", products(100)), tmp_path / "bulk")
    metadata = pq.read_metadata(tmp_path / "bulk" / "rows-000001.parquet")
    assert [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)] == [32, 32, 32, 4]


def test_marks_stand_beside_the_rows_and_become_a_ledger(tmp_path: Path) -> None:
    kept = [*products(30), product("x" * 129)]
    manifest = write(keep(tmp_path / "kept", kept), tmp_path / "bulk")
    info = CollectionInfo("shop_v1", 8, 0, FIELDS, Flat(), "f" * 64, "small", "build", datetime.now(UTC), True, ())
    settings = Settings(local=LocalSettings(state_dir=tmp_path))
    assert record_in_ledger(tmp_path / "bulk", manifest, info, settings) == 30
    with Ledger(tmp_path / "ledger" / "shop_v1.sqlite", build_id="build", fingerprint="f" * 64) as ledger:
        assert not ledger.started_over
        known = ledger.lookup([one.mark.id for one in kept])
    marks = {one.mark.id: one.mark for one in kept[:30]}
    assert {key: (mark.content_hash, mark.row_hash) for key, mark in known.items()} == {
        key: (mark.content_hash, mark.row_hash) for key, mark in marks.items()
    }
    (tmp_path / "bulk" / "marks-000001.parquet").unlink()
    assert record_in_ledger(tmp_path / "bulk", manifest, info, settings) == 0
    assert [problem.code for problem in check_bulk_files(tmp_path / "bulk", quiet).problems] == ["file_differs"]


def test_a_catalogue_without_fields_is_written_too(tmp_path: Path) -> None:
    header = replace(HEADER, fields=())
    kept = keep(tmp_path / "kept", [product("a")], header=header)
    assert write(kept, tmp_path / "bulk").fields == ()
    assert arrow_schema(()).names == ["id", "embedding", "title", "group_key", "image_path"]
    assert arrow_schema((FieldSpec("n", FieldType.NUMBER),)).names[-1] == "n"
