"""Searches of a compressed index whose hits are compared again by their whole vectors."""

from collections.abc import Iterator

import numpy as np
import pytest

from tests.integration.search.conftest import (
    asked,
    drop,
    fill,
    in_a_loop,
    make,
    make_searcher,
    products,
    query_vector,
    ranking,
    search,
    walk,
)
from vitrine.domain import Deadline
from vitrine.errors import LimitExceeded
from vitrine.search.request import SearchResult
from vitrine.settings import MilvusSettings
from vitrine.telemetry.stages import StageClock
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.filters import Eq
from vitrine.vectorstore.index_params import IvfPq
from vitrine.vectorstore.writer import CollectionWriter

# Four codes for 16 dimensions, every list searched: all that is lost is lost to compression.
COARSE = IvfPq(nlist=8, m=4, nprobe=8, rerank=40)
SHOP = products()


@pytest.fixture(scope="module")
def coarse(milvus_settings: MilvusSettings) -> Iterator[CollectionInfo]:
    """`products()` under a compressed index whose default is to rerank 40 candidates for each hit."""

    async def filled(connection: MilvusConnection) -> CollectionInfo:
        admin = CollectionAdmin(connection)
        info = await make(admin, COARSE)
        await fill(connection, info, SHOP)
        await CollectionWriter(connection, info).flush()
        await admin.wait_index_built(info.name)
        await admin.release(info.name)
        await admin.load(info.name)
        await admin.wait_index_served(info.name)
        return info

    info: CollectionInfo = in_a_loop(milvus_settings, filled)
    yield info
    in_a_loop(milvus_settings, lambda connection: drop(CollectionAdmin(connection), info.name))


async def test_the_best_candidates_by_their_whole_vectors_are_the_exact_neighbours(
    connection: MilvusConnection, coarse: CollectionInfo
) -> None:
    searcher = make_searcher(connection)
    lost = 0
    for text in map(str, range(8)):
        expected = [product.id for product in ranking(SHOP, text)[:20]]
        reranked = await search(searcher, asked(coarse.name, text))
        compressed = await search(searcher, asked(coarse.name, text, params={"rerank": 0}))
        assert [hit.id for hit in reranked.hits] == expected
        vectors = {product.id: product.vector for product in SHOP}
        scores = [float(vectors[hit.id] @ query_vector(text)) for hit in reranked.hits]
        np.testing.assert_allclose([hit.score for hit in reranked.hits], scores, atol=1e-6)
        assert all(hit.vector is None for hit in reranked.hits)
        lost += len(set(expected) - {hit.id for hit in compressed.hits})
    assert lost > 20, "without reranking, this index must lose neighbours, or the test shows nothing"


async def test_an_offset_and_a_filter_reach_the_same_order(
    connection: MilvusConnection, coarse: CollectionInfo
) -> None:
    searcher = make_searcher(connection)
    red = [product.id for product in ranking(SHOP, "3") if product.colour == "red"]
    found = await search(searcher, asked(coarse.name, "3", 10, offset=5, filter=Eq("colour", "red")))
    assert [hit.id for hit in found.hits] == red[5:15]


async def test_pages_by_cursor_give_each_product_once_in_the_exact_order(
    connection: MilvusConnection, coarse: CollectionInfo
) -> None:
    found = [
        hit async for page in walk(make_searcher(connection), asked(coarse.name, "4", 15), most=60) for hit in page.hits
    ]
    assert [hit.id for hit in found] == [product.id for product in ranking(SHOP, "4")[:60]]


async def test_groups_are_led_by_their_best_product(connection: MilvusConnection, coarse: CollectionInfo) -> None:
    found = await search(make_searcher(connection), asked(coarse.name, "5", 10, group_by="product_code"))
    leaders: dict[str, str] = {}
    for product in ranking(SHOP, "5"):
        leaders.setdefault(product.group or product.id, product.id)
    assert [hit.id for hit in found.hits] == list(leaders.values())[:10]


async def test_searches_that_share_a_call_are_each_in_order_and_have_vectors_when_wanted(
    connection: MilvusConnection, coarse: CollectionInfo
) -> None:
    requests = [asked(coarse.name, text, 5, with_vectors=True) for text in ("6", "7")]
    found = await make_searcher(connection).search_many(requests, Deadline.after(30), StageClock())
    for text, result in zip(("6", "7"), found, strict=True):
        assert isinstance(result, SearchResult)
        assert [hit.id for hit in result.hits] == [product.id for product in ranking(SHOP, text)[:5]]
        assert all(hit.vector is not None and abs(hit.vector @ hit.vector - 1) < 1e-5 for hit in result.hits)


async def test_more_candidates_than_can_be_compared_are_refused(
    connection: MilvusConnection, coarse: CollectionInfo
) -> None:
    with pytest.raises(LimitExceeded, match="rerank must be at most 20 to return 100 hits"):
        await search(make_searcher(connection), asked(coarse.name, "1", 100, params={"rerank": 21}))
