import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fixtures.indexing import Indexing, Shelf
from tests.fixtures.shop import Shop, jpeg, product_ids
from tests.fixtures.stack import RunningStack
from vitrine.domain import CatalogueItem, Deadline, EmbeddedItem
from vitrine.embedding.contract import ModelContract
from vitrine.embedding.encoder import open_encoder
from vitrine.indexer.kept import EmbeddingKeeper, KeptHeader
from vitrine.indexer.states import Embedded, Mark
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.writer import CollectionWriter

GOOD = 60
LONG_AGO = 1_700_000_000


class Settled:
    """A small collection that the tests below share: whatever they do, its ids stay."""

    alias = "settled"

    def __init__(self, shop: Shop, indexing: Indexing) -> None:
        self.shop = shop
        self.indexing = indexing
        self.ids = product_ids(12)
        self.dimension = ModelContract.load(indexing.settings.model.repository).dimension
        stock(shop, self.ids)
        shop.write()
        self.index()

    def index(self, *arguments: str | Path) -> dict[str, Any]:
        return self.indexing.index(self.shop.folder, self.alias, *arguments).summary


@pytest.fixture(scope="module")
def settled(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Settled:
    folder = tmp_path_factory.mktemp("settled")
    return Settled(Shop(folder / "shop"), Indexing(stack.settings, folder / "state"))


def stock(shop: Shop, ids: Iterable[str]) -> None:
    for product_id in ids:
        shop.add(product_id)
        os.utime(shop.path_of(product_id), (LONG_AGO, LONG_AGO))


def plant_defects(shop: Shop, good: str, outside: Path) -> dict[str, int]:
    """Adds one or more of everything that can be wrong. Returns how many rejections of each kind that makes."""
    outside.write_bytes(jpeg(7))
    shop.add_row("0990000001")
    shop.add_row("0990000002")
    shop.add("0990000003", picture=b"<html><body>404</body></html>")
    shop.add("0990000004", picture=b"")
    shop.add("0990000005", picture=jpeg(5)[:500])
    shop.add("0990000006", picture=jpeg(6) + b"\0" * (9 * 1024 * 1024))
    shop.add("0990000007", picture=_bomb())
    shop.add_row("0990000008")
    shop.path_of("0990000008").symlink_to(outside)
    shop.add_row("0990000009")
    shop.path_of("0990000009").mkdir()
    shop.add_row(good)
    shop.add_row("")
    shop.add_row("12345678901")
    shop.add_line("0990000010,too,few\n")
    shop.add_line('0990000011,"never closed\n')
    shop.add_line(b"0990000012" + b",\xff" * 24 + b"\n")
    shop.add_line(",".join(shop.cells("0990000013", detail_desc="a\0b")) + "\n")
    shop.add_line("\n")
    return {
        "image_missing": 2,
        "image_unrecognised": 2,
        "image_corrupt": 1,
        "image_too_large": 1,
        "image_too_many_pixels": 1,
        "image_outside_catalogue": 1,
        "image_unreadable": 1,
        "id_duplicate": 1,
        "id_missing": 1,
        "id_invalid": 1,
        "row_ragged": 1,
        "row_malformed": 1,
        "row_not_utf8": 1,
        "row_nul": 1,
    }


def _bomb() -> bytes:
    """A PNG of a few bytes that declares 50,000 x 50,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def lines_of(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines()


async def test_every_defect_is_accounted_for_and_a_second_run_writes_nothing(
    shop: Shop, indexing: Indexing, shelf: Shelf, tmp_path: Path
) -> None:
    good = product_ids(GOOD)
    stock(shop, good)
    expected = plant_defects(shop, good[0], tmp_path / "outside.jpg")
    catalogue = shop.write(bom=True)

    first = indexing.index(catalogue, "defects").summary
    assert first["rejected_by_reason"] == expected
    assert (first["read"], first["written"]) == (GOOD + sum(expected.values()), GOOD)
    assert first["ignored"] == {"blank_line": 1}
    assert first["collection"] == "defects_v1"
    assert await shelf.ids("defects") == good
    assert len(lines_of(first["rejects_file"])) == 1 + sum(expected.values())

    before = await shelf.info("defects")
    assert before.group_name == "product_code"
    second = indexing.index(catalogue, "defects").summary
    assert (second["written"], second["unchanged"]) == (0, GOOD)
    assert second["rejected_by_reason"] == expected
    after = await shelf.info("defects")
    assert (after.build_id, after.rows) == (before.build_id, before.rows)


async def test_what_milvus_holds_is_the_row_and_the_vector_of_its_own_picture(
    shop: Shop, indexing: Indexing, shelf: Shelf
) -> None:
    ids = product_ids(20)
    stock(shop, ids)
    shop.add("0998000001", prod_name="Ärmel 袖", colour_group_name="Light Blue", detail_desc="é" * 3000)
    indexing.index(shop.write(), "held")
    hit = (await shelf.hits("held", ["0998000001"]))["0998000001"]
    assert (hit.title, hit.group, hit.image_path) == ("Ärmel 袖", "0998000", "images/099/0998000001.jpg")
    assert hit.fields["colour_group_name"] == "Light Blue"
    assert hit.fields["detail_desc"] == "é" * 1024
    stored = await shelf.vectors("held", ids)
    async with open_encoder(indexing.settings) as encoder:
        pixels = np.stack([encoder.prepare(shop.path_of(product_id).read_bytes()) for product_id in ids])
        expected = await encoder.encode_pixels(pixels, Deadline.after(30))
    for product_id, vector in zip(ids, expected, strict=True):
        assert float(stored[product_id] @ vector) > 0.9999


async def test_changed_rows_and_pictures_are_updated_in_place(shop: Shop, indexing: Indexing, shelf: Shelf) -> None:
    ids = product_ids(10)
    stock(shop, ids)
    indexing.index(shop.write(), "changing")
    vectors = await shelf.vectors("changing", ids)
    shop.add_picture(ids[3], jpeg(77))
    shop.lines[5] = str(shop.lines[5]).replace(f"Product {ids[5]}", "Renamed")
    summary = indexing.index(shop.write(), "changing").summary
    assert (summary["written"], summary["unchanged"]) == (2, 8)
    assert await shelf.ids("changing") == ids
    assert (await shelf.hits("changing", [ids[5]]))[ids[5]].title == "Renamed"
    again = await shelf.vectors("changing", ids)
    changed = [product_id for product_id in ids if not np.array_equal(vectors[product_id], again[product_id])]
    assert changed == [ids[3]]


async def test_a_lost_ledger_costs_work_and_nothing_else(settled: Settled, shelf: Shelf) -> None:
    for path in (settled.indexing.state_dir / "ledger").glob("settled_v1.sqlite*"):
        path.unlink()
    assert settled.index()["written"] == len(settled.ids)
    assert await shelf.ids(settled.alias) == settled.ids


async def test_a_collection_that_was_dropped_is_filled_anew(shop: Shop, indexing: Indexing, shelf: Shelf) -> None:
    ids = product_ids(5)
    stock(shop, ids)
    indexing.index(shop.write(), "dropped")
    await shelf.admin.remove_alias("dropped")
    await shelf.admin.drop("dropped_v1")
    summary = indexing.index(shop.folder, "dropped").summary
    assert (summary["collection"], summary["written"]) == ("dropped_v1", 5)
    assert await shelf.ids("dropped") == ids


async def test_rows_that_milvus_lost_are_noticed_and_written_again(
    settled: Settled, shelf: Shelf, stack: RunningStack
) -> None:
    async with await MilvusConnection.open(stack.settings.milvus) as connection:
        writer = CollectionWriter(connection, await shelf.info(settled.alias))
        assert len(await writer.delete(settled.ids[:2])) == 2
    ended = settled.indexing.run("--catalogue", settled.shop.folder, "--collection", settled.alias)
    assert ended.status == 1
    assert ended.summary["error"]["code"] == "index_incomplete"
    assert "--reindex" in ended.stderr
    # Twelve are upserted, ten of them over themselves: nothing is doubled.
    assert settled.index("--reindex")["written"] == len(settled.ids)
    assert await shelf.ids(settled.alias) == settled.ids


async def test_kept_embeddings_fill_another_collection_without_the_model(
    settled: Settled, shelf: Shelf, tmp_path: Path
) -> None:
    ids, kept = settled.ids, tmp_path / "kept"
    # What is in the collection but not in the folder yet is embedded again, what is in both is not.
    assert settled.index("--keep-embeddings", kept)["written"] == len(ids)
    settled.shop.add_picture(ids[0], jpeg(42))
    assert settled.index("--keep-embeddings", kept)["written"] == 1
    nowhere = {"VITRINE_TRITON__URL": "http://127.0.0.1:1"}
    arguments = ("--from-embeddings", kept, "--collection", "kept", "--index", "ivf_flat", "--index-param", "nlist=8")
    first = settled.indexing.run(*arguments, **nowhere)
    assert first.status == 0, first.stderr
    assert first.counts == {"read": len(ids), "written": len(ids), "unchanged": 0, "rejected": 0, "dropped": 0}
    assert first.summary["ignored"] == {"superseded_row": 1}
    assert await shelf.ids("kept") == ids
    one, other = await shelf.vectors(settled.alias, ids), await shelf.vectors("kept", ids)
    for product_id in ids:
        np.testing.assert_array_equal(one[product_id], other[product_id])
    assert await shelf.hits(settled.alias, ids) == await shelf.hits("kept", ids)
    assert (await shelf.info("kept")).index.index_type == "IVF_FLAT"
    second = settled.indexing.run(*arguments, **nowhere)
    assert second.counts == {"read": len(ids), "written": 0, "unchanged": len(ids), "rejected": 0, "dropped": 0}


def test_kept_embeddings_of_another_model_are_refused(settled: Settled, tmp_path: Path) -> None:
    vector = np.zeros(settled.dimension, np.float32)
    vector[0] = 1.0
    item = CatalogueItem("a", Path("a.jpg"), "a.jpg", "A", "", {})
    header = KeptHeader("0" * 64, "another", settled.dimension, (), "mine", "0" * 16)
    keeper = EmbeddingKeeper(tmp_path / "kept", header)
    keeper.add([Embedded(EmbeddedItem(item, vector), Mark("a", b"c" * 32, b"r" * 32))])
    keeper.close()
    ended = settled.indexing.run("--from-embeddings", tmp_path / "kept", "--collection", "settled")
    assert ended.status == 1
    assert "contract_mismatch" in ended.stderr
    assert "0" * 64 in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("--index", "ivf_flat"), "IVF_FLAT"), (("--index", "hnsw", "--index-param", "M=24"), "M=24")],
)
def test_another_index_than_the_collection_has_is_refused(
    settled: Settled, arguments: tuple[str, ...], words: str
) -> None:
    ended = settled.indexing.run("--catalogue", settled.shop.folder, "--collection", settled.alias, *arguments)
    assert ended.status == 2
    assert "collection_differs" in ended.stderr
    assert words in ended.stderr


def test_naming_the_index_that_the_collection_has_is_fine(settled: Settled) -> None:
    assert settled.index("--index", "hnsw", "--index-param", "M=16")["read"] == len(settled.ids)


def test_another_set_of_fields_is_refused_and_named(settled: Settled, shop: Shop) -> None:
    shop.columns.append("price")
    shop.add(settled.ids[0], price="9.99")
    ended = settled.indexing.run("--catalogue", shop.write(), "--collection", settled.alias)
    assert ended.status == 2
    assert "price is not in the collection" in ended.stderr


def test_a_collection_of_its_own_name_is_no_alias(settled: Settled) -> None:
    ended = settled.indexing.run("--catalogue", settled.shop.folder, "--collection", "settled_v1")
    assert ended.status == 2
    assert "not an alias" in ended.stderr


async def test_nothing_but_rejections_is_not_shown_to_readers(shop: Shop, indexing: Indexing, shelf: Shelf) -> None:
    shop.add_row("0990000001")
    ended = indexing.run("--catalogue", shop.write(), "--collection", "hollow")
    assert ended.status == 1
    assert ended.summary["error"]["code"] == "index_incomplete"
    assert await shelf.admin.alias_target("hollow") is None


async def test_more_rejections_than_allowed_fail_the_run_before_readers_see_it(
    shop: Shop, indexing: Indexing, shelf: Shelf
) -> None:
    stock(shop, product_ids(5))
    for number in range(5):
        shop.add_row(f"099000000{number}")
    ended = indexing.run("--catalogue", shop.write(), "--collection", "strict", "--max-rejects", "4")
    assert ended.status == 2
    assert ended.summary["error"]["code"] == "limit_exceeded"
    assert await shelf.admin.alias_target("strict") is None
    indexing.index(shop.folder, "strict", "--max-rejects", "5")
    assert await shelf.admin.alias_target("strict") == "strict_v1"


async def test_a_limited_run_can_be_widened(shop: Shop, indexing: Indexing, shelf: Shelf) -> None:
    ids = product_ids(9)
    stock(shop, ids)
    assert indexing.index(shop.write(), "growing", "--limit", "4").counts["written"] == 4
    assert await shelf.ids("growing") == ids[:4]
    assert indexing.index(shop.folder, "growing").counts == {
        "read": 9,
        "written": 5,
        "unchanged": 4,
        "rejected": 0,
        "dropped": 0,
    }
