import asyncio
import base64
import time

import numpy as np
import pytest

from tests.unit.gateway.conftest import COLLECTION, HITS, Api, OpenApi
from vitrine.domain import Hit
from vitrine.errors import EncoderUnavailable
from vitrine.gateway.schemas.collections import CollectionAnswer, CollectionsAnswer
from vitrine.gateway.schemas.items import ItemAnswer
from vitrine.gateway.schemas.page import UiConfigAnswer
from vitrine.gateway.schemas.search import HitAnswer, SearchAnswer
from vitrine.search.request import ImagePart, ItemPart, TextPart
from vitrine.settings import Settings
from vitrine.vectorstore.filters import Eq

PATH = "/v1/collections/products/search"


async def test_an_answer_is_what_the_documentation_says(api: Api) -> None:
    response = await api.search({"query": "dress"})
    assert response.status_code == 200
    answer = SearchAnswer.model_validate_json(response.content, strict=True)
    assert response.headers["content-type"] == "application/json"
    assert answer.request_id == response.headers["x-request-id"]
    assert (answer.collection, answer.model.name, answer.degraded) == ("products_v1", "tiny", False)
    assert answer.warnings == ["query_truncated"]
    assert answer.hits[0] == HitAnswer(
        id="0108775015",
        score=0.8125,
        title="Strap top",
        group="0108775",
        image_url="/media/images/010/0108775015.jpg",
        metadata={"colour": "red", "price": 9.5},
    )
    assert answer.hits[1].image_url == "/media/images/a%20b.jpg"
    assert answer.took_ms.keys() == {"total", "embed"}
    assert 0 <= answer.took_ms["embed"] <= answer.took_ms["total"]
    assert "vector" not in response.json()["hits"][0]


async def test_no_member_of_an_answer_is_undocumented(api: Api) -> None:
    body = (await api.search({"query": "dress"})).json()
    assert body.keys() == SearchAnswer.model_fields.keys()
    assert body["hits"][0].keys() == HitAnswer.model_fields.keys() - {"vector"}


async def test_stage_times_stand_in_a_header_too(api: Api) -> None:
    response = await api.search({"query": "dress"})
    took = response.json()["took_ms"]
    assert response.headers["server-timing"] == f"total;dur={took['total']}, embed;dur={took['embed']}"


async def test_vectors_come_only_when_asked_for(api: Api, unit_vector: np.ndarray) -> None:
    api.searcher.hits = (Hit("1", 1.0, "t", "", "", {}, unit_vector),)
    response = await api.search({"query": "dress", "with_vectors": True})
    assert response.json()["hits"][0]["vector"] == [1.0, 0.0, 0.0, 0.0]
    assert api.searcher.asked[-1].with_vectors


async def test_without_pictures_to_serve_no_address_is_given(open_api: OpenApi) -> None:
    api = await open_api()
    assert (await api.search({"query": "dress"})).json()["hits"][0]["image_url"] is None


async def test_pictures_of_a_cdn_are_addressed_there(open_api: OpenApi) -> None:
    api = await open_api(media_base_url="https://cdn.example/pics/")
    url = (await api.search({"query": "dress"})).json()["hits"][0]["image_url"]
    assert url == "https://cdn.example/pics/images/010/0108775015.jpg"


async def test_a_string_is_short_for_one_text(api: Api) -> None:
    await api.search({"query": "red dress", "limit": 7, "offset": 14, "min_score": 0.2, "params": {"ef": 80}})
    (asked,) = api.searcher.asked
    assert asked.parts == (TextPart("red dress", 1.0),)
    assert (asked.collection, asked.limit, asked.offset, asked.min_score) == ("products", 7, 14, 0.2)
    assert asked.params == {"ef": 80}


async def test_weighted_parts_of_all_three_kinds_arrive(api: Api) -> None:
    picture = base64.b64encode(b"\xff\xd8\xff picture").decode()
    response = await api.search(
        {
            "query": [
                {"text": "red dress"},
                {"image": f"data:image/jpeg;base64,{picture}", "weight": 0.5},
                {"id": "0108775015", "weight": -0.25},
            ]
        }
    )
    assert response.status_code == 200
    assert api.searcher.asked[0].parts == (
        TextPart("red dress", 1.0),
        ImagePart(b"\xff\xd8\xff picture", 0.5),
        ItemPart("0108775015", -0.25),
    )


async def test_a_filter_arrives_as_a_tree(api: Api) -> None:
    await api.search({"query": "dress", "filter": {"field": "colour", "op": "eq", "value": "red"}})
    assert api.searcher.asked[0].filter == Eq("colour", "red")


async def test_get_takes_a_text_a_product_or_both(api: Api) -> None:
    await api.client.get(PATH, params={"q": "dress", "limit": 3, "offset": 6, "min_score": 0.1})
    await api.client.get(PATH, params={"id": "0108775015"})
    await api.client.get(PATH, params={"q": "red", "id": "0108775015"})
    first, second, third = api.searcher.asked
    assert (first.parts, first.limit, first.offset, first.min_score) == ((TextPart("dress"),), 3, 6, 0.1)
    assert second.parts == (ItemPart("0108775015"),)
    assert third.parts == (TextPart("red"), ItemPart("0108775015"))


async def test_an_uploaded_picture_arrives_byte_for_byte(api: Api) -> None:
    picture = bytes(range(256)) * 9000
    response = await api.client.post(
        f"{PATH}/image",
        files={"image": ("shirt.jpg", picture, "image/jpeg")},
        data={"limit": "5", "min_score": "0.5", "filter": '{"field":"colour","op":"eq","value":"red"}'},
    )
    assert response.status_code == 200
    (asked,) = api.searcher.asked
    assert asked.parts == (ImagePart(picture, 1.0),)
    assert (asked.limit, asked.min_score, asked.filter) == (5, 0.5, Eq("colour", "red"))


@pytest.mark.parametrize(
    ("ways", "expected_ms"),
    [
        ({}, 2000),
        ({"header": "700"}, 700),
        ({"body": 300}, 300),
        ({"body": 300, "header": "700"}, 300),
    ],
)
async def test_the_deadline_comes_from_body_then_header_then_settings(
    api: Api, ways: dict[str, object], expected_ms: int
) -> None:
    headers = {"x-timeout-ms": str(ways["header"])} if "header" in ways else {}
    body = {"query": "x"} | ({"timeout_ms": ways["body"]} if "body" in ways else {})
    await api.search(body, **headers)
    assert expected_ms - 250 < api.searcher.deadlines[0] * 1000 <= expected_ms


async def test_the_deadline_of_a_get_is_a_parameter(api: Api) -> None:
    await api.client.get(PATH, params={"q": "x", "timeout_ms": 400}, headers={"x-timeout-ms": "900"})
    assert api.searcher.deadlines[0] <= 0.4


async def test_a_search_that_hangs_is_answered_504_in_time(api: Api) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    api.searcher.before = hang
    began = time.monotonic()
    response = await api.search({"query": "x", "timeout_ms": 100})
    assert (response.status_code, response.json()["code"]) == (504, "deadline_exceeded")
    assert time.monotonic() - began < 1.1


async def test_a_dependency_that_is_down_is_answered_503(api: Api) -> None:
    api.searcher.failure = EncoderUnavailable("Triton is down.")
    response = await api.search({"query": "x"})
    assert (response.status_code, response.json()["code"]) == (503, "encoder_unavailable")
    assert response.headers["retry-after"] == "1"


async def test_items_and_collections_are_what_the_documentation_says(api: Api) -> None:
    item = await api.client.get("/v1/collections/products/items/0108775015")
    assert ItemAnswer.model_validate_json(item.content, strict=True).title == HITS[0].title
    odd = await api.client.get("/v1/collections/products/items/a%2Fb%20c")
    assert odd.json()["id"] == "a/b c"
    one = await api.client.get("/v1/collections/products")
    described = CollectionAnswer.model_validate_json(one.content)
    assert (described.name, described.created_at) == ("products_v1", COLLECTION.created_at)
    assert described.index.params["M"] == 16
    assert one.json().keys() == CollectionAnswer.model_fields.keys()
    every = await api.client.get("/v1/collections")
    assert CollectionsAnswer.model_validate_json(every.content).collections == [described]


async def test_what_is_not_there_is_404(api: Api) -> None:
    missing = await api.client.get("/v1/collections/products/items/nothing")
    assert (missing.status_code, missing.json()["code"]) == (404, "item_not_found")
    unknown = await api.client.get("/v1/collections/shoes")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "collection_not_found")


async def test_the_page_learns_what_it_needs(open_api: OpenApi) -> None:
    settings = Settings.model_validate({"gateway": {"default_collection": "shoes"}, "images": {"max_bytes": 4096}})
    api = await open_api(settings)
    config = UiConfigAnswer.model_validate_json((await api.client.get("/v1/ui-config")).content)
    assert (config.collection, config.max_image_bytes, config.max_limit) == ("shoes", 4096, 250)
    assert "floral top" in config.examples
