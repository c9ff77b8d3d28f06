from collections import Counter
from dataclasses import replace

import pytest

from tests.unit.search.memory import INFO, bench, item
from vitrine.errors import InvalidInput
from vitrine.search.grouping import MAX_ROUNDS, Grouping, grouping_of
from vitrine.search.request import DEPTH_REACHED, SearchRequest, TextPart
from vitrine.vectorstore.collection import GROUP

ONE = SearchRequest("shop", (TextPart("1.0"),), 3, group_by="product_code")


def test_groups_go_by_three_names() -> None:
    column = Grouping(GROUP, None)
    assert grouping_of("group", INFO) == grouping_of("product_code", INFO) == column
    assert grouping_of("colour", INFO) == Grouping("colour", INFO.fields[0])
    assert grouping_of("stock", INFO) == Grouping("stock", INFO.fields[1])


def test_a_declared_field_comes_before_the_catalogues_name_of_the_group_column() -> None:
    assert grouping_of("colour", replace(INFO, group_name="colour")).column == "colour"
    assert grouping_of("note", replace(INFO, group_name="note")).column == GROUP


@pytest.mark.parametrize("name", ["price", "note", "product_code", "group_key", "id", ""])
def test_what_cannot_make_groups_is_refused_with_what_can(name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        grouping_of(name, replace(INFO, group_name=""))
    assert caught.value.details["known"] == ["colour", "group", "stock"]


async def test_items_without_a_group_stand_for_themselves() -> None:
    shop = bench([item("a", 0.9, "g"), item("b", 0.8), item("c", 0.7, "g"), item("d", 0.6)])
    hits = (await shop.search(replace(ONE, limit=10))).hits
    assert [(hit.id, hit.siblings) for hit in hits] == [("a", 1), ("b", 0), ("d", 0)]


async def test_a_number_makes_groups_too_and_its_absence_none() -> None:
    shop = bench(
        [item("a", 0.9, stock=0), item("b", 0.8, stock=0), item("c", 0.7), item("d", 0.6), item("e", 0.5, stock=-3)]
    )
    hits = (await shop.search(replace(ONE, limit=10, group_by="stock"))).hits
    assert [(hit.id, hit.siblings) for hit in hits] == [("a", 1), ("c", 0), ("d", 0), ("e", 0)]


async def test_without_grouping_nothing_is_said_of_siblings() -> None:
    hits = (await bench([item("a", 0.9, "g")]).search(replace(ONE, group_by=None))).hits
    assert hits[0].siblings is None


async def test_large_groups_are_left_out_of_the_next_round_and_not_waded_through() -> None:
    shop = bench([item(f"{number:05d}", 0.9 - number / 10_000, f"g{number // 1_000}") for number in range(6_000)])
    result = await shop.search(replace(ONE, limit=5))
    assert [hit.id for hit in result.hits] == ["00000", "01000", "02000", "03000", "04000"]
    assert all(hit.siblings == 999 for hit in result.hits)
    assert len(shop.store.calls) <= MAX_ROUNDS
    assert max(call["limit"] for call in shop.store.calls) < 6_000
    assert result.warnings == ()


async def test_few_groups_of_many_items_are_all_found_and_known_to_be_all() -> None:
    shop = bench([item(f"{number:05d}", 0.9 - number / 10_000, f"g{number % 7}") for number in range(3_000)])
    (page,) = await shop.walk(replace(ONE, limit=20))
    assert [hit.group for hit in page.hits] == [f"g{number}" for number in range(7)]
    assert (page.warnings, len(shop.store.calls)) == ((), 2)


async def test_a_page_that_its_rounds_cannot_fill_says_that_there_may_be_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitrine.search.fetching.MAX_ROUNDS", 2)
    shop = bench([item(f"{number:05d}", 0.9 - number / 10_000, f"g{number // 500}") for number in range(3_000)])
    result = await shop.search(replace(ONE, limit=6, paged=True))
    assert [hit.id for hit in result.hits] == ["00000", "00500"]
    assert len(shop.store.calls) == 2
    assert (result.next_cursor, result.warnings) == (None, (DEPTH_REACHED,))


async def test_later_pages_begin_as_deep_as_the_walk_has_come() -> None:
    shop = bench([item(f"{number:04d}", 0.9 - number / 5_000, f"g{number // 4}") for number in range(400)])
    pages = await shop.walk(replace(ONE, limit=10))
    groups = Counter(hit.group for page in pages for hit in page.hits)
    assert groups == Counter(f"g{number}" for number in range(100))
    assert len(shop.store.calls) <= 2 * len(pages)
