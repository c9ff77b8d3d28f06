import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

from tests.integration.vectorstore.conftest import (
    DIMENSION,
    FIELDS,
    drop,
    in_a_loop,
    make_item,
    make_spec,
    soon,
    unit_vectors,
)
from tests.integration.vectorstore.servers import Part, needs
from vitrine.domain import Deadline, EmbeddedItem, Hit, Vectors
from vitrine.errors import CollectionNotFound, DeadlineExceeded, InvalidInput, LimitExceeded
from vitrine.settings import MilvusSettings
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.filters import Eq, Ge, Lt, Not, compile_filter
from vitrine.vectorstore.index_params import Hnsw
from vitrine.vectorstore.searcher import VectorSearcher
from vitrine.vectorstore.writer import CollectionWriter

ROWS = 300
VECTORS = unit_vectors(ROWS, seed=1)
IDS = [f"{row:010d}" for row in range(ROWS)]


def items() -> list[EmbeddedItem]:
    """Every third item has no values; items 290 to 299 share the vector of 290."""
    made = []
    for row, item_id in enumerate(IDS):
        fields = (
            {}
            if row % 3 == 0
            else {"colour": "red" if row % 2 else "blue", "stock": row, "price": row / 4, "sale": row % 2 == 0}
        )
        made.append(make_item(item_id, VECTORS[min(row, 290)], title=f"Item {row}", **fields))
    return made


@pytest.fixture(scope="module")
def collection(milvus_settings: MilvusSettings) -> Iterator[CollectionInfo]:
    async def fill(admin: CollectionAdmin) -> CollectionInfo:
        info = await admin.create(make_spec(index=Hnsw(ef=400)))
        async with await MilvusConnection.open(milvus_settings) as connection:
            await CollectionWriter(connection, info).upsert(items())
        assert await admin.count(info.name) == ROWS
        return info

    info: CollectionInfo = in_a_loop(milvus_settings, fill)
    yield info
    in_a_loop(milvus_settings, lambda admin: drop(admin, info.name))


def exact(query: Vectors) -> list[tuple[float, str]]:
    """What a search must find: (score, id), best first, equal scores by id."""
    stored = VECTORS[np.minimum(np.arange(ROWS), 290)]
    scores = stored @ query
    return sorted(
        ((float(score), item_id) for score, item_id in zip(scores, IDS, strict=True)),
        key=lambda pair: (-pair[0], pair[1]),
    )


async def find(searcher: VectorSearcher, collection: CollectionInfo, query: Vectors, **more: object) -> list[Hit]:
    wanted = {"limit": 10, "index": collection.index, "fields": collection.fields, "deadline": soon()} | more
    return await searcher.search(collection.name, query, **wanted)  # type: ignore[arg-type]


async def test_hits_are_the_exact_neighbours_best_first(searcher: VectorSearcher, collection: CollectionInfo) -> None:
    for query in unit_vectors(5, seed=2):
        hits = await find(searcher, collection, query, limit=25)
        expected = exact(query)[:25]
        assert [hit.id for hit in hits] == [item_id for _, item_id in expected]
        np.testing.assert_allclose([hit.score for hit in hits], [score for score, _ in expected], atol=1e-6)


async def test_equal_scores_are_ordered_by_id_and_scores_stay_within_one(
    searcher: VectorSearcher, collection: CollectionInfo
) -> None:
    hits = await find(searcher, collection, VECTORS[290])
    assert [hit.id for hit in hits] == IDS[290:]
    assert all(0.999999 < hit.score <= 1.0 for hit in hits)
    opposite = await find(searcher, collection, -VECTORS[290], limit=ROWS)
    assert all(-1.0 <= hit.score <= -0.999999 for hit in opposite[-10:])


async def test_an_offset_continues_where_the_limit_ended(searcher: VectorSearcher, collection: CollectionInfo) -> None:
    query = unit_vectors(1, seed=3)[0]
    whole = await find(searcher, collection, query, limit=30)
    pages = [await find(searcher, collection, query, limit=10, offset=offset) for offset in (0, 10, 20)]
    assert [hit.id for page in pages for hit in page] == [hit.id for hit in whole]
    assert await find(searcher, collection, query, limit=10, offset=ROWS) == []


async def test_a_hit_carries_the_items_values_and_only_those_it_has(
    searcher: VectorSearcher, collection: CollectionInfo
) -> None:
    hits = {hit.id: hit for hit in await find(searcher, collection, VECTORS[0], limit=ROWS)}
    assert hits[IDS[4]].fields == {"colour": "blue", "stock": 4, "price": 1.0, "sale": True}
    assert type(hits[IDS[4]].fields["sale"]) is bool
    assert hits[IDS[3]].fields == {}
    assert (hits[IDS[4]].title, hits[IDS[4]].group, hits[IDS[4]].image_path) == (
        "Item 4",
        "g",
        f"images/{IDS[4][:9]}.jpg",
    )
    assert hits[IDS[4]].vector is None


async def test_vectors_come_only_when_asked_for_and_bit_by_bit(
    searcher: VectorSearcher, collection: CollectionInfo
) -> None:
    (hit,) = await find(searcher, collection, VECTORS[7], limit=1, with_vectors=True)
    assert hit.vector is not None
    np.testing.assert_array_equal(hit.vector, VECTORS[7])


async def test_many_vectors_in_one_call_find_what_single_searches_find(
    searcher: VectorSearcher, collection: CollectionInfo
) -> None:
    queries = unit_vectors(20, seed=4)
    together = await searcher.neighbours(
        collection.name, queries, limit=5, index=collection.index, fields=collection.fields, deadline=soon()
    )
    alone = [await find(searcher, collection, query, limit=5) for query in queries]
    assert [found.ids for found in together] == [[hit.id for hit in hits] for hits in alone]
    for found, hits in zip(together, alone, strict=True):
        np.testing.assert_allclose(list(found.scores), [hit.score for hit in hits], atol=1e-6)
        assert [hit.fields for hit in found.hits(range(5))] == [hit.fields for hit in hits]


async def test_neighbours_can_come_without_what_only_a_page_needs(
    searcher: VectorSearcher, collection: CollectionInfo
) -> None:
    colour = collection.fields[0]
    (found,) = await searcher.neighbours(
        collection.name,
        VECTORS[:1],
        limit=ROWS,
        wanted=10,
        index=collection.index,
        fields=(colour,),
        described=False,
        params={"ef": 16},
        deadline=soon(),
    )
    assert not found.described
    assert found.ids == [hit.id for hit in await find(searcher, collection, VECTORS[0], limit=ROWS)]
    expected = ["" if int(item_id) % 3 == 0 else "red" if int(item_id) % 2 else "blue" for item_id in found.ids]
    assert found.stored("colour") == expected
    assert set(found.stored("group_key")) == {"g"}


async def test_items_are_counted_by_value_within_a_filter(searcher: VectorSearcher, collection: CollectionInfo) -> None:
    rows = [row for row in range(ROWS) if row % 3]
    sizes = await searcher.sizes(collection.name, "colour", ["red", "blue", 'gr"een', ""], "", soon())
    assert sizes == {
        "red": sum(row % 2 for row in rows),
        "blue": sum(1 - row % 2 for row in rows),
        'gr"een': 0,
        "": 100,
    }
    narrowed = compile_filter(Lt("stock", 10), collection.fields)
    assert await searcher.sizes(collection.name, "colour", ["red", "blue"], narrowed, soon()) == {"red": 3, "blue": 3}
    assert await searcher.sizes(collection.name, "stock", [4, 3, -7], "", soon()) == {4: 1, 3: 0, -7: 0}


async def test_groups_too_large_to_be_read_are_counted_by_milvus(
    searcher: VectorSearcher, collection: CollectionInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitrine.vectorstore.searcher._COUNTED_ROWS", 50)
    narrowed = compile_filter(Ge("stock", 150), collection.fields)
    rows = [row for row in range(150, ROWS) if row % 3]
    expected = {"red": sum(row % 2 for row in rows), "blue": sum(1 - row % 2 for row in rows), "green": 0}
    assert await searcher.sizes(collection.name, "colour", ["red", "blue", "green"], narrowed, soon()) == expected


async def test_a_filter_holds_for_every_hit(searcher: VectorSearcher, collection: CollectionInfo) -> None:
    red = compile_filter(Eq("colour", "red"), collection.fields)
    hits = await find(searcher, collection, VECTORS[1], limit=ROWS, expression=red)
    assert {hit.id for hit in hits} == {IDS[row] for row in range(ROWS) if row % 3 and row % 2}
    others = compile_filter(Not(Eq("id", IDS[1])), collection.fields)
    assert IDS[1] not in [hit.id for hit in await find(searcher, collection, VECTORS[1], expression=others)]


async def test_search_parameters_are_checked_before_milvus_is_asked(
    searcher: VectorSearcher, collection: CollectionInfo
) -> None:
    assert len(await find(searcher, collection, VECTORS[0], params={"ef": 32})) == 10
    with pytest.raises(LimitExceeded):
        await find(searcher, collection, VECTORS[0], params={"ef": 5})
    with pytest.raises(InvalidInput):
        await find(searcher, collection, VECTORS[0], params={"nprobe": 5})
    with pytest.raises(LimitExceeded):
        await find(searcher, collection, VECTORS[0], limit=20_000)


async def test_an_unknown_collection_and_a_spent_deadline(searcher: VectorSearcher, collection: CollectionInfo) -> None:
    with pytest.raises(CollectionNotFound, match="nothing_here"):
        await searcher.search("nothing_here", VECTORS[0], limit=1, index=Hnsw(), fields=(), deadline=soon())
    with pytest.raises(DeadlineExceeded):
        await find(searcher, collection, VECTORS[0], deadline=Deadline.after(-1))


@needs(Part.WAITING_READS)
async def test_a_strong_read_that_cannot_wait_long_enough_says_so(
    searcher: VectorSearcher, collection: CollectionInfo
) -> None:
    with pytest.raises(DeadlineExceeded):
        # The ticks of Milvus's clock are 0.2 s apart.
        await searcher.items_of(collection.name, IDS[:1], Deadline.after(0.005), strong=True)


async def test_an_empty_collection_has_no_hits(searcher: VectorSearcher, empty_collection: CollectionInfo) -> None:
    assert await find(searcher, empty_collection, VECTORS[0]) == []
    many = await searcher.neighbours(
        empty_collection.name, VECTORS[:3], limit=5, index=empty_collection.index, fields=FIELDS, deadline=soon()
    )
    assert [len(found) for found in many] == [0, 0, 0]
    assert await searcher.sizes(empty_collection.name, "colour", ["red"], "", soon()) == {"red": 0}


async def test_items_and_vectors_by_id(searcher: VectorSearcher, collection: CollectionInfo) -> None:
    wanted = [IDS[5], "nowhere", IDS[3], IDS[5], "", "x" * 200, "\ud800", 'a" or "1', *IDS[100:300]]
    there = {IDS[5], IDS[3], *IDS[100:300]}
    vectors = await searcher.vectors_of(collection.name, wanted, soon())
    assert set(vectors) == there
    assert vectors[IDS[5]].shape == (DIMENSION,)
    np.testing.assert_array_equal(vectors[IDS[5]], VECTORS[5])
    found = await searcher.items_of(collection.name, wanted, soon(), fields=FIELDS)
    assert set(found) == there
    assert found[IDS[5]] == Hit(
        IDS[5],
        1.0,
        "Item 5",
        "g",
        f"images/{IDS[5][:9]}.jpg",
        {"colour": "red", "stock": 5, "price": 1.25, "sale": False},
    )
    assert await searcher.vectors_of(collection.name, [], soon()) == {}
    with_vector = await searcher.items_of(collection.name, [IDS[5]], soon(), with_vectors=True)
    np.testing.assert_array_equal(with_vector[IDS[5]].vector, VECTORS[5])


async def test_many_searches_at_once_do_not_mix_their_answers(
    searcher: VectorSearcher, collection: CollectionInfo
) -> None:
    found = await asyncio.gather(*(find(searcher, collection, VECTORS[row], limit=1) for row in range(100)))
    assert [hits[0].id for hits in found] == IDS[:100]
