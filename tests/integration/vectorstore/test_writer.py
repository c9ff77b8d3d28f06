import asyncio
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.vectorstore.conftest import FIELDS, make_item, soon, unit_vectors
from vitrine.errors import InvalidInput
from vitrine.settings import MilvusSettings
from vitrine.vectorstore import writer as writer_module
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.searcher import VectorSearcher
from vitrine.vectorstore.writer import CollectionWriter

VECTORS = unit_vectors(50)

pytestmark = pytest.mark.usefixtures("empty_collection")


@pytest.fixture
def writer(connection: MilvusConnection, empty_collection: CollectionInfo) -> CollectionWriter:
    return CollectionWriter(connection, empty_collection)


async def test_of_items_with_one_id_the_last_wins_and_the_log_says_so(
    writer: CollectionWriter,
    searcher: VectorSearcher,
    empty_collection: CollectionInfo,
    caplog: pytest.LogCaptureFixture,
) -> None:
    same = [make_item("same", vector, title=str(row)) for row, vector in enumerate(VECTORS[:5])]
    assert await writer.upsert([*same, make_item("other", VECTORS[9])]) == 2
    assert "4 of 6 items share an id with a later one" in caplog.text
    name = empty_collection.name
    assert (await searcher.items_of(name, ["same"], soon(), strong=True))["same"].title == "4"
    np.testing.assert_array_equal((await searcher.vectors_of(name, ["same"], soon()))["same"], VECTORS[4])


async def test_writing_again_replaces(
    writer: CollectionWriter, admin: CollectionAdmin, searcher: VectorSearcher, empty_collection: CollectionInfo
) -> None:
    before = await admin.count(empty_collection.name)
    for title in ("first", "second", "third"):
        await writer.upsert([make_item("again", VECTORS[0], title=title)])
    assert await admin.count(empty_collection.name) == before + 1
    found = await searcher.items_of(empty_collection.name, ["again"], soon(), strong=True)
    assert found["again"].title == "third"


async def test_a_large_batch_goes_in_several_messages(
    writer: CollectionWriter, admin: CollectionAdmin, empty_collection: CollectionInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "MAX_REQUEST_BYTES", 1_000)
    before = await admin.count(empty_collection.name)
    assert await writer.upsert([make_item(f"large{row}", vector) for row, vector in enumerate(VECTORS)]) == 50
    assert await admin.count(empty_collection.name) == before + 50


async def test_a_message_near_the_limit_is_taken(writer: CollectionWriter) -> None:
    text = "é" * 512
    fields = {"colour": text, "stock": 1, "price": 1.0, "sale": True}
    many = [make_item(f"wide{row}", VECTORS[row % 50], title=text, **fields) for row in range(5_000)]
    assert sum(map(writer_module.estimate_bytes, many)) > writer_module.MAX_REQUEST_BYTES
    assert await writer.upsert(many) == 5_000


async def test_deleting_tells_how_many_were_there(
    writer: CollectionWriter, searcher: VectorSearcher, empty_collection: CollectionInfo
) -> None:
    ids = ["gone1", 'gone"2', "gone'3"]
    await writer.upsert([make_item(item_id, VECTORS[0]) for item_id in [*ids, "stays"]])
    assert sorted(await writer.delete([*ids, "never", "", ids[0]])) == sorted(ids)
    assert await writer.delete(ids) == []
    assert set(await searcher.items_of(empty_collection.name, [*ids, "stays"], soon(), strong=True)) == {"stays"}
    assert await writer.delete([]) == []


async def test_one_bad_item_and_nothing_is_written(
    writer: CollectionWriter, searcher: VectorSearcher, empty_collection: CollectionInfo
) -> None:
    with pytest.raises(InvalidInput, match="'bad'"):
        await writer.upsert([make_item("good", VECTORS[0]), make_item("bad", VECTORS[0] * 2)])
    assert await searcher.items_of(empty_collection.name, ["good", "bad"], soon(), strong=True) == {}
    assert await writer.upsert([]) == 0


async def test_a_write_is_seen_by_searches_within_the_documented_time(
    writer: CollectionWriter, searcher: VectorSearcher, empty_collection: CollectionInfo
) -> None:
    vector = unit_vectors(1, seed=77)[0]
    await writer.upsert([make_item("fresh", vector)])
    until = time.monotonic() + 5.0
    while True:
        hits = await searcher.search(
            empty_collection.name, vector, limit=1, index=empty_collection.index, fields=(), deadline=soon()
        )
        if hits and hits[0].id == "fresh":
            break
        assert time.monotonic() < until, "the write was not seen within 5 s"
        await asyncio.sleep(0.02)


nasty = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@given(st.lists(nasty, min_size=1, max_size=20, unique=True))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_comes_back_as_it_was_written(
    milvus_settings: MilvusSettings, empty_collection: CollectionInfo, texts: list[str]
) -> None:
    async def round_trip() -> None:
        async with await MilvusConnection.open(milvus_settings) as connection:
            made = [make_item(f"n{row}", VECTORS[0], title=text, colour=text) for row, text in enumerate(texts)]
            await CollectionWriter(connection, empty_collection).upsert(made)
            ids = [made_item.item.id for made_item in made]
            found = await VectorSearcher(connection).items_of(
                empty_collection.name, ids, soon(), fields=FIELDS, strong=True
            )
            assert [found[item_id].fields["colour"] for item_id in ids] == texts
            assert [found[item_id].title for item_id in ids] == texts

    asyncio.run(round_trip())
