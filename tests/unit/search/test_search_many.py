from dataclasses import replace
from typing import Any

import pytest

from tests.unit.search.memory import INFO, ReadingEncoder, bench, item
from vitrine.errors import (
    CollectionNotFound,
    CollectionNotReady,
    ContractMismatch,
    EncoderUnavailable,
    FilterInvalid,
    ImageCorrupt,
    ItemNotFound,
    QueryCancelsOut,
    QueryEmpty,
    VectorStoreUnavailable,
    VitrineError,
)
from vitrine.search.request import QUERY_TRUNCATED, ImagePart, ItemPart, SearchRequest, SearchResult, TextPart
from vitrine.vectorstore.filters import Eq

SHOP = [item(f"{number:03d}", 1 - number / 100, f"g{number // 2}", colour="red") for number in range(20)]
ONE = SearchRequest("shop", (TextPart("1.0"),), 3)


def found(outcome: SearchResult | VitrineError) -> list[str]:
    assert isinstance(outcome, SearchResult), outcome
    return [hit.id for hit in outcome.hits]


async def test_many_searches_find_what_each_finds_alone() -> None:
    requests = [
        ONE,
        replace(ONE, parts=(TextPart("0.9"), TextPart("0.5", -0.3))),
        replace(ONE, parts=(ImagePart(b"0.95"),), limit=5),
        replace(ONE, parts=(ItemPart("004"),)),
        replace(ONE, group_by="group", paged=True),
        replace(ONE, facets=("colour",), relative_cut=0.9),
    ]
    store = bench(SHOP, cursor_key="k" * 32)
    alone = [await store.search(request) for request in requests]
    together = await bench(SHOP, cursor_key="k" * 32).search_many(*requests)
    for one, other in zip(alone, together, strict=True):
        assert isinstance(other, SearchResult)
        assert replace(one, next_cursor=None) == replace(other, next_cursor=None)
        assert (one.next_cursor is None) == (other.next_cursor is None)


async def test_texts_are_embedded_in_one_call_and_pictures_in_another() -> None:
    shop = bench(SHOP)
    await shop.search_many(
        replace(ONE, parts=(TextPart("0.9"), ImagePart(b"0.95"))),
        replace(ONE, parts=(TextPart("0.8"), TextPart("0.7"))),
        replace(ONE, parts=(ImagePart(b"0.85"),)),
    )
    assert shop.encoder.texts == [["0.9", "0.8", "0.7"]]
    assert shop.encoder.pictures == [[b"0.95", b"0.85"]]


async def test_searches_that_differ_in_their_query_alone_share_a_call() -> None:
    shop = bench(SHOP)
    await shop.search_many(*(replace(ONE, parts=(TextPart(text),)) for text in ("0.9", "0.8", "0.7")))
    assert [(call["vectors"], call["limit"]) for call in shop.store.calls] == [(3, 3)]
    await shop.search_many(ONE, replace(ONE, limit=4), replace(ONE, with_vectors=True))
    assert [call["vectors"] for call in shop.store.calls[1:]] == [1, 1, 1]


async def test_products_of_one_collection_are_looked_up_in_one_call() -> None:
    shop = bench(SHOP)
    await shop.search_many(
        replace(ONE, parts=(ItemPart("001"),)), replace(ONE, parts=(ItemPart("002"), ItemPart("003")))
    )
    assert shop.store.calls[0]["ids"] == ["001", "002", "003"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"parts": (TextPart(""),)}, QueryEmpty),
        ({"parts": (ImagePart(b"broken"),)}, ImageCorrupt),
        ({"parts": (TextPart("0.5"), ItemPart("nowhere"))}, ItemNotFound),
        ({"parts": (TextPart("0.5"), TextPart("0.5", -1.0))}, QueryCancelsOut),
        ({"collection": "nowhere"}, CollectionNotFound),
        ({"filter": Eq("nothing", "red")}, FilterInvalid),
    ],
)
async def test_a_search_that_fails_spoils_no_other(change: dict[str, Any], error: type[VitrineError]) -> None:
    shop = bench(SHOP)
    good = [ONE, replace(ONE, parts=(ImagePart(b"0.95"),)), replace(ONE, parts=(ItemPart("004"),))]
    outcomes = await shop.search_many(good[0], replace(ONE, **change), *good[1:])
    assert type(outcomes[1]) is error
    alone = [await bench(SHOP).search(request) for request in good]
    assert [found(outcomes[row]) for row in (0, 2, 3)] == [[hit.id for hit in result.hits] for result in alone]
    with pytest.raises(error):
        await bench(SHOP).search(replace(ONE, **change))


async def test_an_encoder_that_is_down_fails_only_those_that_need_it() -> None:
    shop = bench(SHOP)
    shop.encoder.failure = EncoderUnavailable("down")
    text, by_item = await shop.search_many(ONE, replace(ONE, parts=(ItemPart("004"),)))
    assert isinstance(text, EncoderUnavailable)
    alone = await bench(SHOP).search(replace(ONE, parts=(ItemPart("004"),)))
    assert found(by_item) == [hit.id for hit in alone.hits]


async def test_a_store_that_is_down_fails_them_all() -> None:
    shop = bench(SHOP)
    shop.store.failure = VectorStoreUnavailable("down")
    outcomes = await shop.search_many(ONE, replace(ONE, limit=4))
    assert [type(outcome) for outcome in outcomes] == [VectorStoreUnavailable] * 2
    assert not shop.names.forgotten


async def test_no_searches_are_no_work() -> None:
    shop = bench(SHOP)
    assert await shop.search_many() == []
    assert not shop.store.calls


async def test_only_the_search_whose_text_was_too_long_says_so() -> None:
    outcomes = await bench(SHOP).search_many(ONE, replace(ONE, parts=(TextPart("0.900000000"),)))
    assert [outcome.warnings for outcome in outcomes if isinstance(outcome, SearchResult)] == [(), (QUERY_TRUNCATED,)]


async def test_a_product_used_as_a_query_is_not_among_its_own_hits() -> None:
    shop = bench(SHOP)
    result = await shop.search(replace(ONE, parts=(ItemPart("004"),), limit=30))
    assert sorted(hit.id for hit in result.hits) == [one.item.id for one in SHOP if one.item.id != "004"]


@pytest.mark.parametrize("error", [CollectionNotFound("gone"), CollectionNotReady("released")])
async def test_a_collection_gone_since_its_alias_was_asked_for_is_asked_for_again(error: VitrineError) -> None:
    shop = bench(SHOP)
    shop.names.later["shop"] = replace(INFO, name="shop_v2", build_id="b2")
    answer = shop.store.neighbours

    async def neighbours(collection: str, *args: Any, **more: Any) -> Any:
        if collection == "shop_v1":
            raise error
        return await answer(collection, *args, **more)

    shop.store.neighbours = neighbours  # type: ignore[method-assign]
    first, second = await shop.search_many(ONE, replace(ONE, collection="shop_v1"))
    assert isinstance(first, SearchResult)
    assert first.collection == "shop_v2"
    assert type(second) is type(error), "its own name means no other collection"
    assert shop.names.forgotten == ["shop", "shop_v1"]


async def test_a_collection_that_never_was_is_not_asked_for_twice() -> None:
    shop = bench(SHOP)
    with pytest.raises(CollectionNotFound):
        await shop.search(replace(ONE, collection="nowhere"))
    assert not shop.names.forgotten


async def test_a_collection_of_another_model_is_not_searched() -> None:
    shop = bench(SHOP)
    shop.encoder = ReadingEncoder("e" * 64)
    shop.__post_init__()
    with pytest.raises(ContractMismatch):
        await shop.search(ONE)
    assert not shop.store.calls
