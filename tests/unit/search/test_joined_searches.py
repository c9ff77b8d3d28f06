"""Searches of several callers that share calls to Milvus."""

import asyncio
from dataclasses import replace

from tests.unit.search.memory import Bench, bench, item
from vitrine.errors import VectorStoreUnavailable, VitrineError
from vitrine.search.request import SearchRequest, SearchResult, TextPart

SHOP = [item(f"{number:03d}", 1 - number / 100, f"g{number // 2}", colour="red") for number in range(40)]
ONE = SearchRequest("shop", (TextPart("1.0"),), 3)


async def at_once(shop: Bench, *requests: SearchRequest) -> list[SearchResult | VitrineError]:
    """Answers to callers who know nothing of each other."""
    answers = await asyncio.gather(*map(shop.search, requests), return_exceptions=True)
    assert all(isinstance(answer, SearchResult | VitrineError) for answer in answers), answers
    return [answer for answer in answers if isinstance(answer, SearchResult | VitrineError)]


def asked(shop: Bench) -> list[int]:
    """Vectors of each call."""
    return [call["vectors"] for call in shop.store.calls]


async def test_searches_that_differ_in_their_query_alone_share_a_call_and_find_what_each_finds_alone() -> None:
    requests = [replace(ONE, parts=(TextPart(text),)) for text in ("1.0", "0.9", "0.8", "0.7")]
    alone = [await bench(SHOP).search(request) for request in requests]
    shop = bench(SHOP)
    assert await at_once(shop, *requests) == alone
    assert asked(shop) == [4]


async def test_searches_that_differ_in_more_do_not() -> None:
    others = [ONE, replace(ONE, limit=4), replace(ONE, group_by="group"), replace(ONE, with_vectors=True)]
    shop = bench(SHOP)
    alone = [await bench(SHOP).search(request) for request in others[:3]]
    answers = await at_once(shop, *others)
    assert answers[:3] == alone
    assert asked(shop) == [1, 1, 1, 1]


async def test_a_call_has_room_for_so_many() -> None:
    shop = bench(SHOP, max_joined=3, calls_under_way=1)
    await at_once(shop, *[ONE] * 7)
    assert asked(shop) == [3, 3, 1]


async def test_large_pages_share_less() -> None:
    shop = bench(SHOP, max_joined=256, calls_under_way=1)
    await at_once(shop, *[replace(ONE, limit=1_000)] * 10)
    assert asked(shop) == [4, 4, 2]


async def test_joining_can_be_switched_off() -> None:
    shop = bench(SHOP, max_joined=1)
    await at_once(shop, *[ONE] * 5)
    assert asked(shop) == [1] * 5


async def test_an_outage_reaches_everyone_who_shared_the_call() -> None:
    shop = bench(SHOP)
    shop.store.failure = VectorStoreUnavailable("gone")
    answers = await at_once(shop, ONE, ONE)
    assert [type(answer) for answer in answers] == [VectorStoreUnavailable] * 2
