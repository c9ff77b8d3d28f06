import asyncio
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from vitrine.domain import CatalogueItem, EmbeddedItem, FieldSpec, FieldType, FieldValue, Vectors
from vitrine.errors import ContractMismatch
from vitrine.indexer.backfill import KeptEmbeddings
from vitrine.indexer.kept import EmbeddingKeeper, KeptEmbeddingsInvalid, KeptHeader, shard_folder
from vitrine.indexer.rejections import Rejection
from vitrine.indexer.shards.sharding import Shard
from vitrine.indexer.states import Embedded, Mark, row_hash

FIELDS = (
    FieldSpec("colour", FieldType.TEXT, 64, facetable=True),
    FieldSpec("price", FieldType.NUMBER),
    FieldSpec("stock", FieldType.INTEGER),
    FieldSpec("sale", FieldType.FLAG),
)
HEADER = KeptHeader("f" * 64, "small", 4, FIELDS, "mine", "0" * 16)


def unit(seed: int) -> Vectors:
    vector = np.random.default_rng(seed).normal(size=HEADER.dimension).astype(np.float32)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def product(name: str, seed: int = 1, vector: Vectors | None = None, **fields: FieldValue) -> Embedded:
    item = CatalogueItem(name, Path(f"images/{name}.jpg"), f"images/{name}.jpg", f"Title {name} é", "group", fields)
    mark = Mark(name, bytes([seed]) * 32, row_hash(item, HEADER.fingerprint))
    return Embedded(EmbeddedItem(item, unit(seed) if vector is None else vector), mark)


def keep(folder: Path, *batches: Sequence[Embedded], part_rows: int = 1000) -> EmbeddingKeeper:
    keeper = EmbeddingKeeper(folder, HEADER, part_bytes=part_rows * HEADER.dimension * 4)
    for batch in batches:
        keeper.add(batch)
    keeper.close()
    return keeper


def embedded_in(folder: Path) -> list[Embedded]:
    return [row for row in KeptEmbeddings(folder).rows() if isinstance(row, Embedded)]


def test_what_was_kept_comes_back_as_it_was(tmp_path: Path) -> None:
    kept = [product("a", 1, colour="red", price=9.99, stock=3, sale=True), product("b", 2, colour="")]
    keep(tmp_path, kept)
    found = embedded_in(tmp_path)
    assert [one.item.item for one in found] == [one.item.item for one in kept]
    assert [one.mark.content_hash for one in found] == [one.mark.content_hash for one in kept]
    assert [one.mark.row_hash for one in found] == [one.mark.row_hash for one in kept]
    np.testing.assert_array_equal(found[0].item.vector, kept[0].item.vector)
    assert KeptEmbeddings(tmp_path).header == HEADER


def test_parts_are_named_in_order_and_nothing_unfinished_is_left(tmp_path: Path) -> None:
    keep(tmp_path, [product("a"), product("b")], [product("c"), product("d")], [product("e")], part_rows=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"part-00000{number}.parquet" for number in (1, 2, 3)]
    assert [one.mark.id for one in embedded_in(tmp_path)] == ["a", "b", "c", "d", "e"]


def test_any_parquet_reader_finds_the_vectors_and_the_fingerprint(tmp_path: Path) -> None:
    keep(tmp_path, [product("a", 5)])
    table = pq.read_table(tmp_path / "part-000001.parquet")
    assert str(table.schema.field("embedding").type) == "fixed_size_list<element: float>[4]"
    assert HEADER.fingerprint.encode() in table.schema.metadata[b"vitrine"]
    np.testing.assert_array_equal(np.array(table["embedding"].to_pylist()[0], np.float32), unit(5))


def test_parts_know_the_name_of_the_group_column_and_older_ones_have_none(tmp_path: Path) -> None:
    named = replace(HEADER, group_name="product_code")
    older = {name: value for name, value in asdict(HEADER).items() if name != "group_name"}
    for number, written in enumerate((asdict(named), older), start=1):
        schema = HEADER.schema().with_metadata({b"vitrine": json.dumps(written).encode()})
        pq.write_table(schema.empty_table(), tmp_path / f"part-00000{number}.parquet")
    assert KeptHeader.of_part(tmp_path / "part-000001.parquet") == named
    assert KeptHeader.of_part(tmp_path / "part-000002.parquet").group_name == ""


def test_the_latest_state_of_a_product_counts(tmp_path: Path) -> None:
    keep(tmp_path, [product("a", 1), product("b", 2)])
    keep(tmp_path, [product("a", 3)])
    kept = KeptEmbeddings(tmp_path)
    assert (len(kept), kept.superseded) == (2, 1)
    assert {one.mark.id: one.mark.content_hash[0] for one in embedded_in(tmp_path)} == {"a": 3, "b": 2}


def test_a_keeper_knows_what_earlier_runs_kept(tmp_path: Path) -> None:
    keep(tmp_path, [product("a", 1)])
    keeper = EmbeddingKeeper(tmp_path, HEADER)
    assert keeper.holds(product("a", 1).mark)
    assert not keeper.holds(product("a", 2).mark)
    assert not keeper.holds(product("b", 1).mark)


def test_a_part_that_was_not_finished_is_ignored(tmp_path: Path) -> None:
    keep(tmp_path, [product("a")])
    (tmp_path / ".part-000002.parquet.unfinished").write_bytes(b"PAR1 half")
    assert [one.mark.id for one in embedded_in(tmp_path)] == ["a"]
    keep(tmp_path, [product("b")])
    assert [one.mark.id for one in embedded_in(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize("scale", [0.0, 0.9, 1.1, float("nan"), float("inf")])
def test_a_vector_that_is_not_of_unit_length_is_rejected(tmp_path: Path, scale: float) -> None:
    keep(tmp_path, [product("a", vector=unit(1) * np.float32(scale)), product("b")])
    wrong, good = KeptEmbeddings(tmp_path).rows()
    assert isinstance(wrong, Rejection)
    assert (wrong.code, wrong.id, wrong.line) == ("embedding_invalid", "a", 1)
    assert isinstance(good, Embedded)


def test_another_models_folder_is_refused(tmp_path: Path) -> None:
    keep(tmp_path, [product("a")])
    with pytest.raises(ContractMismatch, match="another folder"):
        EmbeddingKeeper(tmp_path, replace(HEADER, fingerprint="e" * 64))
    with pytest.raises(KeptEmbeddingsInvalid, match="other fields"):
        EmbeddingKeeper(tmp_path, replace(HEADER, fields=FIELDS[:1]))


def test_parts_of_two_models_do_not_belong_together(tmp_path: Path) -> None:
    keep(tmp_path / "one", [product("a")])
    other = EmbeddingKeeper(tmp_path / "other", replace(HEADER, fingerprint="e" * 64))
    other.add([product("b")])
    other.close()
    (tmp_path / "other" / "part-000001.parquet").rename(tmp_path / "one" / "part-000002.parquet")
    with pytest.raises(KeptEmbeddingsInvalid, match="different models"):
        KeptEmbeddings(tmp_path / "one")


def test_folders_without_kept_embeddings_are_named(tmp_path: Path) -> None:
    with pytest.raises(KeptEmbeddingsInvalid, match="no kept embeddings"):
        KeptEmbeddings(tmp_path)
    with pytest.raises(KeptEmbeddingsInvalid, match="no kept embeddings"):
        KeptEmbeddings(tmp_path / "none")
    (tmp_path / "part-000001.parquet").write_bytes(b"<html>")
    with pytest.raises(KeptEmbeddingsInvalid, match="part-000001"):
        KeptEmbeddings(tmp_path)


def test_a_part_that_is_cut_short_is_an_error_and_no_silent_end(tmp_path: Path) -> None:
    keep(tmp_path, [product(f"{number}", number % 200) for number in range(300)])
    part = tmp_path / "part-000001.parquet"
    data = part.read_bytes()
    part.write_bytes(data[: len(data) // 2])
    with pytest.raises(KeptEmbeddingsInvalid):
        KeptEmbeddings(tmp_path)


async def test_keeping_and_reading_work_from_another_thread(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        await asyncio.get_running_loop().run_in_executor(pool, lambda: keep(tmp_path, [product("a")]))
    assert [one.mark.id for one in embedded_in(tmp_path)] == ["a"]


def test_shards_keep_apart_and_are_read_together(tmp_path: Path) -> None:
    keep(shard_folder(tmp_path, Shard(1, 2)), [product("a", 1)], [product("b", 2)], part_rows=1)
    keep(shard_folder(tmp_path, Shard(2, 2)), [product("c", 3)])
    assert [one.item.item.id for one in embedded_in(tmp_path)] == ["a", "b", "c"]
    assert shard_folder(tmp_path, Shard(2, 2)) == tmp_path / "shard-2-of-2"


def test_what_was_kept_under_another_division_is_not_added_to(tmp_path: Path) -> None:
    keep(shard_folder(tmp_path / "halves", Shard(1, 2)), [product("a")])
    keep(tmp_path / "whole", [product("a")])
    for refused in (
        lambda: shard_folder(tmp_path / "halves", Shard(1, 3)),
        lambda: shard_folder(tmp_path / "whole", Shard(1, 2)),
        lambda: keep(tmp_path / "halves", [product("b")]),
    ):
        with pytest.raises(KeptEmbeddingsInvalid, match="another folder"):
            refused()
