import io
import itertools
import json
import random
from collections import Counter
from email.parser import BytesParser
from typing import Any

import pytest
from PIL import Image

from loadtest.queries.log import QueryLog
from loadtest.scenarios import browsing, picturing, type_ahead, writing
from loadtest.scenarios.floor import ENDPOINTS, MOST_VISITORS, SHARES, Floor
from loadtest.scenarios.journey import Ask, Journey, Shop
from loadtest.scenarios.picturing import draw_pictures

CONTENT = {
    "hits": [{"id": "0108775015"}],
    "next_cursor": "next",
    "facets": {"colour": {"values": [{"value": "Red", "count": 3}], "others": 0, "missing": 0}},
}


@pytest.fixture(scope="module")
def shop() -> Shop:
    log = QueryLog(["dress", "black dress", "long black dress", "coat"])
    return Shop("products", log, draw_pictures(2, seed=1), "scratch", ("colour",), "design")


def _walk(journey: Journey, content: Any = CONTENT) -> list[Ask]:
    asks = [next(journey)]
    try:
        while len(asks) < 100:
            asks.append(journey.send(content))
    except StopIteration:
        return asks
    raise AssertionError("a journey without an end")


def _body(ask: Ask) -> dict[str, Any]:
    return dict(json.loads(ask.body))


def _form(ask: Ask) -> dict[str, bytes]:
    message = BytesParser().parsebytes(f"Content-Type: {ask.content_type}\r\n\r\n".encode() + ask.body)
    return {
        str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True)
        for part in message.get_payload()
    }  # type: ignore[union-attr, misc]


def test_prefixes_grow_from_three_letters_and_never_repeat() -> None:
    rng = random.Random(1)
    for query in ("hat", "dress", "long black dress", "what to wear to wedding"):
        for _ in range(50):
            typed = type_ahead.prefixes(query, rng)
            assert typed == sorted(set(typed), key=len)
            assert all(query.startswith(text) and 3 <= len(text) < len(query) for text in typed)
            assert not any(text.endswith(" ") for text in typed)


def test_typing_ends_with_the_whole_query_and_its_time_is_that_of_its_letters(shop: Shop) -> None:
    refined = 0
    for seed in range(200):
        asks = _walk(type_ahead.type_a_query(shop, random.Random(seed)))
        typed = [ask for ask in asks if ask.endpoint == type_ahead.PREFIX]
        (whole,) = (ask for ask in asks if ask.endpoint == type_ahead.QUERY)
        query = _body(whole)["query"]
        if typed:
            letters = len(query) - len(_body(typed[0])["query"])
            assert sum(ask.after_s for ask in [*typed, whole]) == pytest.approx(letters * 0.2)
        for ask in asks:
            if ask.endpoint == type_ahead.REFINED:
                refined += 1
                assert set(query.split()) < set(_body(ask)["query"].split())
    assert 20 < refined < 80


def test_browsing_filters_by_a_value_that_was_counted_and_turns_pages_of_the_same_search(shop: Shop) -> None:
    seen: Counter[str] = Counter()
    for seed in range(100):
        asks = _walk(browsing.look_around(shop, random.Random(seed)))
        seen.update(ask.endpoint for ask in asks)
        first, narrowed = _body(asks[0]), _body(asks[1])
        assert first["facets"] == ["colour"]
        assert narrowed["filter"] == {"field": "colour", "op": "eq", "value": "Red"}
        for ask in asks:
            if ask.endpoint == browsing.NEXT_PAGE:
                assert _body(ask) == narrowed | {"cursor": "next"}
                assert not ask.finds
    assert set(seen) == {browsing.FACETS, browsing.FILTER, browsing.NEXT_PAGE, browsing.GROUPS, browsing.SIMILAR}


def test_browsing_ends_where_there_is_no_next_page_and_nothing_to_filter_by(shop: Shop) -> None:
    bare = {"hits": [{"id": "1"}], "next_cursor": None, "facets": {}}
    for seed in range(20):
        asks = _walk(browsing.look_around(shop, random.Random(seed)), bare)
        assert len(asks) == 2
        assert asks[1].endpoint in (browsing.GROUPS, browsing.SIMILAR)


def test_every_picture_that_is_sent_is_a_file_of_its_own_and_still_a_picture(shop: Shop) -> None:
    rng, sent = random.Random(1), set()
    for _ in range(10):
        ask = next(picturing.search_by_picture(shop, rng))
        fields = _form(ask)
        assert fields["limit"] == b"24"
        with Image.open(io.BytesIO(fields["image"])) as picture:
            picture.load()
            assert picture.size == (600, 800)
        sent.add(fields["image"])
    assert len(sent) == 10


def test_an_item_comes_and_goes_in_the_scratch_collection_alone(shop: Shop) -> None:
    ids = writing.item_ids("run", 3)
    asks = _walk(writing.keep_an_item(shop, random.Random(1), ids))
    assert {ask.path for ask in asks} == {"/v1/collections/scratch/items/loadtest-run-3-0"}
    assert [ask.method for ask in asks[:1] + asks[-1:]] == ["PUT", "DELETE"]
    assert next(ids) == "loadtest-run-3-1"


@pytest.mark.parametrize("scratch", ["scratch", None])
def test_the_floor_keeps_the_shares_and_writes_only_where_it_may(shop: Shop, scratch: str | None) -> None:
    place = Shop(shop.collection, shop.log, shop.pictures, scratch, shop.facets, shop.group_by)
    floor = Floor(place, random.Random(1), writing.item_ids("run", 0))
    counts: Counter[str] = Counter()
    endpoints: Counter[str] = Counter()
    for number in range(4_000):
        visitor = floor.next(number / 50)
        counts[visitor.scenario] += 1
        endpoints[visitor.ask.endpoint] += 1
        floor.answered(visitor, CONTENT, number / 50 + 0.02)
    whole = sum(share for scenario, share in SHARES.items() if scratch or scenario != "writing")
    for scenario, share in SHARES.items():
        expected = share / whole if scratch or scenario != "writing" else 0.0
        assert counts[scenario] / 4_000 == pytest.approx(expected, abs=0.03)
    assert set(endpoints) == {name for name in ENDPOINTS if scratch or not name.startswith("item")}


def test_visitors_go_on_after_their_pause_and_not_before(shop: Shop) -> None:
    floor = Floor(shop, random.Random(3), writing.item_ids("run", 0))
    last: dict[int, float] = {}
    for number in range(2_000):
        now = number / 20
        visitor = floor.next(now)
        if id(visitor) in last:
            assert now >= last[id(visitor)] + visitor.ask.after_s - 1e-9
        last[id(visitor)] = now + 0.01
        floor.answered(visitor, CONTENT, now + 0.01)
        kept = visitor  # noqa: F841 - so that no two visitors share an identity at once


def test_visitors_who_never_go_on_do_not_pile_up(shop: Shop) -> None:
    floor = Floor(shop, random.Random(3), itertools.repeat("id"))
    for _ in range(4 * MOST_VISITORS):
        visitor = floor.next(0.0)
        floor.answered(visitor, CONTENT, 1e6)
    assert all(len(between) <= MOST_VISITORS for between in floor._between.values())
