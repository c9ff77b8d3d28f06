from dataclasses import replace

import pytest

from tests.unit.search.memory import FIELDS, bench, item
from vitrine.errors import InvalidInput, LimitExceeded
from vitrine.search.facets import facet_fields
from vitrine.search.request import Facet, FacetCount, SearchRequest, TextPart

ONE = SearchRequest("shop", (TextPart("1.0"),), 2, facets=("colour",))
COLOURS = ["red", "blue", "red", "", "green", "blue", "red", "", "red", "black"]
SHOP = [
    item(f"{number}", 0.9 - number / 100, **({"colour": colour} if colour else {}))
    for number, colour in enumerate(COLOURS)
]


async def test_values_are_counted_over_the_best_hits_and_not_over_the_page() -> None:
    result = await bench(SHOP).search(ONE)
    assert len(result.hits) == 2
    assert result.facets_over == 10
    values = (FacetCount("red", 4), FacetCount("blue", 2), FacetCount("black", 1), FacetCount("green", 1))
    assert result.facets == (Facet("colour", values, missing=2, others=0),)


async def test_no_more_hits_are_counted_than_the_settings_say() -> None:
    shop = bench(SHOP, facet_depth=4)
    result = await shop.search(ONE)
    assert result.facets_over == 4
    assert result.facets == (Facet("colour", (FacetCount("red", 2), FacetCount("blue", 1)), missing=1, others=0),)
    assert [call["limit"] for call in shop.store.calls] == [4], "one search serves page and facets"
    longer = await shop.search(replace(ONE, limit=8))
    assert (len(longer.hits), longer.facets_over) == (8, 4)


async def test_values_beyond_the_most_that_are_listed_are_summed_up() -> None:
    result = await bench(SHOP, max_facet_values=2).search(ONE)
    assert result.facets == (Facet("colour", (FacetCount("red", 4), FacetCount("blue", 2)), missing=2, others=2),)


async def test_cuts_hold_for_what_is_counted() -> None:
    result = await bench(SHOP).search(replace(ONE, min_score=0.875))
    assert result.facets_over == 3
    assert result.facets[0].values == (FacetCount("red", 2), FacetCount("blue", 1))


async def test_numbers_are_counted_as_numbers_and_zero_is_a_value() -> None:
    shop = bench([item("a", 0.9, stock=0), item("b", 0.8, stock=0), item("c", 0.7, stock=-2), item("d", 0.6)])
    result = await shop.search(replace(ONE, facets=("stock",)))
    assert result.facets == (Facet("stock", (FacetCount(0, 2), FacetCount(-2, 1)), missing=1, others=0),)


async def test_an_offset_does_not_change_what_is_counted() -> None:
    result = await bench(SHOP).search(replace(ONE, offset=5))
    assert [hit.id for hit in result.hits] == ["5", "6"]
    assert result.facets == (await bench(SHOP).search(ONE)).facets


async def test_products_are_counted_and_not_their_groups() -> None:
    shop = bench([item(str(number), 0.9 - number / 100, "one", colour="red") for number in range(5)])
    result = await shop.search(replace(ONE, group_by="group"))
    assert (len(result.hits), result.facets_over) == (1, 5)
    assert result.facets[0].values == (FacetCount("red", 5),)


async def test_only_the_first_page_is_counted() -> None:
    shop = bench(SHOP)
    first = await shop.search(replace(ONE, paged=True))
    second = await shop.search(replace(ONE, paged=True, cursor=first.next_cursor))
    assert first.facets
    assert (second.facets, second.facets_over) == ((), 0)


async def test_nothing_found_is_nothing_counted() -> None:
    result = await bench([]).search(ONE)
    assert (result.facets, result.facets_over) == ((Facet("colour", (), 0, 0),), 0)


def test_a_field_named_twice_is_counted_once() -> None:
    assert facet_fields(("colour", "stock", "colour"), FIELDS, most=2) == FIELDS[:2]


def test_fields_without_facets_are_refused_with_those_that_have_them() -> None:
    with pytest.raises(InvalidInput) as caught:
        facet_fields(("price",), FIELDS, most=8)
    assert caught.value.details["known"] == ["colour", "stock"]
    with pytest.raises(LimitExceeded) as exceeded:
        facet_fields(("colour", "stock"), FIELDS, most=1)
    assert exceeded.value.details["maximum"] == 1
