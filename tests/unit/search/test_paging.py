from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.search.memory import INFO, bench, item
from vitrine.domain import EmbeddedItem, Hit
from vitrine.errors import (
    CollectionNotFound,
    CollectionNotReady,
    CursorExpired,
    CursorInvalid,
    InvalidInput,
    LimitExceeded,
)
from vitrine.search.request import DEPTH_REACHED, ImagePart, SearchRequest, SearchResult, TextPart

ONE = SearchRequest("shop", (TextPart("1.0"),), 4)
SHOP = [item(f"{number:03d}", 1 - number / 100) for number in range(30)]
IDS = [one.item.id for one in SHOP]


def ids(*pages: SearchResult) -> list[str]:
    return [hit.id for page in pages for hit in page.hits]


# Few different scores, so that pages end amid equals.
scores = st.sampled_from([0.9, 0.8, 0.7, 0.6, 0.5])
groups = st.sampled_from(["", "a", "b", "c", 'q"uo\\te', "d"])
shops = st.lists(st.tuples(scores, groups), max_size=40).map(
    lambda drawn: [item(f"{number:02d}", score, group) for number, (score, group) in enumerate(drawn)]
)
limits = st.lists(st.integers(1, 9), max_size=5)


@given(shop=shops, limits=limits, limit=st.integers(1, 9))
@settings(max_examples=150, deadline=None)
async def test_a_walk_gives_every_hit_once_and_in_order(
    shop: list[EmbeddedItem], limits: list[int], limit: int
) -> None:
    whole = await bench(shop).search(replace(ONE, limit=100))
    pages = await bench(shop).walk(replace(ONE, limit=limit), limits)
    assert ids(*pages) == ids(whole)
    assert all(page.hits for page in pages) or not shop
    assert not any(page.warnings for page in pages)


@given(shop=shops, limits=limits, limit=st.integers(1, 9))
@settings(max_examples=150, deadline=None)
async def test_a_walk_by_group_gives_every_group_once_by_its_best_hit(
    shop: list[EmbeddedItem], limits: list[int], limit: int
) -> None:
    pages = await bench(shop).walk(replace(ONE, limit=limit, group_by="group"), limits)
    ranked = sorted(shop, key=lambda one: (-float(one.vector[0]), one.item.id))
    expected: dict[str, str] = {}
    for one in ranked:
        expected.setdefault(one.item.group or f"alone {one.item.id}", one.item.id)
    assert ids(*pages) == list(expected.values())
    for hit in (hit for page in pages for hit in page.hits):
        members = sum(one.item.group == hit.group for one in shop) if hit.group else 1
        assert hit.siblings == members - 1


@given(shop=shops, limit=st.integers(1, 9), cut=st.sampled_from([0.7, 0.85, 1.0]))
@settings(max_examples=80, deadline=None)
async def test_a_walk_ends_at_the_cut_of_its_first_page(shop: list[EmbeddedItem], limit: int, cut: float) -> None:
    pages = await bench(shop).walk(replace(ONE, limit=limit, relative_cut=cut))
    best = max((float(one.vector[0]) for one in shop), default=0.0)
    assert sorted(ids(*pages)) == sorted(one.item.id for one in shop if float(one.vector[0]) >= best * cut)


@given(shop=shops, older=st.lists(st.integers(0, 39), max_size=30), limit=st.integers(1, 9))
@settings(max_examples=150, deadline=None)
async def test_a_walk_gives_what_milvus_shows_beside_its_older_state_once_and_all_else_too(
    shop: list[EmbeddedItem], older: list[int], limit: int
) -> None:
    again = [item(shop[number].item.id, 0.55 + number / 100) for number in older if number < len(shop)]
    pages = await bench(shop + again).walk(replace(ONE, limit=limit))
    ranked = sorted([*shop, *again], key=lambda one: (-float(one.vector[0]), one.item.id))
    assert ids(*pages) == list(dict.fromkeys(one.item.id for one in ranked))


async def test_the_last_page_says_so_even_when_it_is_full() -> None:
    pages = await bench(SHOP[:8]).walk(ONE)
    assert [len(page.hits) for page in pages] == [4, 4]


async def test_one_page_gives_no_cursor_unless_it_is_asked_for() -> None:
    assert (await bench(SHOP).search(ONE)).next_cursor is None
    assert (await bench(SHOP).search(replace(ONE, paged=True, offset=4))).next_cursor is None


async def test_a_hit_that_appears_late_is_given_and_one_that_was_given_is_not_again() -> None:
    shop = bench(SHOP)
    first = await shop.search(replace(ONE, paged=True))
    shop.store.items.append(item("new", 0.999))
    shop.store.items[0] = item("000", 0.5)  # given, and moved to where the walk has yet to come
    second = await shop.search(replace(ONE, cursor=first.next_cursor, paged=True))
    assert ids(second) == ["new", "004", "005", "006"]
    rest = await shop.walk(replace(ONE, cursor=second.next_cursor))
    assert ids(*rest) == IDS[7:]


async def test_a_walk_has_a_depth_and_says_when_it_is_reached() -> None:
    pages = await bench(SHOP, max_depth=10).walk(ONE)
    assert [len(page.hits) for page in pages] == [4, 4, 2]
    assert [page.warnings for page in pages] == [(), (), (DEPTH_REACHED,)]


async def test_a_walk_that_ends_at_its_depth_reached_everything() -> None:
    pages = await bench(SHOP[:10], max_depth=10).walk(ONE)
    assert ids(*pages) == IDS[:10]
    assert not any(page.warnings for page in pages)


async def test_a_first_page_may_be_longer_than_a_walk_is_deep() -> None:
    (page,) = await bench(SHOP, max_depth=3).walk(ONE)
    assert (len(page.hits), page.warnings) == (4, (DEPTH_REACHED,))


async def test_a_walk_beyond_a_depth_that_was_lowered_ends() -> None:
    deep, shallow = (bench(SHOP, max_depth=depth, cursor_key="k" * 32) for depth in (20, 6))
    pages = await deep.walk(ONE, [4, 4])
    cursor = pages[1].next_cursor
    ended = await shallow.search(replace(ONE, cursor=cursor, paged=True))
    assert (ended.hits, ended.next_cursor, ended.warnings) == ((), None, (DEPTH_REACHED,))


@pytest.mark.parametrize("change", [{"min_score": 0.905}, {"relative_cut": 0.905}])
async def test_cuts_leave_out_what_is_below_them(change: dict[str, Any]) -> None:
    assert ids(*await bench(SHOP).walk(replace(ONE, **change))) == IDS[:10]
    assert ids(await bench(SHOP).search(replace(ONE, limit=30, **change))) == IDS[:10]
    assert ids(await bench(SHOP).search(replace(ONE, offset=7, **change))) == IDS[7:10]


async def test_a_relative_cut_means_nothing_where_even_the_best_points_away() -> None:
    shop = [item("a", -0.1), item("b", -0.2), item("c", -0.9)]
    assert ids(await bench(shop).search(replace(ONE, relative_cut=0.9))) == ["a", "b", "c"]


async def test_the_cut_is_measured_from_the_first_page_and_not_from_each() -> None:
    shop = bench(SHOP)
    first = await shop.search(replace(ONE, relative_cut=0.945, paged=True))
    shop.store.items = shop.store.items[3:]  # the best are gone; the cut stays
    rest = await shop.walk(replace(ONE, relative_cut=0.945, cursor=first.next_cursor))
    assert ids(first, *rest) == IDS[:6]


async def test_a_walk_stays_on_the_collection_it_began_with() -> None:
    shop = bench(SHOP)
    first = await shop.search(replace(ONE, paged=True))
    shop.names.known["shop"] = replace(INFO, name="shop_v2", build_id="b2")
    second = await shop.search(replace(ONE, paged=True, cursor=first.next_cursor))
    assert second.collection == "shop_v1"
    assert shop.store.calls[-1]["collection"] == "shop_v1"
    assert (await shop.search(ONE)).collection == "shop_v2"


@pytest.mark.parametrize(
    "happened",
    [
        lambda shop: shop.names.known.pop("shop_v1"),
        lambda shop: shop.names.known.update(shop_v1=replace(INFO, build_id="b2")),
        lambda shop: shop.names.known.update(shop_v1=replace(INFO, fingerprint="e" * 64)),
        lambda shop: shop.names.known.update(
            shop_v1=replace(INFO, loaded=False), shop=replace(INFO, name="shop_v2", build_id="b2")
        ),
        lambda shop: setattr(shop.store, "failure", CollectionNotFound("gone since the directory was asked")),
    ],
    ids=["dropped", "built anew", "of another model", "released for another", "dropped a moment ago"],
)
async def test_a_walk_whose_collection_is_gone_is_over(happened: Any) -> None:
    shop = bench(SHOP)
    first = await shop.search(replace(ONE, paged=True))
    happened(shop)
    with pytest.raises(CursorExpired):
        await shop.search(replace(ONE, cursor=first.next_cursor))


async def test_a_walk_waits_for_its_collection_while_the_alias_means_it() -> None:
    shop = bench(SHOP)
    first = await shop.search(replace(ONE, paged=True))
    shop.names.known.update(dict.fromkeys(("shop", "shop_v1"), replace(INFO, loaded=False)))
    with pytest.raises(CollectionNotReady):
        await shop.search(replace(ONE, cursor=first.next_cursor))


async def test_a_cursor_of_another_search_or_with_an_offset_is_refused() -> None:
    shop = bench(SHOP)
    cursor = (await shop.search(replace(ONE, paged=True))).next_cursor
    with pytest.raises(CursorInvalid):
        await shop.search(replace(ONE, cursor=cursor, min_score=0.1))
    with pytest.raises(InvalidInput, match="offset"):
        await shop.search(replace(ONE, cursor=cursor, offset=4))
    assert len(shop.store.calls) == 1, "a refused search reached the store"


async def test_a_walk_by_a_large_picture_goes_on_with_that_picture_alone() -> None:
    shop = bench(SHOP)
    picture = b"1.00" + bytes(1 << 20)
    request = replace(ONE, parts=(ImagePart(picture),))
    assert ids(*await shop.walk(request)) == IDS
    cursor = (await shop.search(replace(request, paged=True))).next_cursor
    with pytest.raises(CursorInvalid):
        await shop.search(replace(request, parts=(ImagePart(picture[:-1] + b"x"),), cursor=cursor))


async def test_offsets_pass_over_hits_and_groups() -> None:
    shop = [item(f"{number:03d}", 1 - number / 100, f"g{number // 3}") for number in range(30)]
    assert ids(await bench(shop).search(replace(ONE, offset=5))) == IDS[5:9]
    assert ids(await bench(shop).search(replace(ONE, offset=5, group_by="group"))) == ["015", "018", "021", "024"]
    assert ids(await bench(shop).search(replace(ONE, offset=9, group_by="group"))) == ["027"]


async def test_a_deep_page_shows_all_that_a_first_page_shows() -> None:
    shop = bench([item(f"{number:04d}", 0.9 - number / 5000, colour="red", stock=number) for number in range(700)])
    pages = await shop.walk(replace(ONE, limit=250, with_vectors=True))
    assert [len(page.hits) for page in pages] == [250, 250, 200]
    for number, hit in enumerate(hit for page in pages for hit in page.hits):
        expected = Hit(f"{number:04d}", hit.score, f"Item {number:04d}", "", f"{number:04d}.jpg", hit.fields)
        assert replace(hit, vector=None) == expected
        assert hit.fields == {"colour": "red", "stock": number}
        assert hit.vector is not None
        assert float(hit.vector[0]) == hit.score


async def test_a_hit_deleted_before_its_values_are_read_is_left_out() -> None:
    shop = bench([item(f"{number:04d}", 0.9 - number / 5000) for number in range(700)], facet_depth=600)
    found = shop.store.items_of

    async def items_of(collection: str, ids: list[str], *args: Any, **more: Any) -> dict[str, Hit]:
        return {key: hit for key, hit in (await found(collection, ids, *args, **more)).items() if key != "0002"}

    shop.store.items_of = items_of  # type: ignore[method-assign,assignment]
    assert ids(await shop.search(replace(ONE, facets=("colour",)))) == ["0000", "0001", "0003"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"parts": ()}, InvalidInput),
        ({"limit": 0}, InvalidInput),
        ({"offset": -1}, InvalidInput),
        ({"limit": 16_385}, LimitExceeded),
        ({"offset": 16_384}, LimitExceeded),
        ({"offset": 998, "group_by": "group"}, LimitExceeded),
        ({"min_score": 1.5}, InvalidInput),
        ({"min_score": float("nan")}, InvalidInput),
        ({"relative_cut": -0.1}, InvalidInput),
        ({"params": {"ef": 64}}, InvalidInput),
        ({"facets": ("price",)}, InvalidInput),
        ({"facets": ("nothing",)}, InvalidInput),
        ({"group_by": "price"}, InvalidInput),
        ({"group_by": "note"}, InvalidInput),
        ({"group_by": ""}, InvalidInput),
    ],
)
async def test_what_cannot_be_served_is_refused_before_any_engine_works(
    change: dict[str, Any], error: type[InvalidInput]
) -> None:
    shop = bench(SHOP)
    with pytest.raises(error):
        await shop.search(replace(ONE, **change))
    assert not shop.store.calls
    assert not shop.encoder.texts
