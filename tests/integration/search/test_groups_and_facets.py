"""Groups, facets and many searches at once, against counts made by hand."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.integration.search.conftest import Product, asked, make_searcher, products, ranking, search, walk
from vitrine.domain import Deadline, Hit
from vitrine.errors import FilterInvalid, ItemNotFound, QueryEmpty
from vitrine.search.request import FacetCount, ItemPart, SearchRequest, SearchResult, TextPart
from vitrine.telemetry.stages import StageClock
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.filters import Eq, Ge, In, Lt, Not


def unit(product: Product, field: str) -> object:
    """What a product is given as when hits are grouped by a field."""
    return getattr(product, field) or f"alone {product.id}"


def best_of_each(ranked: Sequence[Product], field: str) -> list[str]:
    best: dict[object, str] = {}
    for product in ranked:
        best.setdefault(unit(product, field), product.id)
    return list(best.values())


def siblings(shop: Sequence[Product], hits: Sequence[Hit], field: str) -> list[int]:
    sizes = Counter(unit(product, field) for product in shop)
    by_id = {product.id: product for product in shop}
    return [sizes[unit(by_id[hit.id], field)] - 1 for hit in hits]


@pytest.mark.parametrize("name", ["group", "product_code"])
async def test_a_walk_by_group_gives_every_group_once_and_all_of_them(
    connection: MilvusConnection, exact: CollectionInfo, name: str
) -> None:
    searcher = make_searcher(connection)
    shop = products()
    pages = [page async for page in walk(searcher, asked(exact.name, limit=60, group_by=name))]
    hits = [hit for page in pages for hit in page.hits]
    assert [hit.id for hit in hits] == best_of_each(ranking(shop, "1"), "group")
    assert [hit.siblings for hit in hits] == siblings(shop, hits, "group")
    assert not any(page.warnings for page in pages)


async def test_siblings_satisfy_the_filter(connection: MilvusConnection, exact: CollectionInfo) -> None:
    shop = [product for product in products() if product.price < 50]
    request = asked(exact.name, limit=100, group_by="product_code", filter=Lt("price", 50.0))
    hits = (await search(make_searcher(connection), request)).hits
    assert [hit.id for hit in hits] == best_of_each(ranking(shop, "1"), "group")[:100]
    assert [hit.siblings for hit in hits] == siblings(shop, hits, "group")


async def test_an_offset_passes_over_groups(connection: MilvusConnection, exact: CollectionInfo) -> None:
    request = asked(exact.name, limit=30, offset=200, group_by="group")
    hits = (await search(make_searcher(connection), request)).hits
    assert [hit.id for hit in hits] == best_of_each(ranking(products(), "1"), "group")[200:230]


@pytest.mark.parametrize("field", ["colour", "season"])
async def test_a_few_large_groups_of_a_declared_field_are_all_found(
    connection: MilvusConnection, exact: CollectionInfo, field: str
) -> None:
    shop = [product for product in products() if getattr(product, field)]
    present = Not(In(field, ("nothing",) if field == "colour" else (99,)))
    request = asked(exact.name, limit=20, group_by=field, filter=present)
    searcher = make_searcher(connection)
    everything = await search(searcher, request)
    assert len(everything.hits) == 20, "rows without a value stand for themselves"
    narrowed = await search(
        searcher,
        replace(request, filter=Ge("season", 1) if field == "season" else In("colour", ("red", "blue", 'sea "green"'))),
    )
    assert [hit.id for hit in narrowed.hits] == best_of_each(ranking(shop, "1"), field)
    assert [hit.siblings for hit in narrowed.hits] == siblings(shop, narrowed.hits, field)
    assert (narrowed.next_cursor, narrowed.warnings) == (None, ())


@pytest.mark.parametrize("depth", [50, 200, 1_000])
async def test_facets_are_what_a_count_by_hand_gives(
    connection: MilvusConnection, exact: CollectionInfo, depth: int
) -> None:
    shop = [product for product in products() if product.price >= 20]
    counted = ranking(shop, "3")[:depth]
    request = asked(exact.name, "3", filter=Ge("price", 20.0), facets=("colour", "season"))
    result = await search(make_searcher(connection, facet_depth=depth), request)
    assert result.facets_over == depth
    assert [hit.id for hit in result.hits] == [product.id for product in counted[:20]]
    for facet in result.facets:
        values = Counter(getattr(product, facet.field) for product in counted)
        missing = values.pop("" if facet.field == "colour" else 0, 0)
        assert {value.value: value.count for value in facet.values} == values
        assert (facet.missing, facet.others) == (missing, 0)
        assert list(facet.values) == sorted(facet.values, key=lambda value: (-value.count, value.value))


async def test_facets_count_what_the_cuts_leave(connection: MilvusConnection, exact: CollectionInfo) -> None:
    searcher = make_searcher(connection)
    best = (await search(searcher, asked(exact.name, limit=40))).hits
    cut = best[29].score - 1e-6
    result = await search(searcher, asked(exact.name, limit=5, min_score=cut, facets=("colour",)))
    left = [hit for hit in best if hit.score >= cut]
    assert result.facets_over == len(left) < 40
    reds = sum(hit.fields.get("colour") == "red" for hit in left)
    assert FacetCount("red", reds) in result.facets[0].values


async def test_many_searches_find_what_each_finds_alone_and_fail_alone(
    connection: MilvusConnection, exact: CollectionInfo
) -> None:
    searcher = make_searcher(connection, cursor_key="k" * 32)
    plain = [asked(exact.name, str(number), limit=10) for number in range(1, 13)]
    requests: list[SearchRequest] = [
        *plain,
        asked(exact.name, "1", group_by="group"),
        asked(exact.name, "2", facets=("colour",), filter=Eq("colour", "red")),
        replace(plain[0], parts=(ItemPart("000007"), TextPart("5", -0.2))),
        replace(plain[0], offset=30),
        replace(plain[0], parts=(TextPart(""),)),
        replace(plain[0], parts=(ItemPart("nowhere"),)),
        replace(plain[0], filter=Eq("nothing", 1)),
    ]
    outcomes = await searcher.search_many(requests, Deadline.after(30), StageClock())
    assert [type(outcome) for outcome in outcomes[-3:]] == [QueryEmpty, ItemNotFound, FilterInvalid]
    for request, outcome in zip(requests[:-3], outcomes, strict=False):
        alone = await search(searcher, request)
        assert isinstance(outcome, SearchResult)
        assert [hit.id for hit in outcome.hits] == [hit.id for hit in alone.hits]
        assert (outcome.facets, outcome.facets_over) == (alone.facets, alone.facets_over)
        assert [hit.siblings for hit in outcome.hits] == [hit.siblings for hit in alone.hits]
