"""The API of a gateway process on the real Triton and the real Milvus."""

import base64
import concurrent.futures
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.e2e.conftest import COLOURS, PRODUCTS
from tests.fixtures.serving import RunningGateway
from vitrine.gateway.schemas.collections import CollectionAnswer
from vitrine.gateway.schemas.items import ItemAnswer
from vitrine.gateway.schemas.problems import ReadyAnswer
from vitrine.gateway.schemas.search import SearchAnswer

PATH = "/v1/collections/products/search"


def _picture(shop: Path, product: str) -> bytes:
    return (shop / "images" / product[:3] / f"{product}.jpg").read_bytes()


def _data_url(picture: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(picture).decode()


def test_a_text_finds_products(gateway: RunningGateway) -> None:
    response = gateway.search("red dress, which no other test asks for", limit=5)
    assert response.status_code == 200
    answer = SearchAnswer.model_validate_json(response.content, strict=True)
    assert len(answer.hits) == 5
    scores = [hit.score for hit in answer.hits]
    assert scores == sorted(scores, reverse=True)
    assert all(-1 <= score <= 1 for score in scores)
    assert {hit.id for hit in answer.hits} <= set(PRODUCTS)
    assert answer.took_ms.keys() == {"total", "tokenize", "embed", "search"}
    assert sum(answer.took_ms.values()) <= 2 * answer.took_ms["total"]
    assert answer.collection == "products_v1"
    assert answer.warnings == []
    assert not answer.degraded


def test_a_query_that_is_remembered_finds_the_same_without_being_embedded(gateway: RunningGateway, shop: Path) -> None:
    queries: list[Any] = ["something remembered", [{"image": _data_url(_picture(shop, PRODUCTS[27]))}]]
    for query in queries:
        first, second = gateway.search(query).json(), gateway.search(query).json()
        assert first["hits"] == second["hits"]
        assert "embed" in first["took_ms"]
        assert second["took_ms"].keys() <= {"total", "tokenize", "search"}
    figures = gateway.http.get("/metrics").text
    for kind in ("text", "image"):
        assert f'vitrine_embedding_cache_requests_total{{kind="{kind}",outcome="hit"}}' in figures


def test_the_same_search_by_address_finds_the_same(gateway: RunningGateway) -> None:
    by_address = gateway.http.get(PATH, params={"q": "red dress", "limit": 5}).json()
    assert [hit["id"] for hit in by_address["hits"]] == gateway.ids("red dress", limit=5)


def test_a_products_own_picture_finds_it_first(gateway: RunningGateway, shop: Path) -> None:
    picture = _picture(shop, PRODUCTS[7])
    hit = gateway.search([{"image": _data_url(picture)}], limit=1).json()["hits"][0]
    assert hit["id"] == PRODUCTS[7]
    assert hit["score"] == pytest.approx(1.0, abs=1e-3)


def test_an_upload_finds_what_the_data_url_finds(gateway: RunningGateway, shop: Path) -> None:
    picture = _picture(shop, PRODUCTS[17])
    form = gateway.http.post(f"{PATH}/image", files={"image": ("x.jpg", picture)}, data={"limit": "5"})
    assert form.status_code == 200
    hits = [hit["id"] for hit in form.json()["hits"]]
    assert hits == gateway.ids([{"image": _data_url(picture)}], limit=5)
    assert form.json()["took_ms"].keys() == {"total", "decode", "embed", "search"}


def test_more_like_this_leaves_out_the_product_itself(gateway: RunningGateway, shop: Path) -> None:
    by_picture = gateway.ids([{"image": _data_url(_picture(shop, PRODUCTS[7]))}], limit=6)
    by_id = gateway.http.get(PATH, params={"id": PRODUCTS[7], "limit": 5}).json()
    assert [hit["id"] for hit in by_id["hits"]] == by_picture[1:]


def test_pages_neither_repeat_nor_skip(gateway: RunningGateway) -> None:
    whole = gateway.ids("dress", limit=60)
    assert sorted(whole) == list(PRODUCTS)
    assert [i for offset in range(0, 60, 20) for i in gateway.ids("dress", limit=20, offset=offset)] == whole


def test_a_filter_keeps_what_it_says_and_a_quote_is_a_letter(gateway: RunningGateway) -> None:
    for colour in COLOURS:
        filter_ = {"field": "colour_group_name", "op": "eq", "value": colour}
        response = gateway.search("dress", limit=60, filter=filter_)
        assert response.status_code == 200, response.text
        assert [hit["metadata"]["colour_group_name"] for hit in response.json()["hits"]] == [colour] * 20


def test_a_filter_on_an_unknown_field_is_refused(gateway: RunningGateway) -> None:
    response = gateway.search("dress", filter={"field": "nothing", "op": "eq", "value": "x"})
    assert (response.status_code, response.json()["code"]) == (422, "filter_invalid")


def test_a_least_score_cuts_the_rest(gateway: RunningGateway) -> None:
    scores = [hit["score"] for hit in gateway.search("dress", limit=60).json()["hits"]]
    cut = gateway.search("dress", limit=60, min_score=scores[20]).json()["hits"]
    assert 1 <= len(cut) <= 21 + scores.count(scores[20])
    assert min(hit["score"] for hit in cut) >= scores[20]


def test_vectors_are_of_unit_length_and_only_on_request(gateway: RunningGateway) -> None:
    assert "vector" not in gateway.search("dress", limit=1).json()["hits"][0]
    vector = gateway.search("dress", limit=1, with_vectors=True).json()["hits"][0]["vector"]
    assert sum(number * number for number in vector) == pytest.approx(1.0, abs=1e-4)


def test_500_words_are_searched_and_the_cut_is_told(gateway: RunningGateway) -> None:
    response = gateway.search("dress " * 500)
    assert (response.status_code, response.json()["warnings"]) == (200, ["query_truncated"])


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 422, "query_empty"),
        (" \t\n ", 422, "query_empty"),
        ("x" * 9 * 1024, 413, "query_too_large"),
        ("a\x00b", 422, "text_malformed"),
        ([{"text": "dress"}, {"text": "dress", "weight": -1}], 422, "query_cancels_out"),
        ([{"id": "nothing"}], 404, "item_not_found"),
        ([{"id": '" or 1==1 or id == "'}], 404, "item_not_found"),
        ([{"image": _data_url(b"<html></html>")}], 422, "image_unrecognised"),
        ([{"image": _data_url(b"\xff\xd8\xff\xe0 cut off")}], 422, "image_corrupt"),
    ],
)
def test_bad_queries_get_their_codes_and_leave_the_service_well(
    gateway: RunningGateway, query: object, status: int, code: str
) -> None:
    response = gateway.search(query)
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert gateway.search("dress").status_code == 200


def test_a_truncated_picture_is_refused(gateway: RunningGateway, shop: Path) -> None:
    response = gateway.search([{"image": _data_url(_picture(shop, PRODUCTS[0])[:400])}])
    assert (response.status_code, response.json()["code"]) == (422, "image_corrupt")


def test_unknown_collections_are_404_wherever_they_are_named(gateway: RunningGateway) -> None:
    for path in (f"{PATH}?q=x", "/v1/collections/products", "/v1/collections/products/items/1"):
        response = gateway.http.get(path.replace("products", "shoes"))
        assert (response.status_code, response.json()["code"]) == (404, "collection_not_found"), path


def test_a_search_parameter_reaches_the_index_and_its_bounds_are_told(gateway: RunningGateway) -> None:
    assert gateway.search("dress", params={"ef": 100}).status_code == 200
    for params in ({"ef": 0}, {"ef": 10**9}, {"nprobe": 3}):
        response = gateway.search("dress", params=params)
        assert response.status_code == 422, params


def test_the_deepest_page_is_refused_in_words(gateway: RunningGateway) -> None:
    response = gateway.search("dress", limit=250, offset=16_384)
    assert response.status_code == 422
    assert response.json()["code"] in {"limit_exceeded", "invalid_input"}


def test_products_and_their_pictures_can_be_fetched(gateway: RunningGateway, shop: Path) -> None:
    item = gateway.http.get(f"/v1/collections/products/items/{quote(PRODUCTS[3], safe='')}")
    answer = ItemAnswer.model_validate_json(item.content, strict=True)
    assert (answer.id, answer.title, answer.group) == (PRODUCTS[3], f"Product {PRODUCTS[3]}", PRODUCTS[3][:7])
    assert answer.image_url is not None
    assert gateway.http.get(answer.image_url).content == _picture(shop, PRODUCTS[3])
    assert gateway.http.get("/media/articles.csv").status_code == 404


def test_collections_tell_index_model_and_alias(gateway: RunningGateway) -> None:
    listed = gateway.http.get("/v1/collections").json()["collections"]
    (ours,) = [each for each in listed if each["name"] == "products_v1"]
    answer = CollectionAnswer.model_validate_json(json.dumps(ours))
    assert answer.aliases == ["products"]
    assert answer.loaded
    assert answer.index.type == "HNSW"
    assert "colour_group_name" in {field.name for field in answer.fields}
    ready = ReadyAnswer.model_validate_json(gateway.http.get("/readyz").content)
    assert ready.fingerprint == answer.model.fingerprint


def test_metrics_show_the_dependencies_and_the_stages(gateway: RunningGateway) -> None:
    gateway.search("dress")
    lines = gateway.http.get("/metrics").text.splitlines()
    assert 'vitrine_dependency_up{dependency="triton"} 1.0' in lines
    assert 'vitrine_dependency_up{dependency="milvus"} 1.0' in lines
    assert "vitrine_contract_mismatch 0.0" in lines
    for stage in ("tokenize", "embed", "search"):
        (count,) = [line for line in lines if line.startswith(f'vitrine_stage_duration_seconds_count{{stage="{stage}"')]
        assert float(count.rsplit(" ", 1)[1]) >= 1


def test_many_at_once_are_all_answered_right(gateway: RunningGateway) -> None:
    words = ("dress", "blue shirt", "red", "striped top")
    alone = {word: gateway.ids(word, limit=10) for word in words}
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda n: (words[n % 4], gateway.ids(words[n % 4], limit=10)), range(200)))
    assert all(ids == alone[word] for word, ids in found)


def test_the_page_and_the_documentation_are_served(gateway: RunningGateway) -> None:
    assert gateway.http.get("/").headers["content-type"] == "text/html; charset=utf-8"
    assert gateway.http.get("/docs").status_code == 200
    assert gateway.http.get("/openapi.json").json()["info"]["title"] == "Vitrine"
    assert gateway.http.get("/v1/ui-config").json()["collection"] == "products"
