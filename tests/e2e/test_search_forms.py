"""The ways to say a search, on the real engines: text filters, forms with further parts, many at once, and caches."""

import base64
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.e2e.conftest import COLOURS, PRODUCTS, OpenGateway
from tests.fixtures.serving import RunningGateway, eventually
from tests.fixtures.stack import RunningStack
from vitrine.gateway.schemas.multi_search import MultiSearchAnswer
from vitrine.gateway.schemas.search import SearchAnswer

PATH = "/v1/collections/products/search"
MANY = "/v1/multi_search"


def _picture(shop: Path, product: str) -> bytes:
    return (shop / "images" / product[:3] / f"{product}.jpg").read_bytes()


def _by_address(gateway: RunningGateway, **params: Any) -> list[str]:
    response = gateway.http.get(PATH, params={"q": "dress", "limit": 60, **params})
    assert response.status_code == 200, response.text
    return [hit["id"] for hit in response.json()["hits"]]


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("colour_group_name:Red", {"field": "colour_group_name", "op": "eq", "value": "Red"}),
        ("colour_group_name!=Red", {"field": "colour_group_name", "op": "ne", "value": "Red"}),
        (
            "colour_group_name IN (Red, 'Blue') and not id:0108775000",
            {
                "all": [
                    {"field": "colour_group_name", "op": "in", "value": ["Red", "Blue"]},
                    {"not": {"field": "id", "op": "eq", "value": "0108775000"}},
                ]
            },
        ),
        ("id:010877501*", {"field": "id", "op": "prefix", "value": "010877501"}),
        ("exists colour_group_name", {"field": "colour_group_name", "op": "exists"}),
        (
            "id>=0108775030 OR id:0108775001",
            {
                "any": [
                    {"field": "id", "op": "ge", "value": "0108775030"},
                    {"field": "id", "op": "eq", "value": "0108775001"},
                ]
            },
        ),
    ],
)
def test_a_filter_as_text_keeps_what_its_tree_keeps(gateway: RunningGateway, text: str, tree: dict[str, Any]) -> None:
    kept = gateway.ids("dress", limit=60, filter=tree)
    assert 0 < len(kept) <= len(PRODUCTS)
    assert _by_address(gateway, filter=text) == kept
    assert gateway.ids("dress", limit=60, filter=text) == kept


@pytest.mark.parametrize("quotes", ['"', "'"])
@pytest.mark.parametrize("colour", COLOURS)
def test_a_text_in_quotes_is_a_value_and_nothing_else(gateway: RunningGateway, colour: str, quotes: str) -> None:
    """One of the shop's colours is an attack, and as a colour it finds its twenty products."""
    written = quotes + colour.replace("\\", "\\\\").replace(quotes, "\\" + quotes) + quotes
    found = _by_address(gateway, filter=f"colour_group_name:{written}")
    assert sorted(found) == [product for n, product in enumerate(PRODUCTS) if COLOURS[n % 3] == colour]


@pytest.mark.parametrize(
    "text", ['colour_group_name:Red" or 1==1', "colour_group_name:Red or 1==1", "1==1", "id:x or true"]
)
def test_an_attack_is_no_filter(gateway: RunningGateway, text: str) -> None:
    response = gateway.http.get(PATH, params={"q": "dress", "filter": text})
    assert (response.status_code, response.json()["code"]) == (422, "filter_invalid")


@pytest.mark.parametrize("value", ["%00", "%0A", "%5C%5C", "%F0%9F%91%97", "%E2%80%AE"])
def test_odd_characters_are_values_too(gateway: RunningGateway, value: str) -> None:
    response = gateway.http.get(f"{PATH}?q=dress&filter=title:%22{value}%22")
    assert response.status_code == 200, response.text
    assert response.json()["hits"] == []


def test_further_parts_beside_an_upload_mean_what_they_mean_in_json(gateway: RunningGateway, shop: Path) -> None:
    picture = _picture(shop, PRODUCTS[7])
    data_url = "data:image/jpeg;base64," + base64.b64encode(picture).decode()
    form = gateway.http.post(
        f"{PATH}/image",
        files={"image": ("x.jpg", picture)},
        data={
            "weight": "0.7",
            "query": f'[{{"text":"red dress","weight":0.5}},{{"id":"{PRODUCTS[3]}","weight":-0.4}}]',
            "filter": "colour_group_name:Red",
            "facets": "colour_group_name",
            "group_by": "product_code",
            "limit": "10",
        },
    )
    answer = SearchAnswer.model_validate_json(form.content, strict=True)
    assert [hit.id for hit in answer.hits] == gateway.ids(
        [
            {"image": data_url, "weight": 0.7},
            {"text": "red dress", "weight": 0.5},
            {"id": PRODUCTS[3], "weight": -0.4},
        ],
        filter={"field": "colour_group_name", "op": "eq", "value": "Red"},
        group_by="product_code",
        limit=10,
    )
    assert [(value.value, value.count) for value in answer.facets["colour_group_name"].values] == [
        ("Red", answer.facets_over)
    ]


def test_an_answer_by_address_is_revalidated(gateway: RunningGateway) -> None:
    params = {"q": "red dress", "limit": 5, "offset": 1}
    first = gateway.http.get(PATH, params=params)
    again = gateway.http.get(PATH, params=params, headers={"If-None-Match": first.headers["etag"]})
    assert (first.status_code, again.status_code) == (200, 304)
    assert again.content == b""
    other = gateway.http.get(PATH, params={**params, "limit": 6}, headers={"If-None-Match": first.headers["etag"]})
    assert other.status_code == 200


def test_many_searches_answer_as_each_would_alone(gateway: RunningGateway, shop: Path) -> None:
    data_url = "data:image/jpeg;base64," + base64.b64encode(_picture(shop, PRODUCTS[7])).decode()
    searches: list[dict[str, Any]] = [
        {"query": "red dress", "limit": 5},
        {"query": "blue jeans", "filter": "colour_group_name:Blue", "facets": ["colour_group_name"]},
        {"query": [{"image": data_url}, {"text": "red", "weight": -0.2}], "limit": 3},
        {"query": [{"id": PRODUCTS[3]}], "limit": 4, "group_by": "product_code"},
        {"query": "dress", "offset": 10, "limit": 10},
    ]
    response = gateway.http.post(MANY, json={"searches": [{"collection": "products", **search} for search in searches]})
    assert response.status_code == 200, response.text
    answer = MultiSearchAnswer.model_validate_json(response.content, strict=True)
    for search, told in zip(searches, answer.results, strict=True):
        assert told.status == 200
        alone = gateway.search(**search).json()
        shown = told.model_dump()
        assert [hit["id"] for hit in shown["hits"]] == [hit["id"] for hit in alone["hits"]]
        assert shown["facets"] == alone["facets"]
        assert [hit["siblings"] for hit in shown["hits"]] == [hit.get("siblings") for hit in alone["hits"]]


def test_each_of_many_fails_alone(gateway: RunningGateway) -> None:
    searches: list[dict[str, Any]] = [
        {"collection": "products", "query": "red dress", "limit": 3},
        {"collection": "nowhere", "query": "red dress"},
        {"collection": "products", "query": " "},
        {"collection": "products", "query": "x" * 9_000},
        {"collection": "products", "query": [{"id": "nothing"}]},
        {"collection": "products", "query": "dress", "filter": "nothing:5"},
        {"collection": "products", "query": "dress", "filter": "colour_group_name"},
        {"collection": "products", "query": "dress", "limit": 0},
        {"collection": "products", "query": "dress", "params": {"nprobe": 4}},
        {"collection": "products", "query": "dress", "cursor": "made-up"},
        {"collection": "products", "query": [{"image": "data:image/jpeg;base64,PGh0bWw+"}]},
        {"collection": "products", "query": [{"text": "dress"}, {"text": "dress", "weight": -1}]},
        {"collection": "products", "query": "blue dress", "limit": 3},
    ]
    response = gateway.http.post(MANY, json={"searches": searches})
    assert response.status_code == 200, response.text
    told = response.json()["results"]
    assert [(result["status"], result.get("code")) for result in told] == [
        (200, None),
        (404, "collection_not_found"),
        (422, "query_empty"),
        (413, "query_too_large"),
        (404, "item_not_found"),
        (422, "filter_invalid"),
        (422, "filter_invalid"),
        (422, "invalid_input"),
        (422, "invalid_input"),
        (422, "cursor_invalid"),
        (422, "image_unrecognised"),
        (422, "query_cancels_out"),
        (200, None),
    ]
    assert [hit["id"] for hit in told[0]["hits"]] == gateway.ids("red dress", limit=3)
    assert [hit["id"] for hit in told[-1]["hits"]] == gateway.ids("blue dress", limit=3)


def test_a_walk_by_address_ends_after_every_product_was_seen_once(gateway: RunningGateway) -> None:
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(20):
        address = f"{PATH}?q=red%20dress&limit=7" + ("" if cursor is None else f"&cursor={quote(cursor)}")
        answer = gateway.http.get(address).json()
        seen += [hit["id"] for hit in answer["hits"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert sorted(seen) == list(PRODUCTS)


def test_a_search_ends_soon_after_its_caller_left(open_gateway: OpenGateway, stack: RunningStack, shop: Path) -> None:
    gateway = open_gateway()

    def left() -> float:
        found = re.search(r'vitrine_http_errors_total\{code="client_gone"\} (\S+)', gateway.http.get("/metrics").text)
        return float(found[1]) if found else 0.0

    assert gateway.search("dress").status_code == 200
    assert left() == 0
    triton = stack["triton"]
    triton.pause()
    try:
        with httpx.Client(base_url=gateway.url, timeout=0.5) as caller, pytest.raises(httpx.ReadTimeout):
            caller.post(PATH, json={"query": "another dress", "timeout_ms": 10_000})
        # Triton alone would be waited for another four and a half seconds.
        assert eventually("the search has ended", lambda: left() == 1, within_s=4) < 4
    finally:
        triton.resume()
